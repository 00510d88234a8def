"""A structured proof over one snapshot: rules, what they evaluate to, and the raw evidence."""

from collections.abc import Iterable, Mapping

from pydantic import Field

from aeroctl.contract.base import Finite, Model, SafeInt
from aeroctl.contract.rule_invariants import OF_RULE
from aeroctl.contract.terms import Enforcement, Evaluation


class Fact(Model):
    """One raw value that a rule was decided from; null where it is not known."""

    name: str
    value: str | bool | SafeInt | Finite | None


class Rule(Model):
    """One rule, evaluated. `undetermined` where evidence is missing, never a guess."""

    rule_id: str
    description: str = Field(description="What it means that the rule holds.")
    evaluation: Evaluation
    enforced_by: Enforcement = Field(
        description="Who refuses the change where the rule does not hold: `kernel`, aerokernel "
        "before it sends anything; `patroni`, Patroni's own checks; `none`, the rule is advisory."
    )
    invariants: list[str] = Field(description="Ids of the invariants that the rule serves.")
    evidence: list[Fact]


def rule(
    rule_id: str,
    description: str,
    evaluation: Evaluation,
    enforced_by: Enforcement,
    evidence: Iterable[Fact],
) -> Rule:
    """A rule, evaluated, with the invariants that it serves (rule_invariants.py)."""
    return Rule(
        rule_id=rule_id,
        description=description,
        evaluation=evaluation,
        enforced_by=enforced_by,
        invariants=list(OF_RULE[rule_id]),
        evidence=list(evidence),
    )


def facts(evidence: Mapping[str, str | bool | float | None]) -> list[Fact]:
    """Evidence by name."""
    return [Fact(name=name, value=value) for name, value in evidence.items()]


def evaluated(holds: bool | None) -> Evaluation:
    """What a rule evaluates to; None where evidence is missing."""
    return "undetermined" if holds is None else "holds" if holds else "does_not_hold"
