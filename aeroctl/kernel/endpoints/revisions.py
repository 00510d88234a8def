"""GET /v1/revisions: which revisions may have stood at a time, by the times that the kernel's logs
tie to revisions; and for a state, only one that differs from none of the others.

The logs are the clock pins (clock_pins.py); the audit records, each written after its time, and
after the record before it was; and the rows of Patroni's history, each written after its time, as
far as the store's own history shows in which revision.
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
from aeroctl.kernel.endpoints.events import clock, ended
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import MEMBERS
from aeroctl.kernel.source import Source, observed
from aeroctl.kernel.store.keyspace import History, KeyValue
from aeroctl.kernel.store.ranges import ESCAPED
from aeroctl.kernel.timing import uptime

WINDOW = 2000
"""Revisions that are looked at for changes at a time."""
ENOUGH = 50
"""Changes after which no more are looked for."""
POSITIONS = frozenset(
    {"xlog_location", "receive_lsn", "replay_lsn", "received_location", "replayed_location"}
)
"""What moves all the time in what a node says of itself (ha.py, touch_member)."""


async def revisions(source: Source, query: RevisionsQuery) -> PinEnvelope:
    """The revisions that may have stood at a time, given as such or as so long ago.

    A duration counts from this server's clock, and a time after that is none yet. `for` a state
    (otherwise for an edge of a story): the first of them is shown, and it is refused where a change
    lies between them. Raises Failure: TIME_NOT_PINNED, REVISION_COMPACTED,
    KERNEL_BUSY, and those of Source.keys.
    """
    at = query.at
    try:
        async with source.in_time(), source.history_readers:
            keys = await source.keys(at)
            now = datetime.now(UTC)  # by now that revision was there
            asked = _instant(query, now)
            pinning = Pinning(asked, rfc3339.render(now))
            leader = source.prefix + "leader"  # some key: it is for the revision
            end = at or (await source.store.read_together([], [leader], errors=ESCAPED)).revision
            recorded = []
            async for each in _logged(source, datetime.fromisoformat(asked), end):
                pinning.see(each)
                if each.source == "audit":
                    recorded.append(each.revision)
            pin = pinning.pinned(keys.revision if at is None else 0, end)
            if query.purpose == "state":
                pinning.check_bounded(pin, ends=at is not None)
                pin = await _settled(source, pin, recorded)
    except NotPinned as error:
        raise Failure("TIME_NOT_PINNED", str(error)) from error
    return PinEnvelope(
        api_version=API_VERSION, observed_at=observed(keys, at, now), data=pin, notes=[]
    )


def _instant(query: RevisionsQuery, now: datetime) -> str:
    """The time that is asked about; so many seconds ago count from `now`."""
    if query.time is not None:
        return query.time
    assert query.ago is not None  # the query has exactly one of the two
    return rfc3339.render(now - timedelta(seconds=query.ago))


async def _logged(source: Source, instant: datetime, at: int) -> AsyncIterator[Logged]:
    """Those that may bound `instant`, up to revision `at`; of the trail a page at a time."""
    for pin in await clock_pins.around(source.store, source.scope, instant, at):
        yield pin
    for row in await _history(source, at):
        yield row
    async for page in trail.times(source.store, source.scope, at, prefix=source.prefix):
        for record in page:
            yield record


async def _history(source: Source, at: int) -> list[Logged]:
    """The rows of Patroni's history whose revision is known: when the row came. Compaction leaves
    only when the key was last written. A row's time is of its file, so it bounds from one side.
    """
    initialize = source.prefix + "initialize"
    begun = (await source.store.read_together([], [initialize], at)).keys.get(initialize)
    found = []
    versions = await source.store.versions(source.prefix + "history", at)
    for old, new in pairwise((None, *versions)):
        if new is None or (old is None and new.created != new.modified):
            continue
        for row, exact in ended(old, new, begun):
            time = sections.utc(row.time)
            if exact and time is not None:
                found.append(
                    Logged(
                        revision=new.modified,
                        reached=0,
                        time=time,
                        clock=clock(row),
                        source="history",
                    )
                )
    return found


async def _settled(source: Source, pin: Pin, recorded: Sequence[int]) -> Pin:
    """The pin of a state, if its revisions differ in WAL positions alone. Raises NotPinned,
    Failure.

    What the audit trail recorded in between is a change too: the trail is a part of the state.
    """
    changes = [revision for revision in recorded if pin.first < revision <= pin.last]
    moved, revision = 0, pin.first
    ends = uptime() + source.seconds / 2
    while revision < pin.last and len(changes) < ENOUGH:
        history = await source.store.replay(source.prefix, revision, pin.last, window=WINDOW)
        if not history.complete:
            raise Failure(
                "REVISION_COMPACTED",
                f"the state at {pin.asked} is one of the revisions {pin.first} to {pin.last}, and "
                f"the store's history begins at revision {history.base.revision}: what came before "
                "was compacted",
            )
        other, only = told(history)
        changes, moved = changes + other, moved + only
        revision = history.keyspace.revision
        if revision < pin.last and uptime() > ends:
            raise NotPinned(
                f"the state at {pin.asked} is one of the revisions {pin.first} to {pin.last}, "
                "which are too many to search for changes; give one of them"
            )
    return settled(pin, sorted(set(changes)), moved)


def told(history: History) -> tuple[list[int], int]:
    """The revisions that changed more than WAL positions, and how many changed no more. Pure."""
    now = dict(history.base.keys)
    changed: dict[int, bool] = {}
    for event in history.events:
        old = now.get(event.key)
        if event.value is None:
            now.pop(event.key, None)
        else:
            now[event.key] = KeyValue(event.value, event.created, event.revision, event.lease)
        differs = _still(event.key, old) != _still(event.key, now.get(event.key))
        changed[event.revision] = changed.get(event.revision, False) or differs
    other = [revision for revision, differs in changed.items() if differs]
    return other, len(changed) - len(other)


def _still(key: str, pair: KeyValue | None) -> Any:
    """What a key says, without WAL positions; of the leader also which leader term it is."""
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
    return {name: each for name, each in value.items() if name not in POSITIONS}
