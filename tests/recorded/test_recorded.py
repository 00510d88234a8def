"""Every command in every state of a real cluster: the recorded kernel, the exact output.

`make record` brings a sandbox into each scenario, runs each command once, records what the kernel
answers, and writes down what aeroctl prints. Replayed in each rendering, the same answers must
give the same bytes (P7-D1). What is a matter of chance, such as a clock, an id, a revision or a
port, is renamed when it is recorded (`tests/recorded/normalise.py`), so that recording again
without a change gives no difference, and a change shows only itself.

What a terminal shows is text with colours: it is compared for the first command of each view and
for every `--check`, where facts fail. The others are rendered, too, and must not fail.
"""

import json
import shlex
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from vcr.cassette import Cassette

from aeroctl import __version__
from aeroctl.contract.commands import VERBS
from aeroctl.contract.requests import Client
from aeroctl.kernel.sandbox.cluster import Sandbox
from tests.conftest import CASSETTES
from tests.recorded.cassettes import normalise_scenario
from tests.recorded.scenarios import (
    PREFERRED,
    SCENARIOS,
    Words,
    environment_in,
    settle,
    shown_words,
)
from tests.support.harness import run

GOLDEN = Path(__file__).parent / "golden"
VIEWS = (
    "inspect cluster", "inspect nodes", "inspect node n1", "inspect replication",
    "inspect promotion", "inspect wal", "inspect mvcc", "inspect snapshots", "health",
)  # fmt: skip
ACKNOWLEDGED = " --acknowledge P6-A2 --acknowledge P6-S1 --acknowledge P6-S2"
CASES: dict[str, tuple[str, ...]] = {
    "healthy": (*VIEWS, "snapshot", "inspect node n9", "health --check"),
    "incident": (
        "timeline --since {before}", "timeline --request {request}",
        "timeline --since {before} --kind leader_gained --kind leader_lost",
        "inspect cluster --at {calm}", "inspect cluster --at {when}",
        "inspect cluster --at {long_ago}", "diff {before} {calm}",
        "diff {calm} now --check --filter path=role", "snapshot --full",
        "timeline --since {before} --from evidence.json", "inspect nodes --from evidence.json",
        "inspect wal --from evidence.json", "audit --verify --from evidence.json",
        "inspect nodes --from evidence.json --at {calm}", "report --from evidence.json",
    ),
    "busy": ("inspect mvcc", "inspect snapshots", "inspect wal"),
    "change": (
        "explain promote {replica}", "explain demote {leader}", "explain force-promote {replica}",
        "explain diagnose", "explain promote {replica} --check", "audit",
        "promote {replica} --yes --reason drill", "outcome {request}", "promote {replica} --yes",
        "promote n9 --yes", "promote {leader} --confirm {stale}",
        "force-promote {leader} --reason drill --accept-responsibility", "outcome {unseen}",
        "demote {replica} --yes", "diagnose --yes", "audit --verify",
    ),
    "forced": (
        "explain force-promote {replica}", "explain promote {replica}",
        f"force-promote {{replica}} --reason drill{ACKNOWLEDGED} --accept-responsibility",
        "outcome {request}",
    ),
    "observing": ("explain promote {replica}", "promote {replica} --yes", "audit"),
    "in_flight": ("explain promote {replica}", "promote {replica} --yes"),
    "no_candidate": ("explain promote {replica}", "promote {replica} --yes", "outcome {request}"),
    "lagging": ("explain promote {replica}", "promote {replica} --yes", "outcome {request}"),
    "paused": (
        "inspect cluster", "inspect promotion", "health --check", "explain demote {leader}",
        "demote {leader} --yes",
    ),
    "synchronous": (
        "inspect cluster", "inspect replication", "inspect promotion", "explain promote {other}",
        "promote {other} --yes",
    ),
    "replica_stopped": ("inspect cluster", "inspect nodes", "inspect wal", "health --check"),
    "replica_frozen": (*VIEWS, "inspect node {node}", "health --check"),
    "agent_frozen": ("explain promote {replica}", "promote {replica} --yes"),
    "holder_in_recovery": (
        "inspect cluster", "inspect nodes", "inspect promotion", "health --check",
    ),
    "leaderless": ("inspect cluster", "inspect promotion", "health --check"),
    "two_writers": (
        "inspect cluster", "inspect nodes", "inspect node {node}", "health --check",
        "explain promote {replica}",
    ),
    "promoted_by_hand": (
        "inspect cluster", "inspect nodes", "health --check", "explain promote {replica}",
    ),
    "promoted": (
        *VIEWS,
        "inspect cluster --at {revision}", "inspect nodes --at {revision}",
        "inspect node n1 --at {revision}", "inspect promotion --at {revision}",
        "health --at {revision}", "snapshot --at {revision}", "inspect wal --at {revision}",
        "inspect cluster --at {future}",
    ),
    "compacted": ("inspect cluster --at {revision}",),
    "store_down": (
        "inspect cluster", "inspect nodes", "snapshot", "health --check", "promote n2 --yes",
        "outcome {unseen}",
    ),
}  # fmt: skip
CONFIG = {"postgresql": {"parameters": {"max_prepared_transactions": 5}}}
CLIENT = Client(user="ada", host="laptop.test", version=__version__)
FORMATS = {"terminal": ("table", True), "txt": ("table", False), "json": ("json", False)}
PAGE = {"html": ("table", False)}
"""A report is neither text nor JSON."""


def formats(command: str) -> dict[str, tuple[str, bool]]:
    """The renderings of a command, by suffix."""
    return PAGE if command.startswith("report") else FORMATS


def view_of(command: str) -> str:
    """The words of a command before its arguments and options."""
    words = command.partition(" --")[0].split()
    return " ".join(word for word in words if not word.startswith("{"))


def compares(scenario: str, command: str, suffix: str) -> bool:
    """Whether a rendering is compared with a golden file."""
    if suffix != "terminal" or "--check" in command:
        return True
    first = next(
        (where, each)
        for where, commands in CASES.items()
        for each in commands
        if view_of(each) == view_of(command)
    )
    return first == (scenario, command)


def asks(command: str) -> bool:
    """Whether it asks the kernel. What is read from a file was recorded with the file."""
    return "--from" not in command


def slug(command: str) -> str:
    """A command as a file name."""
    command = command.replace(ACKNOWLEDGED, "")
    return command.replace(" --", "-").replace("{", "").replace("}", "").replace(" ", "_")


STANDING = {
    "stale": "0" * 64, "unseen": "00000000-0000-4000-8000-000000000000",
    "long_ago": "2020-01-01T00:00:00Z",
}  # fmt: skip
"""Words for commands in any scenario."""


def request_of(scenario: str, command: str) -> str:
    """The request id of a change: what is random in a run is fixed in a recording."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{scenario} {command}"))


def words_of(scenario: str, command: str, words: Words) -> dict[str, str]:
    """The words for one command; `request` is the id of the change before it."""
    before = CASES[scenario][: CASES[scenario].index(command)]
    changes = [each for each in before if each.split()[0] in VERBS]
    request = {"request": request_of(scenario, changes[-1])} if changes else {}
    return {**STANDING, **request, **words}


def recorded_words(scenario: str) -> Words:
    """What the scenario handed over when it was recorded."""
    words: Words = json.loads((CASSETTES / "recorded" / f"{scenario}.words.json").read_text())
    return words


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
    recorded: list[str] = field(default_factory=list)

    def set(self, scenario: str) -> None:
        """Bring the cluster into the scenario, unless it is in it."""
        if scenario == self.scenario:
            return
        self.ending.close()
        self.scenario = scenario
        file = CASSETTES / "recorded" / f"{scenario}.words.json"
        if self.cluster is not None:
            settle(self.cluster, list(CASES).index(scenario))
            self.words = self.ending.enter_context(SCENARIOS[scenario](self.cluster))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(shown_words(self.words)) + "\n")
            self.recorded.append(scenario)
        else:
            self.words = recorded_words(scenario)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a command needs to reach the cluster; nothing while replaying."""
        if self.cluster is None:
            return {}
        return {**self.cluster.environment, **environment_in(self.words)}


@pytest.fixture(scope="module")
def stage(recording: bool) -> Iterator[Stage]:
    """A sandbox while recording; nothing while replaying."""
    with ExitStack() as stack:
        cluster = stack.enter_context(Sandbox(config=CONFIG, tags=PREFERRED)) if recording else None
        stage = Stage(cluster)
        stack.callback(lambda: stage.ending.close())
        yield stage
    for scenario in stage.recorded:
        normalise_recording(scenario)


def normalise_recording(scenario: str) -> None:
    """Rename what is a matter of chance in a scenario's cassettes, once all are written."""
    folder = CASSETTES / "recorded"
    names = [f"test_output[{scenario}-{slug(each)}].yaml" for each in CASES[scenario] if asks(each)]
    files = [folder / name for name in names if (folder / name).exists()]
    normalise_scenario(files, folder / f"{scenario}.words.json")


@pytest.fixture(scope="module")
def scenario(request: pytest.FixtureRequest, stage: Stage) -> str:
    """Set before the test's cassette opens: what the sandbox does over HTTP is not recorded."""
    stage.set(request.param)
    return str(request.param)


@pytest.fixture
def allowed_hosts(recording: bool) -> list[str]:
    """Replaces pytest-recording's: the network is open to the sandbox alone, while recording."""
    return ["127.0.0.1"] if recording else []


@pytest.mark.vcr(allow_playback_repeats=True)
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
    scenario: str,
    command: str,
    stage: Stage,
    recording: bool,
    vcr: Cassette,
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from aeroctl.workflows import change

    monkeypatch.setattr(change, "fresh_request_id", lambda: request_of(scenario, command))
    monkeypatch.setattr(change, "claims", lambda: CLIENT)
    words = shlex.split(command.format(**words_of(scenario, command, stage.words)))
    if recording and asks(command):
        # Once: a change is made by one request, and what is recorded of it serves every rendering.
        # A replay shows what every replay will show: what is recorded is scrubbed.
        run(*words, "-o", "json", environment=stage.environment)
    if recording:
        return
    if not asks(command):
        monkeypatch.chdir(tmp_path)
        taken = (GOLDEN / scenario / "snapshot-full.json").read_text()
        (tmp_path / "case.json").write_text(taken.removesuffix("exit 0\n"))
    folder = GOLDEN / scenario
    for suffix, (form, terminal) in formats(command).items():
        result = run(*words, "-o", form, terminal=terminal, columns=130)
        shown = result.err + result.out + f"exit {result.code}\n"
        if not compares(scenario, command, suffix):
            continue
        file = folder / f"{slug(command)}.{suffix}"
        if pytestconfig.getoption("--write-golden"):
            folder.mkdir(parents=True, exist_ok=True)
            file.write_bytes(shown.encode())
        assert shown == file.read_bytes().decode()
        if form == "json":
            for text in (result.out or "null", *result.err.splitlines()):
                json.loads(text)
    assert vcr.play_count == len(formats(command)) * len(vcr.responses)


def test_every_recording_is_used_and_holds_no_secret() -> None:
    expected = {
        f"test_output[{scenario}-{slug(command)}].yaml"
        for scenario, commands in CASES.items()
        for command in commands
        if asks(command)
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
        for suffix in formats(command)
        if compares(scenario, command, suffix)
    }
