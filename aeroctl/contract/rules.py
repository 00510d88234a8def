"""A structured proof over one snapshot: rules, what they evaluate to, and the raw evidence."""

from pydantic import Field

from aeroctl.contract.base import Finite, Model, SafeInt
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
    enforced_by: Enforcement
    evidence: list[Fact]


def evaluated(holds: bool | None) -> Evaluation:
    """What a rule evaluates to; None where evidence is missing."""
    return "undetermined" if holds is None else "holds" if holds else "does_not_hold"
