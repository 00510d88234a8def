"""GET /v1/events: what changed, derived from the store's own history, in order of revision.

Nothing is recorded for it: the store keeps its history back to the compaction point, and says where
that is. What it no longer holds is an entry of its own, never silence.
"""

from typing import Annotated

from pydantic import Field

from aeroctl.contract.base import Count, Model, Revision, SafeInt, Time
from aeroctl.contract.cluster import Leader
from aeroctl.contract.envelope import Envelope
from aeroctl.contract.terms import Cause, EventKind

Fact = SafeInt | bool | str | None
"""What was, or is; null: nothing was, or nothing is."""


class Event(Model):
    """One change. Events of one revision happened at once; `index` only gives them a stated
    order.
    """

    revision: Revision = Field(
        description="At which it happened; of a gap, the first revision that is missing."
    )
    index: Count = Field(description="Place within the revision, from 0.")
    kind: EventKind
    node: str | None = Field(description="The node it is about, if it is about one.")
    subject: str | None = Field(
        description="configuration_changed: the setting's name. Else null.", examples=["ttl"]
    )
    before: Fact
    after: Fact = Field(
        description="A gap: `before` and `after` are the first and the last revision of which only "
        "the result is known."
    )
    since: Revision | None = Field(
        description="Revision at which that node took the leader key that was taken or lost."
    )
    cause: Cause | None = Field(
        description="Of a leader key or a member that went: `released`, removed by itself; "
        "`lease_ended`, its lease was not renewed: all that was on it went in one revision. "
        "null: not known."
    )
    detail: str | None = Field(description="In the kernel's own words.")
    exact: bool = Field(
        description="false: it happened no later than `revision`, where it was first told of, and "
        "its place among the entries before that is not known."
    )
    time: Time | None = Field(description="Where one was logged, by `clock`; it orders nothing.")
    clock: str | None = Field(
        description="Whose clock it is; where `time` is null, whose clock the next two are by."
    )
    not_before: Time | None = Field(
        description="The clock pin before it: it did not happen earlier. null: not known, as where "
        "two pins contradict each other."
    )
    not_after: Time | None = Field(
        description="The first clock pin that saw it: it did not happen later. null: not known, as "
        "where no pin came after it yet."
    )


class NodeStanding(Model):
    """What a node said of itself. Patroni: `members/<name>`."""

    name: str
    role: str | None = Field(description="In the kernel's own words, like the next two.")
    state: str | None
    replication_state: str | None
    timeline: Count | None


class Standing(Model):
    """What the events change, as it was at one revision: following them from here is exact."""

    revision: Revision
    leader: Leader | None
    nodes: list[NodeStanding] = Field(description="Registered ones, by name.")
    paused: bool
    pending: str | None = Field(description="The transfer that was asked for, in words.")
    synchronous: str | None = Field(description="The synchronous set, in words.")
    system_id: str | None


class Logged(Model):
    """A time that the kernel's logs tie to the store's revisions. `clock`: a pin that the kernel
    keeps for that; `audit`: an audit record; `history`: a row of Patroni's history.
    """

    revision: Revision = Field(description="Which wrote it: it happened after `time`.")
    reached: Revision = Field(
        description="Up to this revision everything had happened by `time`; 0: not known."
    )
    time: Time
    clock: str
    source: Annotated[str, Field(pattern="^(clock|audit|history)$")]


class EventPage(Model):
    """Some events in order. A page holds whole revisions."""

    base: Standing = Field(description="What stood before the first of them, after any gap.")
    events: list[Event]
    pins: list[Logged] = Field(
        description="The clock pins that these revisions wrote, in order; of the first page also "
        "the one that was there when it begins."
    )
    next: Revision | None = Field(
        description="Ask with `after` set to this for more; null: no more. A page may be empty and "
        "yet have one after it."
    )


class EventsEnvelope(Envelope[EventPage]):
    """The answer to GET /v1/events."""


class Pin(Model):
    """Which revisions may have stood at a time: those from `first` to `last`, and no other."""

    asked: Time
    first: Revision = Field(
        description="Asked for a state: the one that is shown; no other one differs from it by "
        "more than WAL positions. 0: no time is logged so early."
    )
    last: Revision
    before: Logged | None = Field(description="By which `first` is known; null: now, or nothing.")
    after: Logged | None = Field(description="By which `last` is known; null: it is now.")
    moved: Count | None = Field(
        description="Asked for a state: so many revisions after `first` up to `last` moved WAL "
        "positions. Else null."
    )


class PinEnvelope(Envelope[Pin]):
    """The answer to GET /v1/revisions."""
