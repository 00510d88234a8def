"""A leader term begins where the leader key took its holder's name, also where it was written over.

Patroni before 4 has an old leader that wakes up late write its name over another one's, which
creates no key: create_revision alone would call it the same leader term (P6-A1, P7-D2).
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from aeroctl.kernel.patroni import sections
from aeroctl.kernel.store.etcd import WRITES, Etcd, Put
from tests.support.etcd import Store
from tests.support.world import World, run, writes

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
In = Callable[[Callable[[World], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def inside(etcd_store: Store, tmp_path: Path) -> In:
    return lambda test: run(etcd_store, tmp_path, test)


async def since(w: World, at: int | None = None) -> tuple[str, int]:
    held = sections.leader(await w.source.keys(at))
    assert held is not None
    return held.node, held.since


def test_a_name_that_is_written_over_another(inside: In) -> None:
    async def test(w: World) -> None:
        first = await since(w)
        taken = await w.put(leader="n1")
        assert await since(w) == ("n1", taken)
        await w.put(leader="n1")  # on a new lease, say
        last = await w.put(leader="n1")
        assert await since(w) == ("n1", taken)
        assert await since(w, taken - 1) == first
        assert await since(w, last) == ("n1", taken)
        again = await w.put(leader="n3")
        assert await since(w) == ("n3", again) != first

    inside(test)


def test_the_same_name_over_itself_is_the_same_leader_term(inside: In) -> None:
    async def test(w: World) -> None:
        first = await since(w)
        for _ in range(3):
            await w.put(leader="n3")
        assert await since(w) == first

    inside(test)


def test_what_was_confirmed_before_is_not_carried_out(inside: In) -> None:
    async def test(w: World) -> None:
        body = await w.request("request_promotion", "n2")
        await w.put(leader="n1")
        await w.put(leader="n3")
        answer = (await w.send("request_promotion", body)).json()
        assert answer["error"]["code"] == "STATE_CHANGED"
        assert w.agent.posts == []

    inside(test)


def test_nor_where_it_is_written_over_between_the_check_and_the_record(inside: In) -> None:
    """The dispatch transaction compares the revision of the last write, not that of the
    creation.
    """

    async def test(w: World) -> None:
        body = await w.request("request_promotion", "n1")
        waiting = [True]

        async def spoil(request: httpx.Request) -> None:
            if writes(request) and waiting and waiting.pop():
                await w.put(leader="n2")
                await w.put(leader="n3")

        w.wire.spoil = spoil
        answer = (await w.send("request_promotion", body)).json()
        assert answer["error"]["code"] == "STATE_CHANGED"
        assert w.agent.posts == []

    inside(test)


def test_what_compaction_removed_is_not_looked_for(etcd_store: Store) -> None:
    async def work() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            store = Etcd(client, [etcd_store.url], seconds=5)
            key = "/leader term/leader"
            await store.transact([], [Put(key, "n1")])
            taken = await store.transact([], [Put(key, "n2")]) or 0

            async def found() -> int:
                return await store.taken(key, (await store.read("/leader term/")).keys["leader"])

            again = await store.transact([], [Put(key, "n2")]) or 0
            assert await found() == taken
            etcd_store.ask("kv/compaction", revision=str(again))
            assert await found() == again  # all that is left proves no more
            for _ in range(WRITES + 5):
                await store.transact([], [Put(key, "n2")])
            last = (await store.read("/leader term/")).keys["leader"].modified
            assert again < await found() <= last - WRITES

    asyncio.run(work())
