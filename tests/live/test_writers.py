"""Who may write, by the nodes' own word, with Patroni as it is and as Debian 12 has it.

What the store says is held against psql: an agent that hangs leaves its database to serve on, and
the store says nothing of that, or what was so before.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from aeroctl.contract.envelope import SnapshotEnvelope
from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.kernel import Kernel
from aeroctl.kernel.sandbox.node import NodeHandle
from aeroctl.kernel.sandbox.waiting import wait_until
from aeroctl.views import health
from aeroctl.views.nodes import NodeRow, node_rows
from aeroctl.views.rules import evidence_of
from tests.live import store

pytestmark = pytest.mark.live

OLD = Path(__file__).parents[2] / ".venv-patroni-3.0.2/bin/python"
"""`make .venv-patroni-3.0.2/.done`"""


class Watched:
    """A cluster and what the kernel says of it, asked anew each time."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @property
    def leader(self) -> NodeHandle:
        found = wait_until("there is a leader", lambda: self.sandbox.leader, 60)
        assert found is not None
        return found

    def replica(self) -> NodeHandle:
        holder = self.leader.name
        others = [node for name, node in self.sandbox.nodes.items() if name != holder]
        return wait_until("one streams", lambda: next((n for n in others if n.streams), None))

    def ask(self, path: str, kernel: Kernel | None = None, body: Any = None) -> Any:
        token = self.sandbox.token_file("operator").read_text().strip()
        answer = httpx.request(
            "GET" if body is None else "POST",
            f"{(kernel or self.sandbox.kernel).url}{path}",
            headers={"Authorization": f"Bearer {token}"},
            json=body,
            timeout=30,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def snapshot(self, kernel: Kernel | None = None) -> SnapshotEnvelope:
        query = "/v1/snapshot?include=cluster,nodes,promotion,replication"
        return SnapshotEnvelope.model_validate_json(json.dumps(self.ask(query, kernel)))

    def rules(self, kernel: Kernel | None = None) -> dict[str, tuple[str, str]]:
        """What `health` shows: evaluation and evidence of each rule."""
        view = health.derive(self.snapshot(kernel).data)
        return {rule.rule_id: (rule.evaluation, evidence_of(rule)) for rule in view.rules}

    def row(self, name: str, kernel: Kernel | None = None) -> NodeRow:
        rows = node_rows(self.snapshot(kernel).data)
        return next(row for row in rows if row.name == name)

    def explained(self, target: NodeHandle, rule_id: str) -> tuple[str, dict[str, Any]]:
        """A rule of the explanation of a promotion: what it evaluates to, and its evidence."""
        data = self.ask("/v1/explain/request_promotion", body={"target": target.name})["data"]
        rule = next(each for each in data["rules_applied"] if each["rule_id"] == rule_id)
        return rule["evaluation"], {fact["name"]: fact["value"] for fact in rule["evidence"]}

    def check(self) -> int:
        """The exit code of `aeroctl health --check`."""
        return subprocess.run(
            [sys.executable, "-m", "aeroctl", "health", "--check"],
            env=os.environ | self.sandbox.environment,
            capture_output=True,
            check=False,
        ).returncode

    def at_rest(self) -> None:
        self.sandbox.wait_until_ready()
        wait_until("every rule holds", lambda: self.check() == 0)


@pytest.fixture(scope="module", params=["installed", "3.0.2"])
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """No slot is kept for a node that is gone, so that no present key names it."""
    patroni = None if request.param == "installed" else OLD
    # member_slots_ttl 0 is Patroni's own behaviour before 4.1
    with Sandbox(config={"member_slots_ttl": 0}, patroni=patroni) as sandbox:
        yield Watched(sandbox)


def test_a_perfect_cluster(watched: Watched) -> None:
    watched.at_rest()
    assert {evaluation for evaluation, _ in watched.rules().values()} == {"holds"}
    holder, replica = watched.leader, watched.replica()
    for rule_id in ("target_streaming", "lag_within_limit", "same_timeline", "single_writer"):
        assert watched.explained(replica, rule_id)[0] == "holds"
    row = watched.row(replica.name)
    assert (row.streaming, row.lag_bytes is None, row.upstream) == (True, False, holder.name)


def test_a_replica_that_lost_its_stream_while_its_agent_hangs(watched: Watched) -> None:
    watched.at_rest()
    replica = watched.replica()
    replica.patroni.freeze()
    try:
        replica.sql("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
        replica.sql("SELECT pg_reload_conf()")
        wait_until("it lost its stream", lambda: not replica.streams)
        assert f"members/{replica.name}" in watched.sandbox.stored()  # for as long as its lease
        evaluation, evidence = watched.rules()["all_streaming"]
        assert evaluation == "does_not_hold"
        assert replica.name in evidence
        evaluation, shown = watched.explained(replica, "target_streaming")
        assert (evaluation, shown["receiver"]) == ("does_not_hold", None)
        row = watched.row(replica.name)
        assert row.streaming is False
        if row.replication_state is not None:  # Patroni before 4.1 says nothing that is not so
            assert row.replication_state == "streaming"
            assert "store streaming, node no stream)" in evidence
            assert shown["replication_state_on_node"] == "no stream"
            assert row.lag_bytes is None
            assert watched.rules()["lag_within_limit"][0] == "undetermined"
            assert watched.explained(replica, "lag_within_limit")[0] == "undetermined"
        assert watched.check() == 8
    finally:
        replica.sql("ALTER SYSTEM RESET primary_conninfo")
        replica.sql("SELECT pg_reload_conf()")
        replica.patroni.thaw()
    watched.at_rest()


def test_a_leader_whose_agent_hangs_is_a_second_writer(watched: Watched) -> None:
    """P6-A1: nothing in the store names it any more, and its database serves on."""
    watched.at_rest()
    old = watched.leader
    restarted = watched.sandbox.start_kernel("--node-timeout=1")
    options = (f"--retired-member={old.name}", "--expect-members=2")
    vouched = watched.sandbox.start_kernel("--node-timeout=1", *options)
    old.patroni.freeze()
    store.expire(watched.sandbox, f"{store.ENGINE}leader")  # as it would in 20 s by itself
    try:
        new = wait_until("another one leads", lambda: _other(watched, old), 60)
        wait_until("it writes", lambda: new.sql("SELECT pg_is_in_recovery()") == [(False,)])
        old.sql("CREATE TABLE diverged (at timestamptz)")  # psql: both write
        replica = next(n for n in watched.sandbox.nodes.values() if n not in (old, new))

        for kernel in (None, restarted):
            assert watched.rules(kernel)["single_writer"][0] == "does_not_hold"
            row = watched.row(old.name, kernel)
            assert (row.registered, row.writable, row.port) == (False, True, old.postgres_port)
            assert "earlier_member_key" in row.known_from
            assert row.last_entry is not None
            assert row.last_entry.role == "primary"
        evaluation, evidence = watched.explained(replica, "single_writer")
        assert (evaluation, evidence[f"{old.name}.writable"]) == ("does_not_hold", True)
        assert watched.check() == 8

        old.postgres.freeze()  # what does not answer may write when it wakes up
        assert watched.rules(restarted)["single_writer"][0] == "undetermined"
        assert watched.explained(replica, "single_writer")[0] == "undetermined"
        rules = watched.rules(vouched)
        assert rules["single_writer"][0] == "holds"
        assert f"retired: {old.name}" in rules["single_writer"][1]
        assert rules["expected_members"][0] == "holds"
        assert watched.row(old.name, vouched).retired
        old.postgres.thaw()  # whoever vouched was wrong
        wait_until("it answers", lambda: watched.row(old.name, vouched).writable)
        assert watched.rules(vouched)["single_writer"][0] == "does_not_hold"
    finally:
        old.kill()  # it would take a while to come back, and the last test needs it not
        for kernel in (restarted, vouched):
            kernel.terminate()
    assert watched.rules()["single_writer"][0] == "undetermined"  # a refused connection is no proof
    cluster = watched.snapshot().data.cluster
    assert cluster is not None
    assert cluster.leader is not None
    assert cluster.leader.since == _taken(watched.sandbox)


def test_a_replica_that_was_promoted_by_hand_under_its_agent(watched: Watched) -> None:
    replica = watched.replica()
    replica.patroni.freeze()
    try:
        replica.sql("SELECT pg_promote()")
        replica.sql("CREATE TABLE diverged_too (at timestamptz)")
        assert f"members/{replica.name}" in watched.sandbox.stored()  # as a replica
        rules = watched.rules()
        for rule in ("single_writer", "all_streaming", "same_timeline"):
            assert rules[rule][0] == "does_not_hold", rule
        assert rules["lag_within_limit"][0] == "undetermined"
        assert "store replica, node not in recovery" in rules["all_streaming"][1]
        row = watched.row(replica.name)
        assert (row.timeline_status, row.on_timeline, row.lag_bytes) == ("forked", False, None)
        for rule_id in ("target_in_recovery", "target_streaming", "same_timeline"):
            assert watched.explained(replica, rule_id)[0] == "does_not_hold", rule_id
        assert watched.explained(replica, "lag_within_limit")[0] == "undetermined"
        assert watched.check() == 8
    finally:
        replica.patroni.thaw()


def _other(watched: Watched, old: NodeHandle) -> NodeHandle | None:
    found = watched.sandbox.leader
    with contextlib.suppress(psycopg.Error):
        return found if found is not None and found.name != old.name else None
    return None


def _taken(sandbox: Sandbox) -> int:
    """The revision at which the present name took the leader key, by the store's whole history."""
    now = store.read(sandbox, store.ENGINE)
    entry = now.keys["leader"]
    revision = entry.modified
    while True:
        before = store.read(sandbox, store.ENGINE, revision - 1).keys.get("leader")
        if before is None or before.value != entry.value:
            return revision
        revision = before.modified
