"""The commands that there are, what they may be about, and for how long they may run. Pure."""

import math
from collections.abc import Mapping

from aeroctl.contract.commands import COMMANDS, Command, CommandName
from aeroctl.contract.consent import Confirmable
from aeroctl.kernel.decide.state import State
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.digest import state_digest
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.settings import deadline_seconds, settling_seconds


def command_named(name: str) -> Command:
    """One of the closed set. Raises Failure UNKNOWN_COMMAND."""
    known: Mapping[str, Command] = {command.name: command for command in COMMANDS.values()}
    if name not in known:
        message = f"there is no command {name!r}; there are {', '.join(known)}"
        raise Failure("UNKNOWN_COMMAND", message)
    return known[name]


def check_target(command: Command, target: str | None, state: State) -> None:
    """What must be named is named, and is there. Raises Failure UNKNOWN_NODE."""
    if command.target == "nothing":
        if target is None:
            return
        message = f"{command.verb} does not take the name of a node"
    elif target is None:
        message = f"{command.verb} needs the name of a node: the kernel never chooses one"
    elif target in state.nodes:
        return
    else:
        message = f"there is no node {target!r}; there are {', '.join(state.nodes)}"
    raise Failure("UNKNOWN_NODE", message)


def confirmable(command: CommandName, target: str | None, keys: ClusterKeys) -> Confirmable:
    """What a token must confirm for that command in that state."""
    return Confirmable(
        command,
        target,
        keys.scope,
        keys.system_id,
        state_digest(keys),
        keys.failover_revision,
    )


def deadline(command: Command, keys: ClusterKeys, source_seconds: float) -> int:
    """Seconds within which the kernel answers a request for that command."""
    if command.kind == "diagnostic":  # what differs is looked at twice
        return math.ceil(2 * source_seconds + settling_seconds(keys))
    return deadline_seconds(keys)
