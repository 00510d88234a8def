"""Rules about the leader: who holds the leader key, and whether that node is a primary. Pure."""

from aeroctl.contract import accounts
from aeroctl.contract.nodes import Node
from aeroctl.contract.terms import Role
from aeroctl.kernel.decide.definition import Change, Result, rule


def role_is(node: Node, role: Role) -> bool | None:
    """Whether a node has that role; None where its role is not known."""
    return None if node.role == "unknown" else node.role == role


@rule(
    "a node holds the leader key",
    promotion="kernel",
    demotion="kernel",
    force="none",
    invariants=("P6-A1",),
)
def has_leader(change: Change) -> Result:
    """Without a leader nothing can be handed over (P6-A1)."""
    leader = change.state.leader
    return leader is not None, {
        "node": leader.node if leader else None,
        "since": leader.since if leader else None,
    }


@rule(
    "the named node is the one that holds the leader key", demotion="kernel", invariants=("P6-A1",)
)
def target_is_leader(change: Change) -> Result:
    """Only the leader can step down."""
    leader = change.state.leader_name
    return leader == change.target, {"target": change.target, "leader": leader}


@rule("the leader is a primary", promotion="kernel", demotion="kernel", invariants=("P6-A1",))
def leader_is_primary(change: Change) -> Result:
    """A leader that is not a primary yet is in the middle of a promotion (P6-A3)."""
    leader = change.state.leader_name
    node = None if leader is None else change.state.nodes[leader]
    return False if node is None else role_is(node, "primary"), {
        "node": leader,
        "role": None if node is None else node.role,
        "state": None if node is None else node.state,
    }


@rule(
    "the leader itself reports that it accepts writes",
    promotion="none",
    demotion="none",
    invariants=("P6-A1",),
)
def leader_writable(change: Change) -> Result:
    """Advisory: the store has only what the leader's agent last wrote there (P6-A3)."""
    leader, state = change.state.leader_name, change.state
    if leader is None:
        nothing = dict.fromkeys(("node", "in_recovery", "writable", "unavailable"))
        return False, nothing
    reported = state.reported(leader)
    return accounts.writes(reported), {
        "node": leader,
        "in_recovery": reported.in_recovery if reported else None,
        "writable": reported.writable if reported else None,
        "unavailable": state.unavailable(leader),
        **state.contradictions(leader),
    }


RULES = (has_leader, target_is_leader, leader_is_primary, leader_writable)
