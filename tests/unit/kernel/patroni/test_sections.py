"""Sections of the contract, from Patroni's keys alone."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract import lsn
from aeroctl.contract.nodes import Node
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys
from tests.support.keyspaces import cluster_keys, member

SWITCH = 67108960
HISTORY = [[1, SWITCH, "no recovery target specified", "2026-11-23T10:15:21.679+02:00", "n3"]]


def row(parsed: ClusterKeys, name: str) -> Node:
    return next(node for node in sections.nodes(parsed) if node.name == name)


def codes(parsed: ClusterKeys) -> list[tuple[str, str | None]]:
    return [(note.code, note.subject) for note in sections.notes(parsed)]


def test_a_quiet_cluster() -> None:
    parsed = cluster_keys()
    section = sections.cluster(parsed)
    assert section.leader is not None
    assert (section.leader.node, section.leader.since) == ("n3", 12)
    assert (section.lease_ttl_seconds, section.maximum_lag_bytes) == (20, 1048576)
    assert section.leader_lsn == "0/4000060"
    assert section.synchronous.mode == "off"
    assert sections.promotion(parsed).state == "Steady"
    assert [node.name for node in sections.nodes(parsed)] == ["n1", "n2", "n3"]
    assert [node.is_leader for node in sections.nodes(parsed)] == [False, False, True]
    assert {node.timeline_status for node in sections.nodes(parsed)} == {"current"}
    assert sections.notes(parsed) == []


def test_what_the_configuration_leaves_out_is_patronis_default() -> None:
    section = sections.cluster(cluster_keys(config={}))
    assert (section.lease_ttl_seconds, section.maximum_lag_bytes) == (30, 1048576)
    assert sections.cluster(cluster_keys(config=None)).lease_ttl_seconds is None


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({}, "off"),
        ({"synchronous_mode": "on"}, "on"),
        ({"synchronous_mode": True}, "on"),
        ({"synchronous_mode": "Quorum"}, "quorum"),
        ({"synchronous_mode": "perhaps"}, "off"),
        ({"synchronous_mode": True, "standby_cluster": {"host": "elsewhere"}}, "off"),
        ({"synchronous_mode": True, "standby_cluster": {"host": ""}}, "on"),
    ],
)
def test_synchronous_mode(config: Any, mode: str) -> None:
    assert sections.cluster(cluster_keys(config=config)).synchronous.mode == mode


def test_the_synchronous_set() -> None:
    config = {"synchronous_mode": "quorum", "synchronous_mode_strict": "yes", "pause": "true"}
    sync = {"leader": "n3", "sync_standby": "n2,n1", "quorum": 1}
    section = sections.cluster(cluster_keys(config=config, sync=sync))
    assert section.synchronous.strict
    assert section.synchronous.standbys == ["n1", "n2"]
    assert section.synchronous.quorum == 1
    assert section.paused


class TestPromotion:
    @pytest.mark.parametrize(
        ("changes", "state"),
        [
            ({}, "Steady"),
            ({"failover": {}}, "Steady"),
            ({"failover": {"leader": "n3", "member": "n1"}}, "PromotionRequested"),
            ({"failover": {"member": "n1"}}, "PromotionRequested"),
            ({"leader": None}, "AuthorityTransitioning"),
            ({"leader": None, "failover": {"member": "n1"}}, "AuthorityTransitioning"),
            ({"leader": "n1"}, "AuthorityTransitioning"),  # it still replays
            ({"leader": "n1", "failover": {"member": "n1"}}, "AuthorityTransitioning"),
            ({"leader": "n9"}, "AuthorityTransitioning"),
            ({"members__n3": member("n3", "master")}, "Steady"),
            ({"members__n3": member("n3", "standby_leader")}, "Steady"),
            ({"members__n3": member("n3", "promoted")}, "AuthorityTransitioning"),
            ({"members__n3": member("n3", "demoted")}, "AuthorityTransitioning"),
        ],
    )
    def test_state(self, changes: Any, state: str) -> None:
        assert sections.promotion(cluster_keys(**changes)).state == state

    def test_pending(self) -> None:
        failover = {"leader": "n3", "member": None, "scheduled_at": "2026-11-23T12:00:00+02:00"}
        pending = sections.promotion(cluster_keys(failover=failover)).pending
        assert pending is not None
        assert (pending.revision, pending.from_node, pending.to_node) == (40, "n3", None)
        assert pending.scheduled_at == "2026-11-23T10:00:00.000000Z"

    def test_history_goes_by_timeline(self) -> None:
        rows = [[2, 2**32 + 255, "why"], *HISTORY]
        history = sections.promotion(cluster_keys(history=rows)).history
        assert [end.timeline for end in history] == [1, 2]
        assert history[0].time == "2026-11-23T08:15:21.679000Z"
        assert history[0].new_leader == "n3"
        assert (history[1].ended_at_lsn, history[1].time) == ("1/FF", None)


class TestTimelineStatus:
    @pytest.mark.parametrize(
        ("timeline", "position", "history", "status"),
        [
            (2, SWITCH, HISTORY, "current"),
            (3, SWITCH, HISTORY, "forked"),
            (1, SWITCH, HISTORY, "behind"),
            (1, SWITCH - 1, HISTORY, "behind"),
            (1, SWITCH + 1, HISTORY, "forked"),
            (1, SWITCH, [], "unknown"),
            (1, None, HISTORY, "unknown"),
            (None, SWITCH, HISTORY, "unknown"),
        ],
    )
    def test_against_the_holder(
        self, timeline: int | None, position: int | None, history: Any, status: str
    ) -> None:
        parsed = cluster_keys(
            members__n3=member("n3", "primary", timeline=2),
            members__n1=member("n1", timeline=timeline, xlog_location=position),
            history=history,
        )
        assert row(parsed, "n1").timeline_status == status

    @pytest.mark.parametrize("leader", [None, "n9"])
    def test_without_a_holder_it_is_unknown(self, leader: str | None) -> None:
        assert row(cluster_keys(leader=leader), "n1").timeline_status == "unknown"


class TestAbsent:
    """A node that is gone is a fact, never a missing row (state model 10)."""

    def test_named_by_the_leader_key(self) -> None:
        parsed = cluster_keys(members__n3=None)
        node = row(parsed, "n3")
        assert (node.registered, node.is_leader, node.role) == (False, True, "unknown")
        assert codes(parsed) == [("NODE_NOT_REGISTERED", "n3")]

    def test_named_by_its_replication_slot(self) -> None:
        parsed = cluster_keys(members__n2=None)
        assert not row(parsed, "n2").registered
        assert codes(parsed) == [("NODE_NOT_REGISTERED", "n2")]

    def test_named_by_the_synchronous_set_whatever_its_case(self) -> None:
        sync = {"leader": "n3", "sync_standby": "N1,n8", "quorum": 0}
        assert codes(cluster_keys(sync=sync)) == [("NODE_NOT_REGISTERED", "n8")]

    def test_a_slot_of_a_node_that_is_there_adds_none(self) -> None:
        parsed = cluster_keys(
            **{"members__PG-1.example": member("n4")},
            status={"optime": 1, "retain_slots": ["pg_1_example", "n1", "n2", "n3"]},
        )
        assert codes(parsed) == []

    def test_a_slot_of_a_node_that_is_already_named_adds_none(self) -> None:
        parsed = cluster_keys(leader="pg-9", status={"retain_slots": ["pg_9"]})
        assert [node.name for node in sections.nodes(parsed)] == ["n1", "n2", "n3", "pg-9"]


def test_slot_names_are_patronis() -> None:
    assert sections.slot_name("PG-1.example") == "pg_1_example"
    assert sections.slot_name("a b") == "au0032b"
    assert len(sections.slot_name("x" * 80)) == 63


@pytest.mark.parametrize(
    ("role", "shown"), [("master", "primary"), ("arbiter", "unknown"), (None, "unknown")]
)
def test_roles(role: str | None, shown: str) -> None:
    parsed = cluster_keys(members__n1=member("n1") | {"role": role})
    assert row(parsed, "n1").role == shown
    notes = [note for note in sections.notes(parsed) if note.code == "ROLE_UNKNOWN"]
    assert bool(notes) == (shown == "unknown")
    assert all(repr(role) in note.message for note in notes)


@pytest.mark.parametrize(
    ("tags", "never"),
    [
        ({}, False),
        ({"nofailover": True}, True),
        ({"nofailover": False, "failover_priority": 0}, False),
        ({"failover_priority": 0}, True),
        ({"failover_priority": "-1"}, True),
        ({"failover_priority": 2}, False),
        ({"failover_priority": "high"}, False),
    ],
)
def test_no_failover(tags: Any, never: bool) -> None:
    assert row(cluster_keys(members__n1=member("n1", tags=tags)), "n1").no_failover is never


def test_tags_are_sorted_and_flat() -> None:
    tags = {"z": 1.5, "a": {"deep": [1]}, "m": None, "replicatefrom": "n2", "clonefrom": True}
    node = row(cluster_keys(members__n1=member("n1", tags=tags)), "n1")
    assert list(node.tags) == sorted(tags)
    assert node.tags["a"] == '{"deep": [1]}'
    assert node.replicate_from == "n2"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgres://127.0.0.1:5501/postgres", ("127.0.0.1", 5501)),
        ("postgresql://db.example/postgres", ("db.example", 5432)),
        ("postgres://[2001:db8::1]:5433/postgres", ("2001:db8::1", 5433)),
        ("postgres://user:p%40ss@db:1/x?sslmode=require", ("db", 1)),
        ("postgres://user:p@ss@db:1/x", ("db", 1)),
        ("postgres://user:12/34@db:1/x", (None, None)),
        ("postgres://user:12?34@db:1/x", (None, None)),
        ("postgres://a:1,b:2/x", (None, None)),
        ("postgres://a,b/x", (None, None)),
        ("postgres://%2Frun%2Fpg/x", (None, None)),
        ("postgres://db:99999/x", (None, None)),
        ("postgres://[::1/x", (None, None)),
        ("host=db port=1", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_addresses(url: str | None, address: Any) -> None:
    assert sections.address(url) == address


def test_an_address_that_cannot_be_read_is_noted() -> None:
    parsed = cluster_keys(members__n1=member("n1", conn_url=None))
    assert codes(parsed) == [("NODE_ADDRESS_UNKNOWN", "n1")]


@given(password=st.text(min_size=4))
def test_a_password_never_leaves(password: str) -> None:
    secret = f"~{password}~"
    parsed = cluster_keys(members__n1=member("n1", conn_url=f"postgres://u:{secret}@db:1/x"))
    shown = json.dumps([node.model_dump() for node in sections.nodes(parsed)], ensure_ascii=False)
    noted = json.dumps([note.model_dump() for note in sections.notes(parsed)], ensure_ascii=False)
    assert secret not in shown + noted


def test_notes() -> None:
    assert codes(cluster_keys(initialize="")) == [("CLUSTER_NOT_INITIALISED", None)]
    assert codes(cluster_keys(config={"pause": True})) == [("CLUSTER_PAUSED", None)]
    assert codes(cluster_keys(leader=None)) == [("NO_LEADER", None)]
    assert codes(cluster_keys(leader="n1")) == [("LEADER_NOT_PRIMARY", "n1")]


@given(position=st.integers(0, 2**64 - 1))
def test_positions_survive(position: int) -> None:
    shown = row(cluster_keys(members__n1=member("n1", xlog_location=position)), "n1").lsn
    assert shown is not None
    assert lsn.parse(shown) == position


ANY_MEMBER = st.fixed_dictionaries(
    {},
    optional={
        "conn_url": st.none() | st.text(),
        "state": st.none() | st.text(),
        "role": st.none() | st.text() | st.sampled_from(["primary", "replica", "master"]),
        "version": st.none() | st.text(),
        "timeline": st.none() | st.integers(0, 2**32 - 1),
        "xlog_location": st.none() | st.integers(0, 2**64 - 1),
        "replay_lsn": st.none() | st.integers(0, 2**64 - 1),
        "tags": st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()),
        "pause": st.booleans(),
    },
)
NAMES = st.sampled_from(["n1", "n2", "N1", "a-b", "a_b", "ü"])


@given(
    members=st.dictionaries(NAMES, ANY_MEMBER, max_size=4),
    leader=st.none() | NAMES,
    slots=st.lists(st.text(min_size=1), max_size=3),
)
def test_whatever_members_say_every_name_has_one_row(
    members: dict[str, Any], leader: str | None, slots: list[str]
) -> None:
    keys = {f"members__{name}": value for name, value in members.items()}
    parsed = cluster_keys(
        **{"members__n3": None, "members__n1": None, "members__n2": None} | keys,
        leader=leader,
        status={"retain_slots": slots},
    )
    names = [node.name for node in sections.nodes(parsed)]
    assert names == sorted(set(names))
    assert set(names) >= set(members) | ({leader} if leader else set())
    assert sum(node.is_leader for node in sections.nodes(parsed)) == (leader is not None)
    assert {slot for slot in slots if slot not in {sections.slot_name(n) for n in names}} <= set(
        names
    )
    sections.cluster(parsed)
    sections.promotion(parsed)
    sections.notes(parsed)


class TestAgent:
    """Scheme, host and port, or nothing: whatever else stands there is not followed."""

    @pytest.mark.parametrize(
        ("url", "base"),
        [
            ("http://127.0.0.1:8008/patroni", "http://127.0.0.1:8008"),
            ("https://n1.example:8008/patroni?x=1#y", "https://n1.example:8008"),
            ("http://[::1]:8008/patroni", "http://[::1]:8008"),
            ("http://ann:hunter2@n1:8008/patroni", "http://n1:8008"),
            ("http://n1/patroni", None),
            ("http://n1:0/patroni", None),
            ("http://n1:x/patroni", None),
            ("http://:8008/patroni", None),
            ("ftp://n1:8008/", None),
            ("n1:8008", None),
            ("file:///etc/passwd", None),
            ("http://n1,n2:8008/", None),
            ("http://u:p@q/r@n1:8008/", None),
            ("", None),
            (None, None),
        ],
    )
    def test_base(self, url: str | None, base: str | None) -> None:
        assert sections.agent(url) == base

    @given(st.text(max_size=30) | st.from_regex(r"https?://[^/]*(:[0-9]*)?/.*"))
    def test_a_base_is_an_address_and_no_more(self, url: str) -> None:
        base = sections.agent(url)
        assert base is None or re.fullmatch(r"https?://(\[[^]@/\s]+\]|[^]@/\s:]+):[0-9]{1,5}", base)


@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        (None, 40),
        ({}, 40),
        ({"loop_wait": 2, "retry_timeout": 3}, 33),
        ({"loop_wait": 30, "retry_timeout": 20}, 90),
        ({"loop_wait": "soon", "retry_timeout": -5}, 30),
    ],
)
def test_the_engine_is_done_by_its_deadline(config: Any, seconds: int) -> None:
    assert sections.deadline_seconds(cluster_keys(config=config)) == seconds


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("ttl", 2**31 - 1),
        ("loop_wait", 2**31 - 1),
        ("retry_timeout", 2**31 - 1),
        ("maximum_lag_on_failover", 2**53 - 1),
    ],
)
def test_a_setting_that_nothing_can_hold_is_not_told_as_another(name: str, largest: int) -> None:
    def read(value: int) -> None:
        found = cluster_keys(config={name: value})
        sections.cluster(found)
        sections.deadline_seconds(found)

    read(largest)
    for value in (largest + 1, 10**17):
        with pytest.raises(Failure, match=name) as raised:
            read(value)
        assert raised.value.error.code == "KERNEL_STATE_UNREADABLE"
