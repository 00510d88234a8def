"""View `mvcc`: what transactions can see, and what holds cleanup back."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.terms import HolderKind
from aeroctl.views.blocks import Block, Flagged, Grid
from aeroctl.views.view import Missing, View, missing, row

if TYPE_CHECKING:
    from aeroctl.contract.base import Observation
    from aeroctl.contract.envelope import Snapshot
    from aeroctl.contract.mvcc import NodeMvcc


@dataclass(frozen=True, slots=True)
class MvccRow:
    """One node's visibility. All null but `node` where it could not be asked."""

    node: str
    in_recovery: bool | None
    xmin: str | None
    xmax: str | None
    in_progress: int | None
    horizon_xmin: str | None
    """The oldest transaction id that something keeps visible; null: nothing does."""
    horizon_age: int | None
    horizon_kind: HolderKind | None
    horizon_holder: str | None
    oldest_xid: str | None
    oldest_xid_database: str | None
    oldest_xid_age: int | None
    freeze_max_age: int | None
    prepared_transactions: int | None
    unavailable: Missing | None


@dataclass(frozen=True, slots=True)
class HolderRow:
    """The oldest holder of one kind on one node."""

    node: str
    kind: HolderKind
    holder: str
    xmin: str
    age: int


@dataclass(frozen=True, slots=True)
class PreparedRow:
    """A prepared transaction: it outlives restarts and promotions."""

    node: str
    gid: str
    xid: str
    database: str
    owner: str
    prepared_at: str


@dataclass(frozen=True, slots=True)
class MvccView:
    """`nodes` by name; `horizon` by node, oldest first; `prepared_transactions` by node, gid."""

    nodes: tuple[MvccRow, ...]
    horizon: tuple[HolderRow, ...]
    prepared_transactions: tuple[PreparedRow, ...]


def derive(snapshot: "Snapshot") -> MvccView:
    """Each node's visibility, who holds it back, and prepared transactions."""
    assert snapshot.mvcc is not None
    seen = sorted(snapshot.mvcc, key=lambda each: each.node)
    return MvccView(
        tuple(mvcc_row(each) for each in seen),
        tuple(
            row(HolderRow, each.node, holder)
            for each in seen
            if each.value
            for holder in sorted(each.value.horizon, key=lambda held: (-held.age, held.kind))
        ),
        tuple(
            row(PreparedRow, each.node, prepared)
            for each in seen
            if each.value
            for prepared in sorted(each.value.prepared_transactions, key=lambda held: held.gid)
        ),
    )


def mvcc_row(seen: "Observation[NodeMvcc]") -> MvccRow:
    """One node's visibility; the horizon is its oldest holder's."""
    value = seen.value
    held = sorted(value.horizon, key=lambda each: (-each.age, each.kind)) if value else []
    oldest = held[0] if held else None
    return row(
        MvccRow,
        seen.node,
        value,
        horizon_xmin=oldest.xmin if oldest else None,
        horizon_age=oldest.age if oldest else None,
        horizon_kind=oldest.kind if oldest else None,
        horizon_holder=oldest.holder if oldest else None,
        prepared_transactions=len(value.prepared_transactions) if value else None,
        unavailable=missing(seen),
    )


def layout(view: MvccView) -> tuple[Block, ...]:
    """Visibility, holders of the horizon, prepared transactions."""
    nodes = tuple(
        (
            each.node,
            Flagged(each.unavailable.code) if each.unavailable else each.xmin,
            each.xmax,
            each.in_progress,
            each.horizon_age,
            each.oldest_xid,
            each.oldest_xid_database,
            each.oldest_xid_age,
            each.freeze_max_age,
        )
        for each in view.nodes
    )
    horizon = tuple(
        (each.node, each.kind.replace("_", " "), each.holder, each.xmin, each.age)
        for each in view.horizon
    )
    prepared = tuple(
        (each.node, each.gid, each.xid, each.database, each.owner, each.prepared_at)
        for each in view.prepared_transactions
    )
    return (
        Grid(
            "NODE XMIN XMAX IN-PROGRESS HORIZON-AGE OLDEST-XID DATABASE AGE FREEZE-MAX-AGE",
            nodes,
            "visibility",
        ),
        Grid("NODE KIND HOLDER XMIN AGE", horizon, "xmin horizon: oldest of each kind"),
        Grid("NODE GID XID DATABASE OWNER PREPARED-AT", prepared, "prepared transactions"),
    )


VIEW = View(MvccView, derive, layout, ("mvcc",), rows="nodes")
