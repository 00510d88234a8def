"""After the dispatch record: one request to the engine, and the proof of what came of it."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aeroctl.contract.base import API_VERSION
from aeroctl.contract.envelope import Note
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.requests import RequestEnvelope, RequestStatus, Revisions
from aeroctl.contract.terms import Evaluation
from aeroctl.kernel.audit import records
from aeroctl.kernel.audit.records import Dispatched, Plan
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import pulse as pulses
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys, parse
from aeroctl.kernel.patroni.pulse import POLL_SECONDS, Pulse
from aeroctl.kernel.patroni.rest_api import Engine, Sent
from aeroctl.kernel.prove import judge
from aeroctl.kernel.prove.writable import weighed, writable
from aeroctl.kernel.source import Source, notes, observed
from aeroctl.kernel.store.keyspace import History
from aeroctl.kernel.timing import Attempts, uptime

LAST_WORDS_SECONDS = 3.0
"""Once the store shows the transfer: how much longer is waited for the engine's reply, or for the
new holder's own word that it accepts writes."""
PROOF_SECONDS = 5.0
"""Of the deadline, what is kept for proving the outcome and recording it."""
RECORD_SECONDS = 3.0
"""For how long an outcome's record is tried: while other records come before it, and while it is
not known whether it is there."""

LOGGER = logging.getLogger("aerokernel")


async def carry_out(
    source: Source, engine: Engine, dispatched: Dispatched, plan: Plan
) -> RequestEnvelope:
    """Ask the engine once, watch what it does, and answer what the state proves.

    Raises Failure ENGINE_REJECTED with the engine's own words; STORE_UNAVAILABLE and such with
    outcome `unknown` where nothing can be proved.
    """
    ends = dispatched.began + dispatched.deadline_seconds - PROOF_SECONDS
    call = asyncio.create_task(_ask(source, engine, dispatched, plan, ends))
    try:
        watch = await _settled(source, dispatched, call, ends)
        sent = _sent(call)
    finally:
        call.cancel()  # nobody waits for the reply any more; what left has left
        await asyncio.wait({call})
    keys, found = await _proof(source, dispatched, sent, watch)
    found, missing = await record(source, dispatched, found)
    if found.outcome == "rejected" and found.final:
        words = found.engine_reply and found.engine_reply.status is not None
        raise Failure(
            "ENGINE_REJECTED",
            found.engine_reply.body if found.engine_reply and words else found.message or "",
            engine_reply=found.engine_reply,
        )
    return await envelope(source, keys, found, missing)


async def envelope(
    source: Source, proved: ClusterKeys, found: RequestStatus, more: Sequence[Note]
) -> RequestEnvelope:
    """The answer, as of a revision that holds the outcome's own record.

    Where the store can't be read again, as of the revision that the outcome was `proved` from.
    """
    keys = proved
    with contextlib.suppress(Failure):
        keys = await source.keys()
    return RequestEnvelope(
        api_version=API_VERSION,
        observed_at=observed(keys, None),
        data=found,
        notes=[*notes(keys, {}), *more],
    )


async def record(
    source: Source, dispatched: Dispatched, found: RequestStatus
) -> tuple[RequestStatus, list[Note]]:
    """Append the outcome to the trail, once: what may be there already is looked for first.

    Where that fails the outcome is known all the same, so it is answered, with a note.
    """
    problem, unsure = "other records kept coming before it", False
    attempts = Attempts(RECORD_SECONDS)
    while await attempts.another():
        writing = False
        try:
            async with source.append_lock:
                _, kept = await source.keys_and_ledger(found.request_id)
                revision: int | None = kept.request_revision
                if len(kept.request or ()) <= len(records.DISPATCHED):
                    written = records.outcome(dispatched, kept, found)
                    writing = True
                    revision = await source.store.transact(written.compares, written.changes)
        except Failure as failure:
            problem = failure.error.message
            if failure.error.code != "STORE_UNAVAILABLE":
                break
            unsure = unsure or writing
        else:
            if revision is not None:
                revisions = found.revisions.model_copy(update={"outcome": revision})
                return found.model_copy(update={"revisions": revisions}), []
    words = "may not be" if unsure else "is not"
    LOGGER.error("request %s: its outcome %s recorded: %s", found.request_id, words, problem)
    message = f"the outcome {words} in the audit trail: {problem}"
    return found, [Note(code="OUTCOME_NOT_RECORDED", subject=None, message=message)]


async def _ask(
    source: Source, engine: Engine, dispatched: Dispatched, plan: Plan, ends: float
) -> Sent:
    """The one request to the engine, which has until `ends`.

    A forced one names no holder for the engine to check (Patroni: /failover), so that it is not
    sent once the leader term has ended that it was confirmed in (P7-D2).
    """
    if dispatched.submission.command.name == "force_promotion":
        try:
            held = sections.leader(await source.keys())
        except Failure as failure:
            return _unsent(f"the leader term can't be read again: {failure.error.message}")
        if held != sections.leader(dispatched.keys):
            return _unsent("the leader term that it was confirmed in has ended")
    seconds = max(1.0, ends - uptime())
    return await engine.ask(plan.base, plan.path, plan.body, seconds, dispatched.began)


def _unsent(why: str) -> Sent:
    return Sent(False, EngineReply(status=None, body=f"not sent: {why}"))


@dataclass
class _Watch:
    """What is learned while the engine is at work, beside the store's history.

    `answered`: a revision that was there once the engine's reply had come. `pulse`: of the holder's
    agent. `seen`: when each of the engine's keys was last written.
    """

    answered: int | None = None
    pulse: Pulse | None = None
    seen: Mapping[str, int] | None = None
    found: judge.Judgement | None = None


async def _settled(
    source: Source, dispatched: Dispatched, call: asyncio.Task[Sent], ends: float
) -> _Watch:
    """Wait until nothing can change the outcome any more, or until `ends`.

    A store that can't be read meanwhile is tolerated: the request is on its way whatever we see.
    """
    watch, proved = _Watch(), None
    while (now := uptime()) < ends:
        if call.done() and _refused(_sent(call)):
            break
        with contextlib.suppress(Failure):
            keys = await _look(source, dispatched, call, watch)
            if watch.found is not None and watch.found.final:
                if watch.found.leader_after == sections.leader(dispatched.keys):
                    if call.done():
                        break
                else:
                    writes = await _writes(source, keys)
                    if writes == "holds" and call.done():
                        break
                    proved = None if writes == "does_not_hold" else proved or now
                    if proved is not None and now - proved >= LAST_WORDS_SECONDS:
                        break
        if call.done():
            await asyncio.sleep(POLL_SECONDS)
        else:
            await asyncio.wait({call}, timeout=POLL_SECONDS)
    return watch


async def _look(
    source: Source, dispatched: Dispatched, call: asyncio.Task[Sent], watch: _Watch
) -> ClusterKeys:
    """Read the keys, and judge anew if there is anything new. Raises Failure."""
    done = call.done()
    keyspace = await source.store.read(source.prefix)
    news = watch.seen != (seen := {key: pair.modified for key, pair in keyspace.keys.items()})
    if done and watch.answered is None:
        watch.answered, news = keyspace.revision, True
    if watch.pulse is not None and watch.found is not None:
        began = max(watch.found.withdrawn or 0, 0 if watch.pulse.count else watch.answered or 0)
        if watch.pulse.since < began:  # renewals before that prove nothing, or less
            watch.pulse = None
    if watch.found is not None and (needed := watch.found.waiting):
        leader = keyspace.keys.get("leader")
        if leader is not None and leader.lease:
            pulse = watch.pulse
            watch.pulse = await pulses.feel(source.store, leader.lease, pulse, keyspace.revision)
            if watch.pulse is not None and watch.pulse.count >= needed:
                await asyncio.sleep(POLL_SECONDS)  # see pulse.observe
                news = True
    if news:
        history = await source.store.history(source.prefix, dispatched.revision)
        watch.found = _judged(dispatched, history, _sent(call), watch)
        watch.seen = seen
    return parse(source.scope, keyspace)


def _judged(dispatched: Dispatched, history: History, sent: Sent, watch: _Watch) -> judge.Judgement:
    """Still in flight: its key stands until the outcome is recorded, longer if it is not final."""
    asked = dispatched.submission
    requested = judge.Asked(
        command=asked.command.name,
        target=asked.request.target,
        before=sections.leader(dispatched.keys),
        failover_revision=dispatched.keys.failover_revision,
        dispatched=dispatched.revision,
    )
    renewals = watch.pulse.renewals if watch.pulse else None
    found = judge.judge(
        requested,
        history,
        True,
        sent.reply,
        sent.sent,
        answered=watch.answered,
        renewals=renewals,
    )
    return judge.attributed(found, history.keyspace.revision)


async def _writes(source: Source, keys: ClusterKeys) -> Evaluation:
    """Whether a new leader term has begun in full, as far as can be told: see `writable`."""
    if sections.promotion(keys).state == "AuthorityTransitioning":
        return "does_not_hold"
    return (await writable(source, keys)).evaluation


async def _proof(
    source: Source, dispatched: Dispatched, sent: Sent, watch: _Watch
) -> tuple[ClusterKeys, RequestStatus]:
    """What the store's history since the dispatch and the leader prove."""
    asked = dispatched.submission
    try:
        history = await source.store.history(source.prefix, dispatched.revision)
        keys = parse(source.scope, history.keyspace)
    except Failure as failure:
        error = failure.error
        raise Failure(
            error.code,
            f"the request was dispatched, and what came of it can't be proved now: {error.message}",
            invariants=["P7-E2"],
            outcome="not_executed" if _refused(sent) else "unknown",
            engine_reply=sent.reply,
        ) from failure
    found = _judged(dispatched, history, sent, watch)
    outcome, final, evidence = found.outcome, found.final, found.evidence
    if found.leader_after == sections.leader(keys):  # what comes later is not weighed
        shown = await writable(source, keys)
        outcome, final = weighed(outcome, final, shown)
        evidence = [*evidence, shown]
    return keys, RequestStatus(
        request_id=asked.request_id,
        recorded=True,
        command=asked.command.name,
        target=asked.request.target,
        outcome=outcome,
        final=final,
        code=None,
        message=found.message,
        engine_reply=sent.reply,
        leader_before=sections.leader(dispatched.keys),
        leader_after=found.leader_after,
        revisions=Revisions(
            requested=dispatched.revision, dispatched=dispatched.revision, outcome=None
        ),
        evidence=evidence,
        diagnostics=None,
    )


def _refused(sent: Sent) -> bool:
    """Certainly nothing was done: it never left, or the engine says that it refuses it."""
    status = sent.reply.status if sent.reply else None
    return not sent.sent or status in judge.REFUSALS


def _sent(call: asyncio.Task[Sent]) -> Sent:
    """What came of the call; one that is not done yet may have left, and has no reply."""
    return call.result() if call.done() else Sent(True, None)
