"""Who may take over when the leader steps down without naming a candidate (P7-A3). Pure."""

from collections.abc import Sequence

from aeroctl.contract.explanation import Successor
from aeroctl.contract.rules import Rule
from aeroctl.contract.terms import Evaluation
from aeroctl.kernel.decide import candidate_rules, replication_rules, target_rules
from aeroctl.kernel.decide.definition import Change, Result, rule
from aeroctl.kernel.decide.state import State

CANDIDATE_RULES = (*target_rules.RULES, *replication_rules.RULES, *candidate_rules.RULES)


def successors(state: State, leader: str) -> list[Successor]:
    """Every node but `leader`, by name, with the rules about a successor."""
    return [
        Successor(
            node=name,
            rules=[
                definition.evaluate(Change(state, name), "successor")
                for definition in CANDIDATE_RULES
                if "successor" in definition.enforced_by
            ],
        )
        for name in state.nodes
        if name != leader
    ]


@rule(
    "enough other nodes keep every rule that Patroni has for a successor",
    demotion="patroni",
    invariants=("P6-A2",),
)
def successor_eligible(change: Change) -> Result:
    """Patroni: `no good candidates have been found`. In quorum mode it wants more than one."""
    synchronous = change.state.cluster.synchronous
    quorum = synchronous.quorum or 0 if synchronous.mode == "quorum" else 0
    eligible = {
        successor.node: eligibility(successor.rules)
        for successor in successors(change.state, change.target)
    }
    certain = sum(evaluation == "holds" for evaluation in eligible.values())
    possible = sum(evaluation != "does_not_hold" for evaluation in eligible.values())
    return True if certain > quorum else None if possible > quorum else False, {
        "needed": quorum + 1,
        **{f"{name}.eligible": evaluation for name, evaluation in eligible.items()},
    }


def eligibility(rules: Sequence[Rule]) -> Evaluation:
    """Whether Patroni would accept the node that these rules are about."""
    evaluations = {rule.evaluation for rule in rules if rule.enforced_by == "patroni"}
    if "does_not_hold" in evaluations:
        return "does_not_hold"
    return "undetermined" if "undetermined" in evaluations else "holds"


RULES = (successor_eligible,)
