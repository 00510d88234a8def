"""What became of a request, as the store's history proves it. Pure; the one truth about outcomes.

The engine keeps no request ids. What it leaves behind is the failover key, which a request writes
and which is cleared by writing `{}`, and the leader key, which is created anew for every reign.
Both are followed in order of commit from the dispatch on (traces.py), with what the nodes say of
themselves, and the first thing that decides the outcome ends it: what happens later, such as a
crash after a rejection, is not this request's doing.

An outcome is final only where nothing that is still to come can change it. That a request never
arrived is final only where the engine answered that it refuses it, or where it provably never left:
a frozen agent may take up a request long after everybody stopped waiting for it (P7-E2).
"""

from dataclasses import dataclass

from aeroctl.contract.cluster import Authority
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.rules import Fact, Rule
from aeroctl.contract.terms import Evaluation, RequestOutcome
from aeroctl.kernel.keyspace import History
from aeroctl.kernel.traces import Asked, Traces, authority, follow, pending

REFUSALS = frozenset({400, 401, 403, 404, 405, 411, 412, 422})
"""The agent's answers that it gives instead of writing the failover key, never after it."""
FAILED, FAILURES = 503, frozenset({"Switchover failed", "Failover failed"})
"""The agent's answer when the failover key was cleared while the same node held authority."""

Verdict = tuple[RequestOutcome, bool, str]
"""Outcome, whether it is final, and words."""

__all__ = ["REFUSALS", "Asked", "Judgement", "failed", "judge"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """`final`: it can't change any more. `authority_after`: who held authority when the outcome was
    decided, else who holds it where the history ends. `evidence`: always the same rules, in the
    same order. `message`: in the engine's words where it refused. `rejected` is always final.
    """

    outcome: RequestOutcome
    final: bool
    authority_after: Authority | None
    evidence: list[Rule]
    message: str | None


def failed(reply: EngineReply | None) -> bool:
    """The engine said that it acted on nothing: no proof against what was seen, but else one."""
    return reply is not None and reply.status == FAILED and reply.body.strip() in FAILURES


def judge(
    asked: Asked,
    history: History,
    in_flight: bool,
    reply: EngineReply | None,
    sent: bool | None,
    traces: Traces | None = None,
) -> Judgement:
    """Judge a request for a transfer of authority.

    `history`: of the engine's keys since `asked.dispatched`. `in_flight`: the kernel still carries
    it out. `reply`: the engine's, as far as one is known (a status of None is none). `sent`: False
    where the call provably never left; None where nobody knows. `traces`: of that history, where
    they were followed piece by piece; its events are not looked at then.
    """
    now = authority(history.keyspace.keys.get("leader"))
    told = failed(reply)
    if reply is not None and reply.status in REFUSALS:
        fact = Fact(name="engine_status", value=reply.status)
        evidence = _evidence(asked, history, Traces(), told, "does_not_hold", fact)
        return Judgement("rejected", True, now, evidence, reply.body)
    if sent is False:
        fact = Fact(name="sent", value=False)
        evidence = _evidence(asked, history, Traces(), told, "does_not_hold", fact)
        message = "the call did not leave the kernel: the engine was never asked"
        return Judgement("not_executed", True, now, evidence, message)
    traces = traces or follow(asked, history, failed=told)
    lost = not asked.reached_by(history)
    if lost:
        outcome, final, message = _lost(asked, history, traces, in_flight)
    elif traces.arrived is None:
        outcome, final, message = _not_arrived(in_flight)
    elif traces.cleared is not None:
        outcome, final, message = _cleared(traces, in_flight, told)
    else:
        outcome, final, message = _arrived(asked, traces)
    found: Evaluation = "does_not_hold" if traces.arrived is None else "holds"
    evidence = _evidence(asked, history, traces, told, "undetermined" if lost else found, None)
    return Judgement(outcome, final, traces.holder if final else now, evidence, message)


def _not_arrived(in_flight: bool) -> Verdict:
    if in_flight:
        return "in_progress", False, "the engine has not taken it up, or not yet"
    words = (
        "the engine did not take it up, and the kernel no longer waits for it; nothing proves that"
        " an agent which was frozen meanwhile can't still do so"
    )
    return "not_executed", False, words


def _lost(asked: Asked, history: History, traces: Traces, in_flight: bool) -> Verdict:
    """The failover key was written in a part of history that is gone: by whom, nothing proves.

    What looks like success, or like a rejection, is `unknown` then (P7-E2), and nothing is final.
    """
    if in_flight:
        return "in_progress", False, "the kernel still carries it out; its traces were compacted"
    if authority(history.base.keys.get("leader")) != asked.before:
        words = "authority passed in a part of history that was compacted, for whatever reason"
        return "unknown", False, words
    if traces.arrived is not None or pending(history.base.keys.get("failover")):
        if pending(history.keyspace.keys.get("failover")):
            words = "a transfer is pending; history was compacted, so nothing proves whose it is"
            return "in_progress", False, words
        words = "a transfer was pending where history was compacted; nothing proves whose it was"
        return "unknown", False, words
    words = (
        "a transfer was asked for and cleared again, and the same reign went on; the part of"
        " history that shows whose it was, and whether it was acted on, is compacted"
    )
    return "unknown", False, words


def _cleared(traces: Traces, in_flight: bool, told: bool) -> Verdict:
    """The engine cleared the request in the reign that it had found (P7-E3).

    That it acted on nothing is proved by its own word, or by the holder's, who still is primary on
    the same timeline; not by the reign alone, in which a node can be stopped and promoted again.
    """
    words = _replaced(traces) + "the engine cleared the request"
    if traces.held is None:
        return "rejected", True, f"{words} and acted on nothing; nobody held authority"
    node = traces.held.node
    if traces.interrupted_before_clear:
        words += f", and the same reign went on after an interruption: {node} did not serve as"
        return "rolled_back", True, f"{words} primary at commit {traces.interrupted}"
    if told or traces.resumed:
        return "rejected", True, f"{words} and acted on nothing; the same reign went on"
    if traces.interrupted or traces.vacant:
        words += f", but {node} was interrupted before it was seen to be primary still: nothing"
        words += " proves whether the engine had acted"
        return ("in_progress", False, words) if in_flight else ("unknown", True, words)
    words += f", but {node} has not described itself since, so that nothing proves yet that it"
    words += " was primary all the time"
    return "in_progress" if in_flight else "unknown", False, words


def _arrived(asked: Asked, traces: Traces) -> Verdict:
    if traces.passed is None or traces.holder is None:
        return "in_progress", False, _waiting(traces)
    holder = f"{traces.passed.node} holds authority since commit {traces.passed.reign}"
    if traces.replaced is not None:
        words = f"{_replaced(traces)}{holder}, and nothing proves for which of the two"
        return "unknown", True, words
    if traces.primary is None:
        return "in_progress", False, f"{holder}, and is not yet primary"
    if asked.wants(traces.passed.node):
        return "executed", True, f"{holder}, and is primary"
    if traces.passed.node not in {each.node for each in (asked.before, traces.held) if each}:
        return "executed_other", True, f"{holder}, and is primary"
    if _may_have_been_elsewhere(traces):
        words = f"{holder}, and is primary again; another node held authority meanwhile, and"
        return "unknown", True, f"{words} nothing proves that it was not primary"
    return "rolled_back", True, f"{holder}: it took it back after an interruption"


def _waiting(traces: Traces) -> str:
    if traces.holder is None:
        return "nobody holds authority; the engine is passing it on"
    if traces.replaced is not None:
        return f"{_replaced(traces)}it was not acted on yet"
    if traces.interrupted is not None:
        return f"the engine is acting on it: {traces.holder.node} no longer serves as primary"
    return "the engine has the request and has not acted on it yet"


def _replaced(traces: Traces) -> str:
    if traces.replaced is None:
        return ""
    return f"another request replaced it at commit {traces.replaced}; "


def _may_have_been_elsewhere(traces: Traces) -> bool:
    """Another node held authority in between, and may have been primary unseen.

    It was not if the old holder's timeline is its old one, or the one that its own promotion
    began: a promotion in between would have begun one more.
    """
    if traces.ended is None:
        return False
    before = None if traces.served is None else traces.served.timeline
    return before is None or traces.timeline is None or traces.timeline > before + 1


def _evidence(
    asked: Asked,
    history: History,
    traces: Traces,
    told: bool,
    arrived: Evaluation,
    fact: Fact | None,
) -> list[Rule]:
    before, passed = asked.before, traces.passed
    return [
        Rule(
            rule_id="recorded",
            description="the dispatch was recorded before the engine was asked",
            evaluation="holds",
            enforced_by="kernel",
            evidence=[Fact(name="dispatched_commit", value=asked.dispatched)],
        ),
        _rule(
            "arrived",
            "the engine has taken the request up",
            arrived,
            Fact(name="failover_commit_before", value=asked.failover_commit),
            Fact(name="arrived_commit", value=traces.arrived),
            Fact(name="replaced_commit", value=traces.replaced),
            *([fact] if fact else []),
        ),
        _rule(
            "cleared_in_same_reign",
            "the engine cleared the request while the reign went on that it had found",
            _settled(traces.cleared, arrived == "holds" and traces.vacant),
            Fact(name="cleared_commit", value=traces.cleared),
            Fact(name="reign", value=traces.held.reign if traces.held else None),
        ),
        _rule(
            "holder_stayed_primary",
            "the holder of that reign was primary all the time that the engine had the request",
            _settled(
                not traces.interrupted_before_clear
                and (traces.resumed or (traces.cleared and told and traces.held)),
                bool(traces.interrupted or traces.vacant),
            ),
            Fact(name="interrupted_commit", value=traces.interrupted),
            Fact(name="still_primary_commit", value=traces.resumed),
            Fact(name="timeline", value=traces.served.timeline if traces.served else None),
            Fact(name="engine_says_failed", value=told),
        ),
        _rule(
            "authority_passed",
            "authority passed into a new reign: of the named node; for a demotion, of any other",
            _settled(passed and asked.wants(passed.node), bool(passed or traces.cleared)),
            Fact(name="node_before", value=before.node if before else None),
            Fact(name="reign_before", value=before.reign if before else None),
            Fact(name="node_after", value=passed.node if passed else None),
            Fact(name="reign_after", value=passed.reign if passed else None),
        ),
        _rule(
            "new_holder_is_primary",
            "the new holder described itself as primary within that reign",
            _settled(traces.primary, traces.ended is not None and traces.holder is None),
            Fact(name="primary_commit", value=traces.primary),
            Fact(name="timeline_after", value=traces.timeline),
            Fact(name="reign_ended_commit", value=traces.ended),
        ),
        _rule(
            "history_complete",
            "the store's history reaches back to the dispatch",
            "holds" if history.complete else "does_not_hold",
            Fact(name="history_from_commit", value=history.base.commit_id),
            Fact(name="history_to_commit", value=history.keyspace.commit_id),
        ),
    ]


def _settled(proof: object, refuted: bool) -> Evaluation:
    if proof:
        return "holds"
    return "does_not_hold" if refuted else "undetermined"


def _rule(rule_id: str, description: str, evaluation: Evaluation, *evidence: Fact) -> Rule:
    return Rule(
        rule_id=rule_id,
        description=description,
        evaluation=evaluation,
        enforced_by="engine",
        evidence=list(evidence),
    )
