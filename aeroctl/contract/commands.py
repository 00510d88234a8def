"""The closed command set, as data: what is not in it can't be requested (P7-S3)."""

from dataclasses import dataclass
from typing import Literal

from aeroctl.contract.terms import ConfirmationKind

CommandName = Literal["request_promotion", "request_demotion", "force_promotion", "run_diagnostics"]
Target = Literal["replica", "primary", "nothing"]


@dataclass(frozen=True, slots=True)
class Command:
    """One command is one kernel action (P7-E1): no bulk form, no scheduled form.

    `verb`: its name on the command line. `target`: what must be named; nothing is ever chosen for
    the operator (P7-A3).
    """

    name: CommandName
    verb: str
    kind: Literal["diagnostic", "control"]
    confirmation: ConfirmationKind
    target: Target
    action: str


COMMANDS: dict[CommandName, Command] = {
    command.name: command
    for command in (
        Command(
            "request_promotion",
            "promote",
            "control",
            "standard",
            "replica",
            "transfer the leader key from the leader to the named replica",
        ),
        Command(
            "request_demotion",
            "demote",
            "control",
            "standard",
            "primary",
            "have the named leader step down; the kernel picks its successor",
        ),
        Command(
            "force_promotion",
            "force-promote",
            "control",
            "override",
            "replica",
            "give the leader key to the named replica although checks are skipped",
        ),
        Command(
            "run_diagnostics",
            "diagnose",
            "diagnostic",
            "standard",
            "nothing",
            "ask every node and its agent for their own account, and compare",
        ),
    )
}
VERBS: dict[str, Command] = {command.verb: command for command in COMMANDS.values()}

INVARIANTS: dict[str, str] = {
    "P6-A1": "exactly one node holds the leader key",
    "P6-A2": "the leader key passes atomically from one node to the next",
    "P6-S1": "no acknowledged write is lost",
    "P6-S2": "every node's write-ahead log is a prefix of the leader's",
}
"""The kernel's invariants that an override may override, in words."""
