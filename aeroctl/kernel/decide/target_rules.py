"""Rules about the node that is to become the primary: is it there, and is it a replica. Pure."""

from aeroctl.kernel.decide.definition import Change, Result, rule
from aeroctl.kernel.decide.leader_rules import role_is


@rule(
    "the node renews its own entry in the store",
    promotion="patroni",
    force="patroni",
    successor="patroni",
    invariants=("P6-A2",),
)
def target_registered(change: Change) -> Result:
    """Patroni: `candidate does not exists`."""
    registered = change.node.registered
    return registered, {"node": change.target, "registered": registered}


@rule(
    "the named node is a replica and does not hold the leader key",
    promotion="kernel",
    force="kernel",
    invariants=("P6-A1",),
)
def target_is_replica(change: Change) -> Result:
    """The leader can't be promoted, nor can a node that is not a replica."""
    node = change.node
    return False if node.is_leader else role_is(node, "replica"), {
        "node": change.target,
        "role": node.role,
        "is_leader": node.is_leader,
        "registered": node.registered,
    }


@rule(
    "the node itself reports that it is in recovery, as a replica is",
    promotion="none",
    force="none",
    successor="none",
    invariants=("P6-A1",),
)
def target_in_recovery(change: Change) -> Result:
    """Advisory: a node may have been promoted by hand, and its agent may not know it."""
    reported = change.reported
    in_recovery = reported.in_recovery if reported else None
    return in_recovery, {
        "node": change.target,
        "role": change.node.role,
        "in_recovery": in_recovery,
        "unavailable": change.state.unavailable(change.target),
    }


RULES = (target_registered, target_is_replica, target_in_recovery)
