"""The sandbox is ready when it says so, and every ending leaves nothing behind."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.tokens import AUTHORITIES
from aeroctl.kernel.sandbox.waiting import wait_until

pytestmark = pytest.mark.live

# Says with what it runs, waits for a line, and ends with an exit code of its own.
COMMAND = [
    "sh",
    "-c",
    'env >"$0.part"; echo "PID=$$" >>"$0.part"; mv "$0.part" "$0"; read _; exit 7',
]
ONE_NODE = ["--nodes", "1"]


@dataclass
class Run:
    """An `aerokernel sandbox` in a process of its own and a temporary directory of its own."""

    process: subprocess.Popen[str]
    directory: Path

    def environment(self) -> dict[str, str]:
        """COMMAND's, as soon as that runs."""
        file = self.directory / "environment"
        process = self.process
        wait_until("it runs", lambda: file.exists() or process.poll() is not None, 60)
        assert file.exists(), process.communicate()
        return dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)

    def finish(self, line: str | None = None) -> tuple[int, str]:
        """The exit code, and what is on stderr; nothing may be on stdout."""
        out, err = self.process.communicate(line, timeout=60)
        assert out == ""
        return self.process.returncode, err


@contextlib.contextmanager
def running(directory: Path, *options: str, prefix: Sequence[str] = ()) -> Iterator[Run]:
    program = [*prefix, sys.executable, "-m", "aeroctl.kernel", "sandbox", *options, "--"]
    with subprocess.Popen(
        [*program, *COMMAND, str(directory / "environment")],
        env=os.environ | {"TMPDIR": str(directory)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, SIGINT is ignored, and that would be inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        yield Run(process, directory)
        process.kill()


def processes_in(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            # One that has ended and waits to be reaped by init does nothing any more.
            ended = process.status() == psutil.STATUS_ZOMBIE
            if not ended and Path(process.cwd()).is_relative_to(directory):
                found.append(process)
    return found


def segments_of(directory: Path) -> set[str]:
    """The ids of the System V segments of the postmasters there."""
    files = directory.glob("aerokernel-*/nodes/*/data/postmaster.pid")
    found = {file.read_text().splitlines()[6].split()[1] for file in files}
    assert found
    return found


def assert_nothing_left(directory: Path, segments: set[str], *commands: int) -> None:
    wait_until("the directory is gone", lambda: not list(directory.glob("aerokernel-*")))
    wait_until("the commands are gone", lambda: not any(map(psutil.pid_exists, commands)))
    assert processes_in(directory) == []
    listed = subprocess.run(["ipcs", "-m"], capture_output=True, text=True, check=True).stdout
    assert segments.isdisjoint(listed.split())


def test_patronictl_shows_every_node_at_work(sandbox: Sandbox) -> None:
    listed = sandbox.patronictl("list", "--format", "json")
    assert listed.returncode == 0, listed.stderr
    members = {row["Member"]: (row["Role"], row["State"]) for row in json.loads(listed.stdout)}
    leader, *replicas = sorted(members, key=lambda name: members[name])
    assert sorted(members) == ["n1", "n2", "n3"]
    assert members[leader] == ("Leader", "running")
    assert {members[name] for name in replicas} == {("Replica", "streaming")}
    assert sandbox.leader is sandbox.nodes[leader]


def test_the_kernel_is_a_monitor_and_nothing_more(sandbox: Sandbox) -> None:
    grants = """
        SELECT rolname, rolsuper, rolreplication, rolcreaterole, rolcreatedb,
               ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = pg_roles.oid)
        FROM pg_roles WHERE rolname = current_user
    """
    for node in sandbox.nodes.values():
        assert node.sql(grants, user="aerokernel") == [
            ("aerokernel", False, False, False, False, ["pg_monitor"])
        ]


def test_tokens_are_for_our_eyes_only(sandbox: Sandbox) -> None:
    for leader in AUTHORITIES:
        status = sandbox.token_file(leader).stat()
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert status.st_uid == os.geteuid()


def test_postgresql_keeps_to_its_directory(sandbox: Sandbox) -> None:
    settings = "SELECT current_setting(%s), current_setting(%s)"
    names = ("unix_socket_directories", "dynamic_shared_memory_type")
    assert sandbox.nodes["n2"].sql(settings, *names) == [("", "mmap")]


def test_a_second_kernel_runs_beside_the_first(sandbox: Sandbox) -> None:
    second = sandbox.start_kernel(tokens=False)
    assert second.url != sandbox.kernel_url
    assert second.answers()
    second.terminate()
    assert not second.running
    assert sandbox.kernel.answers()


def test_a_node_freezes_thaws_crashes_and_comes_back(sandbox: Sandbox) -> None:
    node = sandbox.nodes["n3"]
    node.freeze()
    states = [process.status() for process in processes_in(sandbox.directory / "nodes" / "n3")]
    node.thaw()
    assert len(states) > 2
    assert set(states) == {psutil.STATUS_STOPPED}

    node.kill()
    assert not node.patroni.running
    assert processes_in(sandbox.directory / "nodes" / "n3") == []
    node.start()
    wait_until("PostgreSQL runs", lambda: node.postgres.running)
    sandbox.wait_until_ready()


def test_the_command_finds_the_cluster_beside_another(sandbox: Sandbox, tmp_path: Path) -> None:
    with running(tmp_path, *ONE_NODE) as run:
        environment = run.environment()
        directory = Path(environment["AEROKERNEL_SANDBOX_DIR"])
        assert directory.parent == tmp_path
        assert environment["AEROCTL_KERNEL"] != sandbox.kernel_url
        assert environment["AEROCTL_TOKEN_FILE"] == str(directory / "tokens" / "operator")
        found = shutil.which("patronictl", path=environment["PATH"])
        assert found
        assert Path(found).parent == Path(sys.executable).parent
        segments = segments_of(tmp_path)

        run.process.send_signal(signal.SIGINT)  # is for the command, as long as that runs
        status, _ = run.finish("\n")
    assert status == 7
    assert_nothing_left(tmp_path, segments)
    assert sandbox.missing() == []
    assert sandbox.kernel.answers()


def test_interrupted_while_it_starts(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        data = "aerokernel-*/nodes/n1/data/postmaster.pid"
        wait_until("the first node is at work", lambda: list(tmp_path.glob(data)), 60)
        run.process.send_signal(signal.SIGINT)
        status, err = run.finish()
    assert status == 130
    assert "Traceback" not in err
    assert_nothing_left(tmp_path, set())


def test_terminated_with_a_frozen_node(tmp_path: Path) -> None:
    with running(tmp_path, "--nodes", "2") as run:
        environment = run.environment()
        segments = segments_of(tmp_path)
        freeze(Path(environment["AEROKERNEL_SANDBOX_DIR"], "nodes", "n2"))
        run.process.send_signal(signal.SIGTERM)
        status, _ = run.finish()
    assert status == 143
    assert_nothing_left(tmp_path, segments, int(environment["PID"]))


def test_killed_with_a_frozen_node(tmp_path: Path) -> None:
    with running(tmp_path, *ONE_NODE) as run:
        environment = run.environment()
        segments = segments_of(tmp_path)
        freeze(Path(environment["AEROKERNEL_SANDBOX_DIR"]))
        run.process.kill()
        run.finish()
    assert_nothing_left(tmp_path, segments, int(environment["PID"]))


def test_a_failed_start_says_why(tmp_path: Path) -> None:
    setting = "postgresql.parameters.shared_preload_libraries=no_such_library"
    with running(tmp_path, "--config", setting) as run:
        status, err = run.finish()
    assert status == 1
    assert "Error: waiting until every replica streams: n1 ended" in err
    assert "no_such_library" in err
    assert_nothing_left(tmp_path, set())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        pytest.param(["--tag", "n4:nofailover=true"], "no node to tag is named n4", id="stranger"),
        pytest.param(["--tag", "nofailover=true"], "is not NODE:KEY=VALUE", id="no-node"),
        pytest.param(["--config", "synchronous_mode"], "is not KEY=VALUE", id="no-value"),
    ],
)
def test_nothing_starts_on_a_wrong_option(tmp_path: Path, option: list[str], message: str) -> None:
    with running(tmp_path, *option) as run:
        status, err = run.finish()
    assert status in (1, 2)
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_an_ordinary_user_needs_no_privilege(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("every other test has proved it: they ran as an ordinary user")
    user = pwd.getpwnam("nobody")
    os.chown(tmp_path, user.pw_uid, user.pw_gid)
    # May read what is closed to it, as the interpreter may be, and write only what is its own.
    prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    prefix += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    with running(tmp_path, *ONE_NODE, prefix=prefix) as run:
        token = Path(run.environment()["AEROCTL_TOKEN_FILE"])
        assert token.stat().st_uid == user.pw_uid
        segments = segments_of(tmp_path)
        status, _ = run.finish("\n")
    assert status == 7
    assert_nothing_left(tmp_path, segments)


def freeze(directory: Path) -> None:
    for process in processes_in(directory):
        process.suspend()
