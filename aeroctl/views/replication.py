"""View `replication`: every stream, from the upstream's side, and every receiver.

Lag is counted on the upstream, in one statement: its own position less what the downstream has
confirmed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.lsn import distance
from aeroctl.views.blocks import Block, Flagged, Grid, sized
from aeroctl.views.view import Missing, View, missing

if TYPE_CHECKING:
    from aeroctl.contract.envelope import Snapshot
    from aeroctl.contract.replication import NodeReplication, Sender


@dataclass(frozen=True, slots=True)
class Stream:
    """One upstream sending to one downstream."""

    upstream: str
    downstream: str
    """A node's name, or the application name of something that is no node."""
    downstream_is_node: bool
    state: str | None
    sync_state: str | None
    measured_against_lsn: str | None
    """The upstream's own position, which every lag of this row is measured against."""
    sent_lsn: str | None
    written_lsn: str | None
    flushed_lsn: str | None
    replayed_lsn: str | None
    sent_lag_bytes: int | None
    written_lag_bytes: int | None
    flushed_lag_bytes: int | None
    lag_bytes: int | None
    """Not yet replayed."""
    reply_at: str | None
    """The downstream's clock."""


@dataclass(frozen=True, slots=True)
class NodeStream:
    """One node's own account. All null but `node` where it could not be asked."""

    node: str
    in_recovery: bool | None
    writable: bool | None
    timeline: int | None
    lsn: str | None
    received_lsn: str | None
    replayed_lsn: str | None
    replay_paused: bool | None
    receiver_status: str | None
    upstream: str | None
    upstream_address: str | None
    slot: str | None
    last_replayed_at: str | None
    """The clock of the primary that wrote it."""
    unavailable: Missing | None


@dataclass(frozen=True, slots=True)
class ReplicationView:
    """`streams` by upstream, then downstream; `nodes` by name."""

    streams: tuple[Stream, ...]
    nodes: tuple[NodeStream, ...]


def derive(snapshot: "Snapshot") -> ReplicationView:
    """Streams from the senders' side, nodes from their own."""
    assert snapshot.replication is not None
    streams = [
        _stream(each.node, each.value, sender)
        for each in snapshot.replication
        if each.value is not None
        for sender in each.value.senders
    ]
    nodes = [_node(each.node, each.value, missing(each)) for each in snapshot.replication]
    return ReplicationView(
        tuple(sorted(streams, key=lambda each: (each.upstream, each.downstream))),
        tuple(sorted(nodes, key=lambda each: each.node)),
    )


def _stream(upstream: str, at: "NodeReplication", sender: "Sender") -> Stream:
    return Stream(
        upstream=upstream,
        downstream=sender.node or sender.application_name,
        downstream_is_node=sender.node is not None,
        state=sender.state,
        sync_state=sender.sync_state,
        measured_against_lsn=at.lsn,
        sent_lsn=sender.sent_lsn,
        written_lsn=sender.written_lsn,
        flushed_lsn=sender.flushed_lsn,
        replayed_lsn=sender.replayed_lsn,
        sent_lag_bytes=distance(at.lsn, sender.sent_lsn),
        written_lag_bytes=distance(at.lsn, sender.written_lsn),
        flushed_lag_bytes=distance(at.lsn, sender.flushed_lsn),
        lag_bytes=distance(at.lsn, sender.replayed_lsn),
        reply_at=sender.reply_at,
    )


def _node(name: str, value: "NodeReplication | None", unavailable: Missing | None) -> NodeStream:
    receiver = value.receiver if value else None
    address = None
    if receiver and receiver.host:
        port = "" if receiver.port is None else f" port {receiver.port}"
        address = f"{receiver.host}{port}"
    return NodeStream(
        node=name,
        in_recovery=value.in_recovery if value else None,
        writable=value.writable if value else None,
        timeline=value.timeline if value else None,
        lsn=value.lsn if value else None,
        received_lsn=value.received_lsn if value else None,
        replayed_lsn=value.replayed_lsn if value else None,
        replay_paused=value.replay_paused if value else None,
        receiver_status=receiver.status if receiver else None,
        upstream=receiver.upstream if receiver else None,
        upstream_address=address,
        slot=receiver.slot if receiver else None,
        last_replayed_at=value.last_replayed_at if value else None,
        unavailable=unavailable,
    )


def layout(view: ReplicationView) -> tuple[Block, ...]:
    """Streams first, then each node's account."""
    streams = tuple(
        (
            each.upstream,
            each.downstream,
            each.state,
            each.sync_state,
            each.measured_against_lsn,
            each.replayed_lsn,
            sized(each.sent_lag_bytes),
            sized(each.flushed_lag_bytes),
            sized(each.lag_bytes),
        )
        for each in view.streams
    )
    nodes = tuple(
        (
            each.node,
            Flagged(each.unavailable.code) if each.unavailable else each.receiver_status,
            each.upstream or each.upstream_address,
            each.in_recovery,
            each.writable,
            each.timeline,
            each.received_lsn,
            each.replayed_lsn,
            Flagged(True) if each.replay_paused else each.replay_paused,
        )
        for each in view.nodes
    )
    return (
        Grid(
            "UPSTREAM DOWNSTREAM STATE SYNC MEASURED-AGAINST REPLAYED NOT-SENT NOT-FLUSHED LAG",
            streams,
            "streams, as the upstream sees them",
            "no replication connections",
        ),
        Grid(
            "NODE RECEIVER UPSTREAM IN-RECOVERY WRITABLE TIMELINE RECEIVED REPLAYED PAUSED",
            nodes,
            "nodes, by their own account",
        ),
    )


VIEW = View(ReplicationView, derive, layout, ("replication",), rows="streams")
