"""GET /v1/revisions: the revisions that may be the state at a time, by logs of times and revisions.
Where a state is wanted, these revisions must not differ in anything but WAL positions.

The logs are the clock pins (clock_pins.py); the audit records, which are written after their time
and one after the other; and the rows of Patroni's history, which are written after their time, as
far as etcd's history shows in which revision.
"""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from aeroctl.contract import rfc3339
from aeroctl.contract.base import API_VERSION
from aeroctl.contract.events import Logged, Pin, PinEnvelope
from aeroctl.contract.pinning import NotPinned, Pinning, settled
from aeroctl.contract.queries import RevisionsQuery
from aeroctl.kernel.audit import clock_pins, trail
from aeroctl.kernel.endpoints.events import clock, new_timeline_ends
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import MEMBERS
from aeroctl.kernel.source import Source, observed
from aeroctl.kernel.store.keyspace import History, KeyValue
from aeroctl.kernel.store.ranges import ESCAPED
from aeroctl.kernel.timing import uptime

WINDOW = 2000
"""Revisions that are searched for changes at a time."""
MOST_CHANGES = 50
"""The number of changes at which the search ends."""
POSITIONS = frozenset(
    {"xlog_location", "receive_lsn", "replay_lsn", "received_location", "replayed_location"}
)
"""WAL positions in a member's entry, which change all the time (ha.py, touch_member)."""


async def revisions(source: Source, query: RevisionsQuery) -> PinEnvelope:
    """The revisions that may be the state at a time, or at a duration before now.

    Now is by this server's clock, and a later time is refused. Where the query's purpose is a
    state, the answer is the first of these revisions, or an error if a change lies between them.
    Raises Failure: TIME_NOT_PINNED, REVISION_COMPACTED, KERNEL_BUSY, and those of Source.keys.
    """
    at = query.at
    try:
        async with source.in_time(), source.history_readers:
            keys = await source.keys(at)
            now = datetime.now(UTC)  # not before that revision
            time = _time_of(query, now)
            pinning = Pinning(time, rfc3339.render(now))
            leader = source.prefix + "leader"  # any key: only the revision is needed
            end = at or (await source.store.read_together([], [leader], errors=ESCAPED)).revision
            record_revisions = []
            async for entry in _logged(source, datetime.fromisoformat(time), end):
                pinning.see(entry)
                if entry.source == "audit":
                    record_revisions.append(entry.revision)
            pin = pinning.pinned(keys.revision if at is None else 0, end)
            if query.purpose == "state":
                pinning.check_bounded(pin, ends=at is not None)
                pin = await _settled(source, pin, record_revisions)
    except NotPinned as error:
        raise Failure("TIME_NOT_PINNED", str(error)) from error
    return PinEnvelope(
        api_version=API_VERSION, observed_at=observed(keys, at, now), data=pin, notes=[]
    )


def _time_of(query: RevisionsQuery, now: datetime) -> str:
    """The query's time, or that of its duration before `now`."""
    if query.time is not None:
        return query.time
    assert query.ago is not None  # the query has exactly one of the two
    return rfc3339.render(now - timedelta(seconds=query.ago))


async def _logged(source: Source, instant: datetime, at: int) -> AsyncIterator[Logged]:
    """The log entries up to revision `at` that may bound `instant`; the trail is read in pages."""
    for pin in await clock_pins.around(source.store, source.scope, instant, at):
        yield pin
    for row in await _history(source, at):
        yield row
    async for page in trail.times(source.store, source.scope, at, prefix=source.prefix):
        for record in page:
            yield record


async def _history(source: Source, at: int) -> list[Logged]:
    """The rows of Patroni's history for which the revision that added them is known. Compaction
    leaves only the key's last write. A row's time is before its revision: a bound on one side only.
    """
    initialize = source.prefix + "initialize"
    begun = (await source.store.read_together([], [initialize], at)).keys.get(initialize)
    entries = []
    versions = await source.store.versions(source.prefix + "history", at)
    for old, new in pairwise((None, *versions)):
        if new is None or (old is None and new.created != new.modified):
            continue
        for row, exact in new_timeline_ends(old, new, begun):
            time = sections.utc(row.time)
            if exact and time is not None:
                entries.append(
                    Logged(
                        revision=new.modified,
                        reached=0,
                        time=time,
                        clock=clock(row),
                        source="history",
                    )
                )
    return entries


async def _settled(source: Source, pin: Pin, recorded: Sequence[int]) -> Pin:
    """The pin of a state, if its revisions differ in WAL positions alone. Raises NotPinned,
    Failure.

    `recorded`: the audit records' revisions; these are changes too, for the trail is part of the
    state.
    """
    changes = [revision for revision in recorded if pin.first < revision <= pin.last]
    moved, revision = 0, pin.first
    ends = uptime() + source.seconds / 2
    while revision < pin.last and len(changes) < MOST_CHANGES:
        history = await source.store.replay(source.prefix, revision, pin.last, window=WINDOW)
        if not history.complete:
            raise Failure(
                "REVISION_COMPACTED",
                f"the state at {pin.asked} is one of the revisions {pin.first} to {pin.last}, and "
                f"the store's history begins at revision {history.base.revision}: what came before "
                "was compacted",
            )
        other, positions = _split(history)
        changes, moved = changes + other, moved + positions
        revision = history.keyspace.revision
        if revision < pin.last and uptime() > ends:
            raise NotPinned(
                f"the state at {pin.asked} is one of the revisions {pin.first} to {pin.last}, "
                "which are too many to search for changes; give one of them"
            )
    return settled(pin, sorted(set(changes)), moved)


def _split(history: History) -> tuple[list[int], int]:
    """The revisions that changed more than WAL positions, and the number of the others. Pure."""
    now = dict(history.base.keys)
    changed: dict[int, bool] = {}
    for event in history.events:
        old = now.get(event.key)
        if event.value is None:
            now.pop(event.key, None)
        else:
            now[event.key] = KeyValue(event.value, event.created, event.revision, event.lease)
        differs = _without_positions(event.key, old) != _without_positions(
            event.key, now.get(event.key)
        )
        changed[event.revision] = changed.get(event.revision, False) or differs
    other = [revision for revision, differs in changed.items() if differs]
    return other, len(changed) - len(other)


def _without_positions(key: str, pair: KeyValue | None) -> Any:
    """A key's value without WAL positions; the leader key's with the revision that created it."""
    if pair is None:
        return None
    if key == "optime/leader":
        return ""
    if key == "leader":
        return pair.value, pair.created
    if key != "status" and not key.startswith(MEMBERS):
        return pair.value
    try:
        value = json.loads(pair.value)
    except (ValueError, RecursionError):
        return pair.value
    if not isinstance(value, dict):
        return pair.value
    if key == "status":
        slots = value.get("slots")
        names = sorted(slots) if isinstance(slots, dict) else slots
        return {**value, "optime": None, "slots": names}
    return {name: field for name, field in value.items() if name not in POSITIONS}
