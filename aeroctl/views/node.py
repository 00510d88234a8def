"""View `node`: all that one snapshot says of one node."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from aeroctl.contract.terms import NODE_SECTIONS
from aeroctl.views import replication, snapshots
from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid, sized
from aeroctl.views.mvcc import MvccRow, mvcc_row
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
from aeroctl.views.replication import NodeStream, Stream
from aeroctl.views.snapshots import ActiveRow, CheckpointRow, checkpoint_row
from aeroctl.views.view import UnknownNode, View
from aeroctl.views.wal import SlotRow, WalRow, slot_rows, slots_grid, wal_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aeroctl.contract.base import Model, Observation
    from aeroctl.contract.envelope import Snapshot

    Value = TypeVar("Value", bound=Model)


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node. null sections: history does not hold them."""

    node: NodeRow
    lag_measured_against: LagReference | None
    stream: NodeStream | None
    downstreams: tuple[Stream, ...] | None
    wal: WalRow | None
    slots: tuple[SlotRow, ...] | None
    mvcc: MvccRow | None
    checkpoint: CheckpointRow | None
    snapshots_held: tuple[ActiveRow, ...] | None


def derive(name: str, snapshot: "Snapshot") -> NodeView:
    """Everything about `name`. Raises UnknownNode."""
    rows = {each.name: each for each in node_rows(snapshot)}
    if name not in rows:
        raise UnknownNode(name, list(rows))
    assert snapshot.cluster is not None
    streams = replication.derive(snapshot) if snapshot.replication is not None else None
    log = _of(name, snapshot.wal)
    visibility = _of(name, snapshot.mvcc)
    checkpoint = _of(name, snapshot.checkpoints)
    held = snapshots.derive(snapshot).active if snapshot.snapshots is not None else None
    return NodeView(
        node=rows[name],
        lag_measured_against=lag_reference(snapshot.cluster),
        stream=next((each for each in streams.nodes if each.node == name), None)
        if streams
        else None,
        downstreams=tuple(each for each in streams.streams if each.upstream == name)
        if streams
        else None,
        wal=wal_row(log) if log else None,
        slots=slot_rows(log) if log else None,
        mvcc=mvcc_row(visibility) if visibility else None,
        checkpoint=checkpoint_row(checkpoint) if checkpoint else None,
        snapshots_held=tuple(each for each in held if each.node == name)
        if held is not None
        else None,
    )


def _of(name: str, section: "Sequence[Observation[Value]] | None") -> "Observation[Value] | None":
    return next((each for each in section or () if each.node == name), None)


def layout(view: NodeView) -> tuple[Block, ...]:
    """Facts in groups, then what hangs on the node."""
    node = view.node
    facts: list[tuple[str, Cell]] = [
        ("node", node.name),
        ("role", flagged(node.summary, node.leader_disagreement)),
        ("state", state_cell(node)),
        ("holds the leader key", flagged(node.is_leader, node.leader_disagreement)),
        ("writable", flagged(node.writable, node.leader_disagreement)),
        ("timeline", timeline_cell(node)),
        ("lsn", node.lsn),
        ("received", node.received_lsn),
        ("replayed", node.replayed_lsn),
        ("lag", sized(node.lag_bytes)),
        ("upstream", node.upstream),
        ("configured upstream", node.replicate_from),
        ("synchronous", node.synchronous),
        ("never promoted", node.no_failover),
        ("pending restart", flagged(node.pending_restart, bool(node.pending_restart))),
        ("address", None if node.host is None else f"{node.host} port {node.port}"),
        ("agent version", node.agent_version),
        ("tags", ", ".join(f"{key}={value}" for key, value in node.tags.items()) or None),
    ]
    if not node.registered:
        facts.append(("known from", ", ".join(node.known_from).replace("_", " ")))
    if (last := node.last_entry) is not None:
        words = (
            f"{last.role}, {last.state or 'state unknown'}, timeline {last.timeline or 'unknown'}"
        )
        facts.append(("last entry", f"at revision {last.revision}: {words}"))
    if node.shares_address_with:
        facts.append(("same address as", Flagged(", ".join(node.shares_address_with))))
    facts += [(f"{each.fact} differs", Flagged(each.words)) for each in node.disagreements]
    if node.unavailable is not None:
        facts.append(("unavailable", Flagged(node.unavailable.message)))
    blocks: list[Block] = [Facts(tuple(facts)), lag_facts(view.lag_measured_against)]
    if view.checkpoint is not None:
        blocks.append(
            Facts(
                (
                    ("checkpoint", view.checkpoint.checkpoint_lsn),
                    ("redo", view.checkpoint.redo_lsn),
                    ("checkpoint time", view.checkpoint.time),
                    ("data checksums", view.checkpoint.data_checksums),
                ),
                "checkpoint",
            )
        )
    if view.wal is not None:
        blocks.append(
            Facts(
                (
                    ("level", view.wal.level),
                    ("files", view.wal.files),
                    ("size", sized(view.wal.bytes)),
                    ("oldest segment", view.wal.oldest_segment),
                    ("newest segment", view.wal.newest_segment),
                    ("archiving", view.wal.archive_mode),
                ),
                "wal",
            )
        )
    if view.mvcc is not None:
        blocks.append(
            Facts(
                (
                    ("xmin", view.mvcc.xmin),
                    ("xmax", view.mvcc.xmax),
                    ("horizon age", view.mvcc.horizon_age),
                    ("held back by", view.mvcc.horizon_holder),
                    ("oldest xid age", view.mvcc.oldest_xid_age),
                    ("prepared transactions", view.mvcc.prepared_transactions),
                ),
                "mvcc",
            )
        )
    if view.downstreams is not None:
        rows = tuple(
            (each.downstream, each.state, each.sync_state, each.replayed_lsn, sized(each.lag_bytes))
            for each in view.downstreams
        )
        blocks.append(Grid("DOWNSTREAM STATE SYNC REPLAYED LAG", rows, "streams to"))
    if view.slots is not None:
        blocks.append(slots_grid(view.slots))
    return tuple(blocks)


def view_of(name: str) -> View[NodeView]:
    """The view of the node `name`."""
    return View(NodeView, partial(derive, name), layout, ("cluster", "nodes"), NODE_SECTIONS)
