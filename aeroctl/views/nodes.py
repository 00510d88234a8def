"""View `nodes`: every node, what it says it is, and whether that agrees with who holds authority.

Lag is counted in the positions that the nodes recorded in the consensus store, so that one commit
holds both ends of the subtraction.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.lsn import distance
from aeroctl.contract.terms import Role, TimelineStatus
from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid, sized
from aeroctl.views.view import Missing, View, missing

if TYPE_CHECKING:
    from aeroctl.contract.cluster import Cluster
    from aeroctl.contract.envelope import Snapshot
    from aeroctl.contract.nodes import Node
    from aeroctl.contract.replication import NodeReplication


@dataclass(frozen=True, slots=True)
class LagReference:
    """What `lag_bytes` is measured against: a position, and where it was read."""

    lsn: str
    source: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node. null: not known, or there is no such thing for this node."""

    name: str
    summary: str
    """The role in words."""
    role: Role
    state: str | None
    replication_state: str | None
    registered: bool
    holds_authority: bool
    writable: bool | None
    """null: the node was not asked (history) or did not answer."""
    authority_disagreement: bool | None
    """Writable without holding authority, or the other way round (P6-A1)."""
    timeline: int | None
    timeline_status: TimelineStatus
    lsn: str | None
    received_lsn: str | None
    replayed_lsn: str | None
    lag_bytes: int | None
    """WAL not yet replayed, against `lag_measured_against`; null for the holder of authority."""
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
    unavailable: Missing | None


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
    """The position that a holder of authority last recorded; None if there is none.

    The store does not say which holder that was, so neither do we.
    """
    if cluster.leader_lsn is None:
        return None
    source = "last recorded in the consensus store by a holder of authority"
    return LagReference(cluster.leader_lsn, source)


def node_rows(snapshot: "Snapshot") -> tuple[NodeRow, ...]:
    """A row per node, ordered by name."""
    assert snapshot.cluster is not None
    assert snapshot.nodes is not None
    seen = {each.node: each for each in snapshot.replication or ()}
    rows = []
    for node in snapshot.nodes:
        observation = seen.get(node.name)
        rows.append(
            _row(
                node,
                snapshot.cluster,
                observation.value if observation else None,
                missing(observation) if observation else None,
            )
        )
    return tuple(sorted(rows, key=lambda each: each.name))


def _row(
    node: "Node",
    cluster: "Cluster",
    measured: "NodeReplication | None",
    unavailable: Missing | None,
) -> NodeRow:
    writable = measured.writable if measured else None
    receiver = measured.receiver if measured else None
    upstream = receiver.upstream if receiver else None
    should_write = node.holds_authority and not cluster.standby_cluster
    # On another branch of history a position is no measure of distance.
    comparable = not node.holds_authority and node.timeline_status in ("current", "behind")
    return NodeRow(
        name=node.name,
        summary=_summary(node, writable, upstream, cluster.standby_cluster),
        role=node.role,
        state=node.state,
        replication_state=node.replication_state,
        registered=node.registered,
        holds_authority=node.holds_authority,
        writable=writable,
        authority_disagreement=None if writable is None else writable != should_write,
        timeline=node.timeline,
        timeline_status=node.timeline_status,
        lsn=node.lsn,
        received_lsn=node.received_lsn,
        replayed_lsn=node.replayed_lsn,
        lag_bytes=distance(cluster.leader_lsn, node.replayed_lsn) if comparable else None,
        receive_lag_bytes=distance(cluster.leader_lsn, node.received_lsn) if comparable else None,
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
        unavailable=unavailable,
    )


def _summary(node: "Node", writable: bool | None, upstream: str | None, standby: bool) -> str:
    """The role in words: authority and writability first, because they must agree (P6-A1)."""
    role = node.role.replace("_", " ")
    if node.holds_authority:
        words = f"{role}, holds authority" if node.registered else "holds authority, not registered"
        if standby:
            return words
        return words + {True: ", writable", False: ", NOT writable", None: ""}[writable]
    if writable:
        return f"{role}, WRITABLE WITHOUT AUTHORITY"
    if not node.registered:
        return "not registered"
    if upstream is not None:
        return f"{role} of {upstream}"
    return f"{role}, {node.replication_state or node.state or 'state unknown'}"


def flagged(cell: Cell, wrong: bool | None) -> Cell:
    """The cell, flagged where it contradicts what should hold."""
    return Flagged(cell) if wrong and not isinstance(cell, Flagged) else cell


def timeline_cell(node: NodeRow) -> Cell:
    """The timeline, and how it relates to the one of the holder of authority."""
    if node.timeline is None or node.timeline_status in ("current", "unknown"):
        return node.timeline
    return Flagged(f"{node.timeline} ({node.timeline_status})")


def state_cell(node: NodeRow) -> Cell:
    """What the node says of itself; a node that did not answer is flagged with the reason."""
    state = node.replication_state or node.state
    if node.unavailable is not None:
        return Flagged(f"{state or 'unknown'}, {node.unavailable.code}")
    return state


def lag_facts(reference: LagReference | None) -> Facts:
    """What lag is measured against, as a line of its own."""
    cell = f"{reference.lsn}, {reference.source}" if reference else None
    return Facts((("lag measured against", cell),))


def layout(view: NodesView) -> tuple[Block, ...]:
    """One row per node."""
    columns = (
        "NODE ROLE STATE HOLDS-AUTHORITY WRITABLE TIMELINE LSN REPLAYED LAG UPSTREAM HOST PORT"
    )
    rows = tuple(
        (
            node.name,
            node.role,
            state_cell(node),
            flagged(node.holds_authority, node.authority_disagreement),
            flagged(node.writable, node.authority_disagreement),
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
