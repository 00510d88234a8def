"""What a command does to each node, what can't be undone, and what it overrides. Pure.

Facts about what the engine does (Patroni ha.py: demote, follow, rewind), and no advice (P7-A3).
"""

from collections.abc import Sequence

from aeroctl.contract.commands import INVARIANTS, CommandName
from aeroctl.contract.explanation import Affected, Cost, Override
from aeroctl.contract.rules import Rule
from aeroctl.kernel.decide.rules import State, successors
from aeroctl.kernel.patroni.settings import flag

STATEMENTS = 2
"""For each node that is asked by SQL: who it is, and what it says of its replication."""
LOOKS = 2
"""How often a node is asked at most: again where its accounts differ."""

GAINS = "becomes the primary, on a new PostgreSQL timeline"
LOSES = (
    "becomes a replica: its connections end, PostgreSQL shuts down and starts again; Patroni "
    "rewinds it, where it is configured to, if its write-ahead log has diverged"
)
READ = "is asked for its own account; nothing is changed"
NOT_REGISTERED = "has no entry of its own in the store: nothing is asked of it"
DEAD_HOLDER = (
    "holds the leader key and has no entry of its own in the store: nothing is asked of it; "
    "what it wrote and no other node has received is lost if it comes back"
)

TRANSFER = [
    "a new timeline begins; the old one can't be continued",
    "connections to the old leader end, and their open transactions are lost",
    "no writes are accepted from the old holder's shutdown until the new one accepts them",
]
FORCED = [
    "a new timeline begins; the old one can't be continued",
    "acknowledged writes that the named node has not received are lost",
    "connections to a leader end, and their open transactions are lost",
    "no writes are accepted until the named node accepts them",
    "a former holder that comes back with writes of its own loses them when it is rewound",
]


def affected(command: CommandName, target: str | None, state: State) -> list[Affected]:
    """Every node of the cluster, by name: what happens to it if the command is executed.

    Source: Patroni ha.py, `_get_node_to_follow` and `get_failover_candidates`.
    """
    if command == "run_diagnostics" or target is None:
        return [Affected(node=name, effect=READ) for name in sorted(state.nodes)]
    primary = None if command == "request_demotion" else target
    picks = {} if primary else {each.node: each.rules for each in successors(state, target)}
    return [
        Affected(node=name, effect=_effect(name, primary, picks.get(name), state))
        for name in sorted(state.nodes)
    ]


def _effect(name: str, primary: str | None, rules: Sequence[Rule] | None, state: State) -> str:
    """`primary`: the node that is named to be it. `rules`: of a node that might be picked."""
    if name == primary:
        return GAINS
    if name not in state.keys.members:
        return DEAD_HOLDER if name == state.holder else NOT_REGISTERED
    follows = _follows(name, primary, state)
    if name == state.holder:
        return f"{LOSES}; {follows}"
    broken = [rule.rule_id for rule in rules or () if _refuses(rule)]
    if rules is not None and not broken:
        return f"may be picked by Patroni to become the primary; otherwise it {follows}"
    refused = f"can't be picked by Patroni ({', '.join(broken)}): it " if broken else ""
    silent = state.silent(name)
    working = f" once it answers again ({silent})" if silent else ""
    return f"{refused}{follows}{working}"


def _refuses(rule: Rule) -> bool:
    return rule.enforced_by == "patroni" and rule.evaluation == "does_not_hold"


def _follows(name: str, primary: str | None, state: State) -> str:
    """The upstream that Patroni gives a node that is not the primary."""
    member = state.keys.members[name]
    if flag(member.tags.get("nostream")):
        return "does not stream: it restores from the archive (nostream)"
    upstream = state.nodes[name].replicate_from
    if upstream is None or upstream == name or upstream not in state.keys.members:
        return f"follows {primary or 'the new primary'}"
    if upstream == primary:
        return f"follows {upstream} (replicatefrom), the new primary"
    return f"follows {upstream} (replicatefrom)"


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
            "P6-A2": "no living leader hands it over",
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
        queries=LOOKS * STATEMENTS * len(registered),
        requests=LOOKS * len(registered),
    )
