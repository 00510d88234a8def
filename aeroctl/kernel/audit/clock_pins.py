"""Clock pins: one small key that holds the time, so that the store's history of it is a clock.

etcd orders everything and knows no time. A pin says: by this time this revision was there, and the
pin's own one was not. The time is read between the two, so that this holds however long the writer
was frozen on its way; whoever reads a pin need not believe that it was fast.

Pins are written by whichever of several servers comes first. None of them trusts another one's
clock for when: a server writes only over a pin that has stood since it first saw it, for the whole
interval by its own count, and the store compares. So there is never more than one an interval.
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
"""How often a clock that went back is followed into the past."""
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
        """Its time."""
        return datetime.fromisoformat(self.logged.time)


def parsed(pair: KeyValue) -> Pin | None:
    """The pin that the key holds; None: it holds none of ours, and pins nothing."""
    try:
        stored = _StoredPin.model_validate_json(pair.value)
        datetime.fromisoformat(stored.time)  # a day that there is
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
    """What a pin of `time` holds, when the store had reached that revision by then and holds
    `before`.
    """
    last = parsed(before) if before is not None else None
    return _StoredPin(
        time=rfc3339.render(time),
        clock=clock.name(),
        reached=reached,
        since=last.since if last is not None and last.time <= time else reached,
    ).model_dump_json()


class Keeper:
    """One server's part in keeping the pins of its cluster."""

    def __init__(self, store: Etcd, scope: str, prefix: str, seconds: float = INTERVAL) -> None:
        """`prefix`: below which Patroni keeps the keys of the cluster `scope`."""
        self._store = store
        self._begun = prefix + "initialize"
        self._seconds = seconds
        self._key = ledger.clock_key(scope)
        self._modified: int | None = None
        self._seen = 0.0
        self._trouble = ""

    async def keep(self) -> None:
        """Keep them until it is cancelled. What goes wrong is logged once, until it changes."""
        while True:
            try:
                wait = await self.look()
                if self._trouble:
                    LOGGER.info("clock pins are written again")
                self._trouble = ""
            except Exception as error:  # noqa: BLE001 - a server without pins serves all the same
                wait = self._seconds
                trouble = error.error.code if isinstance(error, Failure) else repr(error)[:200]
                if trouble != self._trouble:
                    LOGGER.warning("clock pins are not written: %s", str(error)[:500])
                self._trouble = trouble
            await asyncio.sleep(wait)

    async def look(self) -> float:
        """Write a pin where nobody has for the whole interval. Seconds until the next look.

        Nothing is written beside a cluster that is not there. Raises Failure.
        """
        answer = await self._store.read_together([], [self._key, self._begun], errors=ESCAPED)
        time, now = datetime.now(UTC), uptime()
        if self._begun not in answer.keys:
            return self._seconds
        pin = answer.keys.get(self._key)
        modified = pin.modified if pin else 0
        if modified != self._modified:
            self._modified, self._seen = modified, now
            if modified:
                return self._seconds
        elif modified and (left := self._seen + self._seconds - now) > 0:
            return left
        revision = await self._store.transact(
            [Compare(self._key, "modified", modified)],
            [Put(self._key, text(time, answer.revision, pin))],
        )
        if revision is None:
            return 0  # somebody else's is new
        self._modified, self._seen = revision, uptime()
        return self._seconds


@asynccontextmanager
async def pinning(store: Etcd, scope: str, prefix: str, seconds: float) -> AsyncIterator[None]:
    """Pins are kept while the block runs; 0 seconds: they are not."""
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
    """By halves: the times of a run only grow."""
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
    """The first pin up to revision `at` that saw `revision`; None: there is none yet."""
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
    """The events, each between the pin before it and the first one that saw it. `pins` in order of
    revision. Two that contradict each other say nothing. Pure.
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
