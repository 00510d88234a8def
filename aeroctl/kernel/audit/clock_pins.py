"""Clock pins: one small key that holds the time, so that its history in the store is a clock.

etcd orders all writes and records no times. A pin proves that at its time the revision `reached`
existed, and the pin's own revision did not yet. The time is read between the two, so that this is
true however long the writer was frozen meanwhile.

Several servers may write pins, and none relies on another's clock: a server overwrites a pin only
after it has watched it unchanged for the whole interval by its own uptime, and the store compares
its revision. So no more than one pin is written in an interval.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from aeroctl.contract import rfc3339
from aeroctl.contract.base import Revision, Time
from aeroctl.contract.events import Event, Logged
from aeroctl.contract.pinning import NotPinned
from aeroctl.kernel import clock
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.kernel.store.keyspace import KeyValue
from aeroctl.kernel.store.ranges import ESCAPED
from aeroctl.kernel.store.requests import Compare, Put
from aeroctl.kernel.timing import uptime

INTERVAL = 60.0
"""Seconds between two pins, at least."""
RUNS = 64
"""Runs of pins that are searched, at most; a new run begins where a clock went back."""
WINDOW = 20000
"""Revisions of the key's history that are read at a time."""

LOGGER = logging.getLogger("aerokernel")


class _StoredPin(BaseModel):
    """What the key holds. `since`: from the pin after that revision up to this one no pin's time is
    earlier than the one before it, which is what makes them searchable.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    time: Time
    clock: str
    reached: Revision
    since: Revision


@dataclass(frozen=True, slots=True)
class Pin:
    """A pin as it is logged, and where its run of pins begins."""

    logged: Logged
    since: int

    @property
    def time(self) -> datetime:
        """The time that the pin holds."""
        return datetime.fromisoformat(self.logged.time)


def parsed(pair: KeyValue) -> Pin | None:
    """The pin in the key; None if its value is not a valid pin."""
    try:
        stored = _StoredPin.model_validate_json(pair.value)
        datetime.fromisoformat(stored.time)  # fails for a day that does not exist
        stored.clock.encode()
    except (ValidationError, ValueError):
        return None
    if not stored.since <= stored.reached < pair.modified:
        return None
    return Pin(
        Logged(
            revision=pair.modified,
            reached=stored.reached,
            time=stored.time,
            clock=stored.clock,
            source="clock",
        ),
        stored.since,
    )


def text(time: datetime, reached: int, before: KeyValue | None) -> str:
    """The value of a pin of `time`, at which the store had reached the revision `reached`.
    `before`: the pin that it overwrites.
    """
    last = parsed(before) if before is not None else None
    return _StoredPin(
        time=rfc3339.render(time),
        clock=clock.name(),
        reached=reached,
        since=last.since if last is not None and last.time <= time else reached,
    ).model_dump_json()


class Keeper:
    """Writes clock pins for one cluster, together with other servers."""

    def __init__(self, store: Etcd, scope: str, prefix: str, seconds: float = INTERVAL) -> None:
        """`prefix`: below which Patroni keeps the keys of the cluster `scope`."""
        self._store = store
        self._initialize_key = prefix + "initialize"
        self._seconds = seconds
        self._key = ledger.clock_key(scope)
        self._modified: int | None = None
        self._unchanged_since = 0.0
        self._problem = ""

    async def keep(self) -> None:
        """Write pins until cancelled. A problem is logged once, until it changes."""
        while True:
            try:
                wait = await self.look()
                if self._problem:
                    LOGGER.info("clock pins are written again")
                self._problem = ""
            except Exception as error:  # noqa: BLE001 - a server without pins serves all the same
                wait = self._seconds
                problem = error.error.code if isinstance(error, Failure) else repr(error)[:200]
                if problem != self._problem:
                    LOGGER.warning("clock pins are not written: %s", str(error)[:500])
                self._problem = problem
            await asyncio.sleep(wait)

    async def look(self) -> float:
        """Write a pin if none was written for the whole interval. Returns the seconds to wait.

        Nothing is written for a cluster that is not initialised. Raises Failure.
        """
        answer = await self._store.read_together(
            [], [self._key, self._initialize_key], errors=ESCAPED
        )
        time, now = datetime.now(UTC), uptime()
        if self._initialize_key not in answer.keys:
            return self._seconds
        pin = answer.keys.get(self._key)
        modified = pin.modified if pin else 0
        if modified != self._modified:
            self._modified, self._unchanged_since = modified, now
            if modified:
                return self._seconds
        elif modified and (left := self._unchanged_since + self._seconds - now) > 0:
            return left
        revision = await self._store.transact(
            [Compare(self._key, "modified", modified)],
            [Put(self._key, text(time, answer.revision, pin))],
        )
        if revision is None:
            return 0  # another server has just written one
        self._modified, self._unchanged_since = revision, uptime()
        return self._seconds


@asynccontextmanager
async def pinning(store: Etcd, scope: str, prefix: str, seconds: float) -> AsyncIterator[None]:
    """Write pins while the block runs; 0 seconds: write none."""
    if not seconds:
        yield
        return
    task = asyncio.create_task(Keeper(store, scope, prefix, seconds).keep())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def around(store: Etcd, scope: str, instant: datetime, at: int) -> list[Logged]:
    """Of the pins up to revision `at`, those that bound `instant`: of every run the last one at or
    before it, and the first one at or after it. Raises Failure, and NotPinned: there are too many
    runs.
    """
    pins: list[Logged] = []
    revision = at
    for _ in range(RUNS):
        pair = await _at(store, scope, revision)
        if pair is None:
            return pins
        last = parsed(pair)
        if last is None:
            revision = pair.modified - 1
            continue
        pins += await _of_run(store, scope, last, instant)
        revision = last.since
        if revision == 0:
            return pins
    raise NotPinned(f"clocks went back more than {RUNS} times since then")


async def _of_run(store: Etcd, scope: str, last: Pin, instant: datetime) -> list[Logged]:
    """A binary search: the times of a run only grow."""
    low: int = last.since
    before: Pin | None = None
    after = last
    if last.time <= instant:
        return [last.logged]
    while low < after.logged.revision - 1:
        middle = (low + after.logged.revision) // 2
        pair = await _at(store, scope, middle)
        pin = parsed(pair) if pair is not None else None
        if pin is None or pin.since != last.since:
            low = middle  # before the run, or compacted
        elif pin.time <= instant:
            low, before = middle, pin
        else:
            after = pin
    return [pin.logged for pin in (before, after) if pin is not None]


async def _at(store: Etcd, scope: str, revision: int) -> KeyValue | None:
    """What the key held at a revision; None: nothing, or the store no longer holds that
    revision.
    """
    key = ledger.clock_key(scope)
    try:
        return (await store.read_together([], [key], revision, errors=ESCAPED)).keys.get(key)
    except Failure as failure:
        if failure.error.code == "REVISION_COMPACTED":
            return None
        raise


async def written(
    store: Etcd, scope: str, after: int, until: int
) -> tuple[list[Logged], Logged | None]:
    """The pins that revisions after `after` up to `until` wrote, in order, with one before them
    that is the oldest of all that are left; and the pin that stood before them.
    """
    key = ledger.clock_key(scope)
    pins: list[Logged] = []
    stood: Logged | None = None
    revision, first = after, True
    while first or revision < until:
        history = await store.replay(key, revision, until, window=WINDOW)
        if first and (pair := history.base.keys.get("")) is not None:
            pin = parsed(pair)
            stood = pin.logged if pin else None
            if stood is not None and stood.revision > after:
                pins.append(stood)
        for event in history.events:
            if event.key == "" and event.value is not None:
                pin = parsed(KeyValue(event.value, event.created, event.revision))
                pins += [pin.logged] if pin else []
        revision, first = max(history.keyspace.revision, revision + 1), False
    return pins, stood


async def next_after(store: Etcd, scope: str, revision: int, at: int) -> Logged | None:
    """The first pin up to revision `at` that reached `revision`; None: there is none yet."""
    pair = await _at(store, scope, at)
    last = parsed(pair) if pair is not None else None
    if last is None or last.logged.reached < revision:
        return None
    low = revision
    while low < last.logged.revision - 1:
        middle = (low + last.logged.revision) // 2
        pair = await _at(store, scope, middle)
        pin = parsed(pair) if pair is not None else None
        if pin is None or pin.logged.reached < revision:
            low = middle
        else:
            last = pin
    return last.logged


def dated(events: Sequence[Event], pins: Sequence[Logged]) -> list[Event]:
    """The events, each dated by the pin before it and the first one that reached it. Two pins that
    contradict each other date nothing. `pins` are in order of revision. Pure.
    """
    result = []
    place = 0
    for event in events:
        if event.kind == "gap":
            result.append(event)
            continue
        while place < len(pins) and pins[place].revision < event.revision:
            place += 1
        before = pins[place - 1] if place and event.exact else None
        after = next((pin for pin in pins[place:] if pin.reached >= event.revision), None)
        if before and after and _earlier(after, before):
            before = after = None
        clocks = dict.fromkeys(pin.clock for pin in (before, after) if pin)
        result.append(
            event.model_copy(
                update={
                    "not_before": before.time if before else None,
                    "not_after": after.time if after else None,
                    "clock": event.clock or " and ".join(clocks) or None,
                }
            )
        )
    return result


def _earlier(one: Logged, other: Logged) -> bool:
    return datetime.fromisoformat(one.time) < datetime.fromisoformat(other.time)
