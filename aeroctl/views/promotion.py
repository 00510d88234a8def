"""View `promotion`: where the promotion state machine stands, and how leaders changed before."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.terms import PromotionState
from aeroctl.views.blocks import Block, Facts, Flagged, Grid
from aeroctl.views.cluster import (
    LeaderFact,
    SynchronousFact,
    leader_cell,
    leader_fact,
    synchronous_cell,
    synchronous_fact,
)
from aeroctl.views.nodes import flagged
from aeroctl.views.view import View

if TYPE_CHECKING:
    from aeroctl.contract.envelope import Snapshot
    from aeroctl.contract.promotion import PendingPromotion


@dataclass(frozen=True, slots=True)
class Pending:
    """A transfer of the leader key that was asked for and not yet taken up."""

    revision: int
    from_node: str | None
    to_node: str | None
    """null: the kernel picks."""
    scheduled_at: str | None


@dataclass(frozen=True, slots=True)
class Switch:
    """A timeline that ended, and who was promoted."""

    timeline: int
    ended_at_lsn: str
    reason: str
    time: str | None
    new_leader: str | None


@dataclass(frozen=True, slots=True)
class PromotionView:
    """`history` is ordered by timeline, oldest first, unless asked otherwise."""

    state: PromotionState
    leader: LeaderFact | None
    pending: Pending | None
    paused: bool
    synchronous: SynchronousFact
    history: tuple[Switch, ...]


def derive(snapshot: "Snapshot") -> PromotionView:
    """The state machine, and the timeline switches that the kernel keeps."""
    promotion, cluster = snapshot.promotion, snapshot.cluster
    assert promotion is not None
    assert cluster is not None
    return PromotionView(
        state=promotion.state,
        leader=leader_fact(cluster),
        pending=_pending(promotion.pending),
        paused=cluster.paused,
        synchronous=synchronous_fact(cluster),
        history=tuple(
            Switch(each.timeline, each.ended_at_lsn, each.reason, each.time, each.new_leader)
            for each in sorted(promotion.history, key=lambda each: each.timeline)
        ),
    )


def _pending(pending: "PendingPromotion | None") -> Pending | None:
    if pending is None:
        return None
    return Pending(pending.revision, pending.from_node, pending.to_node, pending.scheduled_at)


def layout(view: PromotionView) -> tuple[Block, ...]:
    """State and pending request as facts, history as a table."""
    pending = "none"
    if view.pending is not None:
        to = view.pending.to_node or "whom the kernel picks"
        when = f", not before {view.pending.scheduled_at}" if view.pending.scheduled_at else ""
        pending = f"{view.pending.from_node or 'nobody'} to {to}{when}"
        pending += f" (revision {view.pending.revision})"
    history = tuple(
        (each.timeline, each.ended_at_lsn, each.new_leader, each.time, each.reason)
        for each in view.history
    )
    return (
        Facts(
            (
                ("state", flagged(view.state, view.state != "Steady")),
                ("leader", leader_cell(view.leader)),
                ("pending", Flagged(pending) if view.pending else pending),
                ("paused", flagged(view.paused, view.paused)),
                ("synchronous", synchronous_cell(view.synchronous)),
            )
        ),
        Grid(
            "TIMELINE ENDED-AT PROMOTED TIME REASON",
            history,
            "timelines that ended",
            "none: still on the first timeline",
        ),
    )


VIEW = View(PromotionView, derive, layout, ("cluster", "promotion"), rows="history")
