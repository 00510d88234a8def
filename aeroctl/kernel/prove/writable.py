"""Whether the leader accepts writes, by its own answer, and what that means for an outcome. Pure.

The leader key alone proves no primary (P6-A3), and a primary alone no writes. So the leader is
asked (endpoints/writable.py), and its answer is weighed together with what the store's history
proves.
"""

from aeroctl.contract import rules
from aeroctl.contract.base import Observation
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.rules import Rule, evaluated
from aeroctl.contract.terms import RequestOutcome


def weighed(outcome: RequestOutcome, final: bool, writable: Rule) -> tuple[RequestOutcome, bool]:
    """The outcome that history proves, and whether it is final, together with the rule `writable`.

    A transfer is not over while the new leader refuses writes, and a request is not rejected whose
    leader is in recovery. Where the leader can't be asked, what history proves stands.
    """
    refuses = writable.evaluation == "does_not_hold"
    if outcome in ("executed", "executed_other") and refuses:
        return "in_progress", False
    facts = {fact.name: fact.value for fact in writable.evidence}
    if outcome == "rejected" and facts.get("in_recovery") is True:
        return "in_progress", False
    return outcome, final


def rule(leader: str | None, observation: Observation[NodeReplication] | None) -> Rule:
    """The rule `writable` for the leader; undetermined where it did not answer or can't tell."""
    answer = None if observation is None else observation.value
    unavailable = None if observation is None else observation.unavailable
    writable = None if answer is None else False if answer.in_recovery else answer.writable
    evidence = {
        "node": leader,
        "in_recovery": answer.in_recovery if answer else None,
        "writable": answer.writable if answer else None,
        "unavailable": unavailable.code if unavailable else None,
    }
    return rules.rule(
        "writable",
        "the leader accepts writes",
        evaluated(writable),
        "none",
        rules.facts(evidence),
    )
