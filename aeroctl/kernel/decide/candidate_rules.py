"""Rules that Patroni has for a candidate: its tags, and the synchronous set. Pure."""

from aeroctl.contract.terms import Enforcement
from aeroctl.kernel.decide.definition import Change, Result, rule
from aeroctl.kernel.decide.state import State


def by_synchronous_mode(state: State) -> Enforcement:
    """In quorum mode Patroni checks the rule once the leader has put its name into the sync key."""
    synchronous = state.cluster.synchronous
    checked = synchronous.mode in ("off", "on") or synchronous.leader is not None
    return "patroni" if checked else "none"


@rule(
    "the node is not tagged as never to be promoted",
    promotion="patroni",
    force="patroni",
    successor="patroni",
    invariants=(),
)
def failover_allowed(change: Change) -> Result:
    """Patroni: the tags nofailover and failover_priority."""
    node = change.node
    return None if node.no_failover is None else not node.no_failover, {
        "node": change.target,
        "nofailover": node.tags.get("nofailover"),
        "failover_priority": node.tags.get("failover_priority"),
    }


@rule(
    "the node is in the synchronous set, where replication is synchronous (P6-S1)",
    promotion=by_synchronous_mode,
    force="none",
    successor=by_synchronous_mode,
    invariants=("P6-S1",),
)
def synchronous_standby(change: Change) -> Result:
    """Patroni refuses a switchover to a node outside of the synchronous set (P6-S1)."""
    synchronous = change.state.cluster.synchronous
    standbys = {name.lower() for name in synchronous.standbys}  # PostgreSQL ignores case here
    return synchronous.mode == "off" or change.target.lower() in standbys, {
        "node": change.target,
        "mode": synchronous.mode,
        "standbys": ", ".join(synchronous.standbys),
    }


RULES = (failover_allowed, synchronous_standby)
