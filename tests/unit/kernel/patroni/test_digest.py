"""The state digest changes exactly when state that decides which node leads does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.kernel.patroni.digest import state_digest
from aeroctl.kernel.patroni.keys import parse
from tests.support.keyspaces import cluster_keys, keyspace, member, stored

SYNC = {"leader": "n3", "sync_standby": "n1,n2", "quorum": 0}


@pytest.mark.parametrize(
    "changes",
    [
        {"leader": "n1"},
        {"leader": None},
        {"members__n1": member("n1", "primary")},
        {"members__n1": member("n1", timeline=2)},
        {"members__n1": member("n1", timeline=None)},
        {"members__n1": None},
        {"members__n4": member("n4")},
        {"members__n1": member("n1", "strange")},
        {"failover": {"leader": "n3", "member": "n1"}},
        {"failover": {"leader": "n3", "scheduled_at": "2026-11-23T12:00:00Z"}},
        {"sync": SYNC},
        {"config": {"pause": True}},
        {"initialize": "1"},
        {"initialize": ""},
    ],
)
def test_it_changes_with(changes: Any) -> None:
    assert state_digest(cluster_keys(**changes)) != state_digest(cluster_keys())


@pytest.mark.parametrize(
    "changes",
    [
        {"failover": {}},
        {"sync": {"leader": None, "sync_standby": None}},
        {"members__n1": member("n1", state="starting", xlog_location=1, replay_lsn=1)},
        {"members__n1": member("n1", tags={"nofailover": True}, pause=True)},
        {"members__n1": member("n1", conn_url="postgres://elsewhere:1/x", version="4.2.0")},
        {"status": {"optime": 1, "retain_slots": ["n9"]}},
        {"history": [[1, 1, "why"]]},
        {"config": {"pause": False, "ttl": 99}},
    ],
)
def test_it_stays_with(changes: Any) -> None:
    assert state_digest(cluster_keys(**changes)) == state_digest(cluster_keys())


def test_a_new_leader_term_of_the_same_node_is_another_state_digest() -> None:
    assert state_digest(parse("demo", keyspace(stored(), created=13))) != state_digest(
        cluster_keys()
    )


def test_a_keepalive_is_not() -> None:
    """It bumps no revision; whatever else does, `modified` is not part of the leader term."""
    assert state_digest(parse("demo", keyspace(stored(), modified=99))) == state_digest(
        cluster_keys()
    )


def test_two_requests_differ() -> None:
    one = cluster_keys(failover={"leader": "n3", "member": "n1"})
    other = cluster_keys(failover={"leader": "n3", "member": "n2"})
    assert state_digest(one) != state_digest(other)


def test_the_order_of_the_synchronous_set_says_nothing() -> None:
    assert state_digest(cluster_keys(sync=SYNC)) == state_digest(
        cluster_keys(sync=SYNC | {"sync_standby": "n2,n1"})
    )
    assert state_digest(cluster_keys(sync=SYNC)) != state_digest(
        cluster_keys(sync=SYNC | {"sync_standby": "n2"})
    )


@given(positions=st.lists(st.integers(0, 2**63), min_size=3, max_size=3))
def test_positions_say_nothing(positions: list[int]) -> None:
    moved = {
        f"members__n{number}": member(
            f"n{number}", "primary" if number == 3 else "replica", xlog_location=position
        )
        for number, position in enumerate(positions, start=1)
    }
    assert state_digest(cluster_keys(**moved)) == state_digest(cluster_keys())


def test_it_is_opaque_and_short() -> None:
    assert len(state_digest(cluster_keys())) == 32
    assert set(state_digest(cluster_keys())) <= set("0123456789abcdef")
