"""Rules about what else goes on in the cluster: a pause, a pending switchover, a request. Pure."""

from aeroctl.kernel.decide.definition import Change, Result, rule


@rule(
    "automatic failover is not paused",
    promotion="none",
    demotion="patroni",
    force="none",
    invariants=(),
)
def not_paused(change: Change) -> Result:
    """In pause Patroni refuses a switchover without a candidate, and never fails over by itself."""
    paused = change.state.cluster.paused
    return not paused, {"paused": paused}


@rule(
    "no other switchover or failover is pending",
    promotion="kernel",
    demotion="kernel",
    force="none",
    invariants=("P6-A2", "P7-E1"),
)
def nothing_pending(change: Change) -> Result:
    """A pending switchover or failover would be overwritten in the store (P6-F3)."""
    keys = change.state.keys
    failover, pending = keys.failover, keys.failover.pending
    return not pending, {
        "from_node": (failover.leader or None) if pending else None,
        "to_node": (failover.member or None) if pending else None,
        "revision": keys.failover_revision if pending else None,
    }


@rule(
    "no other request is being carried out",
    promotion="kernel",
    demotion="kernel",
    force="kernel",
    invariants=("P7-E1",),
)
def nothing_in_flight(change: Change) -> Result:
    """One command at a time, whichever server serves it (P7-E1)."""
    request_id = change.state.in_flight
    return request_id is None, {"request_id": request_id}


@rule(
    "the cluster does not follow another one",
    promotion="kernel",
    demotion="kernel",
    force="kernel",
    invariants=("P6-A1",),
)
def not_standby_cluster(change: Change) -> Result:
    """In a standby cluster no node is a primary."""
    standby_cluster = change.state.cluster.standby_cluster
    return not standby_cluster, {"standby_cluster": standby_cluster}


RULES = (not_paused, nothing_pending, nothing_in_flight, not_standby_cluster)
