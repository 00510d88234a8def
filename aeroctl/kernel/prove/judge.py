"""What became of a request for a transfer of leadership, and what proves it. Pure.

This is the only place that decides about outcomes: the answer to a change, and every later question
what became of it, come from here. It goes in four steps, one module each:

    evidence.py      etcd's history of Patroni's keys -> typed events
    transitions.py   events -> how far the request has come: a state with facts (diagram: states.py)
    verdicts.py      state -> outcome, whether it is final, and a message
    rules.py         facts -> the rules that are shown as evidence

    state             outcome                                             final
    REFUSED           rejected                                            yes
    NOT_SENT          not_executed                                        yes
    HISTORY_LOST      in_progress, unknown                                no
    DISPATCHED        in_progress (in flight), else not_executed          no
    WRITTEN           in_progress                                         no
    WITHDRAWN         in_progress (in flight), else unknown               no
    NOT_ACTED_ON      rejected, rolled_back, unknown; in_progress while   yes; while no agent
                      no agent has answered                               has answered, no
    LEADER_KEY_FREE   in_progress                                         no
    LEADER_CHANGED    in_progress                                         no
    NEW_PRIMARY       in_progress, unknown                                no
    SETTLED           executed, executed_other, rolled_back, unknown      yes

A final outcome is one that nothing that is still to come can change. That a request was never
written is final only where Patroni refused it or it never left: a frozen agent may write it long
after everybody stopped waiting.

In flight means that aerokernel still carries the request out. A request that reads the same, and
was written when this one was no longer in flight, is not taken for it. One that another operator
made within that time can't be told from it; so nothing is `rejected` while the request is in flight
and no agent has answered: it may yet be written.
"""

from dataclasses import dataclass, replace

from aeroctl.contract.cluster import Leader
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.rules import Rule
from aeroctl.contract.terms import RequestOutcome
from aeroctl.kernel.patroni.renewals import Renewals
from aeroctl.kernel.prove.evidence import leader_at_end, member_entry
from aeroctl.kernel.prove.request import TransferRequest
from aeroctl.kernel.prove.rules import evidence_rules
from aeroctl.kernel.prove.situation import Situation
from aeroctl.kernel.prove.states import LOOPS, NEVER_WRITTEN, SAME_LEADER, Progress, State
from aeroctl.kernel.prove.transitions import follow
from aeroctl.kernel.prove.verdicts import verdict
from aeroctl.kernel.store.keyspace import History

REFUSALS = frozenset({400, 401, 403, 404, 405, 411, 412, 422})
"""HTTP statuses that Patroni's agent answers before it would write the failover key, never
after."""
OK = 200
FAILED = 503
FAILURES = frozenset({"Switchover failed", "Failover failed"})
"""With status 503: the agent found no failover key, and the same leader (patroni/api.py,
`poll_failover_result`)."""
WRITE_FAILED = "failed to write"
"""With status 503, the beginning of the answer where the agent could not write the failover key."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of the request. `rejected` is always final.

    `leader_after`: who held the leader key when the outcome was decided, else who holds it where
    the history ends. `evidence`: the rules that bear on the outcome, in a fixed order. `message`:
    Patroni's own words where it refused. `waiting`: so many renewals of the leader's lease from now
    on would prove the outcome (0: renewals would prove nothing). `written`, `withdrawn`,
    `repeated`: revisions of the failover key, as in `Progress`.
    """

    outcome: RequestOutcome
    final: bool
    leader_after: Leader | None
    evidence: list[Rule]
    message: str | None
    waiting: int = 0
    written: int | None = None
    withdrawn: int | None = None
    repeated: int | None = None


def judge(
    request: TransferRequest,
    history: History,
    in_flight: bool,
    reply: EngineReply | None,
    sent: bool | None,
    progress: Progress | None = None,
    *,
    answered: int | None = None,
    renewals: Renewals | None = None,
) -> Judgement:
    """Judge a request.

    `history`: of Patroni's keys since the dispatch. `in_flight`: aerokernel still carries the
    request out. `reply`: Patroni's, where one is known (a status of None is none). `sent`: False
    where the request provably never left; None where that is not known. `progress`: of that
    history, where it was followed piece by piece; the history's events are not looked at then.
    `answered`: a revision of the store from after the reply had come; None: not known. `renewals`:
    of the leader's lease, seen before the history was read.
    """
    answer = gone_answer(request, reply, answered)
    if reply is not None and reply.status in REFUSALS:
        progress = Progress(State.REFUSED, leader_at_end(request, history))
    elif sent is False:
        progress = Progress(State.NOT_SENT, leader_at_end(request, history))
    else:
        progress = progress or follow(request, history, answer=answer)
        if _gone_on_by_lease(history, progress, answer, renewals):
            progress = replace(progress, state=State.NOT_ACTED_ON)
    state = progress.state
    if state not in NEVER_WRITTEN and not request.is_covered_by(history):
        state = State.HISTORY_LOST
    situation = Situation(
        request, history, state, progress, in_flight, reply=reply, answer=answer, renewals=renewals
    )
    outcome, final, message = verdict(situation)
    return Judgement(
        outcome=outcome,
        final=final,
        leader_after=progress.leader,
        evidence=evidence_rules(situation),
        message=message,
        waiting=0 if final else _renewals_needed(situation),
        written=None if state is State.HISTORY_LOST else progress.written,
        withdrawn=progress.withdrawn,
        repeated=progress.repeated,
    )


def gone_answer(
    request: TransferRequest, reply: EngineReply | None, answered: int | None
) -> int | None:
    """`answered`, where it was the leader's own agent that answered that the request is gone."""
    return answered if _says_failed(reply) and request.goes_to_leader else None


def _says_failed(reply: EngineReply | None) -> bool:
    return reply is not None and reply.status == FAILED and reply.body.strip() in FAILURES


def reply_shows_written(reply: EngineReply | None) -> bool:
    """Whether Patroni's answer shows that the agent wrote the request into the failover key."""
    if reply is None or reply.status is None:
        return False
    unwritten = reply.body.startswith(WRITE_FAILED)
    return reply.status == OK or (reply.status == FAILED and not unwritten)


def _gone_on_by_lease(
    history: History, progress: Progress, answer: int | None, renewals: Renewals | None
) -> bool:
    """WITHDRAWN -> NOT_ACTED_ON by renewals of the lease: an idle leader writes no member entry."""
    leader, withdrawn = progress.leader_found, progress.withdrawn
    if progress.state is not State.WITHDRAWN or leader is None or withdrawn is None:
        return False
    if renewals is None or renewals.since < withdrawn:
        return False
    if not member_entry(history.keyspace.keys, leader.node).serving:
        return False
    counted_since_answer = answer is not None and withdrawn <= answer <= renewals.since
    return renewals.count >= (LOOPS if counted_since_answer else LOOPS + 1)


def _renewals_needed(situation: Situation) -> int:
    """How many renewals of the leader's lease from now on would show that its agent has gone on."""
    progress, answer = situation.progress, situation.answer
    withdrawn = progress.withdrawn
    if situation.state not in SAME_LEADER or withdrawn is None or progress.leader_found is None:
        return 0
    return LOOPS if answer is not None and withdrawn <= answer else LOOPS + 1


def attributed(judgement: Judgement, in_flight_until: int | None) -> Judgement:
    """The judgement, where the request was in flight, or its agent had not answered, until that
    revision; None: how long is not known.

    A request that reads the same and was written later is another one. Of two that were written
    within that time, nothing tells which one is this one.
    """
    if judgement.written is None:
        return judgement
    if in_flight_until is None or judgement.written > in_flight_until:
        message = (
            f"a request that reads the same was written at revision {judgement.written}, when"
            " aerokernel no longer had this one in flight: nothing proves that it was this one."
            f" Of the one that was written: {judgement.message}"
        )
        return replace(judgement, outcome="unknown", message=message)
    if judgement.repeated is None or judgement.repeated > in_flight_until:
        return judgement
    message = (
        f"{judgement.message}; a request that reads the same was written at revision"
        f" {judgement.repeated}, and nothing proves which of the two is this one"
    )
    return replace(judgement, outcome="unknown", waiting=0, message=message)
