"""GET /v1/requests/{id}: what became of a request, derived anew each time it is asked.

From its audit records where they tell the end, else from the store's history (judge.py). Nothing is
remembered for it, nothing is completed by it (P7-F2).
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from aeroctl.contract.audit import AuditRecord, BrokenRecord
from aeroctl.contract.base import API_VERSION
from aeroctl.contract.envelope import Note
from aeroctl.contract.requests import RequestEnvelope, RequestStatus, Revisions
from aeroctl.contract.rules import Fact, Rule, rule
from aeroctl.contract.terms import Evaluation, RequestOutcome
from aeroctl.kernel.audit import trail
from aeroctl.kernel.audit.ledger import inflight_key, request_key
from aeroctl.kernel.failures import Failure, unreadable
from aeroctl.kernel.patroni import pulse, sections
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.prove.evidence import Traces, follow
from aeroctl.kernel.prove.judge import Asked, Judgement, Renewals, attributed, judge, told, wrote
from aeroctl.kernel.prove.writable import weighed, writable
from aeroctl.kernel.source import Source, observed
from aeroctl.kernel.store.keyspace import History

EXECUTED = frozenset({"executed", "executed_other"})
ENDS = frozenset({"executed", "executed_other", "rejected", "rolled_back", "not_executed"})
"""Outcomes that are only ever recorded when they are final."""
OBSERVE_SECONDS = 6.0
"""For how long an agent's pulse is felt where nothing else proves that it has moved on. Less than
aeroctl waits for one answer. It is in no history, so that a later answer may know less again."""
WINDOW = 1000
"""Revisions of history that are held at a time. The first ones after the dispatch nearly always
hold the proof; what is later can't change it."""


async def status(source: Source, request_id: str) -> RequestEnvelope:
    """The request's outcome, with evidence, as of one revision.

    Raises Failure: those of Etcd.read, CLUSTER_NOT_FOUND, KERNEL_BUSY.
    """
    time = datetime.now(UTC)
    found = await _read(source, request_id, None)
    leader = found.keys.leader
    if found.waiting and leader is not None:  # outside of the turn: others need not wait as long
        since = found.keys.revision
        with contextlib.suppress(Failure):
            seen = await pulse.observe(
                source.store, leader.lease, found.waiting, since, OBSERVE_SECONDS
            )
            found = await _read(source, request_id, seen)
    return RequestEnvelope(
        api_version=API_VERSION,
        observed_at=observed(found.keys, None, time),
        data=found.status,
        notes=[
            Note(code="RECORD_BROKEN", subject=None, message=_words(each)) for each in found.broken
        ],
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """The outcome as of one revision. `waiting`: how many renewals of the holder's lease would
    settle it. `broken`: the request's records that can't be believed any more.
    """

    keys: ClusterKeys
    status: RequestStatus
    waiting: int
    broken: Sequence[BrokenRecord]


async def _read(source: Source, request_id: str, renewals: Renewals | None) -> _Found:
    async with source.in_time(), source.change_readers:
        keys, ledger = await source.keys_and_ledger(request_id)
        if ledger.request is None:
            return _Found(keys, _unseen(request_id, keys.revision), 0, [])
        records, broken = await _records(source, request_id, ledger.request)
        in_flight = ledger.in_flight == request_id
        status, waiting = await _recorded(
            source, keys, request_id, records, broken, in_flight, renewals
        )
        return _Found(keys, status, waiting, broken)


async def _records(
    source: Source, request_id: str, sequences: Sequence[int]
) -> tuple[list[AuditRecord], list[BrokenRecord]]:
    """The records that the request's key names, which must be its own; and those that can't be
    believed any more.
    """
    records, broken = await trail.records(source.store, source.scope, sequences)
    for record in records:
        if record.request_id != request_id:
            key = request_key(source.scope, request_id)
            raise unreadable(key, f"it names record {record.sequence}, of another request")
    return records, broken


def _words(broken: BrokenRecord) -> str:
    return f"audit record {broken.sequence} can't be read: {broken.problem}"


async def _recorded(
    source: Source,
    keys: ClusterKeys,
    request_id: str,
    records: Sequence[AuditRecord],
    broken: Sequence[BrokenRecord],
    in_flight: bool,
    renewals: Renewals | None,
) -> tuple[RequestStatus, int]:
    """What the records say, and where they don't say how it ended, what history proves.

    A record that is broken may have been any of them: what follows only from there being no other
    one is not said then (P7-E2).
    """
    now = keys.revision
    last = {record.kind: record for record in records}
    dispatched, outcome = last.get("dispatched"), last.get("outcome")
    if (refused := last.get("refused")) is not None:
        return _status(records, "rejected", refused.message, _proof(records), final=True), 0
    if dispatched is None and broken:
        return _in_part(request_id, records, broken, in_flight), 0
    if dispatched is None:
        words = "it was never dispatched, and its id is used up"
        return _status(records, "not_executed", words, _proof(records), final=True), 0
    ended = outcome.outcome if outcome is not None and outcome.outcome in ENDS else None
    if dispatched.command == "run_diagnostics":
        if outcome is not None and ended is not None:
            return _status(records, ended, outcome.message, _proof(records), final=True), 0
        words = "no answer is known to be recorded; a diagnostic changes nothing"
        return _status(records, "unknown", words, _proof(records), final=False), 0
    if outcome is not None and ended is not None:
        try:
            evidence = (await _judged(source, dispatched, outcome, False, now, near=True)).evidence
        except Failure:  # the record stands, also where history can't be read
            evidence = _proof(records)
        return _status(records, ended, outcome.message, evidence, final=True), 0
    landed = await _landed(source, dispatched, outcome, now)
    found = await _judged(
        source, dispatched, outcome, in_flight, now, near=False, landed=landed, renewals=renewals
    )
    found = attributed(found, landed)
    found = await _weighed(source, keys, found)
    answer = _status(records, found.outcome, found.message, found.evidence, final=found.final)
    answer = answer.model_copy(update={"leader_after": found.leader_after})
    return answer, found.waiting


async def _landed(
    source: Source, dispatched: AuditRecord, outcome: AuditRecord | None, now: int
) -> int | None:
    """Up to which revision the kernel had the request in flight, or its agent had not answered yet
    that it wrote it. None: history does not tell.
    """
    if outcome is not None and wrote(outcome.engine_reply):
        return outcome.revision
    key, since = inflight_key(source.scope), dispatched.revision
    while since < now:
        history = await source.store.history(key, since, now, window=WINDOW)
        found = history.base.keys.get("")
        if not history.complete or found is None or found.value != dispatched.request_id:
            return None
        for event in history.events:
            if event.key == "" and event.value != dispatched.request_id:
                return event.revision
        since = history.keyspace.revision
    return now


def _in_part(
    request_id: str,
    records: Sequence[AuditRecord],
    broken: Sequence[BrokenRecord],
    in_flight: bool,
) -> RequestStatus:
    """Where a record is broken that may have told what was dispatched: what the others prove."""
    ended = next((each for each in records if each.outcome in ENDS), None)
    words = "; ".join(map(_words, broken))
    outcome: RequestOutcome = "in_progress" if in_flight else "unknown"
    if ended is not None and ended.outcome is not None:
        outcome, words = ended.outcome, ended.message or words
    else:
        words = f"what was asked of the engine, if anything, is not known: {words}"
    facts = [Fact(name=f"record_{each.sequence}", value=each.problem) for each in broken]
    evidence = [*_proof(records), _readable_rule(*facts)]
    if records:
        return _status(records, outcome, words, evidence, final=ended is not None)
    status = _unseen(request_id, 0)
    return status.model_copy(
        update={"recorded": True, "outcome": outcome, "message": words, "evidence": evidence}
    )


async def _weighed(source: Source, keys: ClusterKeys, found: Judgement) -> Judgement:
    """And what the new holder says of itself, as in the answer to the request itself.

    Only while its leader term stands: what another one's holder says is no part of this request.
    """
    if found.outcome not in EXECUTED or found.leader_after != sections.leader(keys):
        return found
    shown = await writable(source, keys)
    outcome, final = weighed(found.outcome, found.final, shown)
    return replace(found, outcome=outcome, final=final, evidence=[*found.evidence, shown])


async def _judged(
    source: Source,
    dispatched: AuditRecord,
    outcome: AuditRecord | None,
    in_flight: bool,
    now: int,
    *,
    near: bool,
    landed: int | None = None,
    renewals: Renewals | None = None,
) -> Judgement:
    """By history up to `now`, at least up to revision `landed`; `near`: the part of it right after
    the dispatch is enough.

    Read window by window, however long it is, with the traces carried over.
    """
    asked = asked_by(dispatched)
    reply = None if outcome is None else outcome.engine_reply
    answered = None if outcome is None else outcome.revision
    word = told(asked, reply, answered)
    since, first, traces = asked.dispatched, None, Traces()
    while True:
        history = await _history(source, since, now)
        if first is not None and not history.complete:  # compacted meanwhile: from what is left on
            since, first, traces = asked.dispatched, None, Traces()
            continue
        first = first or history
        traces = follow(asked, history, traces, word=word)
        seen = replace(first, keyspace=history.keyspace, events=())
        judgement = judge(
            asked, seen, in_flight, reply, None, traces, answered=answered, renewals=renewals
        )
        since = history.keyspace.revision
        if near or since >= now or (judgement.final and since >= (landed or 0)):
            return judgement


async def _history(source: Source, since: int, until: int) -> History:
    """A window of it, up to a revision, or where that one is compacted already, up to now."""
    try:
        return await source.store.history(source.prefix, since, until, window=WINDOW)
    except Failure as failure:
        if failure.error.code != "REVISION_COMPACTED":
            raise
        return await source.store.history(source.prefix, since, window=WINDOW)


def asked_by(dispatched: AuditRecord) -> Asked:
    """What a dispatched record says was asked of the engine."""
    return Asked(
        command=dispatched.command,
        target=dispatched.target,
        before=dispatched.leader_before,
        failover_revision=dispatched.dispatch.failover_revision if dispatched.dispatch else 0,
        dispatched=dispatched.revision,
    )


def _status(
    records: Sequence[AuditRecord],
    outcome: RequestOutcome,
    message: str | None,
    evidence: list[Rule],
    *,
    final: bool,
) -> RequestStatus:
    """The answer, with what the newest record of the request says."""
    last = records[-1]
    revisions = {record.kind: record.revision for record in records}
    return RequestStatus(
        request_id=last.request_id,
        recorded=True,
        command=last.command,
        target=last.target,
        outcome=outcome,
        final=final,
        code=last.code,
        message=message,
        engine_reply=last.engine_reply,
        leader_before=last.leader_before,
        leader_after=last.leader_after,
        revisions=Revisions(
            requested=revisions.get("requested"),
            dispatched=revisions.get("dispatched"),
            outcome=revisions.get("outcome", revisions.get("refused")),
        ),
        evidence=evidence,
        diagnostics=None,
    )


def _unseen(request_id: str, now: int) -> RequestStatus:
    return RequestStatus(
        request_id=request_id,
        recorded=False,
        command=None,
        target=None,
        outcome="not_executed",
        final=False,
        code=None,
        message=f"the kernel has no record of this request up to revision {now}. Nothing is "
        f"executed without a record; a request that is still on its way would have none yet",
        engine_reply=None,
        leader_before=None,
        leader_after=None,
        revisions=Revisions(requested=None, dispatched=None, outcome=None),
        evidence=[_recorded_rule("does_not_hold", Fact(name="revision", value=now))],
        diagnostics=None,
    )


def _proof(records: Sequence[AuditRecord]) -> list[Rule]:
    """Which records there are, and the revisions that wrote them."""
    facts = [Fact(name=f"{record.kind}_revision", value=record.revision) for record in records]
    return [_recorded_rule("holds", *facts)]


def _readable_rule(*evidence: Fact) -> Rule:
    description = "every audit record of the request can be read"
    return rule("records_readable", description, "does_not_hold", "kernel", evidence)


def _recorded_rule(evaluation: Evaluation, *evidence: Fact) -> Rule:
    description = "the audit trail has records of the request"
    return rule("recorded", description, evaluation, "kernel", evidence)
