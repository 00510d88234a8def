"""What a command does to each node is what Patroni does to it (ha.py), not what is hoped for."""

from typing import Any

import pytest

from aeroctl.contract.base import Observation, Unavailable
from aeroctl.contract.commands import CommandName
from aeroctl.kernel.decide import effects
from aeroctl.kernel.decide.state import State
from tests.support.keyspaces import cluster_keys, member

ARCHIVE = "does not stream: it restores from the archive (nostream)"
N4 = member("n4", tags={"replicatefrom": "n2"})


def effect(
    command: CommandName, target: str | None, node: str, measured: Any = None, **changes: Any
) -> str:
    """What is said of `node`."""
    state = State(cluster_keys(**changes), None, measured)
    found = {each.node: each.effect for each in effects.affected(command, target, state)}
    assert list(found) == sorted(state.nodes)
    return found[node]


def test_a_promotion_of_plain_nodes() -> None:
    assert effect("request_promotion", "n1", "n1").startswith("becomes the primary")
    assert effect("request_promotion", "n1", "n2") == "follows n1"
    assert effect("request_promotion", "n1", "n3").startswith("becomes a replica: its connections")
    assert effect("request_promotion", "n1", "n3").endswith("; follows n1")


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"replicatefrom": "n2"}, "follows n2 (replicatefrom)"),
        ({"replicatefrom": "n1"}, "follows n1 (replicatefrom), the new primary"),
        ({"replicatefrom": "n3"}, "follows n3 (replicatefrom)"),  # the old primary, a replica then
        ({"replicatefrom": "n4"}, "follows n1"),  # itself: Patroni ignores that
        ({"replicatefrom": "n9"}, "follows n1"),  # Patroni falls back to the leader
        ({"nostream": True}, ARCHIVE),
        ({"nostream": True, "replicatefrom": "n2"}, ARCHIVE),
        ({}, "follows n1"),
    ],
)
@pytest.mark.parametrize("command", ["request_promotion", "force_promotion"])
def test_whom_a_node_follows(command: CommandName, tags: Any, said: str) -> None:
    assert effect(command, "n1", "n4", members__n4=member("n4", tags=tags)) == said


def test_the_old_primary_obeys_its_own_tag() -> None:
    tagged = member("n3", "primary", tags={"replicatefrom": "n2"})
    assert effect("request_promotion", "n1", "n3", members__n3=tagged).endswith(
        "; follows n2 (replicatefrom)"
    )


@pytest.mark.parametrize("command", ["request_promotion", "request_demotion", "force_promotion"])
def test_nothing_is_promised_of_who_is_not_there(command: CommandName) -> None:
    target = "n3" if command == "request_demotion" else "n1"
    gone = effect(command, target, "n2", members__n2=None)
    assert gone == "has no entry of its own in the store: nothing is asked of it"


def test_nothing_is_asked_of_a_dead_primary() -> None:
    dead = effect("force_promotion", "n1", "n3", members__n3=None)
    assert dead.startswith("holds the leader key and has no entry of its own in the store")
    assert "follows" not in dead


def test_who_does_not_answer_follows_when_it_does() -> None:
    silent = Observation[Any](
        node="n2", value=None, unavailable=Unavailable(code="NODE_TIMEOUT", message="")
    )
    found = effect("request_promotion", "n1", "n2", {"n2": silent})
    assert found == "follows n1 once it answers again (NODE_TIMEOUT)"


class TestDemotion:
    """Patroni picks among those that may be promoted (get_failover_candidates)."""

    def said(self, name: str, **changes: Any) -> str:
        return effect("request_demotion", "n3", name, **changes)

    def test_who_may_be_picked(self) -> None:
        for name in ("n1", "n2"):
            assert self.said(name) == (
                "may be picked by Patroni to become the primary; otherwise it follows the new"
                " primary"
            )

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"members__n1": member("n1", tags={"nofailover": True})}, "failover_allowed"),
            ({"members__n1": member("n1", tags={"failover_priority": 0})}, "failover_allowed"),
            (
                {"members__n1": member("n1", receive_lsn=1, replay_lsn=1, xlog_location=1)},
                "lag_within_limit",
            ),
            (
                {
                    "config": {"synchronous_mode": True},
                    "sync": {"leader": "n3", "sync_standby": "n2"},
                },
                "synchronous_standby",
            ),
        ],
    )
    def test_who_can_not(self, changes: Any, why: str) -> None:
        found = self.said("n1", **changes)
        assert found == f"can't be picked by Patroni ({why}): it follows the new primary"

    def test_who_can_not_and_follows_another(self) -> None:
        tags = {"nofailover": True, "replicatefrom": "n2"}
        found = self.said("n1", members__n1=member("n1", tags=tags))
        assert found.endswith("(failover_allowed): it follows n2 (replicatefrom)")

    def test_who_may_be_picked_and_follows_another_otherwise(self) -> None:
        found = self.said("n4", members__n4=N4)
        assert found.endswith("to become the primary; otherwise it follows n2 (replicatefrom)")


def test_a_diagnostic_changes_nothing() -> None:
    assert effect("run_diagnostics", None, "n3").endswith("nothing is changed")
