"""View `snapshots`: checkpoints, snapshots that are held, base backups under way."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.terms import SnapshotKind
from aeroctl.views.blocks import Block, Flagged, Grid, sized
from aeroctl.views.view import Missing, View, missing, row

if TYPE_CHECKING:
    from aeroctl.contract.base import Observation
    from aeroctl.contract.checkpoints import NodeCheckpoint
    from aeroctl.contract.envelope import Snapshot


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """From where one node would recover. All null but `node` where it could not be asked."""

    node: str
    system_id: str | None
    in_recovery: bool | None
    checkpoint_lsn: str | None
    redo_lsn: str | None
    redo_segment: str | None
    timeline: int | None
    previous_timeline: int | None
    time: str | None
    """The clock of the node that made the checkpoint."""
    next_xid: str | None
    oldest_xid: str | None
    oldest_active_xid: str | None
    full_page_writes: bool | None
    data_checksums: bool | None
    min_recovery_end_lsn: str | None
    min_recovery_end_timeline: int | None
    unavailable: Missing | None


@dataclass(frozen=True, slots=True)
class ActiveRow:
    """Something on one node that keeps old row versions visible."""

    node: str
    kind: SnapshotKind
    holder: str
    database: str | None
    owner: str | None
    state: str | None
    xmin: str
    age: int
    since: str | None


@dataclass(frozen=True, slots=True)
class BackupRow:
    """A base backup being taken from one node."""

    node: str
    pid: int
    phase: str
    total_bytes: int | None
    streamed_bytes: int
    started_at: str | None


@dataclass(frozen=True, slots=True)
class SnapshotsView:
    """`checkpoints` by node; `active` by node, oldest first; `base_backups` by node, pid."""

    checkpoints: tuple[CheckpointRow, ...]
    active: tuple[ActiveRow, ...]
    base_backups: tuple[BackupRow, ...]


def derive(snapshot: "Snapshot") -> SnapshotsView:
    """Each node's checkpoint, held snapshots and base backups."""
    assert snapshot.checkpoints is not None
    assert snapshot.snapshots is not None
    held = sorted(snapshot.snapshots, key=lambda each: each.node)
    return SnapshotsView(
        tuple(
            checkpoint_row(each)
            for each in sorted(snapshot.checkpoints, key=lambda each: each.node)
        ),
        tuple(
            row(ActiveRow, each.node, active)
            for each in held
            if each.value
            for active in sorted(
                each.value.active, key=lambda one: (-one.age, one.kind, one.holder)
            )
        ),
        tuple(
            row(BackupRow, each.node, backup)
            for each in held
            if each.value
            for backup in sorted(each.value.base_backups, key=lambda one: one.pid)
        ),
    )


def checkpoint_row(seen: "Observation[NodeCheckpoint]") -> CheckpointRow:
    """One node's checkpoint."""
    return row(CheckpointRow, seen.node, seen.value, unavailable=missing(seen))


def layout(view: SnapshotsView) -> tuple[Block, ...]:
    """Checkpoints, held snapshots, base backups."""
    checkpoints = tuple(
        (
            each.node,
            Flagged(each.unavailable.code) if each.unavailable else each.checkpoint_lsn,
            each.redo_lsn,
            each.redo_segment,
            each.timeline,
            each.time,
            each.min_recovery_end_lsn,
        )
        for each in view.checkpoints
    )
    active = tuple(
        (
            each.node,
            each.kind.replace("_", " "),
            each.holder,
            each.database,
            each.state,
            each.xmin,
            each.age,
            each.since,
        )
        for each in view.active
    )
    backups = tuple(
        (
            each.node,
            each.pid,
            each.phase,
            sized(each.streamed_bytes),
            sized(each.total_bytes),
            each.started_at,
        )
        for each in view.base_backups
    )
    return (
        Grid(
            "NODE CHECKPOINT REDO REDO-SEGMENT TIMELINE TIME CONSISTENT-FROM",
            checkpoints,
            "checkpoints",
        ),
        Grid("NODE KIND HOLDER DATABASE STATE XMIN AGE SINCE", active, "snapshots held"),
        Grid("NODE PID PHASE STREAMED TOTAL STARTED", backups, "base backups under way"),
    )


VIEW = View(SnapshotsView, derive, layout, ("checkpoints", "snapshots"), rows="checkpoints")
