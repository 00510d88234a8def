"""What an invocation works with: its streams and settings, the kernel, and the writers."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from aeroctl.adapter.kernel import Kernel
    from aeroctl.output.dialogue import Dialogue
    from aeroctl.output.output import Output
    from aeroctl.output.text import Format
    from aeroctl.sources.evidence_file import EvidenceFile

DEFAULT_KERNEL = "http://127.0.0.1:9191"


@dataclass(frozen=True, slots=True)
class Streams:
    """What a process is started with. A stream that is closed is None."""

    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None
    environment: Mapping[str, str]

    @property
    def interactive(self) -> bool:
        """Whether an operator can read a question on stderr and type an answer on stdin."""
        return _is_terminal(self.stdin) and _is_terminal(self.stderr)


def streams_of_process() -> Streams:
    """The process's own streams and environment: the one place that looks them up."""
    return Streams(sys.stdin, sys.stdout, sys.stderr, os.environ)


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that every command takes, each by command line, variable or default."""

    kernel: str = DEFAULT_KERNEL
    token_file: str | None = None
    ca_file: str | None = None
    cert: str | None = None
    key: str | None = None
    proxy: str | None = None
    timeout: float | None = None
    """Seconds; None where it was not given."""
    output: "Format" = "table"
    no_color: bool = False
    debug: bool = False


class App:
    """One invocation. Each part is made when it is first used, so that help needs none of them."""

    def __init__(self, settings: Settings, streams: Streams) -> None:
        """Makes nothing yet."""
        self.settings = settings
        self.streams = streams

    @cached_property
    def kernel(self) -> "Kernel":
        """The kernel, not connected yet. Reads the token, from standard input if so asked; raises
        Failure.
        """
        from aeroctl.adapter.credentials import read_token
        from aeroctl.adapter.kernel import Kernel
        from aeroctl.adapter.transport import Connection

        settings, streams = self.settings, self.streams
        token = read_token(
            settings.token_file, streams.stdin, streams.environment, settings.timeout
        )
        connection = Connection(
            url=settings.kernel,
            token=token,
            timeout=settings.timeout or 10.0,
            proxy=settings.proxy,
            ca_file=settings.ca_file,
            cert=settings.cert,
            key=settings.key,
        )
        return Kernel(connection, self.dialogue.trace if settings.debug else lambda _: None)

    def evidence(self, path: str) -> "EvidenceFile":
        """The evidence file at `path`, or on standard input (`-`). Raises Failure."""
        from aeroctl.sources.evidence_file import load

        return load(path, self.streams.stdin)

    @cached_property
    def output(self) -> "Output":
        """The writer of stdout."""
        from aeroctl.output.output import Output

        stream, environment = self.streams.stdout, self.streams.environment
        terminal, color = self._look(stream)
        overwrites = _is_terminal(stream) and environment.get("TERM") != "dumb"
        window = _window(environment) if overwrites else None
        return Output(stream, self.settings.output, terminal, color, window)

    @cached_property
    def dialogue(self) -> "Dialogue":
        """The writer of stderr."""
        from aeroctl.output.dialogue import Dialogue

        stream, form = self.streams.stderr, self.settings.output
        terminal, color = self._look(stream)
        overwrites = _is_terminal(stream) and self.streams.environment.get("TERM") != "dumb"
        progress = form == "table" and overwrites
        return Dialogue(stream, form, terminal, color, progress)

    def _look(self, stream: TextIO | None) -> tuple[bool, bool]:
        """Whether to write to the stream as to a terminal, and whether in colour."""
        from aeroctl.output.color import wants_color

        terminal = _is_terminal(stream)
        color = wants_color(self.settings.no_color, self.streams.environment, terminal)
        # Colour that is forced on a pipe means: what a terminal would show.
        return terminal or color, color


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _window(environment: Mapping[str, str]) -> tuple[int, int]:
    """Columns and lines by COLUMNS and LINES, for a terminal that does not tell its size."""
    columns, lines = (environment.get(name, "") for name in ("COLUMNS", "LINES"))
    return _count(columns) or 80, _count(lines) or 24


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0
