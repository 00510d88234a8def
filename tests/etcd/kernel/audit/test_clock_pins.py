"""Keeping clock pins: one server's part in it, against a real etcd. Their use:
test_revisions.py.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeroctl.contract.events import Event, Logged
from aeroctl.kernel.audit import clock_pins, ledger
from aeroctl.kernel.audit.clock_pins import Keeper, dated, parsed, pinning
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.keyspace import KeyValue
from aeroctl.kernel.store.requests import Delete, Put
from tests.factories.events import event, gap
from tests.support.etcd import Store
from tests.support.world import World, puts, run

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


class Clock:
    """What a server takes for the time, and how long it has been up; each as a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        self.wall = datetime(2026, 1, 1, 10, tzinfo=UTC)
        monkeypatch.setattr(clock_pins, "uptime", lambda: self.seconds)
        monkeypatch.setattr(clock_pins, "datetime", self)

    def now(self, _: Any) -> datetime:
        return self.wall

    def fromisoformat(self, text: str) -> datetime:
        return datetime.fromisoformat(text)

    def go(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def keeper(source: Source) -> Keeper:
    return Keeper(source.store, source.scope, source.prefix, 60)


async def pins(world: World) -> list[Logged]:
    key = ledger.clock_key(world.scope)
    end = (await world.store.read_together([], [key])).revision
    return (await clock_pins.written(world.source.store, world.source.scope, 0, end))[0]


def test_never_more_than_one_an_interval(etcd_store: Store, tmp_path: Path, clock: Clock) -> None:
    """Two servers that look when they please, of which one's clock is a day ahead."""

    async def test(world: World) -> None:
        servers = [keeper(world.source), keeper(replace(world.source))]
        written: list[float] = []
        last = 0
        for step in range(200):
            ahead = timedelta(days=step % 2)
            clock.wall += ahead
            wait = await servers[step % 2].look()
            clock.wall -= ahead
            assert 0 <= wait <= 60
            found = await pins(world)
            if found[-1].revision != last:
                last = found[-1].revision
                written.append(clock.seconds)
            clock.go(7)
        assert len(written) == len(await pins(world))
        assert all(60 <= after - before <= 130 for before, after in pairwise(written))

    run(etcd_store, tmp_path, test)


def test_a_server_that_starts_waits_for_a_whole_interval(
    etcd_store: Store, tmp_path: Path, clock: Clock
) -> None:
    """However old the pin says that it is: a server that is started again and again writes none."""

    async def test(world: World) -> None:
        await keeper(world.source).look()
        clock.go(86400)
        for _ in range(5):
            assert await keeper(world.source).look() == 60
        assert len(await pins(world)) == 1

    run(etcd_store, tmp_path, test)


def test_whoever_wakes_up_writes_over_nobody(
    etcd_store: Store, tmp_path: Path, clock: Clock
) -> None:
    async def test(world: World) -> None:
        first, second = keeper(world.source), keeper(world.source)
        await first.look()
        await second.look()
        clock.go(61)

        async def meanwhile(request: httpx.Request) -> httpx.Response | None:
            if puts(request, ledger.clock_key(world.scope)):
                world.wire.spoil = None
                clock.go(500)  # frozen right before it writes
                await world.store.transact([], [Put(ledger.clock_key(world.scope), "")])
            return None

        world.wire.spoil = meanwhile
        assert await first.look() == 0
        assert await first.look() == 60
        assert len(await pins(world)) == 1

    run(etcd_store, tmp_path, test)


def test_a_pin_says_what_was_there_by_its_time(
    etcd_store: Store, tmp_path: Path, clock: Clock
) -> None:
    """The time is read after the store and before the pin, however long each of them takes."""

    async def test(world: World) -> None:
        seen = await world.put(status={"optime": 1})

        async def slow(request: httpx.Request) -> httpx.Response | None:
            if puts(request, ledger.clock_key(world.scope)):
                world.wire.spoil = None
                clock.go(900)
                await world.put(leader=None)
            return None

        world.wire.spoil = slow
        began = clock.wall
        await keeper(world.source).look()
        (pin,) = await pins(world)
        assert datetime.fromisoformat(pin.time) == began
        assert (pin.reached, pin.revision) == (seen, seen + 2)

    run(etcd_store, tmp_path, test)


def test_a_clock_that_goes_back_begins_anew(
    etcd_store: Store, tmp_path: Path, clock: Clock
) -> None:
    async def test(world: World) -> None:
        server = keeper(world.source)
        key = ledger.clock_key(world.scope)
        runs = []
        for back in (0, 0, 3600, 0):
            clock.go(61)
            clock.wall -= timedelta(seconds=back)
            await server.look()
            pair = (await world.store.read_together([], [key])).keys[key]
            pin = parsed(pair)
            assert pin is not None
            runs.append(pin.since)
        assert runs[0] == runs[1] < runs[2] == runs[3]

    run(etcd_store, tmp_path, test)


def test_no_pin_beside_a_cluster_that_is_not_there(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        source = replace(world.source, scope="nobody")
        assert await keeper(source).look() == 60
        assert not (await world.store.read("/aerodb/nobody/")).keys

    run(etcd_store, tmp_path, test)


@pytest.mark.parametrize("spoilt", ["deleted", "garbage"])
def test_a_pin_that_somebody_spoils(
    etcd_store: Store, tmp_path: Path, clock: Clock, spoilt: str
) -> None:
    async def test(world: World) -> None:
        key = ledger.clock_key(world.scope)
        server = keeper(world.source)
        await server.look()
        change = Delete(key) if spoilt == "deleted" else Put(key, "[" * 9999)
        await world.store.transact([], [change])
        clock.go(61)
        await server.look()
        clock.go(61)
        await server.look()
        assert len(await pins(world)) >= 2

    run(etcd_store, tmp_path, test)


def test_trouble_is_said_once(
    etcd_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is down, then one that lets nobody write, and both for long: two lines."""
    caplog.set_level(logging.INFO, "aerokernel")

    async def test(world: World) -> None:
        codes = ["STORE_UNAVAILABLE"] * 20 + ["STORE_REFUSED"] * 20 + [""]
        done = asyncio.Event()

        class Spoilt(Keeper):
            async def look(self) -> float:
                if not codes:
                    done.set()
                    await asyncio.Event().wait()
                code = codes.pop(0)
                if code:
                    raise Failure(code, f"{code}: no")
                await super().look()
                return 0

        task = asyncio.create_task(
            Spoilt(world.source.store, world.scope, world.source.prefix, 0.001).keep()
        )
        await asyncio.wait_for(done.wait(), 20)
        task.cancel()
        assert len(await pins(world)) == 1

    run(etcd_store, tmp_path, test)
    said = [each.getMessage() for each in caplog.records if "clock pins" in each.getMessage()]
    assert [each.split(":")[0] for each in said] == [
        "clock pins are not written", "clock pins are not written", "clock pins are written again",
    ]  # fmt: skip


def test_nothing_runs_on_when_the_server_ends(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for seconds in (0, 60):
            before = asyncio.all_tasks()
            async with pinning(world.store, world.scope, world.source.prefix, seconds):
                assert len(asyncio.all_tasks() - before) == (1 if seconds else 0)
                await asyncio.sleep(0)
            if left := asyncio.all_tasks() - before:  # a call to the store ends by itself
                await asyncio.wait(left, timeout=20)
            assert asyncio.all_tasks() == before

    run(etcd_store, tmp_path, test)


def pin(revision: int, minute: int, reached: int | None = None, clock: str = "k") -> Logged:
    return Logged(
        revision=revision,
        reached=revision - 1 if reached is None else reached,
        time=f"2026-01-01T10:{minute:02d}:00Z",
        clock=clock,
        source="clock",
    )


def times(events: Sequence[Event]) -> list[tuple[str | None, str | None]]:
    return [
        (each.not_before and each.not_before[14:16], each.not_after and each.not_after[14:16])
        for each in events
    ]


def test_events_lie_between_pins() -> None:
    events = [event(revision, "paused") for revision in (1, 4, 6, 9, 12)]
    pins = [pin(3, 1), pin(5, 2), pin(8, 3, reached=5, clock="m"), pin(10, 4)]
    found = dated(events, pins)
    assert times(found) == [(None, "01"), ("01", "02"), ("02", "04"), ("03", "04"), ("04", None)]
    assert [each.clock for each in found] == ["k", "k", "k", "m and k", "k"]


def test_pins_that_contradict_each_other_bound_nothing() -> None:
    found = dated([event(4, "paused"), event(7, "paused")], [pin(3, 30), pin(5, 20), pin(8, 21)])
    assert times(found) == [(None, None), ("20", "21")]


def test_what_is_not_exact_has_no_beginning() -> None:
    """It happened no later than its revision; and of a gap nothing is known."""
    late = event(4, "timeline_ended", exact=False)
    assert times(dated([gap(1, 3), late], [pin(2, 1), pin(5, 2)])) == [(None, None), (None, "02")]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda each: each.decode("latin-1")))
def test_any_value_is_a_pin_or_none(value: str) -> None:
    assert parsed(KeyValue(value, 5, 9)) is None
