"""What became of a request, as the store's history proves it. Pure; the one truth about outcomes.

The engine keeps no request ids. What it leaves behind is the failover key, which a request writes
and which is cleared by writing `{}`, and the leader key, which is taken anew for every leader term.
Both are followed in order of revision from the dispatch on (traces.py), with what the nodes say of
themselves, and the first thing that decides the outcome ends it: what happens later, such as a
crash after a rejection, is not this request's doing.

An outcome is final only where nothing that is still to come can change it:

    not arrived --failover key written for it--> pending
    pending   --key cleared, deleted or replaced--> withdrawn    (whoever did it: no name is kept)
    pending   --leader term over--> passing
    withdrawn --leader term over--> passing
    withdrawn --the holder's agent moved on--> `rejected`, or, if it did not serve in between,
                                               `rolled_back`; final. Where the leader term is not
                                               the one that the dispatch was bound to, `unknown`
    passing   --a new holder is primary--> `executed`, `executed_other`, `rolled_back` or `unknown`

**That the request is gone from the failover key proves nothing.** The holder's agent acts on what
it has read, which may be before that: `process_manual_failover_from_leader` has a step-down begun
in another thread (`demote("graceful")`), which goes on whatever becomes of the key. Nor is the
engine's word a proof ("Switchover failed": `poll_failover_result` finds no failover key, and the
same leader); it is given as well where somebody deleted the key while the holder steps down.

**The agent moved on** once a loop of it that can't have read the request any more has ended with
the holder serving (what its entry proves: traces.py). Every loop that does find the request in its
view of the keys acts on it at once: it begins to step down, which shows in its entry when that loop
ends, or it clears the key itself. And its view has the request from the moment on that its own
agent wrote it (`KVCache.set` in `PatroniEtcd3Client.call_rpc`). So there must be, in order:

* where the holder's own agent answered that the request is gone from its view: the end of the loop
  that was under way then. One entry of a serving holder after that, or two renewals of its lease
  (the second is made by a later loop, so the first one's has ended) and the entry unchanged;
* otherwise the end of a loop that began after the withdrawal. Two entries, or three renewals.

A frozen agent does neither, so nothing about it is final (P7-E2). What is taken for granted: an
agent's view of the keys does not go back; and where the holder's agent gave no such answer, or the
request was written by another one's (a forced promotion), its view is not older than a whole loop.

A node that leads again, or another one than asked, may have read the request too: `rolled_back` and
`executed_other` are final only once the request is withdrawn, and that node serves after that. That
the leader key passed after a withdrawal is the request's doing only where the holder began to step
down before its leader term ended, and released it itself; else what happened is told as `unknown`.

That a request never arrived is final only where the engine answered that it refuses it, or where it
provably never left: a frozen agent may take it up long after everybody stopped waiting for it. Nor
is a request that reads the same, but was taken up when the kernel had none in flight any more,
taken for this one. One that another operator made within that time can't be told from it; so
nothing is `rejected` while the kernel has it in flight and no agent has answered: it may yet come.
"""

from dataclasses import dataclass, replace

from aeroctl.contract.cluster import Leader
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.rules import Fact, Rule, rule
from aeroctl.contract.terms import Evaluation, RequestOutcome
from aeroctl.kernel.prove.evidence import (
    LOOPS,
    Asked,
    Traces,
    described,
    follow,
    leader_after,
    pending,
)
from aeroctl.kernel.store.keyspace import History

REFUSALS = frozenset({400, 401, 403, 404, 405, 411, 412, 422})
"""The agent's answers that it gives instead of writing the failover key, never after it."""
OK = 200
FAILED, FAILURES = 503, frozenset({"Switchover failed", "Failover failed"})
"""The agent's answer when the failover key was cleared while the same node held the leader key."""

Verdict = tuple[RequestOutcome, bool, str]
"""Outcome, whether it is final, and words."""

__all__ = [
    "REFUSALS",
    "Asked",
    "Judgement",
    "Renewals",
    "attributed",
    "failed",
    "judge",
    "wrote",
]


@dataclass(frozen=True, slots=True)
class Renewals:
    """How often the holder's agent was seen to renew the lease of its leader key, after revision
    `since` and before the history that is judged was read.
    """

    since: int
    count: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """`final`: it can't change any more. `leader_after`: who held the leader key when the outcome
    was decided, else who holds it where the history ends. `evidence`: the rules that bear on it, in
    a fixed order. `message`: in the engine's words where it refused. `rejected` is always final.
    `waiting`: it is known but for what the holder's agent still may do; so many renewals of its
    lease from now on would prove that (0: nothing is waited for). `arrived`, `withdrawn`, `echo`:
    revisions of the failover key, see traces.py.
    """

    outcome: RequestOutcome
    final: bool
    leader_after: Leader | None
    evidence: list[Rule]
    message: str | None
    waiting: int = 0
    arrived: int | None = None
    withdrawn: int | None = None
    echo: int | None = None


def failed(reply: EngineReply | None) -> bool:
    """The agent found the request gone, and the same holder: evidence, but no proof of anything."""
    return reply is not None and reply.status == FAILED and reply.body.strip() in FAILURES


def judge(
    asked: Asked,
    history: History,
    in_flight: bool,
    reply: EngineReply | None,
    sent: bool | None,
    traces: Traces | None = None,
    *,
    answered: int | None = None,
    renewals: Renewals | None = None,
) -> Judgement:
    """Judge a request for a transfer of the leader key.

    `history`: of the engine's keys since `asked.dispatched`. `in_flight`: the kernel still carries
    it out. `reply`: the engine's, as far as one is known (a status of None is none). `sent`: False
    where the call provably never left; None where nobody knows. `traces`: of that history, where
    they were followed piece by piece; its events are not looked at then. `answered`: a revision
    that was there once the reply had come; None: there is none.
    """
    word = told(asked, reply, answered)
    if reply is not None and reply.status in REFUSALS:
        fact = Fact(name="engine_status", value=reply.status)
        evidence = _Evidence(asked, history, Traces(), word).refuted(fact)
        now = leader_after(asked, history)
        return Judgement("rejected", True, now, evidence, reply.body)
    if sent is False:
        evidence = _Evidence(asked, history, Traces(), word).refuted(Fact(name="sent", value=False))
        message = "the call did not leave the kernel: the engine was never asked"
        now = leader_after(asked, history)
        return Judgement("not_executed", True, now, evidence, message)
    traces = traces or follow(asked, history, word=word)
    lost = not asked.reached_by(history)
    moved_on = traces.moved_on or _renewed(history, traces, word, renewals)
    waiting = 0
    if lost:
        outcome, final, message = _lost(asked, history, traces, in_flight)
    elif traces.arrived is None:
        outcome, final, message = _not_arrived(in_flight)
    elif traces.left is None:
        silent = in_flight and (reply is None or reply.status is None)
        outcome, final, message = _same_leader_term(
            asked, traces, in_flight, moved_on, silent=silent
        )
        if traces.withdrawn is not None and traces.held is not None and not final:
            waiting = LOOPS if _spoken(traces, word) else LOOPS + 1
    else:
        outcome, final, message = _passed(asked, traces)
    evidence = _Evidence(asked, history, traces, word, renewals, moved_on=moved_on).all(lost=lost)
    return Judgement(
        outcome,
        final,
        traces.leader,
        evidence,
        message,
        waiting,
        None if lost else traces.arrived,
        traces.withdrawn,
        traces.echo,
    )


def attributed(found: Judgement, landed: int | None) -> Judgement:
    """A judgement, where the kernel had the request in flight up to revision `landed` (None:
    nothing tells how long), or its agent had answered by then.

    A request that reads the same and came later is another one, and of two within that time nothing
    tells which is this one.
    """
    if found.arrived is None:
        return found
    if landed is None or found.arrived > landed:
        return _overdue(found)
    if found.echo is None or found.echo > landed:
        return found
    words = (
        f"one that reads the same was made at revision {found.echo}: which is this one is unknown"
    )
    return replace(found, outcome="unknown", waiting=0, message=f"{found.message}; {words}")


def _overdue(found: Judgement) -> Judgement:
    """What is left of a judgement where the kernel no longer had the request in flight when one
    that reads the same was taken up: whose that was, nothing proves (P7-E2).
    """
    words = (
        f"a request that reads the same was taken up at revision {found.arrived}, when the kernel "
        f"no longer had this one in flight: nothing proves that it was this one. Of that one:"
    )
    return replace(found, outcome="unknown", message=f"{words} {found.message}")


def wrote(reply: EngineReply | None) -> bool:
    """The agent's answer shows that it has written the request into the failover key."""
    if reply is None or reply.status is None:
        return False
    unwritten = reply.body.startswith("failed to write")
    return reply.status == OK or (reply.status == FAILED and not unwritten)


def told(asked: Asked, reply: EngineReply | None, answered: int | None) -> int | None:
    """A revision that was there when the holder's own agent had found the request gone; or None."""
    return answered if failed(reply) and asked.asks_holder() else None


def _renewed(history: History, traces: Traces, word: int | None, renewals: Renewals | None) -> bool:
    """As `Traces.moved_on`, by the lease: an idle holder has nothing to write into its entry."""
    if renewals is None or traces.withdrawn is None or traces.left is not None:
        return False
    if traces.held is None or renewals.since < traces.withdrawn:
        return False
    if not described(history.keyspace.keys, traces.held.node).serving:
        return False
    spoken = _spoken(traces, word) and word is not None and word <= renewals.since
    return renewals.count >= (LOOPS if spoken else LOOPS + 1)


def _spoken(traces: Traces, word: int | None) -> bool:
    return word is not None and traces.withdrawn is not None and traces.withdrawn <= word


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
    leader, before = history.base.keys.get("leader"), asked.before
    same = (leader and leader.value) == (before and before.node)
    if leader is not None and before is not None:
        same = same and leader.created <= before.since <= leader.modified
    if not same:
        words = "the leader key passed in a part of history that was compacted, for whatever reason"
        return "unknown", False, words
    if traces.arrived is not None or pending(history.base.keys.get("failover")):
        if pending(history.keyspace.keys.get("failover")):
            words = "a transfer is pending; history was compacted, so nothing proves whose it is"
            return "in_progress", False, words
        words = "a transfer was pending where history was compacted; nothing proves whose it was"
        return "unknown", False, words
    if history.base.keys.get("failover") is None:
        words = (
            "the same leader term went on; the part of history that shows whether the engine took "
            "it up, and acted on it, is compacted"
        )
        return "unknown", False, words
    words = (
        "a transfer was asked for and cleared again, and the same leader term went on; the part of"
        " history that shows whose it was, and whether it was acted on, is compacted"
    )
    return "unknown", False, words


def _same_leader_term(
    asked: Asked, traces: Traces, in_flight: bool, moved_on: bool, *, silent: bool
) -> Verdict:
    """The leader term that the request found goes on (P7-E3). `silent`: no agent has answered
    yet.
    """
    if traces.withdrawn is None:
        return "in_progress", False, _waiting(traces)
    words = _withdrawn(traces)
    if traces.held is None:
        words += "; nobody held the leader key, and nothing proves that no node has read it before"
        return ("in_progress" if in_flight else "unknown"), False, words
    node = traces.held.node
    if moved_on and silent:
        words += f", and {node} acted on nothing; but the agent that was asked has not answered, so"
        return "in_progress", False, f"{words} that this may have been another, equal request"
    if moved_on and traces.held != asked.before:
        words += (
            f", and {node} acted on nothing; it held the leader key only after the dispatch, and"
        )
        return "unknown", True, f"{words} nothing proves that whoever held it before did not act"
    if moved_on and traces.interrupted is not None:
        words += (
            f", and the same leader term went on after an interruption: {node} did not serve as"
        )
        return "rolled_back", True, f"{words} primary at revision {traces.interrupted}"
    if moved_on:
        words += (
            f", and {node} acted on nothing: its agent has gone on since, and the same leader term"
        )
        return "rejected", True, f"{words} went on"
    if traces.busy is not None:
        words += f", but {node} was no longer serving at revision {traces.busy}, and nothing proves"
    else:
        words += f", but nothing proves yet that {node} had not read it before:"
        words += " its agent may still step down"
        return ("in_progress" if in_flight else "unknown"), False, words
    words += " yet that its agent does not step down for it"
    return ("in_progress" if in_flight else "unknown"), False, words


def _passed(asked: Asked, traces: Traces) -> Verdict:
    """The leader term that the request found is over."""
    if traces.passed is None or traces.leader is None:
        return "in_progress", False, "nobody holds the leader key; the engine is passing it on"
    holder = f"{traces.passed.node} holds the leader key since revision {traces.passed.since}"
    if traces.primary is None:
        return "in_progress", False, f"{holder}, and is not yet primary"
    holder += ", and is primary"
    final = traces.over(asked)
    if traces.contested:
        words = f"{_contested(traces)}; {holder}, and nothing proves for which of the two"
        return "unknown", final, words
    if not traces.acted_on:
        words = (
            f"{_withdrawn(traces)} before the leader key passed; {holder}, and nothing proves that"
        )
        return "unknown", final, f"{words} it was for the request"
    if asked.wants(traces.passed.node):
        return "executed", final, holder
    open_ = "" if final else "; the request may still be acted on"
    if traces.passed.node not in {each.node for each in (asked.before, traces.held) if each}:
        return ("executed_other" if final else "in_progress"), final, holder + open_
    if not final:
        return "in_progress", False, holder + open_
    if traces.busy is None:
        words = f"{holder}: it took it anew, and was not seen to step down in between; another hand"
        return (
            "unknown",
            True,
            f"{words} has ended its leader term, and the request came to nothing",
        )
    if _may_have_been_elsewhere(traces):
        words = f"{holder} again; another node held the leader key meanwhile, and"
        return "unknown", True, f"{words} nothing proves that it was not primary"
    return "rolled_back", True, f"{holder}: it took it back after an interruption"


def _waiting(traces: Traces) -> str:
    words = "" if traces.again is None else "it was asked for once more; "
    if traces.busy is not None and traces.held is not None:
        return f"{words}the engine is acting on it: {traces.held.node} no longer serves as primary"
    return f"{words}the engine has the request and has not acted on it yet"


def _withdrawn(traces: Traces) -> str:
    revision = traces.withdrawn
    if traces.removal == "replaced":
        return f"another request replaced it at revision {revision}"
    if traces.removal == "deleted":
        return f"somebody deleted it at revision {revision} (the engine itself never does)"
    return f"it was cleared at revision {revision}"


def _contested(traces: Traces) -> str:
    if traces.replaced is not None:
        return f"another request replaced it at revision {traces.replaced}"
    return f"one that reads the same was made at revision {traces.again}, after it was withdrawn"


def _may_have_been_elsewhere(traces: Traces) -> bool:
    """Another node held the leader key in between, and may have been primary unseen.

    It was not if the old holder's timeline is its old one, or the one that its own promotion
    began: a promotion in between would have begun one more.
    """
    if traces.ended is None:
        return False
    before = None if traces.served is None else traces.served.timeline
    return before is None or traces.timeline is None or traces.timeline > before + 1


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The rules. Each states what speaks for the outcome that is told; one that does not bear on it
    is left out, so that none of a success reads as if something were wrong.
    """

    asked: Asked
    history: History
    traces: Traces
    word: int | None
    renewals: Renewals | None = None
    moved_on: bool = False

    def refuted(self, fact: Fact) -> list[Rule]:
        """Nothing was asked of the engine, or it refused to be asked."""
        return [self._recorded(), self._arrived("does_not_hold", fact), self._complete()]

    def all(self, *, lost: bool) -> list[Rule]:
        """In their order."""
        traces = self.traces
        arrived = "does_not_hold" if traces.arrived is None else "holds"
        rules = [self._recorded(), self._arrived("undetermined" if lost else arrived)]  # type: ignore[arg-type]
        if traces.arrived is None:
            return [*rules, self._complete()]
        if traces.left is None and traces.withdrawn is not None:
            rules += [self._withdrawn(), self._stayed(), self._agent()]
        if traces.left is not None or not self.moved_on:
            rules += [self._leader()]
        if traces.passed is not None:
            rules += [self._primary()]
        return [*rules, self._complete()]

    def _recorded(self) -> Rule:
        return rule(
            "recorded",
            "the dispatch was recorded before Patroni was asked",
            "holds",
            "kernel",
            [Fact(name="dispatched_revision", value=self.asked.dispatched)],
        )

    def _arrived(self, evaluation: Evaluation, *more: Fact) -> Rule:
        return _rule(
            "arrived",
            "the engine has taken the request up",
            evaluation,
            Fact(name="failover_revision_before", value=self.asked.failover_revision),
            Fact(name="arrived_revision", value=self.traces.arrived),
            Fact(name="replaced_revision", value=self.traces.replaced),
            Fact(name="repeated_revision", value=self.traces.again),
            *more,
        )

    def _withdrawn(self) -> Rule:
        held = self.traces.held
        return _rule(
            "cleared_in_same_leader_term",
            "the failover key no longer names the request, and the leader term goes on that it "
            "found",
            "holds",
            Fact(name="cleared_revision", value=self.traces.withdrawn),
            Fact(name="how", value=self.traces.removal),
            Fact(name="since", value=held.since if held else None),
        )

    def _stayed(self) -> Rule:
        traces = self.traces
        return _rule(
            "holder_stayed_primary",
            "the holder of that leader term served all the time that the request could be acted on",
            _settled(self.moved_on and traces.interrupted is None, traces.interrupted is not None),
            Fact(name="busy_revision", value=traces.busy),
            Fact(name="interrupted_revision", value=traces.interrupted),
            Fact(name="timeline", value=traces.served.timeline if traces.served else None),
        )

    def _agent(self) -> Rule:
        traces, renewals = self.traces, self.renewals
        entries = (*traces.loops, None, None)
        return _rule(
            "agent_moved_on",
            "the holder's agent has gone on since, so that no step-down can come of the request",
            _settled(self.moved_on, refuted=False),
            Fact(name="serving_revision", value=traces.resumed or entries[0]),
            Fact(name="serving_again_revision", value=entries[1]),
            Fact(name="engine_says_failed_revision", value=self.word),
            Fact(name="lease_renewals", value=renewals.count if renewals else None),
            Fact(name="lease_renewals_since_revision", value=renewals.since if renewals else None),
        )

    def _leader(self) -> Rule:
        before, passed, traces = self.asked.before, self.traces.passed, self.traces
        return _rule(
            "leader_passed",
            "the leader key passed into a new leader term: of the named node; for a demotion, of "
            "any other",
            _settled(passed and self.asked.wants(passed.node), passed is not None),
            Fact(name="node_before", value=before.node if before else None),
            Fact(name="since_before", value=before.since if before else None),
            Fact(name="stepping_down_revision", value=traces.busy),
            Fact(name="leader_term_ended_revision", value=traces.left),
            Fact(name="node_after", value=passed.node if passed else None),
            Fact(name="since_after", value=passed.since if passed else None),
        )

    def _primary(self) -> Rule:
        traces = self.traces
        return _rule(
            "new_holder_is_primary",
            "the new holder described itself as primary within that leader term",
            _settled(traces.primary, traces.ended is not None and traces.leader is None),
            Fact(name="primary_revision", value=traces.primary),
            Fact(name="timeline_after", value=traces.timeline),
            Fact(name="earlier_leader_term_ended_revision", value=traces.ended),
        )

    def _complete(self) -> Rule:
        history = self.history
        return _rule(
            "history_complete",
            "the store's history reaches back to the dispatch",
            "holds" if history.complete else "does_not_hold",
            Fact(name="history_from_revision", value=history.base.revision),
            Fact(name="history_to_revision", value=history.keyspace.revision),
        )


def _settled(proof: object, refuted: bool) -> Evaluation:
    if proof:
        return "holds"
    return "does_not_hold" if refuted else "undetermined"


def _rule(rule_id: str, description: str, evaluation: Evaluation, *evidence: Fact) -> Rule:
    return rule(rule_id, description, evaluation, "patroni", evidence)
