"""What an explanation says of every node is what Patroni then does, seen on a real cluster."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aeroctl.kernel.sandbox.cluster import DEADLINE, Sandbox
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live.conftest import operating
from tests.live.operator import Operator
from tests.recorded.scenarios import leader

pytestmark = pytest.mark.live

# n2 is never promoted; n4 hangs on n3
TAGS: dict[str, dict[str, Any]] = {"n2": {"nofailover": True}, "n4": {"replicatefrom": "n3"}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Sandbox]:
    with Sandbox(nodes=4, tags=TAGS) as cluster:
        yield cluster


@pytest.fixture
def operator(
    cluster: Sandbox, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Operator]:
    """The node that the test names leads when it begins; None: whichever does."""
    cluster.wait_until_ready()
    if request.param not in (None, leader(cluster).name):
        done = cluster.patronictl("switchover", "--candidate", request.param, "--force")
        assert done.returncode == 0, done.stderr
    yield from operating(cluster, tmp_path)


def effects(operator: Operator, command: str, target: str) -> dict[str, str]:
    return {each["node"]: each["effect"] for each in operator.explain(command, target)["affected"]}


def follows(cluster: Sandbox, name: str, above: str) -> None:
    """Wait until a node streams from that one, by its own word."""
    port = cluster.nodes[above].postgres_port

    def streams() -> bool:
        try:
            rows = cluster.nodes[name].sql("SELECT sender_port, status FROM pg_stat_wal_receiver")
        except psycopg.OperationalError:  # it is restarting
            return False
        return rows == [(port, "streaming")]

    wait_until(f"{name} follows {above}", streams, DEADLINE)


@pytest.mark.parametrize("operator", [None], indirect=True)
def test_a_stopped_replica_of_a_paused_cluster(cluster: Sandbox, operator: Operator) -> None:
    """Its agent goes on renewing its entry; what psql says of it is what every view says."""
    stopped = cluster.nodes["n2"]
    settings = cluster.directory / "nodes" / "n2" / "data" / "postgresql.base.conf"
    kept = settings.read_text()
    assert cluster.patronictl("pause", "--wait").returncode == 0
    try:
        # Patroni may start it once more, even in pause, to see whether it has to be rewound.
        settings.write_text(f"{kept}\nnot a setting\n")
        stopped.postgres.terminate()

        def entry() -> Any:
            return json.loads(cluster.stored()["members/n2"])

        wait_until("n2 is down", lambda: entry()["state"] in ("stopped", "start failed"), DEADLINE)
        with pytest.raises(psycopg.OperationalError):
            stopped.sql("SELECT 1")
        shown = operator.ask("inspect", "nodes").data["nodes"]
        (row,) = [row for row in shown if row["name"] == "n2"]
        assert (row["registered"], row["unavailable"]["code"]) == (True, "NODE_UNREACHABLE")
        # Which of these Patroni wrote at that moment is its own affair: it may be trying once more.
        assert row["state"] in ("stopped", "starting", "start failed", "crashed")
        assert {row[name] for name in ("writable", "lsn", "replayed_lsn", "lag_bytes")} == {None}
        checked = operator.run("health", "--check", "-o", "json")
        assert checked.code == 8
        holding = {
            rule["rule_id"] for rule in checked.data["rules"] if rule["evaluation"] == "holds"
        }
        assert not holding & {"single_writer", "all_answer", "all_running", "all_streaming"}
        rules = operator.explain("request_promotion", "n2")["rules_applied"]
        holding = {rule["rule_id"] for rule in rules if rule["evaluation"] == "holds"}
        assert not holding & {"target_streaming", "same_timeline", "lag_within_limit"}
        done = operator.ask("promote", "n2", "--yes")
        assert (done.code, done.says) == (4, "ENGINE_REJECTED")
        assert leader(cluster).sql("SELECT pg_is_in_recovery()") == [(False,)]
    finally:
        settings.write_text(kept)
        assert cluster.patronictl("resume", "--wait").returncode == 0


@pytest.mark.parametrize("operator", ["n1"], indirect=True)
def test_a_promotion_does_to_each_node_what_was_said(cluster: Sandbox, operator: Operator) -> None:
    said = effects(operator, "request_promotion", "n3")
    assert said["n3"].startswith("becomes the primary")
    assert said["n1"].endswith("; follows n3")
    assert said["n2"] == "follows n3"
    assert said["n4"] == "follows n3 (replicatefrom), the new primary"
    assert operator.ask("promote", "n3", "--yes").code == 0
    for name in ("n1", "n2", "n4"):
        follows(cluster, name, "n3")


@pytest.mark.parametrize("operator", ["n3"], indirect=True)
def test_a_node_keeps_following_the_one_that_steps_down(
    cluster: Sandbox, operator: Operator
) -> None:
    said = effects(operator, "request_promotion", "n1")
    assert said["n4"] == "follows n3 (replicatefrom)"
    assert operator.ask("promote", "n1", "--yes").code == 0
    for name, above in (("n2", "n1"), ("n3", "n1"), ("n4", "n3")):
        follows(cluster, name, above)


@pytest.mark.parametrize("operator", ["n1"], indirect=True)
def test_a_demotion_names_who_can_be_picked(cluster: Sandbox, operator: Operator) -> None:
    """A dead node is promised nothing, and the one that is never promoted is not picked."""
    dead = cluster.nodes["n4"]
    dead.kill()
    try:
        wait_until("n4's entry ends", lambda: "members/n4" not in cluster.stored(), DEADLINE)
        said = effects(operator, "request_demotion", "n1")
        assert said["n2"].startswith("can't be picked by Patroni (failover_allowed): it follows")
        assert said["n3"].startswith("may be picked by Patroni")
        assert said["n4"] == "has no entry of its own in the store: nothing is asked of it"
        assert operator.ask("demote", "n1", "--yes").code == 0
        assert cluster.stored()["leader"] == "n3"
    finally:
        dead.start()
