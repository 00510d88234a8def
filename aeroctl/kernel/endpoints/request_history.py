"""The store's history since a dispatch, read window by window, and what it proves."""

from dataclasses import replace

from aeroctl.contract.audit import AuditRecord
from aeroctl.kernel.audit.ledger import inflight_key
from aeroctl.kernel.endpoints.request_records import transfer_request
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.renewals import Renewals
from aeroctl.kernel.prove.judge import Judgement, gone_answer, judge, reply_shows_written
from aeroctl.kernel.prove.states import Progress
from aeroctl.kernel.prove.transitions import follow
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.keyspace import History

WINDOW = 1000
"""Revisions of history that are in memory at a time. The first ones after the dispatch nearly
always hold the proof, and what is later can't change it."""


async def judge_history(
    source: Source,
    dispatched: AuditRecord,
    outcome: AuditRecord | None,
    until: int,
    *,
    in_flight: bool = False,
    in_flight_until: int | None = None,
    renewals: Renewals | None = None,
    first_window: bool = False,
) -> Judgement:
    """What history up to the revision `until` proves; `first_window`: no more than that is read.

    `outcome`: the request's outcome record, where there is one. Once the judgement is final,
    nothing later than `in_flight_until` is read.
    """
    request = transfer_request(dispatched)
    reply = None if outcome is None else outcome.engine_reply
    answered = None if outcome is None else outcome.revision
    answer = gone_answer(request, reply, answered)
    since = request.dispatched
    first: History | None = None
    progress: Progress | None = None
    while True:
        window = await _window(source, since, until)
        if first is not None and not window.complete:
            # Compaction has overtaken the reading: only what is left is judged, from its beginning.
            since, first, progress = request.dispatched, None, None
            continue
        first = first or window
        progress = follow(request, window, progress, answer=answer)
        so_far = replace(first, keyspace=window.keyspace, events=())
        judgement = judge(
            request, so_far, in_flight, reply, None, progress, answered=answered, renewals=renewals
        )
        since = window.keyspace.revision
        decided = judgement.final and since >= (in_flight_until or 0)
        if first_window or decided or since >= until:
            return judgement


async def _window(source: Source, since: int, until: int) -> History:
    """A window of history up to a revision; where that one is compacted already, up to now."""
    try:
        return await source.store.history(source.prefix, since, until, window=WINDOW)
    except Failure as failure:
        if failure.error.code != "REVISION_COMPACTED":
            raise
        return await source.store.history(source.prefix, since, window=WINDOW)


async def in_flight_until(
    source: Source, dispatched: AuditRecord, outcome: AuditRecord | None, until: int
) -> int | None:
    """Up to which revision the request was in flight, or its agent had not yet answered that it has
    written it; `until`, if it still is. None: the history that would tell is compacted.
    """
    if outcome is not None and reply_shows_written(outcome.engine_reply):
        return outcome.revision
    key, since = inflight_key(source.scope), dispatched.revision
    while since < until:
        history = await source.store.history(key, since, until, window=WINDOW)
        in_flight = history.base.keys.get("")
        if not history.complete or in_flight is None or in_flight.value != dispatched.request_id:
            return None
        for event in history.events:
            if event.key == "" and event.value != dispatched.request_id:
                return event.revision
        since = history.keyspace.revision
    return until
