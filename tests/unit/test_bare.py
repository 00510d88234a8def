"""The bare install, without extras: what an operator has. Every command runs in it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.answering import answer, answering
from tests.support.samples import document

pytestmark = pytest.mark.process
BARE = Path(__file__).parents[2] / ".venv-bare" / "bin"
LEAVES = (
    "inspect cluster", "inspect nodes", "inspect node n1", "inspect replication",
    "inspect promotion", "inspect wal", "inspect mvcc", "inspect snapshots", "health", "snapshot",
    "schema", "schema nodes",
)  # fmt: skip


def bare(program: str, *arguments: str, **variables: str) -> Any:
    """A program of the bare environment."""
    return subprocess.run(
        [BARE / program, *arguments],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_runs(command: str) -> None:
    with answering(answer(document())) as kernel:
        text = bare("aeroctl", *command.split(), AEROCTL_KERNEL=kernel.url)
        shown = bare("aeroctl", *command.split(), AEROCTL_KERNEL=kernel.url, FORCE_COLOR="1")
        structured = bare("aeroctl", *command.split(), "-o", "json", AEROCTL_KERNEL=kernel.url)
        helped = bare("aeroctl", *command.split(), "--help")
    for done in (text, shown, structured, helped):
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout
    json.loads(structured.stdout)


def test_the_kernels_libraries_are_not_needed() -> None:
    done = bare("python", "-c", "import starlette")
    assert "ModuleNotFoundError" in done.stderr


def test_the_kernel_says_what_it_needs() -> None:
    done = bare("aerokernel", "serve", "--scope", "demo", "--etcd", "http://127.0.0.1:1")
    assert done.returncode == 2
    assert "aeroctl[kernel]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "_AEROCTL_COMPLETE" in bare("aeroctl", "completion", shell).stdout
