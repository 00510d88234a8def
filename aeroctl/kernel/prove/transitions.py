"""The transitions of a request's state machine (states.py). Pure."""

from dataclasses import replace

from aeroctl.kernel.prove.evidence import (
    Evidence,
    FailoverCleared,
    LeaderKeyFreed,
    LeaderKeyTaken,
    LeaderReported,
    MemberEntry,
    OtherRequestWritten,
    RequestWritten,
    leader_at_start,
    read_evidence,
)
from aeroctl.kernel.prove.request import TransferRequest
from aeroctl.kernel.prove.states import LOOPS, Progress, Removal, State
from aeroctl.kernel.store.keyspace import History


def follow(
    request: TransferRequest,
    history: History,
    progress: Progress | None = None,
    *,
    answer: int | None = None,
) -> Progress:
    """How far the request has come by the end of `history`.

    `progress`: how far it had come where this piece of history begins; None: it begins at the
    dispatch. `answer`: a revision of the store from after the leader's own agent had answered that
    the request is gone from its view of the keys.
    """
    progress = progress or Progress(leader=leader_at_start(request, history))
    for evidence in read_evidence(request, history, progress.leader):
        if progress.repeated is not None:
            break
        progress = step(request, progress, evidence, answer)
    return progress


def step(
    request: TransferRequest, progress: Progress, evidence: Evidence, answer: int | None
) -> Progress:
    """One transition of the state machine."""
    match progress.state:
        case State.DISPATCHED:
            return _from_dispatched(progress, evidence)
        case State.WRITTEN | State.WITHDRAWN:
            return _from_same_leader(request, progress, evidence, answer)
        case State.LEADER_KEY_FREE | State.LEADER_CHANGED | State.NEW_PRIMARY:
            return _from_leader_lost(request, progress, evidence)
        case _:
            return _from_end(progress, evidence)


def _from_dispatched(progress: Progress, evidence: Evidence) -> Progress:
    match evidence:
        case RequestWritten(revision, leader, entry):
            served = entry if entry.serving else None
            return replace(
                progress,
                state=State.WRITTEN,
                written=revision,
                leader_found=leader,
                served=served,
            )
        case LeaderKeyTaken(_, leader, _):
            return replace(progress, leader=leader)
        case LeaderKeyFreed():
            return replace(progress, leader=None)
        case _:
            return progress


def _from_same_leader(
    request: TransferRequest, progress: Progress, evidence: Evidence, answer: int | None
) -> Progress:
    match evidence:
        case RequestWritten(revision):
            return _written_again(progress, revision)
        case OtherRequestWritten(revision):
            progress = replace(progress, replaced=progress.replaced or revision)
            progress = _withdrawn(progress, revision, "replaced")
            return replace(progress, state=State.WITHDRAWN)
        case FailoverCleared(revision, deleted):
            progress = _withdrawn(progress, revision, "deleted" if deleted else "cleared")
            return replace(progress, state=State.WITHDRAWN)
        case LeaderReported():
            return _same_leader_reported(progress, evidence, answer)
        case LeaderKeyFreed(revision, expired):
            progress = replace(progress, leader_lost=revision, released=not expired)
            return _key_freed(progress, revision)
        case LeaderKeyTaken(revision):
            return _key_taken(request, replace(progress, leader_lost=revision), evidence)


def _from_leader_lost(request: TransferRequest, progress: Progress, evidence: Evidence) -> Progress:
    match evidence:
        case RequestWritten():
            return progress  # only before the leader lost its key does a second one matter
        case OtherRequestWritten(revision):
            # Perhaps Patroni itself: while paused, the new leader leaves the candidate's name.
            return _withdrawn(progress, revision, "replaced")
        case FailoverCleared(revision, deleted):
            return _withdrawn(progress, revision, "deleted" if deleted else "cleared")
        case LeaderReported():
            return _new_leader_reported(request, progress, evidence)
        case LeaderKeyFreed(revision):
            return _key_freed(progress, revision)
        case LeaderKeyTaken():
            return _key_taken(request, progress, evidence)


def _from_end(progress: Progress, evidence: Evidence) -> Progress:
    if isinstance(evidence, RequestWritten):
        return replace(progress, repeated=evidence.revision)
    return progress


def _written_again(progress: Progress, revision: int) -> Progress:
    """The same request once more: while the first one stands it makes no difference."""
    if progress.state is State.WRITTEN:
        return progress
    return replace(
        progress,
        state=State.WRITTEN,
        written_again=progress.written_again or revision,
        withdrawn=None,
        removal=None,
        loops=(),
        loop_after_answer=None,
    )


def _withdrawn(progress: Progress, revision: int, removal: Removal) -> Progress:
    """The failover key no longer names the request; the first time counts."""
    if progress.withdrawn is not None:
        return progress
    return replace(progress, withdrawn=revision, removal=removal)


def _same_leader_reported(
    progress: Progress, reported: LeaderReported, answer: int | None
) -> Progress:
    """The leader that the request found describes itself, and still holds the leader key."""
    entry, revision = reported.entry, reported.revision
    if entry == MemberEntry():
        return progress  # the entry is gone or unreadable, which proves nothing
    if progress.served is None and not entry.serving:
        return progress  # it had not begun to serve when the request came
    served = progress.served or entry
    progress = replace(progress, served=served)
    if entry.interrupted or _on_later_timeline(entry, served):
        progress = replace(progress, interrupted=progress.interrupted or revision)
    if not entry.serving:
        return replace(progress, busy=progress.busy or revision)
    if progress.withdrawn is None or not reported.replaced:
        return progress
    return _loop_ended(progress, revision, answer)


def _loop_ended(progress: Progress, revision: int, answer: int | None) -> Progress:
    """The leader serves after the withdrawal; see NOT_ACTED_ON in the module's docstring."""
    withdrawn = progress.withdrawn or 0
    if answer is not None and withdrawn <= answer < revision:
        return replace(
            progress,
            state=State.NOT_ACTED_ON,
            loop_after_answer=revision,
            loops=(*progress.loops, revision)[:LOOPS],
        )
    loops = (*progress.loops, revision)
    gone_on = len(loops) >= LOOPS
    return replace(progress, state=State.NOT_ACTED_ON if gone_on else progress.state, loops=loops)


def _on_later_timeline(entry: MemberEntry, served: MemberEntry) -> bool:
    return (entry.timeline or 0) > (served.timeline or entry.timeline or 0)


def _key_freed(progress: Progress, revision: int) -> Progress:
    progress = _term_ended(progress, revision)
    return replace(progress, state=State.LEADER_KEY_FREE, leader=None)


def _key_taken(request: TransferRequest, progress: Progress, taken: LeaderKeyTaken) -> Progress:
    progress = replace(
        _term_ended(progress, taken.revision),
        state=State.LEADER_CHANGED,
        leader=taken.leader,
        new_leader=taken.leader,
        primary=None,
        loops_after=(),
    )
    # What the old leader wrote before it lost the key says nothing of its new term.
    if taken.entry.primary and not progress.same_node_leads_again:
        return _became_primary(request, progress, taken.revision, taken.entry)
    return progress


def _term_ended(progress: Progress, revision: int) -> Progress:
    """Note it where a new leader has lost the key, and was never seen as primary."""
    if progress.new_leader is not None and progress.primary is None:
        return replace(progress, unseen_term_ended=revision)
    return progress


def _new_leader_reported(
    request: TransferRequest, progress: Progress, reported: LeaderReported
) -> Progress:
    entry, revision = reported.entry, reported.revision
    # An entry of the old leader must be of its new term: not of an action that began before it.
    of_new_term = entry.serving or not progress.same_node_leads_again
    if progress.primary is None and entry.primary and of_new_term:
        progress = _became_primary(request, progress, revision, entry)
    if progress.primary is None or progress.withdrawn is None:
        return progress
    if entry.serving and reported.replaced:
        loops = (*progress.loops_after, revision)[:LOOPS]
        return _settled_or_not(request, replace(progress, loops_after=loops))
    return progress


def _became_primary(
    request: TransferRequest, progress: Progress, revision: int, entry: MemberEntry
) -> Progress:
    progress = replace(progress, primary=revision, timeline=entry.timeline)
    return _settled_or_not(request, progress)


def _settled_or_not(request: TransferRequest, progress: Progress) -> Progress:
    """SETTLED, where nothing can still be done for the request; else NEW_PRIMARY."""
    new_leader = progress.new_leader
    fulfilled = new_leader is not None and request.asks_for(new_leader.node)
    settled = progress.contested or fulfilled or _new_leader_has_gone_on(request, progress)
    return replace(progress, state=State.SETTLED if settled else State.NEW_PRIMARY)


def _new_leader_has_gone_on(request: TransferRequest, progress: Progress) -> bool:
    """A leader that was not asked for has served since the withdrawal. A whole HA loop is needed
    where its agent may have read the request, and no interruption shows that it has acted on it.
    """
    if progress.withdrawn is None:
        return False
    may_have_read = progress.same_node_leads_again or not request.goes_to_leader
    whole_loop = may_have_read and progress.interrupted is None
    return len(progress.loops_after) >= (LOOPS if whole_loop else 1)
