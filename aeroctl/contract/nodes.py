"""Section `nodes`: every node the consensus store knows of. Source: the consensus store."""

from typing import Annotated

from pydantic import Field

from aeroctl.contract.base import Count, Finite, Lsn, Model, Revision, SafeInt
from aeroctl.contract.terms import KnownFrom, Role, TimelineStatus


class LastEntry(Model):
    """What a node said of itself before its entry went, as the store's history still holds it."""

    revision: Revision = Field(
        description="A revision at which the entry was there; it may have been there later."
    )
    role: Role
    state: str | None
    timeline: Count | None
    lsn: Lsn | None


class Node(Model):
    """A node as it last described itself. Patroni: `members/<name>`."""

    name: str
    registered: bool = Field(
        description="The node renews its own entry. false: only what `known_from` lists names it."
    )
    known_from: list[KnownFrom] = Field(
        description="`member_key` alone for a registered node; else everything that names it."
    )
    last_entry: LastEntry | None = Field(
        description="Of an unregistered node whose entry the store's history still holds; `host` "
        "and `port` are from it then."
    )
    retired: bool = Field(
        description="The kernel's configuration says that this node is gone for good "
        "(`--retired-member`). false as soon as the node is registered."
    )
    shares_address_with: list[str] = Field(
        description="Other nodes whose entries name the same database address. What answers there "
        "proves nothing about any of them; an unregistered node takes nothing from a registered "
        "one. Sorted by name."
    )
    is_leader: bool = Field(description="The leader key names this node.")
    role: Role
    state: str | None = Field(description="In the kernel's own words.", examples=["running"])
    replication_state: str | None = Field(
        description="A replica's, in the kernel's own words.",
        examples=["streaming", "in archive recovery"],
    )
    timeline: Count | None
    timeline_status: TimelineStatus = Field(
        description="Against the timeline of the leader. `behind`: on an older one "
        "and not past the point where it ended. `forked`: past that point, or on a newer one."
    )
    lsn: Lsn | None = Field(
        description="Furthest WAL position: written (primary), received or replayed (replica)."
    )
    received_lsn: Lsn | None
    replayed_lsn: Lsn | None
    host: str | None
    port: Annotated[int, Field(ge=0, le=65535)] | None
    agent_version: str | None = Field(description="Patroni's version on this node.")
    no_failover: bool | None = Field(
        description="Tagged as never to be promoted. This and the next two: null if unregistered."
    )
    replicate_from: str | None = Field(description="The upstream it is configured to prefer.")
    pending_restart: bool | None
    paused: bool | None = Field(description="This node has noticed that the cluster is paused.")
    tags: dict[str, str | SafeInt | Finite | bool | None] = Field(
        description="Sorted by key. A number that JSON can't hold exactly is a string."
    )
