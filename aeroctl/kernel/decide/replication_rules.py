"""Rules about the target's replication: does it stream, on which timeline, how far behind. Pure.

Patroni makes its own checks only where a living leader's agent gets the request.
"""

from aeroctl.contract import accounts, lsn
from aeroctl.contract.terms import Enforcement
from aeroctl.kernel.decide.definition import Change, Result, rule
from aeroctl.kernel.decide.state import State
from aeroctl.kernel.patroni.settings import check_timeline


def by_living_leader(state: State) -> Enforcement:
    """Patroni checks the rule on the leader; a dead leader checks nothing."""
    return "patroni" if state.leader_is_alive else "none"


def by_check_timeline(state: State) -> Enforcement:
    """Patroni checks the rule where its setting `check_timeline` is on, and on a leader only."""
    return by_living_leader(state) if check_timeline(state.keys) else "none"


@rule(
    "the node streams write-ahead log from its upstream",
    promotion="none",
    successor="none",
    invariants=("P6-S1",),
)
def target_streaming(change: Change) -> Result:
    """Advisory: Patroni accepts a candidate that only restores from an archive."""
    node, reported, state = change.node, change.reported, change.state
    return accounts.streaming(node, reported, state.nodes_were_queried), {
        "node": change.target,
        "replication_state": node.replication_state,
        "receiver": reported.receiver.status if reported and reported.receiver else None,
        "state": node.state,
        "unavailable": state.unavailable(change.target),
        **state.contradictions(change.target),
    }


@rule(
    "the node is on the timeline of the leader (P6-S2)",
    promotion=by_check_timeline,
    force=by_check_timeline,
    successor=by_check_timeline,
    invariants=("P6-S2",),
)
def same_timeline(change: Change) -> Result:
    """A node on another timeline may lack what the leader has committed (P6-S2)."""
    node, reported, state = change.node, change.reported, change.state
    current = leader_timeline(state)
    return accounts.on_timeline(node, reported, state.nodes_were_queried, current), {
        "node": change.target,
        "timeline": reported.timeline if reported else node.timeline,
        "leader_timeline": current,
        "check_timeline": check_timeline(state.keys),
        "unavailable": state.unavailable(change.target),
        **state.contradictions(change.target),
    }


def leader_timeline(state: State) -> int | None:
    """The leader's timeline, by its own report if it answers; without a leader, that of the last
    one, as Patroni's history key proves it.
    """
    reported = None if state.leader_name is None else state.reported(state.leader_name)
    if reported is not None and accounts.firm(reported):
        return reported.timeline
    members = state.keys.members
    if state.leader_name in members:
        return members[state.leader_name].timeline
    ended = [end.timeline for end in state.keys.history]
    if ended:
        return max(ended) + 1
    timelines = {member.timeline for member in members.values()}
    return 1 if timelines == {1} else None  # no timeline has ended, and every node is on the first


@rule(
    "the node lacks no more write-ahead log than the limit allows (P6-S1)",
    promotion=by_living_leader,
    force=by_living_leader,
    successor=by_living_leader,
    invariants=("P6-S1",),
)
def lag_within_limit(change: Change) -> Result:
    """Counted as Patroni counts: from the position that a leader last recorded in the store to the
    further of received and replayed. Where node and store contradict each other, no lag is known.
    """
    cluster, reported, state = change.state.cluster, change.reported, change.state
    unavailable = state.unavailable(change.target)
    contradictions = state.contradictions(change.target)
    source = reported or change.node
    positions = (source.received_lsn, source.replayed_lsn)
    furthest = max(filter(None, positions), key=lsn.parse, default=None)
    lag = lsn.distance(cluster.leader_lsn, furthest)
    if contradictions or (reported is not None and not reported.in_recovery):
        lag = None
    limit = cluster.maximum_lag_bytes
    return None if unavailable or lag is None or limit is None else lag <= limit, {
        "node": change.target,
        "lag_bytes": lag,
        "maximum_lag_bytes": limit,
        "leader_lsn": cluster.leader_lsn,
        "received_lsn": source.received_lsn,
        "replayed_lsn": source.replayed_lsn,
        "unavailable": unavailable,
        **contradictions,
    }


RULES = (target_streaming, same_timeline, lag_within_limit)
