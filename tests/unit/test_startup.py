"""What a start-up loads, and how the program ends: real processes."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.answering import answer, answering
from tests.support.samples import document

pytestmark = pytest.mark.process
HEAVY = {"httpx", "pydantic", "rich", "ssl", "asyncio"}
REPORT = """
import atexit, sys
atexit.register(lambda: print("LOADED", *sorted(sys.modules), file=sys.stderr))
sys.argv[0] = "aeroctl"
from aeroctl.__main__ import main
main()
"""


def aeroctl(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """One real process."""
    command = [sys.executable, "-m", "aeroctl", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **settings)  # type: ignore[call-overload,no-any-return]


def loaded(*arguments: str, environment: Iterable[tuple[str, str]] = ()) -> set[str]:
    """The top-level modules that an invocation has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **dict(environment)},
    )
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("LOADED"))
    return {name.split(".")[0] for name in line.split()}


@pytest.mark.parametrize(
    "arguments",
    [
        "--help",
        "--version",
        "inspect --help",
        "inspect nodes --help",
        "health --help",
        "completion bash",
        "explain --help",
        "promote --help",
        "force-promote --help",
        "outcome --help",
        "audit --help",
        "timeline --help",
        "diff --help",
        "report --help",
        "snapshot --help",
        "help errors",
        "help promote",
    ],
)
def test_help_loads_nothing_heavy(arguments: str) -> None:
    assert not loaded(*arguments.split()) & HEAVY


def test_completion_loads_nothing_heavy() -> None:
    asked = {
        "_AEROCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": "aeroctl inspect no",
        "COMP_CWORD": "2",
    }
    assert not loaded(environment=asked.items()) & HEAVY


@pytest.mark.parametrize("command", ["inspect cluster", "inspect wal", "health", "snapshot"])
def test_a_view_loads_neither_rich_nor_pydantic(command: str) -> None:
    """The validator is compiled: pydantic_core without pydantic, and no model is built."""
    with answering(answer(document())) as kernel:
        structured = loaded(*command.split(), "-o", "json", "--kernel", kernel.url)
        piped = loaded(*command.split(), "--kernel", kernel.url)
    for found in (structured, piped):
        assert {"httpx", "pydantic_core"} <= found
        assert not {"rich", "pydantic", "starlette", "asyncio"} & found


def test_a_reader_that_has_enough_is_no_error() -> None:
    with answering(answer(document())) as kernel:
        process = subprocess.Popen(
            [sys.executable, "-m", "aeroctl", "snapshot", "--kernel", kernel.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line() -> None:
    with answering(answer(document())) as kernel, Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "aeroctl", "snapshot", "--kernel", kernel.url],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 5
    assert "OUTPUT_FAILED" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_poor_locale_is_no_error() -> None:
    named = document().replace(b'"demo"', '"größe"'.encode())
    with answering(answer(named)) as kernel:
        done = aeroctl(
            "inspect", "cluster", "--kernel", kernel.url,
            env={"PYTHONIOENCODING": "ascii", "PATH": os.environ["PATH"]},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "gr\\xf6\\xdfe" in done.stdout


def test_an_interrupt_ends_at_once_with_130() -> None:
    def hang(request: object) -> None:
        process.send_signal(signal.SIGINT)
        process.wait(30)

    with answering(hang) as kernel:
        process = subprocess.Popen(
            [sys.executable, "-m", "aeroctl", "inspect", "nodes", "--kernel", kernel.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_on_a_real_terminal_there_is_a_picture() -> None:
    with answering(answer(document())) as kernel:
        reader, writer = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "aeroctl", "inspect", "cluster", "--kernel", kernel.url],
            stdout=writer,
            env={"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "100"},
        )
        os.close(writer)
        seen = b""
        while chunk := _read(reader):
            seen += chunk
        os.close(reader)
        assert process.wait(60) == 0
    assert b"\x1b[" in seen
    assert b"primary, holds the leader key" in seen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux: the other end is closed
        return b""
