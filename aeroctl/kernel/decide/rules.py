"""Which rules each command has, and what they evaluate to in one state (P7-O2). Pure.

The rules stand in one file per family; `definition.py` says how one is added. The whole table of
rules and commands is in `tests/unit/kernel/decide/test_rule_table.py`.

A rule that the kernel enforces is decided from the store's keys alone, so that it is decided again
in the very state that the request is bound to. The one exception is `agent_identified`: the agent
is queried anew before every dispatch, which is then bound to the address of that agent. What else
nodes report decides only rules that Patroni enforces, or that are advisory, because it may have
changed since.
"""

from collections.abc import Sequence

from aeroctl.contract.commands import CommandName
from aeroctl.contract.rules import Rule
from aeroctl.contract.terms import Conclusion
from aeroctl.kernel.decide import (
    agent_rules,
    candidate_rules,
    leader_rules,
    replication_rules,
    successor_rules,
    target_rules,
    transfer_rules,
    writer_rules,
)
from aeroctl.kernel.decide.definition import Change, Definition
from aeroctl.kernel.decide.state import State, receiver

DEFINITIONS: tuple[Definition, ...] = (
    *leader_rules.RULES,
    *target_rules.RULES,
    *replication_rules.RULES,
    *candidate_rules.RULES,
    *successor_rules.RULES,
    *transfer_rules.RULES,
    *agent_rules.RULES,
    *writer_rules.RULES,
)
"""Every rule, in the order in which they are shown."""


def rules(command: CommandName, target: str | None, state: State) -> list[Rule]:
    """Every rule of that command, evaluated. `target`: a node that the store names."""
    if target is None or command == "run_diagnostics":
        return []
    change = Change(state, target, receiver(command, target, state))
    return [
        definition.evaluate(change, command)
        for definition in DEFINITIONS
        if command in definition.enforced_by
    ]


def broken(rules: Sequence[Rule]) -> list[Rule]:
    """The rules for which the kernel refuses: undetermined is not good enough (P7-F1)."""
    return [rule for rule in rules if rule.enforced_by == "kernel" and rule.evaluation != "holds"]


def conclusion(rules: Sequence[Rule]) -> Conclusion:
    """What the rules come to."""
    evaluations = {rule.evaluation for rule in rules}
    if broken(rules):
        return "refused"
    if "does_not_hold" in evaluations:
        return "not_all_rules_hold"
    return "undetermined" if "undetermined" in evaluations else "all_rules_hold"
