"""GET /v1/events: what changed, derived from the store's own history, in order of commit.

Nothing is recorded for it: the store keeps its history back to the compaction point, and says where
that is. What it no longer holds is an entry of its own, never silence.
"""

from typing import Annotated

from pydantic import Field

from aeroctl.contract.base import CommitId, Count, Model, SafeInt, Time
from aeroctl.contract.cluster import Authority
from aeroctl.contract.envelope import Envelope
from aeroctl.contract.terms import Cause, EventKind

Fact = SafeInt | bool | str | None
"""What was, or is; null: nothing was, or nothing is."""


class Event(Model):
    """One change. Events of one commit happened at once; `index` only gives them a stated order."""

    commit_id: CommitId = Field(
        description="At which it happened; of a gap, the first commit that is missing."
    )
    index: Count = Field(description="Place within the commit, from 0.")
    kind: EventKind
    node: str | None = Field(description="The node it is about, if it is about one.")
    subject: str | None = Field(
        description="configuration_changed: the setting's name. Else null.", examples=["ttl"]
    )
    before: Fact
    after: Fact = Field(
        description="A gap: `before` and `after` are the first and the last commit of which only "
        "the result is known."
    )
    reign: CommitId | None = Field(description="Of the authority that was gained or lost.")
    cause: Cause | None = Field(
        description="Of authority or a member that went: `released`, removed by itself; "
        "`lease_ended`, its lease was not renewed: all that was on it went in one commit. "
        "null: not known."
    )
    detail: str | None = Field(description="In the kernel's own words.")
    exact: bool = Field(
        description="false: it happened no later than `commit_id`, where it was first told of, and "
        "its place among the entries before that is not known."
    )
    time: Time | None = Field(description="Where one was logged, by `clock`; it orders nothing.")
    clock: str | None


class NodeStanding(Model):
    """What a node said of itself. Patroni: `members/<name>`."""

    name: str
    role: str | None = Field(description="In the kernel's own words, like the next two.")
    state: str | None
    replication_state: str | None
    timeline: Count | None


class Standing(Model):
    """What the events change, as it was at one commit: following them from here is exact."""

    commit_id: CommitId
    authority: Authority | None
    nodes: list[NodeStanding] = Field(description="Registered ones, by name.")
    paused: bool
    pending: str | None = Field(description="The transfer that was asked for, in words.")
    synchronous: str | None = Field(description="The synchronous set, in words.")
    system_id: str | None


class EventPage(Model):
    """Some events in order. A page holds whole commits."""

    base: Standing = Field(description="What stood before the first of them, after any gap.")
    events: list[Event]
    next: CommitId | None = Field(
        description="Ask with `after` set to this for more; null: no more. A page may be empty and "
        "yet have one after it."
    )


class EventsEnvelope(Envelope[EventPage]):
    """The answer to GET /v1/events."""


class Logged(Model):
    """A time that the kernel's logs pin to a commit."""

    commit_id: CommitId
    time: Time
    clock: str
    source: Annotated[str, Field(pattern="^(audit|history)$")]


class Pin(Model):
    """Which commit stands for a time: the last one that was logged at or before it."""

    asked: Time
    taken: Logged
    following: Logged | None = Field(
        description="The next logged one, after that time; null: there is none yet."
    )


class PinEnvelope(Envelope[Pin]):
    """The answer to GET /v1/commits."""
