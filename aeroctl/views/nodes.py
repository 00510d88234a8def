"""View `nodes`: every node, what it says it is, and whether that agrees with who holds the leader
key.

Lag is counted in the positions that the nodes recorded in the consensus store, so that one revision
holds both ends of the subtraction; where they record none (Patroni before 4.1), in their own. What
a node says itself beats what the store says of it: where the two contradict each other, both are
shown, and there is no lag.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract import accounts
from aeroctl.contract.accounts import Disagreement
from aeroctl.contract.lsn import distance
from aeroctl.contract.terms import KnownFrom, Role, TimelineStatus
from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid, sized
from aeroctl.views.view import Missing, View, missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aeroctl.contract.base import Observation
    from aeroctl.contract.cluster import Cluster
    from aeroctl.contract.envelope import Snapshot
    from aeroctl.contract.nodes import Node
    from aeroctl.contract.replication import NodeReplication


STATES = ("role", "replication state")
"""Of a node's disagreements with the store, what belongs to its state."""


@dataclass(frozen=True, slots=True)
class LagReference:
    """What `lag_bytes` is measured against: a position, and where it was read."""

    lsn: str
    source: str


@dataclass(frozen=True, slots=True)
class LastEntryFact:
    """What a node said of itself before its entry went, as of a revision at which it was there."""

    revision: int
    role: Role
    state: str | None
    timeline: int | None
    lsn: str | None


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node. null: not known, or there is no such thing for this node."""

    name: str
    summary: str
    """The role in words."""
    role: Role
    state: str | None
    replication_state: str | None
    streaming: bool | None
    """It receives write-ahead log, by its own word; in history by the store's. null: not known, or
    the two contradict each other; and for the leader."""
    registered: bool
    known_from: tuple[KnownFrom, ...]
    last_entry: LastEntryFact | None
    """Of an unregistered node: what it said of itself before its entry went."""
    retired: bool
    """Unregistered, and the kernel's configuration says that it is gone for good."""
    is_leader: bool
    writable: bool | None
    """null: the node was not asked (history), did not answer, or can't tell."""
    leader_disagreement: bool | None
    """Writable without holding the leader key, or the other way round (P6-A1)."""
    on_timeline: bool | None
    """It is on the timeline of the leader, by its own word where it was asked."""
    timeline: int | None
    timeline_status: TimelineStatus
    lsn: str | None
    received_lsn: str | None
    replayed_lsn: str | None
    lag_bytes: int | None
    """WAL not yet replayed, against `lag_measured_against`; null for the leader."""
    receive_lag_bytes: int | None
    upstream: str | None
    """Where it streams from, as its receiver says."""
    replicate_from: str | None
    """Where it is configured to stream from."""
    synchronous: bool
    no_failover: bool | None
    pending_restart: bool | None
    paused: bool | None
    host: str | None
    port: int | None
    agent_version: str | None
    tags: dict[str, str | int | float | bool | None]
    disagreements: tuple[Disagreement, ...]
    """What the store and the node tell differently."""
    shares_address_with: tuple[str, ...]
    unavailable: Missing | None

    @property
    def counts(self) -> bool:
        """Whether rules about every node are about this one: not where it is gone for good."""
        return not self.retired or bool(self.writable)


@dataclass(frozen=True, slots=True)
class NodesView:
    """`nodes` is ordered by name unless asked otherwise."""

    lag_measured_against: LagReference | None
    nodes: tuple[NodeRow, ...]


def derive(snapshot: "Snapshot") -> NodesView:
    """The rows of `inspect nodes`."""
    assert snapshot.cluster is not None
    return NodesView(lag_reference(snapshot.cluster), node_rows(snapshot))


def lag_reference(cluster: "Cluster") -> LagReference | None:
    """The position that a leader last recorded; None if there is none.

    The store does not say which holder that was, so neither do we.
    """
    if cluster.leader_lsn is None:
        return None
    source = "last recorded in the consensus store by a leader"
    return LagReference(cluster.leader_lsn, source)


def node_rows(snapshot: "Snapshot") -> tuple[NodeRow, ...]:
    """A row per node, ordered by name."""
    assert snapshot.cluster is not None
    assert snapshot.nodes is not None
    seen = {each.node: each for each in snapshot.replication or ()}
    timeline = _timeline(snapshot.nodes, {name: each.value for name, each in seen.items()})
    rows = []
    for node in snapshot.nodes:
        observation = seen.get(node.name)
        rows.append(
            _row(
                node,
                snapshot.cluster,
                timeline,
                observation,
            )
        )
    return tuple(sorted(rows, key=lambda each: each.name))


def _row(
    node: "Node",
    cluster: "Cluster",
    timeline: int | None,
    seen: "Observation[NodeReplication] | None",
) -> NodeRow:
    measured, asked = seen.value if seen else None, seen is not None
    writable = accounts.writes(measured)
    different = accounts.disagreements(node, measured)
    status = _timeline_status(node, measured, timeline, different)
    receiver = measured.receiver if measured else None
    upstream = receiver.upstream if receiver else None
    should_write = node.is_leader and not cluster.standby_cluster
    # On another branch of history a position is no measure of distance.
    comparable = not (node.is_leader or different) and status in ("current", "behind")
    received, replayed = node.received_lsn, node.replayed_lsn
    if measured is not None and measured.in_recovery and received is None and replayed is None:
        received, replayed = measured.received_lsn, measured.replayed_lsn
    return NodeRow(
        name=node.name,
        summary=_summary(node, writable, upstream, cluster.standby_cluster),
        role=node.role,
        state=node.state,
        replication_state=node.replication_state,
        streaming=None if node.is_leader else accounts.streaming(node, measured, asked),
        registered=node.registered,
        known_from=tuple(node.known_from),
        last_entry=_last_entry(node),
        retired=node.retired and not node.registered,
        is_leader=node.is_leader,
        writable=writable,
        leader_disagreement=None if writable is None else writable != should_write,
        on_timeline=accounts.on_timeline(node, measured, asked, timeline),
        timeline=node.timeline,
        timeline_status=status,
        lsn=node.lsn,
        received_lsn=received,
        replayed_lsn=replayed,
        lag_bytes=distance(cluster.leader_lsn, replayed) if comparable else None,
        receive_lag_bytes=distance(cluster.leader_lsn, received) if comparable else None,
        upstream=upstream,
        replicate_from=node.replicate_from,
        synchronous=node.name in cluster.synchronous.standbys,
        no_failover=node.no_failover,
        pending_restart=node.pending_restart,
        paused=node.paused,
        host=node.host,
        port=node.port,
        agent_version=node.agent_version,
        tags=dict(sorted(node.tags.items())),
        disagreements=different,
        shares_address_with=tuple(node.shares_address_with),
        unavailable=missing(seen) if seen else None,
    )


def _last_entry(node: "Node") -> LastEntryFact | None:
    last = node.last_entry
    if last is None:
        return None
    return LastEntryFact(last.revision, last.role, last.state, last.timeline, last.lsn)


def _timeline(nodes: "Iterable[Node]", said: "Mapping[str, NodeReplication | None]") -> int | None:
    """The timeline of the leader, in its own words where it answers."""
    for node in nodes:
        if node.is_leader:
            own = said.get(node.name)
            return own.timeline if own and accounts.firm(own) else node.timeline
    return None


def _timeline_status(
    node: "Node",
    measured: "NodeReplication | None",
    timeline: int | None,
    different: tuple[Disagreement, ...],
) -> TimelineStatus:
    """As the store tells it, unless the node itself contradicts that."""
    if measured is None or not {"role", "timeline"} & {each.fact for each in different}:
        return node.timeline_status
    ahead = timeline is not None and measured.timeline > timeline
    return "forked" if ahead and accounts.firm(measured) else "unknown"


def _summary(node: "Node", writable: bool | None, upstream: str | None, standby: bool) -> str:
    """The role in words: leader and writability first, because they must agree (P6-A1)."""
    role = node.role.replace("_", " ")
    if node.is_leader:
        words = (
            f"{role}, holds the leader key"
            if node.registered
            else "holds the leader key, not registered"
        )
        if standby:
            return words
        return words + {True: ", writable", False: ", NOT writable", None: ""}[writable]
    if writable:
        role = role if node.registered else "not registered"
        return f"{role}, WRITABLE WITHOUT AUTHORITY"
    if not node.registered:
        return "not registered, gone for good" if node.retired else "not registered"
    if upstream is not None:
        return f"{role} of {upstream}"
    return f"{role}, {node.replication_state or node.state or 'state unknown'}"


def flagged(cell: Cell, wrong: bool | None) -> Cell:
    """The cell, flagged where it contradicts what should hold."""
    return Flagged(cell) if wrong and not isinstance(cell, Flagged) else cell


def timeline_cell(node: NodeRow) -> Cell:
    """The timeline, and how it relates to the one of the leader."""
    if node.timeline is None or node.timeline_status in ("current", "unknown"):
        return node.timeline
    return Flagged(f"{node.timeline} ({node.timeline_status})")


def state_cell(node: NodeRow) -> Cell:
    """What the node says of itself; a node that did not answer is flagged with the reason."""
    state = node.replication_state or node.state
    if node.unavailable is not None:
        return Flagged(f"{state or 'unknown'}, {node.unavailable.code}")
    own = [f"{each.node} by its own account" for each in node.disagreements if each.fact in STATES]
    return Flagged(", ".join([state or "unknown", *own])) if own else state


def lag_facts(reference: LagReference | None) -> Facts:
    """What lag is measured against, as a line of its own."""
    cell = f"{reference.lsn}, {reference.source}" if reference else None
    return Facts((("lag measured against", cell),))


def layout(view: NodesView) -> tuple[Block, ...]:
    """One row per node."""
    columns = "NODE ROLE STATE LEADER WRITABLE TIMELINE LSN REPLAYED LAG UPSTREAM HOST PORT"
    rows = tuple(
        (
            node.name,
            node.role,
            state_cell(node),
            flagged(node.is_leader, node.leader_disagreement),
            flagged(node.writable, node.leader_disagreement),
            timeline_cell(node),
            node.lsn,
            node.replayed_lsn,
            sized(node.lag_bytes),
            node.upstream,
            node.host,
            node.port,
        )
        for node in view.nodes
    )
    return (
        Grid(columns, rows, empty="no nodes"),
        lag_facts(view.lag_measured_against),
    )


VIEW = View(NodesView, derive, layout, ("cluster", "nodes"), ("replication",), "nodes")
