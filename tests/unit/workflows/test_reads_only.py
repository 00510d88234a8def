"""Whatever only looks sends nothing but GETs, and no more of them than it takes (P7-A1, P7-S1)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aeroctl.contract.terms import NODE_SECTIONS
from tests.support import incident
from tests.support.answering import Received, answer, answering
from tests.support.harness import run
from tests.support.samples import document
from tests.support.stories import History, event, observed
from tests.unit.commands.test_command_line import LEAVES

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])

LOOKS = {
    "inspect cluster": 1, "inspect nodes": 1, "inspect node n1": 1, "inspect replication": 1,
    "inspect promotion": 1, "inspect wal": 1, "inspect mvcc": 1, "inspect snapshots": 1,
    "health --check": 1, "audit --verify": 1, "timeline": 2, "diff 50 now": 2, "snapshot": 1,
    "snapshot --full": 3, "report": 3,
}  # fmt: skip
"""Commands, and how many requests they take where a page holds everything."""
OTHERS = {
    "explain", "promote", "demote", "force-promote", "diagnose", "outcome", "schema",
    "completion", "help",
}  # fmt: skip


def kernel(request: Received) -> None:
    """Answers whatever may be looked at."""
    if not request.path.startswith("/v1/snapshot"):
        History([event(1, "paused")])(request)
        return
    at = int(request.path.partition("at=")[2] or 0)
    data = json.loads(document())["data"] | (dict.fromkeys(NODE_SECTIONS) if at else {})
    answer(document(data=data, observed_at=observed(at or 100, live=not at)))(request)


def test_every_command_is_among_these() -> None:
    known = {path for path in LEAVES if any(look.startswith(path) for look in LOOKS)}
    assert known == set(LEAVES) - OTHERS


@pytest.mark.parametrize("command", LOOKS)
def test_what_looks_only_gets(command: str) -> None:
    with answering(kernel) as served:
        assert run(*command.split(), "--kernel", served.url).code in (0, 8)
    assert served.posted == []
    assert len(served.requests) == LOOKS[command]


@pytest.mark.parametrize(
    "command", [command for command in LOOKS if not command.startswith("diff")]
)
def test_what_reads_a_file_asks_nobody(command: str, tmp_path: Path) -> None:
    case = tmp_path / "case.json"
    case.write_text(incident.case())
    with answering(kernel) as served:
        assert run(*command.split(), "--from", str(case), "--kernel", served.url).code in (0, 8)
    assert (served.posted, served.requests) == ([], [])


@pytest.mark.process
@pytest.mark.parametrize("command", ["inspect nodes --watch 0.1", "timeline --follow --since 1"])
def test_what_goes_on_only_gets(command: str) -> None:
    with answering(kernel) as served:
        process = subprocess.Popen(
            [sys.executable, "-m", "aeroctl", *command.split(), "--kernel", served.url],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(30) == 0
    assert served.posted == []
    assert served.requests != []
