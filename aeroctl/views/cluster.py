"""View `cluster`: topology, roles, and who holds the leader key."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.terms import SynchronousMode
from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Tree, sized
from aeroctl.views.nodes import (
    LagReference,
    NodeRow,
    flagged,
    lag_facts,
    lag_reference,
    node_rows,
    state_cell,
    timeline_cell,
)
from aeroctl.views.pictures.topology import branches
from aeroctl.views.view import View

if TYPE_CHECKING:
    from aeroctl.contract.cluster import Cluster
    from aeroctl.contract.envelope import Snapshot


@dataclass(frozen=True, slots=True)
class LeaderFact:
    """Who holds the leader key, and the revision at which that leader term began (P6-A1)."""

    node: str
    since: int


@dataclass(frozen=True, slots=True)
class SynchronousFact:
    """Synchronous replication, as configured and as it stands."""

    mode: SynchronousMode
    strict: bool
    leader: str | None
    standbys: tuple[str, ...]
    quorum: int | None


@dataclass(frozen=True, slots=True)
class ClusterView:
    """`nodes` is ordered by name unless asked otherwise; the picture is drawn from `upstream`."""

    name: str
    system_id: str | None
    leader: LeaderFact | None
    paused: bool
    standby_cluster: bool
    lease_ttl_seconds: int | None
    maximum_lag_bytes: int | None
    synchronous: SynchronousFact
    lag_measured_against: LagReference | None
    nodes: tuple[NodeRow, ...]


def derive(snapshot: "Snapshot") -> ClusterView:
    """The cluster and its nodes."""
    cluster = snapshot.cluster
    assert cluster is not None
    return ClusterView(
        name=cluster.name,
        system_id=cluster.system_id,
        leader=leader_fact(cluster),
        paused=cluster.paused,
        standby_cluster=cluster.standby_cluster,
        lease_ttl_seconds=cluster.lease_ttl_seconds,
        maximum_lag_bytes=cluster.maximum_lag_bytes,
        synchronous=synchronous_fact(cluster),
        lag_measured_against=lag_reference(cluster),
        nodes=node_rows(snapshot),
    )


def leader_fact(cluster: "Cluster") -> LeaderFact | None:
    """Who holds the leader key; None if nobody does."""
    held = cluster.leader
    return LeaderFact(held.node, held.since) if held else None


def synchronous_fact(cluster: "Cluster") -> SynchronousFact:
    """The synchronous set."""
    sync = cluster.synchronous
    return SynchronousFact(
        sync.mode, sync.strict, sync.leader, tuple(sorted(sync.standbys)), sync.quorum
    )


def leader_cell(leader: LeaderFact | None) -> Cell:
    """Holder and leader term; nobody is flagged."""
    if leader is None:
        return Flagged("nobody")
    return f"{leader.node}, since revision {leader.since}"


def synchronous_cell(sync: SynchronousFact) -> Cell:
    """Mode and members in words."""
    if sync.mode == "off":
        return "off"
    members = ", ".join(sync.standbys) or "no standby"
    quorum = f", quorum {sync.quorum}" if sync.quorum is not None else ""
    return f"{sync.mode}{' (strict)' if sync.strict else ''}: {members}{quorum}"


def layout(view: ClusterView) -> tuple[Block, ...]:
    """The cluster's facts, and the topology as a tree."""
    facts: tuple[tuple[str, Cell], ...] = (
        ("cluster", view.name),
        ("system id", view.system_id),
        ("leader", leader_cell(view.leader)),
        ("paused", flagged(view.paused, view.paused)),
        ("synchronous", synchronous_cell(view.synchronous)),
    )
    columns = "NODE ROLE STATE LEADER WRITABLE TIMELINE LSN LAG"

    def cells(node: NodeRow) -> tuple[Cell, ...]:
        return (
            node.name,
            flagged(node.summary, node.leader_disagreement),
            state_cell(node),
            flagged(node.is_leader, node.leader_disagreement),
            flagged(node.writable, node.leader_disagreement),
            timeline_cell(node),
            node.lsn,
            sized(node.lag_bytes),
        )

    return (
        Facts(facts),
        Tree(columns, branches(view.nodes, cells)),
        lag_facts(view.lag_measured_against),
    )


VIEW = View(ClusterView, derive, layout, ("cluster", "nodes"), ("replication",), "nodes")
