"""The evidence that is shown for an outcome: a list of rules, each with its facts. Pure.

Only rules that bear on the outcome are shown, so that none of a success reads as if something were
wrong; they are always in the same order.
"""

from aeroctl.contract.rules import Fact, Rule, rule
from aeroctl.contract.terms import Evaluation
from aeroctl.kernel.prove.request import TransferRequest
from aeroctl.kernel.prove.situation import Situation
from aeroctl.kernel.prove.states import Progress, State
from aeroctl.kernel.store.keyspace import History


def evidence_rules(situation: Situation) -> list[Rule]:
    """The rules that bear on the outcome, in their order."""
    progress = situation.progress
    rules = [_recorded(situation.request), _arrived(situation)]
    if progress.written is not None:
        same_leader = progress.leader_lost is None
        if same_leader and progress.withdrawn is not None:
            rules += [
                _withdrawn_under_same_leader(progress),
                _leader_stayed_primary(progress),
                _agent_gone_on(situation),
            ]
        if not same_leader or progress.state is not State.NOT_ACTED_ON:
            rules.append(_leader_changed(situation.request, progress))
        if progress.new_leader is not None:
            rules.append(_new_leader_is_primary(progress))
    return [*rules, _history_complete(situation.history)]


def _recorded(request: TransferRequest) -> Rule:
    return rule(
        "recorded",
        "the dispatch was recorded before Patroni was asked",
        "holds",
        "kernel",
        [Fact(name="dispatched_revision", value=request.dispatched)],
    )


def _arrived(situation: Situation) -> Rule:
    progress = situation.progress
    evaluation: Evaluation = "holds" if progress.written is not None else "does_not_hold"
    if situation.state is State.HISTORY_LOST:
        evaluation = "undetermined"
    return _rule(
        "arrived",
        "Patroni has taken the request up",
        evaluation,
        Fact(name="failover_revision_before", value=situation.request.failover_revision),
        Fact(name="arrived_revision", value=progress.written),
        Fact(name="replaced_revision", value=progress.replaced),
        Fact(name="repeated_revision", value=progress.written_again),
        *_why_unwritten(situation),
    )


def _why_unwritten(situation: Situation) -> list[Fact]:
    if situation.state is State.REFUSED and situation.reply is not None:
        return [Fact(name="engine_status", value=situation.reply.status)]
    if situation.state is State.NOT_SENT:
        return [Fact(name="sent", value=False)]
    return []


def _withdrawn_under_same_leader(progress: Progress) -> Rule:
    leader = progress.leader_found
    return _rule(
        "withdrawn_under_same_leader",
        "the failover key no longer names the request, and the leader is still the same",
        "holds",
        Fact(name="cleared_revision", value=progress.withdrawn),
        Fact(name="how", value=progress.removal),
        Fact(name="since", value=leader.since if leader else None),
    )


def _leader_stayed_primary(progress: Progress) -> Rule:
    gone_on = progress.state is State.NOT_ACTED_ON
    return _rule(
        "leader_stayed_primary",
        "that leader served all the time in which the request could be acted on",
        _evaluation(
            proved=gone_on and progress.interrupted is None,
            refuted=progress.interrupted is not None,
        ),
        Fact(name="busy_revision", value=progress.busy),
        Fact(name="interrupted_revision", value=progress.interrupted),
        Fact(name="timeline", value=progress.served.timeline if progress.served else None),
    )


def _agent_gone_on(situation: Situation) -> Rule:
    progress, renewals = situation.progress, situation.renewals
    first, second = (*progress.loops, None, None)[:2]
    return _rule(
        "agent_moved_on",
        "the leader's agent has gone on since, so it can no longer step down for the request",
        _evaluation(proved=progress.state is State.NOT_ACTED_ON, refuted=False),
        Fact(name="serving_revision", value=progress.loop_after_answer or first),
        Fact(name="serving_again_revision", value=second),
        Fact(name="engine_says_failed_revision", value=situation.answer),
        Fact(name="lease_renewals", value=renewals.count if renewals else None),
        Fact(name="lease_renewals_since_revision", value=renewals.since if renewals else None),
    )


def _leader_changed(request: TransferRequest, progress: Progress) -> Rule:
    before, after = request.leader_before, progress.new_leader
    return _rule(
        "leader_passed",
        "the named node took the leader key anew; for a demotion, any other node did",
        _evaluation(
            proved=after is not None and request.asks_for(after.node), refuted=after is not None
        ),
        Fact(name="node_before", value=before.node if before else None),
        Fact(name="since_before", value=before.since if before else None),
        Fact(name="stepping_down_revision", value=progress.busy),
        Fact(name="leader_key_freed_revision", value=progress.leader_lost),
        Fact(name="node_after", value=after.node if after else None),
        Fact(name="since_after", value=after.since if after else None),
    )


def _new_leader_is_primary(progress: Progress) -> Rule:
    lost_unseen = progress.unseen_term_ended is not None and progress.leader is None
    return _rule(
        "new_leader_is_primary",
        "the new leader described itself as primary while it held the leader key",
        _evaluation(proved=progress.primary is not None, refuted=lost_unseen),
        Fact(name="primary_revision", value=progress.primary),
        Fact(name="timeline_after", value=progress.timeline),
        Fact(name="earlier_leader_key_freed_revision", value=progress.unseen_term_ended),
    )


def _history_complete(history: History) -> Rule:
    return _rule(
        "history_complete",
        "the store's history reaches back to the dispatch",
        "holds" if history.complete else "does_not_hold",
        Fact(name="history_from_revision", value=history.base.revision),
        Fact(name="history_to_revision", value=history.keyspace.revision),
    )


def _evaluation(*, proved: bool, refuted: bool) -> Evaluation:
    if proved:
        return "holds"
    return "does_not_hold" if refuted else "undetermined"


def _rule(rule_id: str, description: str, evaluation: Evaluation, *evidence: Fact) -> Rule:
    return rule(rule_id, description, evaluation, "patroni", evidence)
