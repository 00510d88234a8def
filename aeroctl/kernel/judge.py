"""What became of a request, as the store's history proves it. Pure; the one truth about outcomes.

The engine keeps no request ids. What it leaves behind is the failover key, which a request writes
and which is cleared by writing `{}`, and the leader key, which is created anew for every reign.
Both are followed in order of commit from the dispatch on (traces.py), and the first thing that
decides the outcome ends it: what happens later, such as a crash after a rejection, is not this
request's doing.

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

Verdict = tuple[RequestOutcome, bool, str]
"""Outcome, whether it is final, and words."""

__all__ = ["REFUSALS", "Asked", "Judgement", "judge"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """`final`: it can't change any more. `authority_after`: who held authority when the outcome was
    decided, else who holds it where the history ends. `evidence`: always the same rules, in the
    same order. `message`: in the engine's words where it refused.
    """

    outcome: RequestOutcome
    final: bool
    authority_after: Authority | None
    evidence: list[Rule]
    message: str | None


def judge(
    asked: Asked, history: History, in_flight: bool, reply: EngineReply | None, sent: bool | None
) -> Judgement:
    """Judge a request for a transfer of authority.

    `history`: of the engine's keys since `asked.dispatched`. `in_flight`: the kernel still carries
    it out. `reply`: the engine's, as far as one is known (a status of None is none). `sent`: False
    where the call provably never left; None where nobody knows.
    """
    now = authority(history.keyspace.keys.get("leader"))
    status = None if reply is None else reply.status
    if reply is not None and status in REFUSALS:
        told = Fact(name="engine_status", value=status)
        evidence = _evidence(asked, history, Traces(), "does_not_hold", told)
        return Judgement("rejected", True, now, evidence, reply.body)
    if sent is False:
        told = Fact(name="sent", value=False)
        evidence = _evidence(asked, history, Traces(), "does_not_hold", told)
        message = "the call did not leave the kernel: the engine was never asked"
        return Judgement("not_executed", True, now, evidence, message)
    traces = follow(asked, history)
    lost = not asked.reached_by(history)
    if lost:
        outcome, final, message = _lost(asked, history, traces, in_flight)
    elif traces.arrived is None:
        outcome, final, message = _not_arrived(in_flight)
    else:
        outcome, final, message = _arrived(asked, traces)
    found: Evaluation = "does_not_hold" if traces.arrived is None else "holds"
    evidence = _evidence(asked, history, traces, "undetermined" if lost else found, None)
    decided = traces.held if traces.cleared else traces.passed
    return Judgement(outcome, final, decided if final else now, evidence, message)


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

    What looks like success is `unknown` then (P7-E2), and nothing is final.
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
        " history that shows whose it was is compacted"
    )
    return "rejected", False, words


def _arrived(asked: Asked, traces: Traces) -> Verdict:
    if traces.cleared:
        words = "the engine cleared the request and acted on nothing; the same reign went on"
        return "rejected", True, words  # P7-E3
    if traces.passed is None:
        if traces.held is None or traces.vacant:
            return "in_progress", False, "nobody holds authority; the engine is passing it on"
        return "in_progress", False, "the engine has the request and has not acted on it yet"
    holder = f"{traces.passed.node} holds authority since commit {traces.passed.reign}"
    wanted = asked.wants(traces.passed.node)
    former = {each.node for each in (asked.before, traces.held) if each is not None}
    if not wanted and traces.passed.node in former:
        return "rolled_back", True, f"{holder}: it took it back after an interruption"
    if traces.primary:
        return ("executed" if wanted else "executed_other"), True, f"{holder}, and is primary"
    if traces.ended:
        words = f"{traces.passed.node} took authority and lost it before it was seen as primary"
        return "unknown", True, words
    return "in_progress", False, f"{holder}, and is not yet primary"


def _evidence(
    asked: Asked, history: History, traces: Traces, arrived: Evaluation, told: Fact | None
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
            *([told] if told else []),
        ),
        _rule(
            "cleared_in_same_reign",
            "the engine cleared the request while the reign went on that it had found",
            _settled(traces.cleared, arrived == "holds" and (traces.vacant or passed is not None)),
            Fact(name="cleared_commit", value=traces.cleared),
            Fact(name="reign", value=traces.held.reign if traces.held else None),
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
            _settled(traces.primary, traces.ended is not None),
            Fact(name="primary_commit", value=traces.primary),
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
