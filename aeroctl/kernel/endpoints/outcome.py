"""GET /v1/requests/{id}: what became of a request, derived anew each time it is asked.

The audit records of the request answer where they tell how it ended, else the store's history does
(prove/judge.py). Nothing is remembered for it, and no request is completed by it (P7-F2).
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from aeroctl.contract.audit import AuditRecord, BrokenRecord
from aeroctl.contract.base import API_VERSION
from aeroctl.contract.envelope import Note
from aeroctl.contract.requests import RequestEnvelope, RequestStatus
from aeroctl.kernel.audit import trail
from aeroctl.kernel.audit.ledger import request_key
from aeroctl.kernel.endpoints.request_history import in_flight_until, judge_history
from aeroctl.kernel.endpoints.request_records import (
    RequestRecords,
    answer,
    answer_unrecorded,
    answer_without_history,
    broken_message,
    records_proof,
)
from aeroctl.kernel.endpoints.writable import writable
from aeroctl.kernel.failures import Failure, unreadable
from aeroctl.kernel.patroni import pulse, sections
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.renewals import Renewals
from aeroctl.kernel.prove.judge import Judgement, attributed
from aeroctl.kernel.prove.writable import weighed
from aeroctl.kernel.source import Source, observed

EXECUTED = frozenset({"executed", "executed_other"})
OBSERVE_SECONDS = 6.0
"""For how long the leader's lease is observed where nothing else proves that its agent has gone on.
Shorter than aeroctl waits for one answer. etcd's history does not have it, so a later answer may
prove less again."""


async def status(source: Source, request_id: str) -> RequestEnvelope:
    """The request's outcome, with evidence, as of one revision.

    Raises Failure: those of Etcd.read, CLUSTER_NOT_FOUND, KERNEL_BUSY.
    """
    time = datetime.now(UTC)
    derived = await _read(source, request_id, None)
    leader = derived.keys.leader
    if derived.waiting and leader is not None:  # outside of the limit of readers: it takes seconds
        since = derived.keys.revision
        with contextlib.suppress(Failure):
            renewals = await pulse.observe(
                source.store, leader.lease, derived.waiting, since, OBSERVE_SECONDS
            )
            derived = await _read(source, request_id, renewals)
    return RequestEnvelope(
        api_version=API_VERSION,
        observed_at=observed(derived.keys, None, time),
        data=derived.status,
        notes=[
            Note(code="RECORD_BROKEN", subject=None, message=broken_message(record))
            for record in derived.broken
        ],
    )


@dataclass(frozen=True, slots=True)
class _Derived:
    """The answer as of one revision of `keys`. `waiting`: so many renewals of the leader's lease
    would prove the outcome. `broken`: the request's records that can't be read.
    """

    keys: ClusterKeys
    status: RequestStatus
    waiting: int = 0
    broken: Sequence[BrokenRecord] = ()


async def _read(source: Source, request_id: str, renewals: Renewals | None) -> _Derived:
    async with source.in_time(), source.change_readers:
        keys, ledger = await source.keys_and_ledger(request_id)
        if ledger.request is None:
            return _Derived(keys, answer_unrecorded(request_id, keys.revision))
        records, broken = await _records(source, request_id, ledger.request)
        in_flight = ledger.in_flight == request_id
        request = RequestRecords(request_id, records, broken, in_flight)
        status, waiting = await _derive(source, keys, request, renewals)
        return _Derived(keys, status, waiting, broken)


async def _records(
    source: Source, request_id: str, sequences: Sequence[int]
) -> tuple[list[AuditRecord], list[BrokenRecord]]:
    """The records that the request's key names, and the broken ones among them.

    Raises Failure where one is of another request.
    """
    records, broken = await trail.records(source.store, source.scope, sequences)
    for record in records:
        if record.request_id != request_id:
            key = request_key(source.scope, request_id)
            raise unreadable(key, f"it names record {record.sequence}, of another request")
    return records, broken


async def _derive(
    source: Source, keys: ClusterKeys, request: RequestRecords, renewals: Renewals | None
) -> tuple[RequestStatus, int]:
    """The answer; and how many renewals of the leader's lease would prove the outcome."""
    status = answer_without_history(request)
    if status is not None:
        return status, 0
    dispatched = request.last("dispatched")
    assert dispatched is not None  # else the records alone gave the answer
    if request.recorded_end is not None:
        return await _recorded_end(source, keys, request, dispatched), 0
    return await _proved_by_history(source, keys, request, dispatched, renewals)


async def _recorded_end(
    source: Source, keys: ClusterKeys, request: RequestRecords, dispatched: AuditRecord
) -> RequestStatus:
    """The outcome that is recorded, with the evidence that history still has. The record stands,
    also where history can't be read.
    """
    assert request.recorded_end is not None
    outcome, record = request.recorded_end
    try:
        judgement = await judge_history(
            source, dispatched, record, keys.revision, first_window=True
        )
        evidence = judgement.evidence
    except Failure:
        evidence = records_proof(request.records)
    return answer(request.records, outcome, record.message, evidence, final=True)


async def _proved_by_history(
    source: Source,
    keys: ClusterKeys,
    request: RequestRecords,
    dispatched: AuditRecord,
    renewals: Renewals | None,
) -> tuple[RequestStatus, int]:
    outcome, now = request.last("outcome"), keys.revision
    flight_end = await in_flight_until(source, dispatched, outcome, now)
    judgement = await judge_history(
        source,
        dispatched,
        outcome,
        now,
        in_flight=request.in_flight,
        in_flight_until=flight_end,
        renewals=renewals,
    )
    judgement = await _with_writable(source, keys, attributed(judgement, flight_end))
    status = answer(
        request.records,
        judgement.outcome,
        judgement.message,
        judgement.evidence,
        final=judgement.final,
    )
    return status.model_copy(update={"leader_after": judgement.leader_after}), judgement.waiting


async def _with_writable(source: Source, keys: ClusterKeys, judgement: Judgement) -> Judgement:
    """The judgement, together with whether the new leader accepts writes.

    Only while it is still the leader: what another one answers has nothing to do with the request.
    """
    if judgement.outcome not in EXECUTED or judgement.leader_after != sections.leader(keys):
        return judgement
    rule = await writable(source, keys)
    outcome, final = weighed(judgement.outcome, judgement.final, rule)
    evidence = [*judgement.evidence, rule]
    return replace(judgement, outcome=outcome, final=final, evidence=evidence)
