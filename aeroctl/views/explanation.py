"""View `explanation`: what a command would do. The data is the kernel's own proof, as it is."""

from typing import TYPE_CHECKING

from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid
from aeroctl.views.rules import evidence_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aeroctl.contract.explanation import Explanation
    from aeroctl.contract.rules import Rule

ENFORCED_BY = {"kernel": "aerokernel", "patroni": "Patroni", "none": "advisory"}
"""Who refuses the change where a rule does not hold."""
RULES = "RULE EVALUATION ENFORCED-BY EVIDENCE MEANS"


def layout(view: "Explanation") -> tuple[Block, ...]:
    """The action, the proof, who is affected, what can't be undone, what would be overridden."""
    about = view.inputs
    held = view.leader
    blocks: list[Block] = [
        Facts(
            (
                ("command", about.command),
                ("target", about.target),
                ("action", view.action),
                ("cluster", about.cluster),
                ("system id", about.system_id),
                ("leader", f"{held.node}, since revision {held.since}" if held else None),
                ("conclusion", _conclusion(view.conclusion)),
            )
        ),
        Grid(RULES, rule_rows(view.rules_applied), "rules"),
        Grid(
            "NODE EFFECT",
            tuple((each.node, each.effect) for each in view.affected),
            "what changes for whom",
        ),
        Grid("FACT", tuple((each,) for each in view.irreversible), "what can't be undone"),
    ]
    if view.confirmation == "override":
        rows = tuple((each.invariant, each.description, each.reason) for each in view.overrides)
        blocks.append(Grid("INVARIANT MEANS REASON", rows, "what would be overridden"))
    if view.successors is not None:
        blocks.append(
            Grid(
                "NODE RULE EVALUATION EVIDENCE",
                tuple(
                    (each.node, rule.rule_id, _evaluation(rule), evidence_of(rule))
                    for each in view.successors
                    for rule in each.rules
                ),
                "among whom the kernel picks the successor",
                "there is no other node",
            )
        )
    if view.cost is not None:
        nodes = ", ".join(view.cost.nodes)
        blocks.append(
            Facts(
                (
                    ("nodes", nodes or None),
                    ("SQL statements", view.cost.queries),
                    ("requests to agents", view.cost.requests),
                ),
                "what it costs",
            )
        )
    blocks.append(
        Facts(
            (
                ("confirmation", view.confirmation),
                ("confirmation token", view.confirmation_token),
                ("token expires", f"{view.confirmation_expires_at}, by the kernel's clock"),
                ("kernel's deadline", f"{view.deadline_seconds} s"),
            )
        )
    )
    return tuple(blocks)


def all_hold(view: "Explanation") -> bool:
    """What `explain --check` asks; a rule that can't be decided does not pass (P7-F1)."""
    return view.conclusion == "all_rules_hold"


def rule_row(rule: "Rule") -> tuple[Cell, ...]:
    """A rule as a row under `RULES`."""
    return (
        rule.rule_id,
        _evaluation(rule),
        ENFORCED_BY[rule.enforced_by],
        evidence_of(rule),
        rule.description,
    )


def rule_rows(rules: "Iterable[Rule]") -> tuple[tuple[Cell, ...], ...]:
    """Rules as rows under `RULES`."""
    return tuple(map(rule_row, rules))


def _evaluation(rule: "Rule") -> Cell:
    return rule.evaluation if rule.evaluation == "holds" else Flagged(rule.evaluation)


def _conclusion(conclusion: str) -> Cell:
    return conclusion if conclusion == "all_rules_hold" else Flagged(conclusion)
