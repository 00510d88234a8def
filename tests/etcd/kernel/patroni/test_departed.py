"""Nodes that are gone are found in the store's history, at a cost that does not grow with it."""

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.departed import (
    FEW,
    STEPS,
    chosen,
    departed,
    gone,
    revisions,
    unexplained,
)
from aeroctl.kernel.patroni.keys import ClusterKeys, Departed, Member, parse
from aeroctl.kernel.store.etcd import Delete, Etcd, Put
from tests.support.etcd import Store
from tests.support.keyspaces import cluster_keys, member, text

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
SYSTEM = "7711333723011112335"


class Cluster:
    """A cluster's keys in a real etcd."""

    def __init__(self, store: Etcd, etcd: Store) -> None:
        self.prefix = f"/service/d{uuid.uuid4().hex[:8]}/"
        self.store = store
        self.etcd = etcd
        self.requests = 0

    async def put(self, **changes: Any) -> int:
        """`__` stands for `/`; None deletes."""
        keys = {self.prefix + name.replace("__", "/"): value for name, value in changes.items()}
        written = await self.store.transact(
            [],
            [
                Delete(key) if value is None else Put(key, text(value))
                for key, value in keys.items()
            ],
        )
        assert written is not None
        return written

    async def pass_by(self, revisions: int) -> None:
        """Other writes to the store."""
        key = f"/else/{uuid.uuid4().hex}"
        for first in range(0, revisions, 100):
            some = min(100, revisions - first)
            await asyncio.gather(*(self.store.transact([], [Put(key, "x")]) for _ in range(some)))

    async def keys(self) -> ClusterKeys:
        return parse("demo", await self.store.read(self.prefix))

    async def gone(self) -> dict[str, Departed]:
        return dict(await departed(self.store, self.prefix, await self.keys()))


Inside = Callable[[Callable[[Cluster], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def inside(etcd_store: Store) -> Inside:
    def run(test: Callable[[Cluster], Coroutine[Any, Any, None]]) -> None:
        async def go() -> None:
            async with httpx.AsyncClient(trust_env=False) as client:
                cluster = Cluster(Etcd(client, [etcd_store.url], seconds=5), etcd_store)

                async def count(_: httpx.Request) -> None:
                    cluster.requests += 1

                client.event_hooks["request"].append(count)
                await cluster.put(
                    initialize=SYSTEM,
                    leader="n1",
                    members__n1=member("n1", "primary"),
                    members__n2=member("n2"),
                )
                await test(cluster)

        asyncio.run(go())

    return run


def test_nobody_is_gone(inside: Inside) -> None:
    async def test(c: Cluster) -> None:
        before = c.requests
        assert await c.gone() == {}
        # The read, and one more, though etcd may be asked for its version first; two more where
        # history begins late, as another test may have seen to.
        assert 1 <= c.requests - before <= 5

    inside(test)


def test_a_leader_that_left_with_its_last_address(inside: Inside) -> None:
    async def test(c: Cluster) -> None:
        await c.put(leader=None, members__n1=None)
        await c.put(leader="n2", members__n2=member("n2", "primary", timeline=2))
        found = await c.gone()
        assert list(found) == ["n1"]
        assert sections.address(found["n1"].member.conn_url) == ("127.0.0.1", 5501)
        state = replace(await c.keys(), departed=found)
        (node,) = [each for each in sections.nodes(state) if each.name == "n1"]
        assert (node.registered, node.host, node.port) == (False, "127.0.0.1", 5501)
        assert node.known_from == ["earlier_member_key"]
        assert node.role == "unknown"  # what it was proves nothing
        assert node.last_entry is not None
        assert node.last_entry.role == "primary"

    inside(test)


@pytest.mark.parametrize("since", [3, 100, 600])
def test_the_holder_before_this_one_however_long_ago(inside: Inside, since: int) -> None:
    """It held the leader key for two revisions only: no sample would meet it."""

    async def test(c: Cluster) -> None:
        await c.put(members__n9=member("n9"))
        await c.put(leader=None)
        await c.put(leader="n9")
        await c.put(leader=None, members__n9=None)
        await c.put(leader="n2")
        await c.pass_by(since)
        assert list(await c.gone()) == ["n9"]

    inside(test)


def test_a_node_that_was_there_for_a_sixth_of_the_time(inside: Inside) -> None:
    async def test(c: Cluster) -> None:
        await c.put(members__n7=member("n7"))
        await c.pass_by(100)
        await c.put(members__n7=None)
        await c.pass_by(600)
        found = await c.gone()
        assert list(found) == ["n7"]
        assert (await c.keys()).revision - found["n7"].revision > 600

    inside(test)


def test_who_came_back_is_not_gone(inside: Inside) -> None:
    async def test(c: Cluster) -> None:
        for _ in range(3):
            await c.put(members__n2=None)
            await c.put(members__n2=member("n2"))
        assert await c.gone() == {}

    inside(test)


def test_compaction_is_an_end_and_no_failure(inside: Inside) -> None:
    async def test(c: Cluster) -> None:
        await c.put(members__n8=member("n8"))
        await c.put(members__n8=None)
        compacted = await c.put(members__n9=member("n9"))
        await c.put(members__n9=None)
        c.etcd.ask("kv/compaction", revision=str(compacted))
        assert list(await c.gone()) == ["n9"]
        c.etcd.ask("kv/compaction", revision=str((await c.keys()).revision))
        assert await c.gone() == {}

    inside(test)


def test_another_cluster_that_had_this_name_is_none_of_ours(inside: Inside) -> None:
    async def test(c: Cluster) -> None:
        await c.put(members__n9=member("n9"))
        await c.put(members__n9=None, members__n1=None, members__n2=None, initialize=None)
        await c.put(initialize="", members__n4=member("n4"))
        await c.put(initialize="7", leader="n4")
        assert await c.gone() == {}
        await c.put(initialize=SYSTEM)  # the same one, whose keys were removed by hand
        assert sorted(await c.gone()) == ["n1", "n2", "n9"]

    inside(test)


def test_an_entry_that_nobody_can_read_is_somebody(inside: Inside) -> None:
    async def test(c: Cluster) -> None:
        await c.put(members__n9="{", members__n9__deeper="?")
        await c.put(members__n9=None)
        found = await c.gone()
        assert list(found) == ["n9"]
        assert found["n9"].member.conn_url is None

    inside(test)


def test_more_than_one_transaction_of_them(inside: Inside) -> None:
    async def test(c: Cluster) -> None:
        names = [f"m{number}" for number in range(130)]
        for first in (0, 65):
            some = names[first : first + 65]
            await c.put(**{f"members__{name}": member("n1") for name in some})
        for first in (0, 65):
            await c.put(**dict.fromkeys(f"members__{n}" for n in names[first : first + 65]))
        assert set(await c.gone()) == set(names)

    inside(test)


@given(st.integers(1, 2**53 - 1), st.integers(1, 2**53 - 1), st.integers(1, 2**53 - 1))
def test_one_transaction_has_them_all(now: int, oldest: int, created: int) -> None:
    state = cluster_keys()
    assert state.leader is not None
    leader = replace(state.leader, created=min(created, now), modified=now)
    found = revisions(replace(state, revision=now, leader=leader), oldest)
    assert len(found) <= 128  # etcd: max-txn-ops
    assert found == sorted(set(found))
    assert all(oldest <= revision < now for revision in found)
    near = range(max(oldest, now - 4), now)
    assert set(near) <= set(found)
    if oldest < now:
        assert oldest in found
    assert all(now - step in found for step in STEPS if now - step >= oldest)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(1, 40), st.integers(1, 40)), max_size=12
    ),
    st.sets(st.integers(1, 90), max_size=40),
    st.data(),
)
def test_whatever_the_looked_at_revisions_show_is_found(
    lives: list[tuple[str, int, int]], looked_at: set[int], data: st.DataObject
) -> None:
    """Entries come and go, also again under the same name; a few are read at a time."""
    now = 100
    entries: dict[tuple[str, int], int] = {}
    for name, start, length in lives:
        if not any(
            each == name and begun <= start + length and start <= until
            for (each, begun), until in entries.items()
        ):
            entries[name, start] = start + length
    stay = data.draw(st.sets(st.sampled_from("abcdef")))
    for name in stay:
        entries[name, 95] = now
    there = {
        revision: {entry for entry, until in entries.items() if entry[1] <= revision <= until}
        for revision in looked_at
    }
    state = replace(cluster_keys(), members=dict.fromkeys(stay, Member()))
    counted = {revision: len(names) for revision, names in there.items()}
    known = {(f"members/{name}", 95): now for name in stay}
    rounds, some = 0, FEW
    while left := unexplained(counted, known):
        rounds += 1
        for revision in chosen(left, some):
            for name, begun in there[revision]:
                entry = (f"members/{name}", begun)
                known[entry] = max(revision, known.get(entry, 0))
        some *= FEW
    assert rounds <= 3
    last = {
        name: max(revision for revision, names in there.items() if any(e[0] == name for e in names))
        for name in {name for names in there.values() for name, _ in names} - stay
    }
    assert gone(state, known) == last


@given(st.dictionaries(st.integers(), st.integers(1, 3), min_size=1), st.integers(1, 50))
def test_some_are_chosen(left: dict[int, int], some: int) -> None:
    found = chosen(left, some)
    assert set(found) <= set(left)
    assert len(found) == len(set(found)) <= some
    assert next(iter(left)) in found
    assert len(found) == len(left) or some < len(left)
