"""aeroctl as a process on a real cluster, undisturbed and disturbed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.recorded.scenarios import holder_in_recovery, leader, replica

pytestmark = pytest.mark.live

COMMANDS = (
    "inspect cluster", "inspect nodes", "inspect node n1", "inspect replication",
    "inspect promotion", "inspect wal", "inspect mvcc", "inspect snapshots", "health", "snapshot",
)  # fmt: skip


def aeroctl(sandbox: Sandbox, arguments: str, **variables: str) -> Any:
    """One real process, with an operator's token unless told otherwise."""
    environment = {"PATH": os.environ["PATH"], **sandbox.environment, **variables}
    return subprocess.run(
        [sys.executable, "-m", "aeroctl", *arguments.split()],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def document(sandbox: Sandbox, arguments: str) -> Any:
    """The JSON that a command prints; it must succeed and say nothing else."""
    done = aeroctl(sandbox, f"{arguments} -o json")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_one_document(sandbox: Sandbox, command: str) -> None:
    sandbox.wait_until_ready()
    seen = document(sandbox, command)
    assert list(seen) == ["api_version", "observed_at", "data", "notes"]
    assert seen["observed_at"]["snapshot"] == "live"


def test_the_primary_is_named_as_the_database_itself_says(sandbox: Sandbox) -> None:
    sandbox.wait_until_ready()
    rows = document(sandbox, "inspect nodes")["data"]["nodes"]
    truth = {
        name: not node.sql("SELECT pg_is_in_recovery()")[0][0]
        for name, node in sandbox.nodes.items()
    }
    assert {row["name"]: row["writable"] for row in rows} == truth
    assert [row["name"] for row in rows if row["is_leader"]] == [leader(sandbox).name]


def test_what_was_written_is_seen_as_lag_until_it_is_replayed(sandbox: Sandbox) -> None:
    sandbox.wait_until_ready()
    node = replica(sandbox)
    paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
    # Transactional, so that its revision writes all of it at once.
    written = "SELECT pg_logical_emit_message(true, 'lag', repeat('x', 300000))"

    def lag() -> int:
        (stream,) = (
            each
            for each in document(sandbox, "inspect replication")["data"]["streams"]
            if each["downstream"] == node.name
        )
        return int(stream["lag_bytes"])

    def behind() -> bool:
        """Anew each time: a replica that has just joined may be restarted, and forget the pause."""
        node.sql("SELECT pg_wal_replay_pause()")
        wait_until("replay is paused", lambda: node.sql(paused)[0][0])
        leader(sandbox).sql(written)
        return lag() >= 300_000

    wait_until("the lag is seen", behind)
    node.sql("SELECT pg_wal_replay_resume()")
    wait_until("the lag is gone", lambda: lag() == 0)


def test_health_check_follows_the_cluster(sandbox: Sandbox) -> None:
    sandbox.wait_until_ready()
    wait_until("healthy", lambda: aeroctl(sandbox, "health --check").returncode == 0)
    node = replica(sandbox)
    node.stop()
    assert aeroctl(sandbox, "health --check").returncode == 8
    assert aeroctl(sandbox, "health --check --filter rule_id=one_leader").returncode == 0
    assert aeroctl(sandbox, "health").returncode == 0
    node.start()
    sandbox.wait_until_ready()


def test_a_holder_in_recovery_is_flagged(sandbox: Sandbox) -> None:
    """Patroni issues 2972 and 3603: P6-A1 seen from outside."""
    with holder_in_recovery(sandbox):
        rows = document(sandbox, "inspect nodes")["data"]["nodes"]
        rules = document(sandbox, "health")["data"]["rules"]
    assert sum(row["leader_disagreement"] for row in rows) == 2
    broken = {each["rule_id"] for each in rules if each["evaluation"] == "does_not_hold"}
    assert {"leader_writable", "single_writer", "nothing_pending"} <= broken


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_within_its_time_when_the_store_hangs(
    sandbox: Sandbox, command: str
) -> None:
    sandbox.etcd.freeze()
    try:
        started = time.monotonic()
        done = aeroctl(sandbox, f"{command} -o json --timeout 1.5")
        assert time.monotonic() - started < 10
    finally:
        sandbox.etcd.thaw()
    assert (done.returncode, done.stdout) == (5, "")
    assert json.loads(done.stderr)["error"]["code"] == "KERNEL_TIMEOUT"


def test_a_dead_store_and_a_dead_kernel(sandbox: Sandbox) -> None:
    sandbox.etcd.kill()
    try:
        done = aeroctl(sandbox, "inspect nodes -o json")
        assert (done.returncode, done.stdout) == (7, "")
        assert json.loads(done.stderr)["error"]["code"] == "STORE_UNAVAILABLE"
    finally:
        sandbox.etcd.start()
        sandbox.wait_until_ready()
    sandbox.kernel.kill()
    try:
        done = aeroctl(sandbox, "inspect nodes -o json")
        assert (done.returncode, done.stdout) == (5, "")
        assert json.loads(done.stderr)["error"]["code"] == "KERNEL_UNREACHABLE"
    finally:
        sandbox.kernel.start()
        wait_until("aerokernel answers", sandbox.kernel.answers)


def test_who_may_read(sandbox: Sandbox) -> None:
    for authority in ("observer", "operator", "auditor"):
        token = str(sandbox.directory / "tokens" / authority)
        assert aeroctl(sandbox, "inspect nodes", AEROCTL_TOKEN_FILE=token).returncode == 0
    for wrong in ({"AEROCTL_TOKEN": "wrong", "AEROCTL_TOKEN_FILE": ""}, {"AEROCTL_TOKEN_FILE": ""}):
        done = aeroctl(sandbox, "inspect nodes -o json", **wrong)
        assert (done.returncode, done.stdout) == (3, "")
        assert json.loads(done.stderr)["error"]["code"] == "UNAUTHENTICATED"


def test_tls_in_both_directions(sandbox: Sandbox, certificates: Path) -> None:
    served = sandbox.start_kernel(
        f"--tls-cert={certificates / 'server.pem'}",
        f"--tls-key={certificates / 'server.key'}",
        f"--client-ca={certificates / 'ca.pem'}",
        tls=True,
    )
    trusting = f"inspect nodes -o json --kernel {served.url} --ca-file {certificates / 'ca.pem'}"
    shown = f"--cert {certificates / 'client.pem'} --key {certificates / 'client.key'}"
    try:
        assert aeroctl(sandbox, f"{trusting} {shown}").returncode == 0
        stranger = f"inspect nodes -o json --kernel {served.url} {shown}"
        expired = shown.replace("client.", "expired.")
        # Under TLS 1.3 a client hears only after the handshake that its certificate was missed.
        for arguments in (stranger, trusting, f"{trusting} {expired}"):
            done = aeroctl(sandbox, arguments)
            assert (done.returncode, done.stdout) == (5, "")
            assert json.loads(done.stderr)["error"]["code"] == "TLS_FAILED"
    finally:
        served.terminate()


def test_a_crash_of_aeroctl_changes_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    """State model 9 and 11: all of aeroctl's state may be lost, at any moment, and none is kept."""
    sandbox.wait_until_ready()
    before = document(sandbox, "inspect nodes")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", **sandbox.environment,
    }  # fmt: skip
    for delay in range(0, 400, 50):
        process = subprocess.Popen(
            [sys.executable, "-m", "aeroctl", "snapshot"],
            env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(delay / 1000)  # not for correctness: any moment will do
        process.kill()
        process.wait()
    after = document(sandbox, "inspect nodes")
    assert after["observed_at"]["state_digest"] == before["observed_at"]["state_digest"]
    assert list(tmp_path.iterdir()) == []
