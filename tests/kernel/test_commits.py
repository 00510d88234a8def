"""Which commit stands for a time: only where the logs prove it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from aeroctl.contract.events import Pin, PinEnvelope
from aeroctl.kernel import ledger, trail
from aeroctl.kernel.etcd import Put
from aeroctl.kernel.snapshot import rfc3339
from tests.kernel.conftest import Store
from tests.kernel.records import facts
from tests.kernel.world import World, run

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


async def ask(world: World, **query: Any) -> httpx.Response:
    return await world.clients["observer"].get("/v1/commits", params=query)


async def pin(world: World, **query: Any) -> Pin:
    answer = await ask(world, **query)
    assert answer.status_code == 200, answer.text
    return PinEnvelope.model_validate_json(answer.text).data


async def refusal(world: World, **query: Any) -> tuple[int, str, str]:
    answer = await ask(world, **query)
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


async def record(world: World, time: str, **changes: Any) -> int:
    """A record at the end of the trail, written at that time by its own clock."""
    seen = await world.store.read_together([], ledger.keys(world.scope, None))
    head = ledger.parse(world.scope, None, seen.keys, prefix=world.source.prefix).head
    (written,), end = trail.chained(head, [facts(time=time, **changes)])
    return (
        await world.store.transact(
            [],
            [
                Put(ledger.audit_key(world.scope, end.sequence), written),
                Put(
                    ledger.head_key(world.scope),
                    ledger.head_value(end, prefix=world.source.prefix),
                ),
            ],
        )
        or 0
    )


def at(minute: int, second: int = 0) -> str:
    return f"2026-01-01T10:{minute:02d}:{second:02d}.000000Z"


def test_audit_records_and_history(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.put(history=[])
        first = await record(world, at(10))
        row = [1, 5, "r", "2026-01-01T12:20:00+02:00", "n1"]
        second = await world.put(history=[row])
        await world.put(history=[[*row[:4], "n1"]])  # the same again is no other time
        third = await record(world, at(30))
        for time, taken, following in [
            (at(10), first, second),
            (at(19, 59), first, second),
            (at(20), second, third),
            (at(30), third, None),
            (at(59), third, None),
        ]:
            found = await pin(world, time=time)
            assert found.taken.commit_id == taken
            assert (found.following and found.following.commit_id) == following
        found = await pin(world, time=at(20))
        assert (found.taken.source, found.taken.clock) == ("history", "Patroni on n1")
        found = await pin(world, time=at(30))
        assert (found.taken.source, found.taken.clock) == ("audit", "aerokernel on kernel.test")
        assert (await pin(world, time=at(40), at=second)).taken.commit_id == second
        status, code, message = await refusal(world, time=at(9))
        assert (status, code) == (409, "TIME_NOT_PINNED")
        assert f"the first is {at(10)}" in message

    run(etcd_store, tmp_path, test)


def test_so_long_ago(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        written = datetime.now(UTC) - timedelta(minutes=10)
        commit = await record(world, rfc3339(written))
        answer = PinEnvelope.model_validate_json((await ask(world, ago=60)).text)
        assert answer.data.taken.commit_id == commit
        now = datetime.fromisoformat(answer.observed_at.time or "")
        assert now - datetime.fromisoformat(answer.data.asked) == timedelta(seconds=60)
        assert (await refusal(world, ago=3600))[1] == "TIME_NOT_PINNED"
        assert (await refusal(world, ago=2**31 - 1))[1] == "TIME_NOT_PINNED"

    run(etcd_store, tmp_path, test)


def test_clocks_that_contradict_each_other(etcd_store: Store, tmp_path: Path) -> None:
    """P7-D1: no clock orders anything, so such a time stands for no commit."""

    async def test(world: World) -> None:
        await record(world, at(10))
        await record(world, at(30))
        await record(world, at(20), clock="aerokernel on another host")
        status, code, message = await refusal(world, time=at(25))
        assert (status, code) == (409, "TIME_NOT_PINNED")
        assert "contradict" in message
        assert (await pin(world, time=at(15))).taken.time == at(10)

    run(etcd_store, tmp_path, test)


def test_the_future_and_an_empty_trail(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        later = rfc3339(datetime.now(UTC) + timedelta(hours=1))
        assert "in the future" in (await refusal(world, time=later))[2]
        assert "no time is logged" in (await refusal(world, time=at(0)))[2]

    run(etcd_store, tmp_path, test)


def test_rows_that_compaction_left(etcd_store: Store, tmp_path: Path) -> None:
    """Nobody knows at which commit they came."""

    async def test(world: World) -> None:
        rows = [[n, n, "r", f"2026-01-01T10:{n}0:00+00:00", "n1"] for n in (1, 2, 3)]
        await world.put(history=rows[:1])
        second = await world.put(history=rows[:2])
        assert (await pin(world, time=at(20))).taken.commit_id == second
        etcd_store.ask("kv/compaction", revision=str(second), physical=True)
        assert (await refusal(world, time=at(20)))[1] == "TIME_NOT_PINNED"
        third = await world.put(history=rows)
        assert (await pin(world, time=at(30))).taken.commit_id == third

    run(etcd_store, tmp_path, test)


def test_a_cluster_that_is_older_than_its_keys(etcd_store: Store, tmp_path: Path) -> None:
    """Its first row came with them, whenever it was that the timeline ended."""

    async def test(world: World) -> None:
        row = [1, 5, "r", at(10), "n1"]
        await world.put(history=[row])
        assert (await refusal(world, time=at(20)))[1] == "TIME_NOT_PINNED"
        await world.put(history=None)
        await world.put(initialize="77")  # that it begins here, a second write shows
        commit = await world.put(history=[row])
        await world.put(members__n4=world.member("n4"))
        assert (await pin(world, time=at(20))).taken.commit_id == commit
        end = await world.put(initialize="77")
        etcd_store.ask("kv/compaction", revision=str(end), physical=True)
        assert (await refusal(world, time=at(20)))[1] == "TIME_NOT_PINNED"  # not known any more

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
        commits = [await record(world, at(minute)) for minute in range(5)]
        for minute, commit in enumerate(commits):
            assert (await pin(world, time=at(minute, 30))).taken.commit_id == commit

    run(etcd_store, tmp_path, test)


def test_a_record_that_tells_no_time(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for value in ("{", "[]", '{"time": "2026-02-31T00:00:00Z", "clock": "x"}'):
            await world.store.transact([], [Put(ledger.audit_key(world.scope, 1), value)])
            status, code, message = await refusal(world, time=at(1))
            assert (status, code) == (502, "KERNEL_STATE_UNREADABLE")
            assert ledger.audit_key(world.scope, 1) in message

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
        ):
            assert (await refusal(world, **query))[:2] == (400, "BAD_PARAMETER"), query
        assert (await refusal(world, time=at(1), at=2**40))[1] == "FUTURE_COMMIT"
        assert (await world.clients[None].get("/v1/commits")).status_code == 400  # anonymous reads

    run(etcd_store, tmp_path, test)


def test_it_is_bounded(etcd_store: Store, tmp_path: Path) -> None:
    async def test(world: World) -> None:
        async def hang(request: httpx.Request) -> None:
            await asyncio.Event().wait()

        object.__setattr__(world.source, "seconds", 0.05)
        world.wire.spoil = hang
        for path in ("/v1/commits?ago=1", "/v1/events", "/v1/audit"):
            answer = await world.clients["operator"].get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "KERNEL_BUSY")

    run(etcd_store, tmp_path, test)


def test_the_audit_trail_since_a_commit(etcd_store: Store, tmp_path: Path) -> None:
    """And an observer, who reads the rest of the past, does not read that."""

    async def test(world: World) -> None:
        commits = [await record(world, at(minute)) for minute in range(5)]

        async def ask(authority: str, **query: int) -> httpx.Response:
            return await world.clients[authority].get("/v1/audit", params=query)

        for query, found in [
            ({"since": commits[2]}, commits[2:]),
            ({"since": commits[2] + 1, "limit": 1}, commits[3:4]),
            ({"since": commits[1], "after": 3}, commits[3:]),
            ({"since": commits[1], "at": commits[2]}, commits[1:3]),
            ({"since": commits[4] + 1}, []),
        ]:
            data = (await ask("auditor", **query)).json()["data"]
            assert [each["commit_id"] for each in data["records"]] == found
            assert data["head"]["sequence"] == (3 if "at" in query else 5)
        assert (await ask("auditor", since=0)).json()["error"]["code"] == "BAD_PARAMETER"
        assert (await ask("observer", since=1)).json()["error"]["code"] == "NOT_AUTHORIZED"

    run(etcd_store, tmp_path, test)
