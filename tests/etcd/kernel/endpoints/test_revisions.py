"""Which revision stands for a time: only where the logs prove it."""

import asyncio
import base64
import random
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from aeroctl.contract import rfc3339
from aeroctl.contract.events import Pin, PinEnvelope
from aeroctl.contract.pinning import NotPinned, Pinning
from aeroctl.kernel.audit import clock_pins, ledger, trail
from aeroctl.kernel.store.requests import Put
from tests.support.etcd import Store
from tests.support.records import facts
from tests.support.world import World, run

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


async def ask(world: World, **query: Any) -> httpx.Response:
    return await world.clients["observer"].get("/v1/revisions", params=query)


async def pin(world: World, **query: Any) -> Pin:
    answer = await ask(world, **query)
    assert answer.status_code == 200, answer.text
    return PinEnvelope.model_validate_json(answer.text).data


async def refusal(world: World, **query: Any) -> tuple[int, str, str]:
    answer = await ask(world, **query)
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


async def record(world: World, *times: str, **changes: Any) -> int:
    """Records at the end of the trail, written at once, of those times by their own clock."""
    seen = await world.store.read_together([], ledger.keys(world.scope, None))
    head = ledger.parse(world.scope, None, seen.keys, prefix=world.source.prefix).head
    new = [facts(time=time, cluster=world.scope, **changes) for time in times]
    texts, end = ledger.chained(head, new)
    keys = [ledger.audit_key(world.scope, head.sequence + n) for n in range(1, len(texts) + 1)]
    value = ledger.head_value(end, prefix=world.source.prefix)
    puts = [Put(key, text) for key, text in zip(keys, texts, strict=True)]
    return await world.store.transact([], [*puts, Put(ledger.head_key(world.scope), value)]) or 0


def at(minute: int, second: int = 0) -> str:
    return f"2026-01-01T10:{minute:02d}:{second:02d}.000000Z"


async def clock(world: World, time: str, before: int | None = None) -> int:
    """A clock pin of that time, written now; `before`: the revision that its writer had seen."""
    key = ledger.clock_key(world.scope)
    seen = await world.store.read_together([], [key])
    text = clock_pins.text(
        datetime.fromisoformat(time), before or seen.revision, seen.keys.get(key)
    )
    return await world.store.transact([], [Put(key, text)]) or 0


async def moves(world: World) -> int:
    """A write that moves a WAL position and nothing else."""
    at = (await world.store.read_together([], [world.key("status")])).revision
    return await world.put(status={"optime": at, "slots": {"n1": at}})


def bounds(found: Pin) -> tuple[int, int]:
    return found.first, found.last


def test_audit_records_and_history(etcd_store: Store, tmp_path: Path) -> None:
    """A record came after the one before it was read; a row after its file was written."""

    async def test(world: World) -> None:
        await world.put(history=[])
        first = await record(world, at(10))
        row = [1, 5, "r", "2026-01-01T12:20:00+02:00", "n1"]
        second = await world.put(history=[row])
        await world.put(history=[[*row[:4], "n1"]])  # the same again is no other time
        third = await record(world, at(30))
        fourth = await record(world, at(40))
        for time, expected in [
            (at(9), (0, first - 1)),
            (at(10), (0, first - 1)),
            (at(10, 1), (0, second - 1)),
            (at(20), (0, second - 1)),
            (at(21), (0, third - 1)),
            (at(30), (first, third - 1)),
            (at(31), (first, fourth - 1)),
            (at(40), (third, fourth - 1)),
        ]:
            assert bounds(await pin(world, time=time, **{"for": "edge"})) == expected, time
        found = await pin(world, time=at(59), **{"for": "edge"})
        assert (found.first, found.after) == (third, None)
        assert found.last >= fourth
        found = await pin(world, time=at(15), **{"for": "edge"})
        assert found.after
        assert (found.after.source, found.after.clock) == ("history", "Patroni on n1")
        status, code, message = await refusal(world, time=at(9))
        assert (status, code) == (409, "TIME_NOT_PINNED")
        assert f"the first is {at(10)}" in message
        status, code, message = await refusal(world, time=at(31))  # the trail itself changed
        assert (status, code) == (409, "TIME_NOT_PINNED")
        assert f"changed at revisions {second}, {third}" in message

    run(etcd_store, tmp_path, test)


def test_records_of_one_revision_are_one(etcd_store: Store, tmp_path: Path) -> None:
    """None of them was there by the time of the next: they were written at once, and later."""

    async def test(world: World) -> None:
        first = await record(world, at(10))
        second = await record(world, at(20), at(21), at(22))
        third = await record(world, at(30))
        for time, expected in [
            (at(20, 30), (first, second - 1)),
            (at(21, 30), (first, second - 1)),
            (at(25), (first, third - 1)),
            (at(30), (second, third - 1)),
        ]:
            assert bounds(await pin(world, time=time, **{"for": "edge"})) == expected, time

    run(etcd_store, tmp_path, test)


def test_a_state_is_shown_where_only_positions_moved(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        before = await moves(world)
        first = await clock(world, at(10))
        await world.put(members__n1=world.member("n1"))
        await moves(world)
        await world.put(members__n1=world.member("n1", xlog_location=5, replay_lsn=7))
        last = await moves(world)
        second = await clock(world, at(11))
        found = await pin(world, time=at(10, 30))
        assert bounds(found) == (before, second - 1)
        assert found.moved == 4
        assert found.before
        assert found.after
        assert (found.before.revision, found.after.revision) == (first, second)
        gone = await world.put(members__n2=None)
        third = await clock(world, at(12))
        assert bounds(await pin(world, time=at(10, 30))) == (before, second - 1)
        assert (await pin(world, time=at(12))).first == gone
        status, code, message = await refusal(world, time=at(11, 30))
        assert (status, code) == (409, "TIME_NOT_PINNED")
        assert f"revision {last} was there by {at(11)}" in message
        assert f"revision {third} after {at(12)}" in message
        assert f"the state changed at revision {gone}" in message

    run(etcd_store, tmp_path, test)


CHANGES: list[dict[str, Any]] = [
    {"leader": None},
    {"leader": "n1"},
    {"failover": {"leader": "n3", "member": "n1"}},
    {"config": {"ttl": 31}},
    {"sync": {"leader": "n3", "sync_standby": "n1"}},
    {"history": [[1, 5, "r", "2020-01-01T00:00:00+00:00", "n1"]]},
    {"failsafe": {"n1": "http://x"}},
    {"status": {"optime": 1, "slots": {"n9": 1}}},
    {"status": "not JSON"},
    {"members__n9": {"role": "replica"}},
    {"members__n1": {"role": "replica", "state": "running", "tags": {"nofailover": True}}},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "-".join(change))
def test_any_other_change_is_none_of_a_state(
    etcd_store: Store, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Also one that is taken back at once: it stood, and nobody knows when."""

    async def test(world: World) -> None:
        (key,) = change
        name = world.key(key)
        await moves(world)
        await clock(world, at(10))
        old = (await world.store.read_together([], [name])).keys.get(name)
        revision = await world.put(**change)
        await world.put(**{key: old.value if old else None})
        await clock(world, at(11))
        status, code, message = await refusal(world, time=at(10, 30))
        assert (status, code) == (409, "TIME_NOT_PINNED")
        assert f"revisions {revision}, {revision + 1}" in message
        await pin(world, time=at(10, 30), **{"for": "edge"})

    run(etcd_store, tmp_path, test)


def test_a_writer_that_was_frozen(etcd_store: Store, tmp_path: Path) -> None:
    """Its pin came long after its time, and says no more than it may."""

    async def test(world: World) -> None:
        seen = await moves(world)
        change = await world.put(leader=None)
        await clock(world, at(10), before=seen)
        later = await world.put(leader="n1")
        assert (await refusal(world, time=at(10)))[2].endswith(f"changed at revision {change}")
        assert bounds(await pin(world, time=at(11), **{"for": "edge"}))[0] == seen
        await clock(world, at(12))
        assert (await pin(world, time=at(12))).first == later

    run(etcd_store, tmp_path, test)


def test_so_long_ago(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        revision = await moves(world)
        await clock(world, rfc3339.render(datetime.now(UTC) - timedelta(minutes=10)))
        answer = PinEnvelope.model_validate_json((await ask(world, ago=60)).text)
        assert answer.data.first == revision
        now = datetime.fromisoformat(answer.observed_at.time or "")
        assert now - datetime.fromisoformat(answer.data.asked) == timedelta(seconds=60)
        assert (await refusal(world, ago=3600))[1] == "TIME_NOT_PINNED"
        assert (await refusal(world, ago=2**31 - 1))[1] == "TIME_NOT_PINNED"
        changed = await world.put(leader=None)
        assert (await pin(world, ago=0)).first == changed  # which is now
        assert (await refusal(world, ago=1))[2].endswith(f"changed at revision {changed}")

    run(etcd_store, tmp_path, test)


def test_clocks_that_contradict_each_other(etcd_store: Store, tmp_path: Path) -> None:
    """P7-D1: no clock orders anything, so such a time stands for no revision."""

    async def test(world: World) -> None:
        first = await moves(world)
        for time in (at(10), at(30), at(20), at(25)):
            await moves(world)
            await clock(world, time)
        status, code, message = await refusal(world, time=at(24))
        assert (status, code) == (409, "TIME_NOT_PINNED")
        assert "contradict" in message
        assert at(20) in message
        assert at(30) in message
        assert (await pin(world, time=at(10))).first == first + 1
        # The last two were written after minute 30 by one clock, and by how much nobody knows.
        assert (await pin(world, time=at(45))).moved == 2

    run(etcd_store, tmp_path, test)


def test_a_clock_that_was_far_ahead(etcd_store: Store, tmp_path: Path) -> None:
    """What is later than now bounds nothing, and hides nothing."""

    async def test(world: World) -> None:
        first = await moves(world)
        await clock(world, at(10))
        await clock(world, "2999-01-01T00:00:00.000000Z")
        last = await clock(world, at(11))
        assert bounds(await pin(world, time=at(10, 30))) == (first, last - 1)

    run(etcd_store, tmp_path, test)


@pytest.mark.parametrize(
    "value", ["", "[" * 5000, "{}", "9", '{"time": "x", "clock": "k", "reached": 1, "since": 1}',
              '{"time": "2026-02-31T00:00:00Z", "clock": "k", "reached": 1, "since": 1}',
              '{"time": "2026-01-01T10:10:00Z", "clock": "\\ud800", "reached": 1, "since": 1}',
              '{"time": "2026-01-01T10:10:00Z", "clock": "k", "reached": 9000000, "since": 1}']
)  # fmt: skip
def test_a_key_that_is_no_pin(etcd_store: Store, tmp_path: Path, value: str) -> None:
    async def test(world: World) -> None:
        first = await moves(world)
        await clock(world, at(10))
        await world.store.transact([], [Put(ledger.clock_key(world.scope), value)])
        last = await clock(world, at(11))
        assert bounds(await pin(world, time=at(10, 30))) == (first, last - 1)
        answer = await world.clients["observer"].get("/v1/events")
        assert answer.status_code == 200
        pins = answer.json()["data"]["pins"]
        assert [each["time"] for each in pins] == [at(10), at(11)]

    run(etcd_store, tmp_path, test)


@pytest.mark.parametrize("seed", range(4))
def test_pins_are_found_by_halves(etcd_store: Store, tmp_path: Path, seed: int) -> None:
    """Whatever clocks do: the same as by reading them all."""

    async def test(world: World) -> None:
        chance = random.Random(seed)
        seconds = 600
        for _ in range(40):
            for _ in range(chance.choice((0, 0, 1, 5))):
                await moves(world)
            seconds += chance.choice((0, 1, 7, 60, -200 if chance.random() < 0.2 else 3))
            await clock(world, at(seconds // 60, seconds % 60))
        end = await moves(world)
        every, _ = await clock_pins.written(world.source.store, world.source.scope, 0, end)
        for _ in range(40):
            asked = at(*divmod(chance.randrange(300, seconds + 60), 60))
            pinning = Pinning(asked, None)
            for each in every:
                pinning.see(each)
            answer = await ask(world, time=asked, at=end, **{"for": "edge"})
            with suppress(NotPinned):
                whole = pinning.pinned(0, end)
                assert PinEnvelope.model_validate_json(answer.text).data == whole
                continue
            assert "contradict" in answer.json()["error"]["message"]

    run(etcd_store, tmp_path, test)


def test_after_compaction(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        revisions = []
        for minute in range(10, 20):
            revisions.append(await moves(world))
            await clock(world, at(minute))
        etcd_store.ask("kv/compaction", revision=str(revisions[5]), physical=True)
        for minute in range(16, 20):
            assert (await pin(world, time=at(minute))).first == revisions[minute - 10]
        status, code, message = await refusal(world, time=at(14, 30))
        assert (status, code) == (410, "REVISION_COMPACTED")
        assert f"begins at revision {revisions[5]}" in message
        assert (await refusal(world, time=at(12)))[1] == "TIME_NOT_PINNED"
        page = (await world.clients["observer"].get("/v1/events")).json()["data"]
        assert [each["time"] for each in page["pins"]] == [at(minute) for minute in range(14, 20)]
        await world.put(members__n9=world.member("n9"))
        page = (await world.clients["observer"].get("/v1/events")).json()["data"]
        assert page["events"][-1]["not_before"] == at(19)
        assert page["events"][-1]["not_after"] is None

    run(etcd_store, tmp_path, test)


def test_a_server_that_may_not_read_the_pins(etcd_store: Store, tmp_path: Path) -> None:
    """It tells what happened all the same, without times."""

    async def test(world: World) -> None:
        await clock(world, at(10))
        revision = await world.put(config={"ttl": 40})
        await clock(world, at(11))
        name = base64.b64encode(ledger.clock_key(world.scope).encode())

        async def refuse(request: httpx.Request) -> httpx.Response | None:
            if name in request.content:
                denied = {"code": 7, "message": "etcdserver: permission denied"}
                return httpx.Response(403, json=denied)
            return None

        for spoil, expected in ((None, (at(10), at(11))), (refuse, (None, None))):
            world.wire.spoil = spoil
            answer = await world.clients["observer"].get("/v1/events")
            assert answer.status_code == 200
            (found,) = [
                each for each in answer.json()["data"]["events"] if each["revision"] == revision
            ][:1]
            assert (found["not_before"], found["not_after"]) == expected

    run(etcd_store, tmp_path, test)


def test_events_are_dated_page_by_page(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        expected: list[tuple[str | None, str | None]] = []
        revisions = []
        for minute in range(10, 15):
            revisions.append(await world.put(config={"ttl": minute}))
            await moves(world)
            await clock(world, at(minute))
            expected.append((at(minute - 1) if minute > 10 else None, at(minute)))
        for window in (1, 2, 3, 7, 2000):
            found = []
            after = 0
            while after is not None:
                query = {"after": after, "window": window}
                answer = await world.clients["observer"].get("/v1/events", params=query)
                page = answer.json()["data"]
                found += [each for each in page["events"] if each["revision"] in revisions]
                after = page["next"]
            dates = {each["revision"]: (each["not_before"], each["not_after"]) for each in found}
            assert [dates[revision] for revision in revisions] == expected, window

    run(etcd_store, tmp_path, test)


def test_the_trail_of_another_cluster(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await record(world, at(10))
        seen = await world.store.read_together([], [ledger.head_key(world.scope)])
        value = seen.keys[ledger.head_key(world.scope)].value
        value = value.replace("/service/", "/elsewhere/")
        await world.store.transact([], [Put(ledger.head_key(world.scope), value)])
        status, code, message = await refusal(world, time=at(10))
        assert (status, code) == (502, "KERNEL_STATE_UNREADABLE")
        assert "another cluster" in message

    run(etcd_store, tmp_path, test)


def test_page_by_page(etcd_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "PAGE", 2)

    async def test(world: World) -> None:
        revisions = [await record(world, at(minute)) for minute in range(5)]
        for minute in range(1, 4):
            found = await pin(world, time=at(minute, 30), **{"for": "edge"})
            assert bounds(found) == (revisions[minute - 1], revisions[minute + 1] - 1)

    run(etcd_store, tmp_path, test)


def test_a_record_that_tells_no_time(etcd_store: Store, tmp_path: Path) -> None:
    """One that was written over by hand takes no other one's time away."""

    async def test(world: World) -> None:
        revisions = [await record(world, at(minute)) for minute in range(4)]
        key = ledger.audit_key(world.scope, 2)
        for value in ("{", "[]", "[" * 100_000, '{"time": "2026-02-31T00:00:00Z", "clock": "x"}'):
            await world.store.transact([], [Put(key, value)])
            found = await pin(world, time=at(2, 30), **{"for": "edge"})
            assert bounds(found) == (revisions[0], revisions[3] - 1)

    run(etcd_store, tmp_path, test)


def test_what_is_asked(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for query in (
            {},
            {"time": at(1), "ago": 1},
            {"time": "2026-01-01T10:00:00+00:00"},
            {"time": "2026-01-01 10:00:00Z"},
            {"time": "2026-02-30T10:00:00Z"},
            {"time": "2026-01-01T10:00:00.1234567Z"},
            {"time": ""},
            {"ago": -1},
            {"ago": "1h"},
            {"ago": 2**31},
            {"ago": 1, "at": 0},
            {"ago": 1, "after": 1},
            {"ago": 1, "for": "x"},
        ):
            assert (await refusal(world, **query))[:2] == (400, "BAD_PARAMETER"), query
        assert (await refusal(world, time=at(1), at=2**40))[1] == "FUTURE_REVISION"
        assert (
            await world.clients[None].get("/v1/revisions")
        ).status_code == 400  # anonymous reads

    run(etcd_store, tmp_path, test)


def test_it_is_bounded(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        async def hang(request: httpx.Request) -> None:
            await asyncio.Event().wait()

        object.__setattr__(world.source, "seconds", 0.05)
        world.wire.spoil = hang
        for path in ("/v1/revisions?ago=1", "/v1/events", "/v1/audit"):
            answer = await world.clients["operator"].get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "KERNEL_BUSY")

    run(etcd_store, tmp_path, test)


def test_the_audit_trail_since_a_revision(etcd_store: Store, tmp_path: Path) -> None:
    """And an observer, who reads the rest of the past, does not read that."""

    async def test(world: World) -> None:
        revisions = [await record(world, at(minute)) for minute in range(5)]

        async def ask(leader: str, **query: int) -> httpx.Response:
            return await world.clients[leader].get("/v1/audit", params=query)

        for query, found in [
            ({"since": revisions[2]}, revisions[2:]),
            ({"since": revisions[2] + 1, "limit": 1}, revisions[3:4]),
            ({"since": revisions[1], "after": 3}, revisions[3:]),
            ({"since": revisions[1], "at": revisions[2]}, revisions[1:3]),
            ({"since": revisions[4] + 1}, []),
        ]:
            data = (await ask("auditor", **query)).json()["data"]
            assert [each["revision"] for each in data["records"]] == found
            assert data["head"]["sequence"] == (3 if "at" in query else 5)
        assert (await ask("auditor", since=0)).json()["error"]["code"] == "BAD_PARAMETER"
        assert (await ask("observer", since=1)).json()["error"]["code"] == "NOT_AUTHORIZED"

    run(etcd_store, tmp_path, test)
