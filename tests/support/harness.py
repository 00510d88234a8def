"""Runs aeroctl in this process, the way a shell would run it."""

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest

from aeroctl.__main__ import main
from aeroctl.app import Streams
from aeroctl.errors import Exit

# Nothing of the developer's own shell may reach a test.
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "xterm-256color"}


@dataclass(frozen=True)
class Result:
    """What one invocation left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as the one JSON document that it must be."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The JSON error object that ends stderr; stdout must be empty."""
        assert self.out == ""
        return json.loads(self.err.splitlines()[-1])["error"]


class Stream(io.TextIOWrapper):
    """A standard stream that says whether it is a terminal."""

    def __init__(self, terminal: bool, content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode("utf-8")


class Typed(Stream):
    """Standard input with something waiting on it, then its end."""

    def __init__(self, terminal: bool, typed: str) -> None:
        super().__init__(terminal, typed.encode())
        self.reader, writer = os.pipe()
        os.write(writer, typed.encode())
        os.close(writer)

    def fileno(self) -> int:
        return self.reader


def run(
    *arguments: str,
    terminal: bool = False,
    columns: int = 160,
    environment: Mapping[str, str] | None = None,
    typed: str = "",
    terminals: tuple[bool, bool] | None = None,
) -> Result:
    """One invocation, with `typed` waiting on its stdin.

    `terminals`: whether stdin and stderr are some, where they differ from stdout. Exit
    code 1 fails the test: it means a bug, or a cassette that differs.
    """
    asked, told = terminals or (terminal, terminal)
    stdin, out, err = Typed(asked, typed), Stream(terminal), Stream(told)
    variables = {**ENVIRONMENT, "COLUMNS": str(columns), **(environment or {})}
    with (
        mock.patch.dict(os.environ, variables, clear=True),  # which libraries read by themselves
        pytest.raises(SystemExit) as exit_,
    ):
        main(arguments, Streams(stdin, out, err, os.environ))
    os.close(stdin.reader)
    result = Result(int(exit_.value.code or 0), out.text(), err.text())
    assert result.code != Exit.BUG, result.err
    assert "Traceback" not in result.err
    return result
