"""What a command does to each node, what can't be undone, and what it overrides. Pure.

Facts about what the engine does (Patroni ha.py: demote, follow, rewind), and no advice (P7-A3).
"""

from collections.abc import Mapping

from aeroctl.contract.commands import INVARIANTS, CommandName
from aeroctl.contract.explanation import Affected, Cost, Override
from aeroctl.kernel.rules import State

STATEMENTS = 2
"""For each node that is asked by SQL: who it is, and what it says of its replication."""

GAINS = "gains write authority: it becomes the primary, on a new timeline"
LOSES = (
    "loses write authority: it ends its connections, shuts down, and comes back as a replica, "
    "rewound if its write-ahead log has diverged"
)
FOLLOWS = "follows the new primary, rewound if its write-ahead log has diverged"
MAY_GAIN = "may be picked to hold write authority; otherwise follows whoever is"
READ = "is asked for its own account; nothing is changed"

TRANSFER = [
    "a new timeline begins; the old one can't be continued",
    "connections to the old holder of write authority end, and their open transactions are lost",
    "no writes are accepted from the old holder's shutdown until the new one accepts them",
]
FORCED = [
    "a new timeline begins; the old one can't be continued",
    "acknowledged writes that the named node has not received are lost",
    "connections to a holder of write authority end, and their open transactions are lost",
    "no writes are accepted until the named node accepts them",
    "a former holder that comes back with writes of its own loses them when it is rewound",
]


def affected(command: CommandName, target: str | None, state: State) -> list[Affected]:
    """Every node of the cluster, by name."""
    found: Mapping[str, str] = (
        dict.fromkeys(state.nodes, READ)
        if command == "run_diagnostics"
        else {
            name: LOSES
            if name == state.holder
            else GAINS
            if name == target
            else MAY_GAIN
            if command == "request_demotion"
            else FOLLOWS
            for name in state.nodes
        }
    )
    return [Affected(node=name, effect=found[name]) for name in sorted(found)]


def irreversible(command: CommandName) -> list[str]:
    """What can't be undone once the engine has acted."""
    if command == "run_diagnostics":
        return []
    return FORCED if command == "force_promotion" else TRANSFER


def overrides(command: CommandName, state: State) -> list[Override]:
    """The invariants that the command would override now, by id (P6-A1a).

    Decided from the store's keys alone, since the request is checked against them again.
    """
    if command != "force_promotion":
        return []
    if state.holder_lives:
        reasons = {"P6-S1": "whether the node is in the synchronous set is not checked"}
    else:
        reasons = {
            "P6-A2": "no living holder of write authority hands it over",
            "P6-S1": "neither lag nor the synchronous set is checked without a living holder",
            "P6-S2": "the node's timeline is not checked without a living holder",
        }
    return [
        Override(invariant=name, description=INVARIANTS[name], reason=reasons[name])
        for name in sorted(reasons)
    ]


def cost(command: CommandName, state: State) -> Cost | None:
    """What a diagnostic asks of the nodes; declared before it runs (P7-S2)."""
    if command != "run_diagnostics":
        return None
    registered = [node for node in state.nodes.values() if node.registered]
    return Cost(
        nodes=sorted(node.name for node in registered),
        queries=STATEMENTS * len(registered),
        requests=len(registered),
    )
