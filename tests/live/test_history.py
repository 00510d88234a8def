"""Looking back on a real cluster: time travel, evidence files, and a view that goes on."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live import store
from tests.live.operator import Operator

pytestmark = pytest.mark.live

STORED = ("inspect cluster", "inspect nodes", "inspect node n1", "inspect promotion", "health")
ELSEWHERE = {"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "C", "COLUMNS": "40"}


def promoted(operator: Operator) -> tuple[str, str, Any]:
    """Have a replica promoted: the old holder, the new one, and the dispatch's record."""
    old = operator.sandbox.leader
    assert old
    new = next(name for name in operator.sandbox.nodes if name != old.name)
    done = operator.ask("promote", new, "--yes", "--reason", "a test")
    assert done.code == 0, done
    operator.sandbox.wait_until_ready()
    records = [each for each in operator.trail() if each["kind"] == "dispatched"]
    return old.name, new, records[-1]


def leader(done: Any) -> str:
    """Who holds the leader key by `inspect cluster`."""
    return str(done.data["leader"]["node"])


def test_a_revision_shows_what_was_then(operator: Operator) -> None:
    old, new, dispatched = promoted(operator)
    then = dispatched["revision"]
    assert leader(operator.ask("inspect", "cluster", "--at", str(then))) == old
    assert leader(operator.ask("inspect", "cluster")) == new
    a_while_ago = operator.ask("inspect", "cluster", "--at", "0s")
    assert leader(a_while_ago) == new
    for moment in ("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "9999d"):
        refused = operator.ask("inspect", "cluster", "--at", moment)
        assert (refused.code, refused.error["code"]) == (7, "TIME_NOT_PINNED"), refused
    refused = operator.ask("inspect", "wal", "--at", str(then))
    assert (refused.code, refused.error["code"]) == (7, "SECTION_NOT_IN_HISTORY")


def test_a_case_file_shows_the_same_bytes_anywhere(
    operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, _, dispatched = promoted(operator)
    revision = str(dispatched["revision"])
    case = tmp_path_factory.mktemp("case") / "case.json"
    case.write_text(operator.run("snapshot", "--full", "--at", revision).out)
    forms = itertools.cycle(("json", "jsonl", "table"))
    for command, form in zip((*STORED, "audit --verify", "snapshot"), forms, strict=False):
        live = operator.run(*command.split(), "--at", revision, "-o", form)
        assert live.code == 0, live
        assert elsewhere(command, form, case) == live.out


def test_a_live_case_file_shows_what_was_live(
    operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All but the clock: what one revision holds, and not what moves without one."""
    promoted(operator)
    case = tmp_path_factory.mktemp("case") / "case.json"
    commands = ("inspect cluster", "inspect nodes", "timeline", "audit --verify")

    def same_revision() -> list[tuple[str, str]] | None:
        taken = operator.run("snapshot", "--full")
        case.write_text(taken.out)
        revision = json.loads(taken.out)["observed_at"]["revision"]
        shown = [(command, operator.ask(*command.split()).out) for command in commands]
        return shown if store.read(operator.sandbox, store.ENGINE).revision == revision else None

    shown = wait_until("nothing is written meanwhile", same_revision, 60)
    assert shown
    for command, out in shown:
        assert timeless(elsewhere(command, "json", case)) == timeless(out)


def elsewhere(command: str, form: str, case: Path) -> str:
    """What a file shows on another machine: no kernel, another zone, locale and width."""
    done = subprocess.run(
        [sys.executable, "-m", "aeroctl", *command.split(), "-o", form, "--from", str(case)],
        env={"PATH": os.environ["PATH"], "AEROCTL_KERNEL": "http://127.0.0.1:9", **ELSEWHERE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def timeless(document: str) -> Any:
    """A document without the instant at which it was asked for."""
    return {**json.loads(document), "observed_at": None}


def test_the_report_of_a_case_is_the_same_everywhere(
    operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> None:
    promoted(operator)
    case = tmp_path_factory.mktemp("case") / "case.json"
    case.write_text(operator.run("snapshot", "--full").out)
    here = operator.run("report", "--from", str(case))
    assert here.code == 0
    assert elsewhere("report", "table", case) == here.out


def test_a_view_goes_on_over_a_restart_of_the_kernel(operator: Operator) -> None:
    """And nothing anywhere has changed when it is killed."""
    sandbox = operator.sandbox
    before = ledger(sandbox)
    watching = operator.start("inspect", "cluster", "--watch", "0.2", "-o", "jsonl")
    assert watching.stdout
    assert watching.stderr
    assert json.loads(watching.stdout.readline())["data"]["name"] == "demo"
    sandbox.kernel.kill()
    try:
        error = json.loads(watching.stderr.readline())["error"]
        assert error["code"] in ("KERNEL_UNREACHABLE", "CONNECTION_LOST")
    finally:
        sandbox.kernel.start()
        wait_until("aerokernel answers again", sandbox.kernel.answers)
    assert json.loads(watching.stdout.readline())["data"]["name"] == "demo"
    watching.send_signal(signal.SIGKILL)
    watching.communicate(timeout=10)
    assert ledger(sandbox) == before


def test_an_interrupted_view_says_so(operator: Operator) -> None:
    watching = operator.start("health", "--watch", "0.2", "-o", "jsonl")
    assert watching.stdout
    assert re.match(r'\{"api_version"', watching.stdout.readline())
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=10)
    assert watching.returncode == 130


def ledger(sandbox: Sandbox) -> object:
    """What the kernel keeps for itself in the store, but for its clock."""
    keys = store.read(sandbox, store.LEDGER).keys
    return {name: entry for name, entry in keys.items() if name != "clock"}
