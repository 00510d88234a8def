"""What a command does to each node, what can't be undone, and what it overrides. Pure.

Facts about what Patroni does (ha.py: demote, follow, rewind), and no advice (P7-A3).
"""

from collections.abc import Sequence

from aeroctl.contract.commands import INVARIANTS, CommandName
from aeroctl.contract.explanation import Affected, Cost, Override
from aeroctl.contract.rules import Rule
from aeroctl.kernel.decide.state import State
from aeroctl.kernel.decide.successor_rules import successors
from aeroctl.kernel.patroni.settings import flag

STATEMENTS = 2
"""SQL statements for each node that is queried: its identity, and its replication state."""
ROUNDS = 2
"""How often a node is queried at most: a second time where its accounts differ."""

BECOMES_PRIMARY = "becomes the primary, on a new PostgreSQL timeline"
BECOMES_REPLICA = (
    "becomes a replica: its connections end, PostgreSQL shuts down and starts again; Patroni "
    "rewinds it, where it is configured to, if its write-ahead log has diverged"
)
IS_READ = "is asked for its own account; nothing is changed"
NOT_REGISTERED = "has no entry of its own in the store: nothing is asked of it"
DEAD_LEADER = (
    "holds the leader key and has no entry of its own in the store: nothing is asked of it; "
    "what it wrote and no other node has received is lost if it comes back"
)

TRANSFER = [
    "a new timeline begins; the old one can't be continued",
    "connections to the old leader end, and their open transactions are lost",
    "no writes are accepted from the old leader's shutdown until the new one accepts them",
]
FORCED = [
    "a new timeline begins; the old one can't be continued",
    "acknowledged writes that the named node has not received are lost",
    "connections to a leader end, and their open transactions are lost",
    "no writes are accepted until the named node accepts them",
    "a former leader that comes back with writes of its own loses them when it is rewound",
]


def affected(command: CommandName, target: str | None, state: State) -> list[Affected]:
    """Every node of the cluster, by name: what happens to it if the command is executed.

    Source: Patroni ha.py, `_get_node_to_follow` and `get_failover_candidates`.
    """
    names = sorted(state.nodes)
    if command == "run_diagnostics" or target is None:
        return [Affected(node=name, effect=IS_READ) for name in names]
    if command != "request_demotion":
        return [Affected(node=name, effect=_effect(name, target, state)) for name in names]
    candidates = {candidate.node: candidate.rules for candidate in successors(state, target)}
    return [
        Affected(
            node=name,
            effect=_effect_on_candidate(name, candidates[name], state)
            if name in candidates
            else _effect(name, None, state),
        )
        for name in names
    ]


def _effect(name: str, primary: str | None, state: State) -> str:
    """What happens to a node that Patroni does not choose; `primary`: the one that is named."""
    if name == primary:
        return BECOMES_PRIMARY
    if name not in state.keys.members:
        return DEAD_LEADER if name == state.leader_name else NOT_REGISTERED
    follows = _follows(name, primary, state)
    if name == state.leader_name:
        return f"{BECOMES_REPLICA}; {follows}"
    unavailable = state.unavailable(name)
    return f"{follows} once it answers again ({unavailable})" if unavailable else follows


def _effect_on_candidate(name: str, rules: Sequence[Rule], state: State) -> str:
    """What happens to a node that Patroni may choose as the primary, or may not by these rules."""
    effect = _effect(name, None, state)
    if name not in state.keys.members or name == state.leader_name:
        return effect
    refused = [rule.rule_id for rule in rules if _is_refused_by_patroni(rule)]
    if refused:
        return f"can't be picked by Patroni ({', '.join(refused)}): it {effect}"
    follows = _follows(name, None, state)
    return f"may be picked by Patroni to become the primary; otherwise it {follows}"


def _is_refused_by_patroni(rule: Rule) -> bool:
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
    """What can't be undone once Patroni has acted."""
    if command == "run_diagnostics":
        return []
    return FORCED if command == "force_promotion" else TRANSFER


def overrides(command: CommandName, state: State) -> list[Override]:
    """The invariants that the command would override now, by id (P6-A1a).

    Decided from the store's keys alone, since the request is checked against them again.
    """
    if command != "force_promotion":
        return []
    if state.leader_is_alive:
        reasons = {"P6-S1": "whether the node is in the synchronous set is not checked"}
    else:
        reasons = {
            "P6-A2": "no living leader hands the leader key over",
            "P6-S1": "neither lag nor the synchronous set is checked without a living leader",
            "P6-S2": "the node's timeline is not checked without a living leader",
        }
    return [
        Override(invariant=name, description=INVARIANTS[name], reason=reasons[name])
        for name in sorted(reasons)
    ]


def cost(command: CommandName, state: State) -> Cost | None:
    """How often a diagnostic queries nodes and agents, declared before it runs (P7-S2)."""
    if command != "run_diagnostics":
        return None
    registered = [node for node in state.nodes.values() if node.registered]
    return Cost(
        nodes=sorted(node.name for node in registered),
        queries=ROUNDS * STATEMENTS * len(registered),
        requests=ROUNDS * len(registered),
    )
