"""What changed, out of what was written: nothing missing, nothing invented, in order."""

import asyncio
import base64
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeroctl.contract.events import Event, EventsEnvelope
from aeroctl.contract.standing import followed
from aeroctl.kernel.endpoints.events import derive
from aeroctl.kernel.patroni.baseline import standing
from aeroctl.kernel.patroni.keys import TimelineEnd
from aeroctl.kernel.store import keyspace as store
from aeroctl.kernel.store.etcd import Delete, Put
from aeroctl.kernel.store.keyspace import History, Keyspace, KeyValue
from tests.support.etcd import Store
from tests.support.keyspaces import PREFIX, member, text
from tests.support.world import World, run

ROW = [1, 67108960, "no recovery target specified", "2026-11-23T10:15:21.5+00:00", "n1"]
NODES = ("n1", "n2")

Writes = Mapping[str, tuple[Any, int] | None]
"""What one revision writes: values with their lease, None where a key goes."""


def kept(old: KeyValue | None, event: store.Event) -> KeyValue:
    """A key as events tell it: that of the leader is there since its name took it."""
    assert event.value is not None
    created = event.created
    if event.key == "leader" and old is not None:
        created = old.created if old.value == event.value else event.revision
    return KeyValue(event.value, created, event.revision, event.lease)


def history(base: Writes, revisions: Sequence[Writes], *, complete: bool = True) -> History:
    """A history of the store from revision 10 on, written as etcd would keep it."""
    start = 10
    found = {
        key: KeyValue(text(pair[0]), start, start, pair[1]) for key, pair in base.items() if pair
    }
    first = Keyspace(PREFIX, start, dict(found))
    made = dict.fromkeys(found, start)
    events = []
    for revision, writes in enumerate(revisions, start + 1):
        for key, pair in writes.items():
            if pair is not None:
                made.setdefault(key, revision)
                events.append(store.Event(revision, key, text(pair[0]), made[key], pair[1]))
                found[key] = kept(found.get(key), events[-1])
            elif found.pop(key, None):
                del made[key]
                events.append(store.Event(revision, key, None, 0))
    return History(Keyspace(PREFIX, start + len(revisions), found), tuple(events), complete, first)


def told(*revisions: Writes, base: Writes | None = None, **options: Any) -> list[Event]:
    """The events of those revisions, after checking that they lead to where the store ends."""
    whole = history(base or {}, revisions)
    found = derive(whole, 10, **options)
    assert followed(standing(whole.base), found, whole.keyspace.revision) == standing(
        whole.keyspace
    )
    return found


def words(events: Sequence[Event]) -> list[tuple[Any, ...]]:
    return [(event.kind, event.node, event.before, event.after) for event in events]


def values(key: str) -> st.SearchStrategy[Any]:
    """What may stand in a key, readable or not."""
    node = st.sampled_from(["n1", "n2", None])
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "initialize": st.sampled_from(["", "77", "78"]),
        "leader": st.sampled_from(["n1", "n2"]),
        "failover": st.fixed_dictionaries({}, optional={"leader": node, "member": node}),
        "config": st.fixed_dictionaries(
            {}, optional={"pause": st.booleans() | st.none(), "ttl": st.sampled_from([20, 30, "x"])}
        ),
        "sync": st.fixed_dictionaries(
            {"leader": node}, optional={"sync_standby": st.sampled_from(["n2", "n2,n3", ""])}
        ),
        "history": st.lists(st.just(ROW) | st.just([2, 7, "r"]), max_size=2),
        "status": st.just({}),
    }
    fields = {
        "role": st.sampled_from(["primary", "replica"]),
        "state": st.sampled_from(["running", "stopped"]),
        "timeline": st.integers(1, 3),
        "xlog_location": st.integers(0, 9),
        "replication_state": st.just("streaming"),
    }
    return kinds.get(key, st.fixed_dictionaries({}, optional=fields)) | st.just("{")


KEYS = ("initialize", "leader", "failover", "config", "sync", "history", "status")
REVISION = st.dictionaries(
    st.sampled_from((*KEYS, *(f"members/{name}" for name in NODES))), st.none(), max_size=3
).flatmap(
    lambda keys: st.fixed_dictionaries(
        {key: st.none() | st.tuples(values(key), st.sampled_from([0, 7, 8])) for key in keys}
    )
)


@settings(max_examples=150, deadline=None)
@given(REVISION, st.lists(REVISION, max_size=8), st.data())
def test_following_the_events_leads_to_what_stands(
    base: Writes, revisions: list[Writes], data: st.DataObject
) -> None:
    whole = history(base, revisions)
    found = derive(whole, 10)
    end = whole.keyspace.revision
    assert followed(standing(whole.base), found, end) == standing(whole.keyspace)
    places = [(event.revision, event.index) for event in found]
    assert places == sorted(set(places))
    for revision, index in places:
        assert index == 0 or (revision, index - 1) in places
    # and a page says nothing else than the whole does
    cut = data.draw(st.integers(10, end))
    first = History(
        at(whole, cut), tuple(e for e in whole.events if e.revision <= cut), True, whole.base
    )
    rest = History(
        whole.keyspace, tuple(e for e in whole.events if e.revision > cut), True, first.keyspace
    )
    assert derive(first, 10) + derive(rest, cut) == found


def test_a_name_written_over_another_one_in_place_begins_a_leader_term() -> None:
    """Patroni before 4: an old leader that wakes up late; the key is not created anew."""
    found = told({"leader": ("n2", 7)}, {"leader": ("n2", 8)}, {"leader": None},
                 base={"leader": ("n1", 7)})  # fmt: skip
    assert [(each.revision, each.kind, each.node, each.since) for each in found] == [
        (11, "leader_lost", "n1", 10),
        (11, "leader_gained", "n2", 11),
        (13, "leader_lost", "n2", 11),
    ]


def at(whole: History, revision: int) -> Keyspace:
    """The keyspace as it was at that revision of a history."""
    found = dict(whole.base.keys)
    for event in whole.events:
        if event.revision > revision:
            break
        if event.value is None:
            del found[event.key]
        else:
            found[event.key] = kept(found.get(event.key), event)
    return Keyspace(whole.base.prefix, revision, found)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=4))
def test_what_moves_all_the_time_is_no_event(positions: list[tuple[int, int]]) -> None:
    base = {"members/n1": (member("n1"), 0), "status": ({"optime": 0}, 0)}
    moves = [
        {
            "members/n1": (member("n1", xlog_location=own, replay_lsn=own, version=f"4.{own}"), 0),
            "status": ({"optime": last}, 0),
        }
        for own, last in positions
    ]
    assert told(*moves, base=base) == []


def test_it_costs_no_more_than_there_is() -> None:
    """All nodes gone at once, and a long history: not the square of it, which takes ten seconds."""
    start = time.process_time()
    nodes: Writes = {f"members/n{n}": (member("n1"), n) for n in range(1, 4001)}
    rows = [[n, n, "r"] for n in range(1, 4001)]
    base: Writes = {**nodes, "history": (rows[:-1], 0)}
    assert len(told(dict.fromkeys(nodes), {"history": (rows, 0)}, base=base)) == 4001
    assert time.process_time() - start < 4


HELD: Writes = {
    "leader": ("n1", 7),
    "members/n1": (member("n1", "primary"), 7),
    "members/n2": (member("n2"), 8),
}


class TestAuthority:
    def test_a_leader_term(self) -> None:
        found = told({"leader": ("n1", 7)}, {"leader": ("n1", 7)})
        assert words(found) == [("leader_gained", "n1", None, "n1")]
        assert found[0].since == 11

    def test_it_is_released(self) -> None:
        found = told({"leader": None}, {"leader": ("n2", 8)}, base=HELD)
        assert words(found) == [
            ("leader_lost", "n1", "n1", None),
            ("leader_gained", "n2", None, "n2"),
        ]
        assert [(event.since, event.cause) for event in found] == [(10, "released"), (12, None)]

    def test_it_ends_with_its_lease(self) -> None:
        found = told({"leader": None, "members/n1": None}, base=HELD)
        assert words(found) == [
            ("leader_lost", "n1", "n1", None),
            ("member_left", "n1", "running", None),
        ]
        assert [event.cause for event in found] == ["lease_ended", "lease_ended"]

    @pytest.mark.parametrize(
        ("base", "gone"),
        [
            ({}, ["leader", "members/n1", "members/n2"]),  # not one lease's keys alone
            ({"members/n1": None}, ["leader"]),  # alone on its lease: either way looks like this
            ({"leader": ("n1", 0)}, ["leader"]),  # on no lease
            ({}, ["members/n1"]),  # its lease did not end: the leader key is on it
        ],
    )
    def test_what_is_not_proved(self, base: Writes, gone: list[str]) -> None:
        found = told(dict.fromkeys(gone), base={**HELD, **base})
        assert {event.cause for event in found} == {None}

    def test_a_replica_that_went(self) -> None:
        (left,) = told({"members/n2": None}, base=HELD)
        assert (left.kind, left.cause) == ("member_left", "lease_ended")

    def test_another_holder_in_one_revision(self) -> None:
        found = told({"leader": ("n2", 8)}, base=HELD)
        assert [(event.kind, event.index, event.since) for event in found] == [
            ("leader_lost", 0, 10),
            ("leader_gained", 1, 11),
        ]


def test_a_node() -> None:
    found = told(
        {"members/n1": (member("n1"), 7)},
        {"members/n1": (member("n1", state="stopped", replication_state=None), 7)},
    )
    assert words(found) == [
        ("member_joined", "n1", None, None),
        ("role_changed", "n1", None, "replica"),
        ("state_changed", "n1", None, "running"),
        ("replication_changed", "n1", None, "streaming"),
        ("timeline_changed", "n1", None, 1),
        ("state_changed", "n1", "running", "stopped"),
        ("replication_changed", "n1", "streaming", None),
    ]


def test_transfers() -> None:
    found = told(
        {"failover": ({"leader": "n1", "member": "n2"}, 0)},
        {"failover": ({"leader": "n1"}, 0)},
        {"failover": ({}, 0)},
        {"failover": ({"member": "n2", "scheduled_at": "2026-11-23T12:00:00+02:00"}, 0)},
    )
    later = "any to n2 at 2026-11-23T10:00:00.000000Z"
    assert words(found) == [
        ("transfer_requested", "n2", None, "n1 to n2"),
        ("transfer_cleared", "n2", "n1 to n2", None),
        ("transfer_requested", None, None, "n1 to any"),
        ("transfer_cleared", None, "n1 to any", None),
        ("transfer_requested", "n2", None, later),
    ]


class TestConfiguration:
    def test_settings(self) -> None:
        parameters = {
            "max_connections": 50,
            "archive_command": "cp hunter2",
            "wal_level": "logical",
        }
        found = told(
            {"config": ({"ttl": 20, "failsafe_mode": True, "slots": None}, 0)},
            {"config": ({"ttl": 30, "postgresql": {"parameters": parameters}}, 0)},
        )
        assert [(event.subject, event.before, event.after) for event in found] == [
            ("failsafe_mode", None, True),
            ("ttl", None, 20),
            ("failsafe_mode", True, None),
            ("postgresql.parameters.archive_command", None, "(not shown)"),
            ("postgresql.parameters.max_connections", None, 50),
            ("postgresql.parameters.wal_level", None, "logical"),
            ("ttl", 20, 30),
        ]

    def test_the_pause_is_told_once(self) -> None:
        found = told({"config": ({"pause": True}, 0)}, {"config": ({"pause": "off"}, 0)})
        assert [event.kind for event in found] == ["paused", "resumed"]

    @settings(max_examples=50, deadline=None)
    @given(
        st.sampled_from(["password", "x.y", "pg_hba", "replication"]),
        st.sampled_from(["hunter2", ["hunter2"], {"password": "hunter2"}, [{"a": "hunter2"}]]),
    )
    def test_no_secret_is_shown(self, name: str, value: Any) -> None:
        found = told({"config": ({name: value}, 0)}, {"config": ({}, 0)})
        assert len(found) == 2
        assert "hunter2" not in "".join(event.model_dump_json() for event in found)

    def test_a_password_that_is_a_number(self) -> None:
        (found,) = told({"config": ({"replication": {"password": 12345}}, 0)})
        assert (found.subject, found.after) == ("replication.password", "(not shown)")

    def test_odd_numbers(self) -> None:
        found = told(
            {"config": ('{"a": 0.9, "b": 9007199254740993, "c": NaN}', 0)},
            {"config": ('{"a": 0.9, "b": 9007199254740993, "c": NaN, "d": 1}', 0)},
            {"config": ('{"a": 0.9, "b": 9007199254740993, "c": NaN, "d": true}', 0)},
        )
        assert [(event.subject, event.after) for event in found] == [
            ("a", "0.9"),
            ("b", "9007199254740993"),
            ("c", "NaN"),
            ("d", 1),
            ("d", True),
        ]
        assert type(found[-1].after) is bool


def test_the_synchronous_set() -> None:
    found = told(
        {"sync": ({"leader": "n1", "sync_standby": "n3, n2", "quorum": 0}, 0)},
        {"sync": ({"leader": "n1", "sync_standby": "n3, n2", "quorum": 1}, 0)},
        {"sync": ({"leader": None, "sync_standby": None, "quorum": 0}, 0)},
    )
    assert [(event.before, event.after) for event in found] == [
        (None, "n1: n2,n3"),
        ("n1: n2,n3", "n1: n2,n3 (quorum 1)"),
        ("n1: n2,n3 (quorum 1)", None),
    ]


def test_the_system_id() -> None:
    found = told({"initialize": ("", 0)}, {"initialize": ("77", 0)}, {"initialize": ("78", 0)})
    assert words(found) == [
        ("system_id_changed", None, None, "77"),
        ("system_id_changed", None, "77", "78"),
    ]


SECOND = [2, 83886240, "no recovery target specified", "2026-11-23T10:20:00+00:00", "n2"]


BEGUN: Sequence[Writes] = ({"initialize": ("", 0)}, {"initialize": ("77", 0)})
"""How a cluster begins in the store, which is older than itself."""


class TestTimelines:
    def ends(self, *values: Any, base: Any = (), **options: Any) -> list[Event]:
        return told(
            *({"history": (value, 0)} for value in values),
            base={"history": (base, 0)},
            **options,
        )

    def test_the_first_one(self) -> None:
        """A cluster that came to the store later brings ends that are older."""
        for begun, exact in [(BEGUN, True), (BEGUN[1:], False), ((), False)]:
            *_, end = told(*begun, {"history": ([ROW], 0)})
            assert (end.kind, end.exact) == ("timeline_ended", exact)

    def test_a_cluster_that_was_removed_and_is_back(self) -> None:
        """`patronictl remove`, and Patroni writes its keys anew: that is no promotion."""
        again: list[Writes] = [{"initialize": ("77", 0)}, {"history": ([ROW], 0)}]
        *_, first, gone, back, end = told(
            *BEGUN, {"history": ([ROW], 0)}, {"initialize": None, "history": None}, *again
        )
        assert (first.kind, first.exact) == ("timeline_ended", True)
        assert [event.kind for event in (gone, back)] == ["system_id_changed"] * 2
        assert (end.kind, end.exact) == ("timeline_ended", False)

    def test_what_was_unreadable_before(self) -> None:
        assert [event.exact for event in self.ends([ROW], "{", [ROW])] == [True, False]

    def test_a_row(self) -> None:
        first, second = self.ends([ROW], [ROW, SECOND])
        assert (first.before, first.node, first.time, first.clock) == (
            1,
            "n1",
            "2026-11-23T10:15:21.500000Z",
            "Patroni on n1",
        )
        assert first.detail == "at 0/4000060: no recovery target specified"
        assert [event.exact for event in (first, second)] == [True, True]
        assert (second.before, second.revision) == (2, 12)

    def test_one_that_says_more_later_is_the_same(self) -> None:
        assert [event.node for event in self.ends([ROW[:4]], [ROW])] == [None]
        known = [TimelineEnd.model_validate(ROW)]
        (event,) = self.ends([ROW[:4]], [ROW], known=known)
        assert (event.node, event.clock, event.revision) == ("n1", "Patroni on n1", 11)

    def test_one_that_was_left_out_and_is_back_is_none(self) -> None:
        found = self.ends([SECOND], [ROW, SECOND], base=[ROW, SECOND])
        assert found == []

    def test_those_that_came_late_say_so(self) -> None:
        found = self.ends([ROW, SECOND])
        assert [(event.before, event.exact) for event in found] == [(1, False), (2, True)]

    def test_another_end_of_the_same_timeline(self) -> None:
        other = [2, 5, "r"]
        assert [event.before for event in self.ends([ROW, other], base=[ROW, SECOND])] == [2]

    def test_after_a_gap(self) -> None:
        base: Writes = {"history": ([ROW], 0), "members/n1": (member("n1"), 0)}
        whole = history(base, [{"history": ([ROW, SECOND], 0)}], complete=False)
        gap, lost, seen = derive(whole, 3)
        assert (gap.kind, gap.revision, gap.before, gap.after) == ("gap", 4, 4, 10)
        assert (lost.before, lost.revision, lost.index, lost.exact) == (1, 10, 0, False)
        assert (seen.before, seen.revision, seen.exact) == (2, 11, True)
        with pytest.raises(ValueError, match="gap"):
            followed(standing(whole.base), [gap], 11)

    def test_a_gap_of_one_revision(self) -> None:
        found = derive(history({"history": ([ROW], 0)}, [], complete=False), 9)
        assert [(event.revision, event.index) for event in found] == [(10, 0), (10, 1)]


class TestUnreadable:
    """One value that nobody can read hides nothing but itself."""

    def test_a_node(self) -> None:
        found = told(
            {"members/n1": ('{"state": "running"}', 0)},
            {"members/n1": ("{", 0)},
            {"members/n1": ('{"state": "running"}', 0)},
        )
        assert words(found) == [
            ("member_joined", "n1", None, None),
            ("state_changed", "n1", None, "running"),
            ("state_changed", "n1", "running", None),
            ("state_changed", "n1", None, "running"),
        ]
        assert [event.detail is not None and "members/n1" in event.detail for event in found] == [
            False,
            False,
            True,
            False,
        ]

    def test_a_transfer_is_not_taken_for_none(self) -> None:
        found = told({"failover": ({"leader": "n1"}, 0)}, {"failover": ("{", 0)})
        assert words(found)[1:] == [
            ("transfer_cleared", None, "n1 to any", None),
            ("transfer_requested", None, None, "(unreadable)"),
        ]

    def test_no_value_is_quoted(self) -> None:
        secret = '{"conn_url": {"password": "hunter2"}, "state": ["hunter2"]}'
        found = told({"members/n1": (secret, 0)}, {"config": ('["hunter2"]', 0)})
        assert "hunter2" not in "".join(event.model_dump_json() for event in found)

    def test_a_time_that_no_clock_shows(self) -> None:
        row = [1, 1, "r", "0001-01-01T00:00:00+14:00", "n1"]
        (event,) = told({"history": ([row], 0)})
        assert (event.time, event.clock, event.node) == (None, None, "n1")


def recorded() -> History:
    """The whole history in the file beside this one."""
    kept = json.loads((Path(__file__).parent / "recorded_history.json").read_text("utf-8"))
    events = tuple(store.Event(*event) for event in kept["events"])
    base = Keyspace(PREFIX, 1, {})
    whole = History(base, events, True, base)
    return replace(whole, keyspace=at(whole, kept["revision"]))


class TestRecorded:
    """What Patroni 4.1 and etcd wrote while three nodes were started, n2 was promoted on request
    and killed, n2 was stopped as a replica, and the holder was stopped in good order.
    """

    def test_from_any_revision_to_any_other(self) -> None:
        whole = recorded()
        states = [at(whole, revision) for revision in range(1, whole.keyspace.revision + 1)]
        told = derive(whole, 1)
        for start in states[::7]:
            for end in states[start.revision - 1 :]:
                between = [e for e in told if start.revision < e.revision <= end.revision]
                assert followed(standing(start), between, end.revision) == standing(end)

    def test_who_held_leader_and_why_it_ended(self) -> None:
        told = derive(recorded(), 1)
        held = [event for event in told if event.kind.startswith("leader")]
        assert [(event.kind, event.node, event.cause) for event in held] == [
            ("leader_gained", "n1", None),
            ("leader_lost", "n1", "released"),
            ("leader_gained", "n2", None),
            ("leader_lost", "n2", "lease_ended"),
            ("leader_gained", "n1", None),
            ("leader_lost", "n1", "released"),
            ("leader_gained", "n2", None),
        ]
        left = [event for event in told if event.kind == "member_left"]
        assert {event.cause for event in left} == {"lease_ended"}
        ends = [event for event in told if event.kind == "timeline_ended"]
        assert [(event.before, event.exact) for event in ends] == [(1, True), (2, True), (3, True)]


@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
class TestPages:
    """Of a real etcd's history, asked of the whole server."""

    @staticmethod
    async def page(world: World, *, leader: str = "observer", **query: int) -> EventsEnvelope:
        answer = await world.clients[leader].get("/v1/events", params=query)
        assert answer.status_code == 200, answer.text
        return EventsEnvelope.model_validate_json(answer.text)

    async def all_of(self, world: World, **query: int) -> list[EventsEnvelope]:
        found = [await self.page(world, leader="observer", **query)]
        while (after := found[-1].data.next) is not None:
            at = found[0].observed_at.revision
            query = {**query, "after": after, "at": at}
            found.append(await self.page(world, leader="observer", **query))
        return found

    @staticmethod
    async def code(world: World, **query: Any) -> tuple[int, str]:
        answer = await world.clients["observer"].get("/v1/events", params=query)
        return answer.status_code, answer.json()["error"]["code"]

    def test_however_it_is_paged(self, etcd_store: Store, tmp_path: Path) -> None:
        async def test(world: World) -> None:
            start = (await self.page(world)).observed_at.revision
            await world.put(members__n4=world.member("n4"))
            await world.put(members__n4=None)  # it leaves no trace in what stands
            await world.switch({"leader": "n3", "candidate": "n1"}, "n3", "n1")
            (whole,) = await self.all_of(world, after=start, window=20000)
            assert whole.observed_at.kind == "live"
            assert [event.kind for event in whole.data.events if event.node == "n4"] == [
                "member_joined",
                "role_changed",
                "state_changed",
                "replication_changed",
                "timeline_changed",
                "member_left",
            ]
            held = [event for event in whole.data.events if event.kind.startswith("leader")]
            assert [event.node for event in held] == ["n3", "n1"]
            end = whole.observed_at.revision
            for window in (1, 2, 3):
                pages = await self.all_of(world, after=start, window=window)
                assert len(pages) == -(-(end - start) // window)
                events = [event for page in pages for event in page.data.events]
                assert events == whole.data.events
                assert {page.observed_at.revision for page in pages} == {end}
                for page, then in pairwise(pages):
                    reached = then.data.base
                    assert page.data.next == reached.revision
                    assert followed(page.data.base, page.data.events, reached.revision) == reached
            stands = standing(await world.store.read(world.source.prefix, end))
            assert followed(whole.data.base, whole.data.events, end) == stands

        run(etcd_store, tmp_path, test)

    def test_a_lease_that_ends(self, etcd_store: Store, tmp_path: Path) -> None:
        """etcd lets all that was on it go in one revision."""

        async def test(world: World) -> None:
            lease = await world.store.lease(60)
            node = text(world.member("n1", "primary"))
            puts = [
                Put(world.key("leader"), "n1", lease),
                Put(world.key("members/n1"), node, lease),
            ]
            start = await world.store.transact([], puts) or 0
            etcd_store.ask("lease/revoke", ID=str(lease))
            found = (await self.page(world, after=start)).data.events
            assert [(event.kind, event.node, event.cause) for event in found] == [
                ("leader_lost", "n1", "lease_ended"),
                ("member_left", "n1", "lease_ended"),
            ]

        run(etcd_store, tmp_path, test)

    def test_a_gap(self, etcd_store: Store, tmp_path: Path) -> None:
        """Compaction between two pages is told where it is."""

        async def test(world: World) -> None:
            await world.put(history=[])
            start = (await self.page(world)).observed_at.revision
            for state in ("stopping", "stopped", "starting"):
                await world.put(members__n1=world.member("n1", state=state))
            last = await world.put(members__n1=world.member("n1"))
            await world.put(history=[ROW])
            page = await self.page(world, after=start, window=1)
            assert page.data.next == start + 1
            etcd_store.ask("kv/compaction", revision=str(last), physical=True)
            (rest,) = await self.all_of(world, after=start + 1)
            gap, end = rest.data.events
            assert (gap.kind, gap.revision, gap.before, gap.after) == (
                "gap",
                start + 2,
                start + 2,
                last,
            )
            assert (end.kind, end.revision, end.exact) == ("timeline_ended", last + 1, True)
            assert rest.data.base.revision == last
            assert await self.code(world, at=start + 1) == (410, "REVISION_COMPACTED")
            first = (await self.page(world, after=0)).data.events[0]
            assert (first.kind, first.before, first.after) == ("gap", 1, last)

        run(etcd_store, tmp_path, test)

    def test_a_key_that_could_not_be_read(self, etcd_store: Store, tmp_path: Path) -> None:
        async def test(world: World) -> None:
            start = await world.put(members__n1="{")
            assert await self.code(world) == (502, "KERNEL_STATE_UNREADABLE")
            assert (await self.page(world, at=start - 1)).observed_at.revision == start - 1
            await world.put(members__n1=world.member("n1"))
            found = (await self.page(world, after=start - 1)).data.events
            assert [event.revision - start for event in found] == [0] * 4 + [1] * 4
            assert "members/n1" in (found[0].detail or "")

        run(etcd_store, tmp_path, test)

    def test_bytes_that_are_no_text(self, etcd_store: Store, tmp_path: Path) -> None:
        """They don't hide what came after them."""

        async def test(world: World) -> None:
            value = base64.b64encode(b'{"role": "\xff"}').decode()
            members, leader = (
                base64.b64encode(world.key(key).encode()).decode()
                for key in ("members__n1", "leader")
            )
            etcd_store.ask("kv/put", key=members, value=value)
            answer = etcd_store.ask("kv/put", key=leader, value=value)
            start = int(answer["header"]["revision"]) - 1
            await world.put(members__n1=world.member("n1"), leader="n2")
            for after in (start - 1, start, start + 1):
                page = (await self.page(world, after=after)).data
                assert page.events[-1].after == 1  # the timeline of n1
            first = (await self.page(world, after=start - 1)).data.events[0]
            assert (first.kind, first.after) == ("role_changed", None)
            assert "members/n1" in (first.detail or "")

        run(etcd_store, tmp_path, test)

    def test_who_looks_back_holds_nobody_up(self, etcd_store: Store, tmp_path: Path) -> None:
        """P7-S2: however many observers read the past, the nodes are asked all the same."""

        async def test(world: World) -> None:
            hung = asyncio.Event()

            async def hang(request: httpx.Request) -> None:
                if b'"revision"' in request.content:  # the past
                    hung.set()
                    await asyncio.Event().wait()

            world.wire.spoil = hang
            observers = [
                asyncio.create_task(world.clients["observer"].get("/v1/events?after=1"))
                for _ in range(10)
            ]
            await asyncio.wait_for(hung.wait(), 30)
            found = await world.clients["operator"].get("/v1/snapshot?include=mvcc")
            assert found.status_code == 200
            assert not any(each.done() for each in observers)
            for each in observers:
                each.cancel()
            await asyncio.gather(*observers, return_exceptions=True)

        run(etcd_store, tmp_path, test)

    def test_what_is_asked(self, etcd_store: Store, tmp_path: Path) -> None:
        async def test(world: World) -> None:
            now = await world.put(members__n1=world.member("n1", state="stopped"))
            for query in ({"after": -1}, {"window": 0}, {"window": 20001}, {"at": 0}, {"since": 1}):
                assert await self.code(world, **query) == (400, "BAD_PARAMETER")
            for query in ({"after": now + 1}, {"at": now + 1}, {"at": now, "after": now + 1}):
                assert await self.code(world, **query) == (400, "FUTURE_REVISION")
            for leader in ("operator", "auditor"):
                assert (await self.page(world, leader=leader, after=now)).data.events == []
            later = await self.page(world, after=now, at=now - 1)  # past, and beyond the bound
            assert (later.data.events, later.data.next) == ([], None)
            await world.store.transact(
                [], [Delete(world.source.prefix + key) for key in (await self.keys(world))]
            )
            assert await self.code(world) == (404, "CLUSTER_NOT_FOUND")

        run(etcd_store, tmp_path, test)

    @staticmethod
    async def keys(world: World) -> list[str]:
        return list((await world.store.read(world.source.prefix)).keys)

    def test_the_same_bytes(self, etcd_store: Store, tmp_path: Path) -> None:
        """P7-D1."""

        async def test(world: World) -> None:
            at = (await self.page(world)).observed_at.revision
            client = world.clients["observer"]
            answers = {(await client.get("/v1/events", params={"at": at})).text for _ in range(3)}
            assert len(answers) == 1

        run(etcd_store, tmp_path, test)
