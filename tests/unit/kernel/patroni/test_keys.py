"""What Patroni wrote is parsed whole, or refused by name (P7-F1)."""

from typing import Any

import pytest

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.keys import parse
from tests.support.keyspaces import cluster_keys, keyspace, member, stored


def test_a_live_clusters_keys() -> None:
    parsed = cluster_keys()
    assert (parsed.scope, parsed.revision, parsed.system_id) == ("demo", 57, "7711333723011112335")
    assert parsed.leader is not None
    assert parsed.leader.value == "n3"
    assert list(parsed.members) == ["n1", "n2", "n3"]
    assert parsed.status.retain_slots == ["n1", "n2", "n3"]
    assert not parsed.failover.pending


@pytest.mark.parametrize("value", ["", None])
def test_a_cluster_that_is_not_initialised_has_no_system_id(value: str | None) -> None:
    assert cluster_keys(initialize=value).system_id is None


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("members__n2", "", "EOF"),
        ("members__n2", "postgres://u:hunter2@h/db", "Invalid JSON"),
        ("members__n2", "[]", "value"),
        ("members__n2", member("n2", timeline="one"), "timeline"),
        ("members__n2", member("n2", timeline=-1), "timeline"),
        ("members__n2", member("n2", xlog_location=2**64), "xlog_location"),
        ("members__n2", member("n2", conn_url=["hunter2"]), "conn_url"),
        ("leader", "", "no node"),
        ("config", "[]", "value"),
        ("status", "null", "value"),
        ("status", {"retain_slots": {"n1": 1}}, "retain_slots"),
        ("sync", "{", "EOF"),
        ("failover", "n1:n2", "Invalid JSON"),
        ("failover", {"leader": "n1", "scheduled_at": "soon"}, "scheduled_at"),
        ("failover", {"leader": "n1", "scheduled_at": "2026-11-23T10:00:00"}, "timezone"),
        ("history", "{}", "value"),
        ("history", [[1]], "position"),
        ("history", [[1, "0/1", "no recovery target specified"]], "position"),
    ],
)
def test_a_key_that_cannot_be_read_is_named(key: str, value: Any, says: str) -> None:
    name = key.replace("__", "/")
    with pytest.raises(Failure) as caught:
        parse("demo", keyspace(stored(**{key: value})))
    error = caught.value.error
    assert (caught.value.status, error.code) == (502, "KERNEL_STATE_UNREADABLE")
    assert f"/service/demo/{name}" in error.message
    assert says in error.message
    assert "hunter2" not in error.message


def test_names_of_the_synchronous_set_are_sorted() -> None:
    parsed = cluster_keys(sync={"leader": "n3", "sync_standby": "n2, n1,", "quorum": 0})
    assert parsed.sync is not None
    assert parsed.sync.standbys == ["n1", "n2"]


def test_a_synchronous_set_without_a_leader_is_empty() -> None:
    parsed = cluster_keys(sync={"leader": None, "sync_standby": "n1"})
    assert parsed.sync is not None
    assert parsed.sync.standbys == []


@pytest.mark.parametrize(
    ("value", "pending"),
    [
        (None, False),
        ({}, False),
        ({"leader": "", "member": None}, False),
        ({"scheduled_at": "2026-11-23T10:00:00Z"}, False),
        ({"leader": "n3"}, True),
        ({"member": "n1"}, True),
    ],
)
def test_a_failover_key_is_pending_when_it_names_somebody(value: Any, pending: bool) -> None:
    assert cluster_keys(failover=value).failover.pending is pending


def test_keys_of_no_concern_are_left_alone() -> None:
    changed = cluster_keys(members__n9__deeper="?", optime__leader="?")
    assert changed == cluster_keys()


def test_the_revisions_that_a_decision_rests_on() -> None:
    parsed = cluster_keys(failover={}, config=None)
    assert [parsed.revision_of(key) for key in ("failover", "config", "sync")] == [40, 0, 0]


def test_an_agents_address() -> None:
    assert cluster_keys().members["n1"].api_url == "http://127.0.0.1:8101/patroni"
    assert cluster_keys(members__n1=member("n1", api_url=None)).members["n1"].api_url is None
