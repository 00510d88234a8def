"""What a rule is: one function, with its description, its invariants and who enforces it. Pure.

To add a rule, write its function into the file of its family (the files of this folder whose names
end in `_rules.py`) and its name into `RULES` there. The
function's name is the rule's id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aeroctl.contract.nodes import Node
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.rules import Rule, evaluated, facts
from aeroctl.contract.terms import Enforcement
from aeroctl.kernel.decide.state import State

Value = str | bool | int | float | None
Result = tuple[bool | None, Mapping[str, Value]]
"""Whether a rule holds (None: undetermined), and the evidence, by the names of its facts."""
Use = Literal["request_promotion", "request_demotion", "force_promotion", "successor"]
"""A command that has rules, or the choice of a successor in a demotion."""
Enforcer = Enforcement | Callable[[State], Enforcement]
"""Who refuses when the rule does not hold; a function where that depends on the state."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is considered: of which node, in which state, and through whose agent."""

    state: State
    target: str
    receiver: str | None = None

    @property
    def node(self) -> Node:
        """The target as the store describes it."""
        return self.state.nodes[self.target]

    @property
    def reported(self) -> NodeReplication | None:
        """The target's own replication state, if it was queried and answered."""
        return self.state.reported(self.target)


@dataclass(frozen=True, slots=True)
class Definition:
    """A rule that can be evaluated. `enforced_by`: for each use that has this rule, by whom."""

    rule_id: str
    description: str
    invariants: Sequence[str]
    enforced_by: Mapping[Use, Enforcer]
    result: Callable[[Change], Result]

    def evaluate(self, change: Change, use: Use) -> Rule:
        """The rule over one change, with its evidence."""
        enforcer = self.enforced_by[use]
        holds, evidence = self.result(change)
        return Rule(
            rule_id=self.rule_id,
            description=self.description,
            evaluation=evaluated(holds),
            enforced_by=enforcer(change.state) if callable(enforcer) else enforcer,
            invariants=list(self.invariants),
            evidence=facts(evidence),
        )


def rule(
    description: str,
    *,
    invariants: Sequence[str],
    promotion: Enforcer | None = None,
    demotion: Enforcer | None = None,
    force: Enforcer | None = None,
    successor: Enforcer | None = None,
) -> Callable[[Callable[[Change], Result]], Definition]:
    """Make a function a rule. `description`: what it means that the rule holds. `invariants`: the
    ids of those that it serves.

    Of the uses that have the rule, each names who enforces it; None: this use does not have it.
    """
    columns: dict[Use, Enforcer | None] = {
        "request_promotion": promotion,
        "request_demotion": demotion,
        "force_promotion": force,
        "successor": successor,
    }

    def define(result: Callable[[Change], Result]) -> Definition:
        enforced_by = {use: enforcer for use, enforcer in columns.items() if enforcer is not None}
        return Definition(result.__name__, description, invariants, enforced_by, result)

    return define
