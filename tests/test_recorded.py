"""Every view in every state of a real cluster: the recorded kernel, the exact output.

`make record` brings a sandbox into each scenario, records what the kernel answers, and writes
down what aeroctl prints. Replayed, the same answers must give the same bytes (P7-D1).
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from aeroctl.kernel.sandbox.cluster import Sandbox
from tests.conftest import CASSETTES
from tests.harness import run
from tests.scenarios import SCENARIOS, Words

GOLDEN = Path(__file__).parent / "golden"
VIEWS = (
    "inspect cluster", "inspect nodes", "inspect node n1", "inspect replication",
    "inspect promotion", "inspect wal", "inspect mvcc", "inspect snapshots", "health",
)  # fmt: skip
CASES: dict[str, tuple[str, ...]] = {
    "healthy": (*VIEWS, "snapshot", "inspect node n9", "health --check"),
    "busy": ("inspect mvcc", "inspect snapshots", "inspect wal"),
    "paused": ("inspect cluster", "inspect promotion", "health --check"),
    "synchronous": ("inspect cluster", "inspect replication", "inspect promotion"),
    "replica_stopped": ("inspect cluster", "inspect nodes", "inspect wal", "health --check"),
    "replica_frozen": (*VIEWS, "inspect node {node}", "health --check"),
    "holder_in_recovery": (
        "inspect cluster", "inspect nodes", "inspect promotion", "health --check",
    ),
    "leaderless": ("inspect cluster", "inspect promotion", "health --check"),
    "promoted": (
        *VIEWS,
        "inspect cluster --at {commit}", "inspect nodes --at {commit}",
        "inspect node n1 --at {commit}", "inspect promotion --at {commit}", "health --at {commit}",
        "snapshot --at {commit}", "inspect wal --at {commit}", "inspect cluster --at {future}",
    ),
    "compacted": ("inspect cluster --at {commit}",),
    "store_down": ("inspect cluster", "inspect nodes", "snapshot", "health --check"),
}  # fmt: skip
CONFIG = {"postgresql": {"parameters": {"max_prepared_transactions": 5}}}
FORMATS = {"terminal": ("table", True), "txt": ("table", False), "json": ("json", False)}


def slug(command: str) -> str:
    """A command as a file name."""
    return command.replace(" --", "-").replace("{", "").replace("}", "").replace(" ", "_")


@pytest.fixture(scope="session")
def recording(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--record-mode") == "rewrite")


@dataclass
class Stage:
    """The scenario that is on, and its words for commands; on a cluster while recording."""

    cluster: Sandbox | None
    scenario: str = ""
    words: Words = field(default_factory=dict)
    ending: ExitStack = field(default_factory=ExitStack)

    def set(self, scenario: str) -> None:
        """Bring the cluster into the scenario, unless it is in it."""
        if scenario == self.scenario:
            return
        self.ending.close()
        self.scenario = scenario
        file = CASSETTES / "recorded" / f"{scenario}.words.json"
        if self.cluster is not None:
            self.words = self.ending.enter_context(SCENARIOS[scenario](self.cluster))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(self.words) + "\n")
        self.words = json.loads(file.read_text())


@pytest.fixture(scope="module")
def stage(recording: bool) -> Iterator[Stage]:
    """A sandbox while recording; nothing while replaying."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Sandbox(config=CONFIG)) if recording else None
        stage = Stage(cluster)
        stack.callback(lambda: stage.ending.close())
        yield stage


@pytest.fixture(scope="module")
def scenario(request: pytest.FixtureRequest, stage: Stage) -> str:
    """Set before the test's cassette opens: what the sandbox does over HTTP is not recorded."""
    stage.set(request.param)
    return str(request.param)


@pytest.fixture
def allowed_hosts(recording: bool) -> list[str]:
    """Replaces pytest-recording's: the network is open to the sandbox alone, while recording."""
    return ["127.0.0.1"] if recording else []


@pytest.mark.vcr
@pytest.mark.parametrize(
    ("scenario", "command"),
    [
        pytest.param(scenario, command, id=f"{scenario}-{slug(command)}")
        for scenario, commands in CASES.items()
        for command in commands
    ],
    indirect=["scenario"],
)
def test_output(
    scenario: str, command: str, stage: Stage, recording: bool, pytestconfig: pytest.Config
) -> None:
    folder = GOLDEN / scenario
    for suffix, (form, terminal) in FORMATS.items():
        result = run(
            *command.format(**stage.words).split(), "-o", form,
            terminal=terminal, columns=130,
            environment=stage.cluster.environment if stage.cluster else {},
        )  # fmt: skip
        shown = result.out + result.err + f"exit {result.code}\n"
        file = folder / f"{slug(command)}.{suffix}"
        if pytestconfig.getoption("--write-golden"):
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(shown)
        # What is recorded is scrubbed; only a replay shows what every replay will show.
        assert recording or shown == file.read_text()
        if form == "json":
            json.loads(result.out or result.err)


def test_every_recording_is_used_and_holds_no_secret() -> None:
    expected = {
        f"test_output[{scenario}-{slug(command)}].yaml"
        for scenario, commands in CASES.items()
        for command in commands
    }
    files = list((CASSETTES / "recorded").glob("*.yaml"))
    assert {file.name for file in files} == expected
    for file in files:
        text = file.read_text()
        assert file.stat().st_size < 200_000
        for secret in ("authorization", "Bearer", "set-cookie", "127.0.0.1:9191"):
            assert secret.lower() not in text.lower()
        for interaction in yaml.safe_load(text)["interactions"]:
            assert interaction["request"]["uri"].startswith("http://kernel.test/v1/")
    goldens = {path.relative_to(GOLDEN) for path in GOLDEN.rglob("*.*")}
    assert goldens == {
        Path(scenario) / f"{slug(command)}.{suffix}"
        for scenario, commands in CASES.items()
        for command in commands
        for suffix in FORMATS
    }
