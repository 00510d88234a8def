"""From the state of a request to its outcome: one function for each state (states.py). Pure."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from aeroctl.contract.cluster import Leader
from aeroctl.contract.terms import RequestOutcome
from aeroctl.kernel.prove.request import last_failover_write, names_somebody
from aeroctl.kernel.prove.situation import Situation
from aeroctl.kernel.prove.states import Progress, State
from aeroctl.kernel.store.keyspace import Keyspace


class Verdict(NamedTuple):
    """`final`: the outcome can't change any more."""

    outcome: RequestOutcome
    final: bool
    message: str


def verdict(situation: Situation) -> Verdict:
    """The outcome of the request, as far as it is known."""
    return VERDICTS[situation.state](situation)


def _refused(situation: Situation) -> Verdict:
    return Verdict("rejected", True, situation.reply.body if situation.reply else "")


def _not_sent(_: Situation) -> Verdict:
    return Verdict(
        "not_executed", True, "the request did not leave aerokernel: Patroni was never asked"
    )


def _history_lost(situation: Situation) -> Verdict:
    """The failover key was written in history that is compacted, and nothing proves by whom. What
    looks like success or a rejection is `unknown` then (P7-E2), and nothing is final.
    """
    request, history = situation.request, situation.history
    if situation.in_flight:
        message = "aerokernel still carries the request out; the history of its traces is compacted"
        return Verdict("in_progress", False, message)
    if not _may_be_same_leader(request.leader_before, history.base):
        message = "the leader changed in history that is compacted; nothing proves why"
        return Verdict("unknown", False, message)
    was_pending = _transfer_is_pending(history.base)
    if situation.progress.written is not None or was_pending:
        if _transfer_is_pending(history.keyspace):
            message = (
                "Patroni's failover key asks for a transfer; history is compacted, and nothing"
                " proves whose request that is"
            )
            return Verdict("in_progress", False, message)
        message = (
            "Patroni's failover key asked for a transfer where the history that is left begins;"
            " nothing proves whose request that was"
        )
        return Verdict("unknown", False, message)
    if not last_failover_write(history):
        message = (
            "the leader is the same; the history that would show whether Patroni took the request"
            " up, and acted on it, is compacted"
        )
        return Verdict("unknown", False, message)
    message = (
        "Patroni's failover key was written and cleared, and the leader is the same; the history"
        " that would show whose request that was, and whether Patroni acted on it, is compacted"
    )
    return Verdict("unknown", False, message)


def _may_be_same_leader(before: Leader | None, base: Keyspace) -> bool:
    """Whether the leader where the history begins can be the one that the request was bound to."""
    key = base.keys.get("leader")
    if key is None or before is None:
        return (key and key.value) == (before and before.node)
    return key.value == before.node and key.created <= before.since <= key.modified


def _transfer_is_pending(keyspace: Keyspace) -> bool:
    failover = keyspace.keys.get("failover")
    return failover is not None and names_somebody(failover.value)


def _dispatched(situation: Situation) -> Verdict:
    if situation.in_flight:
        message = "Patroni has not taken the request up, or not yet"
        return Verdict("in_progress", False, message)
    message = (
        "Patroni did not take the request up, and aerokernel no longer waits for it; nothing proves"
        " that an agent which was frozen meanwhile can't still take it up"
    )
    return Verdict("not_executed", False, message)


def _written(situation: Situation) -> Verdict:
    progress = situation.progress
    again = "" if progress.written_again is None else "the same request was written once more; "
    if progress.busy is None or progress.leader_found is None:
        message = f"{again}Patroni has the request and has not acted on it yet"
    else:
        node = progress.leader_found.node
        message = f"{again}Patroni is acting on the request: {node} no longer serves as primary"
    return Verdict("in_progress", False, message)


def _withdrawn(situation: Situation) -> Verdict:
    progress = situation.progress
    outcome: RequestOutcome = "in_progress" if situation.in_flight else "unknown"
    if progress.leader_found is None:
        doubt = (
            "no node held the leader key, and nothing proves that no node had read the request"
            " before"
        )
    elif progress.busy is None:
        doubt = (
            f"nothing proves yet that {progress.leader_found.node} had not read the request before;"
            " its agent may still step down"
        )
    else:
        doubt = (
            f"{progress.leader_found.node} was no longer serving at revision {progress.busy}, and"
            " nothing proves yet that its agent does not step down for the request"
        )
    return Verdict(outcome, False, f"{_withdrawal(progress)}; {doubt}")


def _not_acted_on(situation: Situation) -> Verdict:
    progress = situation.progress
    leader = progress.leader_found
    begin = f"{_withdrawal(progress)}, and {leader.node if leader else 'the leader'}"
    if situation.unanswered:
        message = (
            f"{begin} did not act on it; but the agent that was asked has not answered, so this may"
            " have been another request that reads the same"
        )
        return Verdict("in_progress", False, message)
    if leader != situation.request.leader_before:
        message = (
            f"{begin} did not act on it; it became leader only after the dispatch, and nothing"
            " proves that the leader before it did not act on the request"
        )
        return Verdict("unknown", True, message)
    if progress.interrupted is not None:
        message = (
            f"{begin} is still the leader, after an interruption: it did not serve as primary at"
            f" revision {progress.interrupted}"
        )
        return Verdict("rolled_back", True, message)
    message = f"{begin} did not act on it: its agent has gone on since, and it is still the leader"
    return Verdict("rejected", True, message)


def _leader_key_free(_: Situation) -> Verdict:
    message = "no node holds the leader key; Patroni is passing it on"
    return Verdict("in_progress", False, message)


def _leader_changed(situation: Situation) -> Verdict:
    message = f"{_leadership(situation.progress)}, and is not yet primary"
    return Verdict("in_progress", False, message)


def _new_primary(situation: Situation) -> Verdict:
    progress = situation.progress
    if not progress.caused_change:
        return Verdict("unknown", False, _unproved_cause(progress))
    message = f"{_leadership(progress)}, and is primary; the request may still be acted on"
    return Verdict("in_progress", False, message)


def _settled(situation: Situation) -> Verdict:
    request, progress = situation.request, situation.progress
    leadership = f"{_leadership(progress)}, and is primary"
    if progress.contested:
        message = f"{_rival(progress)}; {leadership}, and nothing proves for which of the two"
        return Verdict("unknown", True, message)
    if not progress.caused_change:
        return Verdict("unknown", True, _unproved_cause(progress))
    node = progress.new_leader.node if progress.new_leader else None
    if node is not None and request.asks_for(node):
        return Verdict("executed", True, leadership)
    if node not in [
        leader.node for leader in (request.leader_before, progress.leader_found) if leader
    ]:
        return Verdict("executed_other", True, leadership)
    if progress.busy is None:
        message = (
            f"{leadership}: it took the leader key anew, and was not seen to step down in between."
            " The request did not end its leadership, and came to nothing"
        )
        return Verdict("unknown", True, message)
    if _another_may_have_been_primary(progress):
        message = (
            f"{leadership} again; another node held the leader key meanwhile, and nothing proves"
            " that it was not primary"
        )
        return Verdict("unknown", True, message)
    message = f"{leadership}: it took the leader key back after an interruption"
    return Verdict("rolled_back", True, message)


def _another_may_have_been_primary(progress: Progress) -> bool:
    """Another node held the leader key in between, and may have been primary unseen.

    It was not, if the old leader is on its old timeline or on the next one, which its own promotion
    began: a promotion in between would have begun one more.
    """
    if progress.unseen_term_ended is None:
        return False
    before = None if progress.served is None else progress.served.timeline
    return before is None or progress.timeline is None or progress.timeline > before + 1


def _leadership(progress: Progress) -> str:
    leader = progress.new_leader
    assert leader is not None  # in every state that follows LEADER_CHANGED
    return f"{leader.node} is leader since revision {leader.since}"


def _unproved_cause(progress: Progress) -> str:
    return (
        f"{_withdrawal(progress)} before the leader changed; {_leadership(progress)}, and is"
        " primary, and nothing proves that the request caused this"
    )


def _withdrawal(progress: Progress) -> str:
    revision = progress.withdrawn
    if progress.removal == "replaced":
        return f"another request replaced this one at revision {revision}"
    if progress.removal == "deleted":
        return (
            f"the request was deleted at revision {revision} (Patroni itself never deletes the"
            " failover key)"
        )
    return f"the request was cleared at revision {revision}"


def _rival(progress: Progress) -> str:
    if progress.replaced is not None:
        return f"another request replaced this one at revision {progress.replaced}"
    return (
        f"a request that reads the same was written at revision {progress.written_again}, after the"
        " first one was withdrawn"
    )


VERDICTS: Mapping[State, Callable[[Situation], Verdict]] = {
    State.REFUSED: _refused,
    State.NOT_SENT: _not_sent,
    State.HISTORY_LOST: _history_lost,
    State.DISPATCHED: _dispatched,
    State.WRITTEN: _written,
    State.WITHDRAWN: _withdrawn,
    State.NOT_ACTED_ON: _not_acted_on,
    State.LEADER_KEY_FREE: _leader_key_free,
    State.LEADER_CHANGED: _leader_changed,
    State.NEW_PRIMARY: _new_primary,
    State.SETTLED: _settled,
}
