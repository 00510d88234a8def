"""View `wal`: positions and boundaries of every node's write-ahead log, and what keeps it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.terms import SlotKind
from aeroctl.views.blocks import Block, Flagged, Grid, sized
from aeroctl.views.nodes import flagged
from aeroctl.views.view import Missing, View, missing, row

if TYPE_CHECKING:
    from aeroctl.contract.base import Observation
    from aeroctl.contract.envelope import Snapshot
    from aeroctl.contract.wal import NodeWal


@dataclass(frozen=True, slots=True)
class WalRow:
    """One node's log. All null but `node` where it could not be asked."""

    node: str
    in_recovery: bool | None
    level: str | None
    segment_bytes: int | None
    lsn: str | None
    insert_lsn: str | None
    flushed_lsn: str | None
    received_lsn: str | None
    replayed_lsn: str | None
    files: int | None
    bytes: int | None
    oldest_segment: str | None
    newest_segment: str | None
    max_wal_bytes: int | None
    keep_bytes: int | None
    slot_limit_bytes: int | None
    archive_mode: str | None
    archived: int | None
    last_archived_segment: str | None
    last_archived_at: str | None
    archive_failed: int | None
    last_failed_segment: str | None
    last_failed_at: str | None
    unavailable: Missing | None


@dataclass(frozen=True, slots=True)
class SlotRow:
    """One replication slot on one node."""

    node: str
    name: str
    kind: SlotKind
    database: str | None
    active: bool
    restart_lsn: str | None
    confirmed_lsn: str | None
    wal_status: str | None
    safe_bytes: int | None
    retained_bytes: int | None


@dataclass(frozen=True, slots=True)
class WalView:
    """`nodes` by name, `slots` by node, then name."""

    nodes: tuple[WalRow, ...]
    slots: tuple[SlotRow, ...]


def derive(snapshot: "Snapshot") -> WalView:
    """Each node's log and slots."""
    assert snapshot.wal is not None
    seen = sorted(snapshot.wal, key=lambda each: each.node)
    return WalView(
        tuple(wal_row(each) for each in seen),
        tuple(slot for each in seen for slot in slot_rows(each)),
    )


def wal_row(seen: "Observation[NodeWal]") -> WalRow:
    """One node's log."""
    directory = seen.value.directory if seen.value else None
    archiver = seen.value.archiver if seen.value else None
    return row(
        WalRow,
        seen.node,
        seen.value,
        files=directory.files if directory else None,
        bytes=directory.bytes if directory else None,
        oldest_segment=directory.oldest_segment if directory else None,
        newest_segment=directory.newest_segment if directory else None,
        archive_mode=archiver.mode if archiver else None,
        archived=archiver.archived if archiver else None,
        last_archived_segment=archiver.last_archived_segment if archiver else None,
        last_archived_at=archiver.last_archived_at if archiver else None,
        archive_failed=archiver.failed if archiver else None,
        last_failed_segment=archiver.last_failed_segment if archiver else None,
        last_failed_at=archiver.last_failed_at if archiver else None,
        unavailable=missing(seen),
    )


def slot_rows(seen: "Observation[NodeWal]") -> tuple[SlotRow, ...]:
    """One node's slots, by name."""
    slots = sorted(seen.value.slots if seen.value else (), key=lambda slot: slot.name)
    return tuple(row(SlotRow, seen.node, slot) for slot in slots)


def layout(view: WalView) -> tuple[Block, ...]:
    """Positions, then what is on disk, then slots."""
    positions = tuple(
        (
            each.node,
            Flagged(each.unavailable.code) if each.unavailable else each.level,
            each.lsn,
            each.insert_lsn,
            each.flushed_lsn,
            each.received_lsn,
            each.replayed_lsn,
        )
        for each in view.nodes
    )
    disk = tuple(
        (
            each.node,
            each.files,
            sized(each.bytes),
            each.oldest_segment,
            each.newest_segment,
            each.archive_mode,
            each.archived,
            flagged(each.archive_failed, bool(each.archive_failed)),
        )
        for each in view.nodes
    )
    return (
        Grid("NODE LEVEL LSN INSERTED FLUSHED RECEIVED REPLAYED", positions, "positions"),
        Grid("NODE FILES SIZE OLDEST NEWEST ARCHIVING ARCHIVED FAILED", disk, "on disk"),
        slots_grid(view.slots),
    )


def slots_grid(slots: tuple[SlotRow, ...]) -> Grid:
    """Slots, and how much each keeps."""
    rows = tuple(
        (
            each.node,
            each.name,
            each.kind,
            each.active,
            each.restart_lsn,
            sized(each.retained_bytes),
            flagged(each.wal_status, each.wal_status in ("unreserved", "lost")),
            sized(each.safe_bytes),
        )
        for each in slots
    )
    columns = "NODE SLOT KIND ACTIVE RESTART RETAINED STATUS SAFE"
    return Grid(columns, rows, "replication slots")


VIEW = View(WalView, derive, layout, ("wal",), rows="nodes")
