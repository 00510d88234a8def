"""The contract's rule object (contract/rules.py) as views derive and render it, without
pydantic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from aeroctl.contract.terms import Enforcement, Evaluation

Raw = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Fact:
    """One raw value that a rule was decided from; null where it is not known."""

    name: str
    value: Raw


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, evaluated. `undetermined` where evidence is missing, never a guess."""

    rule_id: str
    description: str
    """What it means that the rule holds."""
    evaluation: Evaluation
    enforced_by: Enforcement
    invariants: tuple[str, ...]
    evidence: tuple[Fact, ...]

    @classmethod
    def of(
        cls,
        rule_id: str,
        description: str,
        holds: bool | None,
        invariants: tuple[str, ...],
        evidence: Mapping[str, Raw],
    ) -> "Rule":
        """A rule that a view evaluates itself: nothing is refused for it."""
        evaluations: dict[bool | None, Literal["holds", "does_not_hold", "undetermined"]] = {
            True: "holds",
            False: "does_not_hold",
            None: "undetermined",
        }
        facts = tuple(Fact(name, value) for name, value in evidence.items())
        return cls(rule_id, description, evaluations[holds], "none", invariants, facts)


class _Fact(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> Raw: ...


class _Proved(Protocol):
    @property
    def evidence(self) -> Sequence[_Fact]: ...


def evidence_of(rule: _Proved) -> str:
    """The raw evidence on one line: `name: value; name: value`."""
    return "; ".join(f"{fact.name}: {_value(fact.value)}" for fact in rule.evidence)


def _value(value: Raw) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
