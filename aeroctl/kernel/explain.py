"""POST /v1/explain/{command}: the proof. It mutates nothing and grants nothing (P7-A1, P7-O2)."""

import math
from collections.abc import Mapping

from aeroctl.contract.base import API_VERSION
from aeroctl.contract.commands import COMMANDS, Command, CommandName
from aeroctl.contract.explanation import (
    Explanation,
    ExplanationEnvelope,
    Inputs,
    ObservedSnapshot,
)
from aeroctl.kernel import confirmation, effects, patroni, rules, snapshot
from aeroctl.kernel.epoch import epoch
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.keys import Kernel
from aeroctl.kernel.ledger import Ledger
from aeroctl.kernel.rules import State
from aeroctl.kernel.snapshot import Source


async def explain(source: Source, command: Command, target: str | None) -> ExplanationEnvelope:
    """Every rule of the command over one state. Raises Failure, among others UNKNOWN_NODE."""

    async def read() -> tuple[Kernel, Ledger]:
        kernel, kept = await source.kernel_and_ledger(None)
        state = State(kernel, kept.in_flight)
        if target is not None and target not in state.nodes:  # it may be one that is gone
            state = State(await source.with_departed(kernel), kept.in_flight)
        check_target(command, target, state)
        return kernel, kept

    seen = await snapshot.measure(source, read, ["replication"])
    answers = snapshot.replication(seen.kernel, seen.answers)
    state = State(
        kernel=seen.kernel,
        in_flight=seen.beside.in_flight,
        measured={answer.node: answer for answer in answers},
    )
    return ExplanationEnvelope(
        api_version=API_VERSION,
        observed_at=snapshot.observed(seen.kernel, None, seen.time),
        data=explanation(command, target, state, deadline(command, state.kernel, source.seconds)),
        notes=snapshot.notes(seen.kernel, seen.answers),
    )


def explanation(
    command: Command, target: str | None, state: State, deadline_seconds: int
) -> Explanation:
    """The proof over `state`. Pure."""
    kernel = state.kernel
    applied = rules.rules(command.name, target, state)
    return Explanation(
        explanation_type=command.name,
        observed_snapshot=ObservedSnapshot(commit_id=kernel.commit_id, epoch=epoch(kernel)),
        inputs=Inputs(
            command=command.name, target=target, cluster=kernel.scope, system_id=kernel.system_id
        ),
        action=command.action,
        confirmation=command.confirmation,
        authority=state.authority,
        rules_applied=applied,
        conclusion=rules.conclusion(applied),
        affected=effects.affected(command.name, target, state),
        irreversible=effects.irreversible(command.name),
        overrides=effects.overrides(command.name, state),
        successors=rules.successors(state, target)
        if command.name == "request_demotion" and target is not None
        else None,
        cost=effects.cost(command.name, state),
        deadline_seconds=deadline_seconds,
        confirmation_token=token(command.name, target, kernel),
    )


def command_named(name: str) -> Command:
    """One of the closed set. Raises Failure UNKNOWN_COMMAND."""
    known: Mapping[str, Command] = {command.name: command for command in COMMANDS.values()}
    if name not in known:
        message = f"there is no command {name!r}; there are {', '.join(known)}"
        raise Failure(404, "operator_input", "UNKNOWN_COMMAND", message, invariants=["P7-S3"])
    return known[name]


def check_target(command: Command, target: str | None, state: State) -> None:
    """What must be named is named, and is there. Raises Failure UNKNOWN_NODE."""
    if command.target == "nothing":
        if target is None:
            return
        message = f"{command.verb} takes no node"
    elif target is None:
        message = f"{command.verb} needs a node: none is ever chosen"
    elif target in state.nodes:
        return
    else:
        message = f"there is no node {target!r}; there are {', '.join(state.nodes)}"
    raise Failure(400, "operator_input", "UNKNOWN_NODE", message, invariants=["P7-A3"])


def token(command: CommandName, target: str | None, kernel: Kernel) -> str:
    """The confirmation token of that command in that state."""
    return confirmation.token(
        command, target, kernel.scope, kernel.system_id, epoch(kernel), kernel.failover_commit
    )


def deadline(command: Command, kernel: Kernel, source_seconds: float) -> int:
    """Seconds within which the kernel answers a request for that command."""
    if command.kind == "diagnostic":
        return math.ceil(source_seconds)
    return patroni.deadline_seconds(kernel)
