"""View `health`: facts per rule and counts, never advice (P7-A3)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.terms import PromotionState
from aeroctl.views.blocks import Block, Facts, Flagged, Grid
from aeroctl.views.health_rules import rules
from aeroctl.views.nodes import node_rows
from aeroctl.views.rules import Rule, evidence_of
from aeroctl.views.view import View

if TYPE_CHECKING:
    from aeroctl.contract.envelope import Snapshot


@dataclass(frozen=True, slots=True)
class HealthView:
    """`rules` in a fixed order unless asked otherwise; the counts are over the rules shown."""

    cluster: str
    promotion_state: PromotionState
    nodes: int
    registered: int
    answering: int | None
    """null: the nodes were not asked (history)."""
    streaming: int
    writable: int | None
    rules: tuple[Rule, ...]

    @property
    def all_hold(self) -> bool:
        """What `health --check` asks: some rule is shown, and each that is holds (P7-F1)."""
        return bool(self.rules) and all(rule.evaluation == "holds" for rule in self.rules)


def derive(snapshot: "Snapshot") -> HealthView:
    """Every rule over one snapshot."""
    cluster, promotion = snapshot.cluster, snapshot.promotion
    assert cluster is not None
    assert promotion is not None
    rows = node_rows(snapshot)
    asked = snapshot.replication is not None
    reports = {node.node: node.value for node in snapshot.replication or ()}
    return HealthView(
        cluster=cluster.name,
        promotion_state=promotion.state,
        nodes=len(rows),
        registered=sum(node.registered for node in rows),
        answering=sum(node.unavailable is None for node in rows) if asked else None,
        streaming=sum(bool(node.streaming) for node in rows),
        writable=sum(bool(node.writable) for node in rows) if asked else None,
        rules=rules(cluster, promotion, rows, reports if asked else None),
    )


def layout(view: HealthView) -> tuple[Block, ...]:
    """Counts, then a line per rule."""
    rows = tuple(
        (
            rule.rule_id,
            rule.evaluation if rule.evaluation == "holds" else Flagged(rule.evaluation),
            evidence_of(rule),
            rule.description,
        )
        for rule in view.rules
    )
    holding = sum(rule.evaluation == "holds" for rule in view.rules)
    return (
        Facts(
            (
                ("cluster", view.cluster),
                ("promotion state", view.promotion_state),
                ("nodes", view.nodes),
                ("registered", view.registered),
                ("answering", view.answering),
                ("streaming", view.streaming),
                ("writable", view.writable),
                ("rules that hold", f"{holding} of {len(view.rules)}"),
            )
        ),
        Grid("RULE EVALUATION EVIDENCE MEANS", rows),
    )


VIEW = View(
    HealthView, derive, layout, ("cluster", "nodes", "promotion"), ("replication",), "rules"
)
