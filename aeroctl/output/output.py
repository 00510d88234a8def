"""The only writer of stdout: one view, as JSON, as plain text, or as a table at a terminal.

Text from the kernel passes `safe` on its way to a terminal or a pipe; JSON escapes all that is not
ASCII.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from aeroctl.errors import failure
from aeroctl.output import json_text
from aeroctl.output.color import painter
from aeroctl.output.text import Format, Frame, Layout
from aeroctl.safe_text import safe
from aeroctl.views.blocks import Block

if TYPE_CHECKING:
    from aeroctl.contract.envelope import Envelope, Note, ObservedAt


@dataclass(frozen=True, slots=True)
class Header:
    """What is shown around a view: the state it is of, and notes."""

    api_version: str
    observed_at: "ObservedAt"
    notes: "list[Note]"


@dataclass(frozen=True, slots=True)
class Output:
    """Where and how to write."""

    stream: TextIO | None
    format: Format
    terminal: bool
    """Text is laid out for people: units, titles without `#`."""
    color: bool
    window: tuple[int, int] | None = None
    """The size (columns, lines) of a terminal that can be written over but does not tell its size;
    None: stdout is not such a terminal.
    """
    collect: Callable[[Frame | str], None] | None = None
    """Gets every piece instead of stdout, to be written later."""

    def show(
        self, envelope: "Envelope[Any] | Header", data: object, blocks: Sequence[Block]
    ) -> None:
        """A view of one state: as the kernel's envelope with the view as data, or as text."""
        if self.format == "table":
            self._put(Frame(envelope.observed_at, envelope.notes, blocks))
        else:
            self.document(
                {
                    "api_version": envelope.api_version,
                    "observed_at": envelope.observed_at,
                    "data": data,
                    "notes": envelope.notes,
                }
            )

    def document(self, document: object) -> bool:
        """One JSON document: indented, or on one line under jsonl. Returns as `plain` does."""
        indent = None if self.format == "jsonl" else 2
        return self._put(json_text.dumped(document, indent) + "\n")

    def plain(self, text: str) -> bool:
        """A text as it is, such as a completion script. False: stdout's reader has closed it."""
        return self._put(text)

    def pause(self, seconds: float) -> bool:
        """Wait so long. False, and at once, when stdout's reader has closed it (P7-S1)."""
        import select

        poll = select.poll()
        with suppress(OSError, ValueError, AttributeError):  # a stream without a descriptor
            assert self.stream is not None
            poll.register(self.stream.fileno(), 0)  # errors are reported without asking for them
        return not poll.poll(seconds * 1000)

    def topic(self, document: object, block: Block) -> None:
        """A page of help that is data and not the state of a kernel."""
        if self.format == "table":
            self._put(Layout(self.terminal, painter(self.color)).block(block) + "\n")
        else:
            self.document(document)

    def text(self, piece: Frame | str) -> str:
        """A piece as stdout would get it."""
        if isinstance(piece, str):
            return piece
        return Layout(self.terminal, painter(self.color), piece.changed is not None).frame(piece)

    def screen(self) -> tuple[int, int] | None:
        """Columns and lines of the terminal now; None if stdout can't be written over."""
        if self.window is None or self.stream is None:
            return None
        with suppress(OSError, ValueError):
            size = os.get_terminal_size(self.stream.fileno())
            if size.columns and size.lines:
                return size.columns, size.lines
        return self.window

    def styled(self, text: str, style: str) -> str:
        """Untrusted text in a style, if there is colour."""
        return painter(self.color)(safe(text), style)

    def _put(self, piece: Frame | str) -> bool:
        if self.collect is None:
            return _write(self.stream, self.text(piece))
        self.collect(piece)
        return True


def _write(stream: TextIO | None, text: str) -> bool:
    """Write to stdout and flush, so that a full disk is an error here and not at exit.

    A reader that has closed its end of the pipe is not an error: False, and exit codes stay.
    """
    if stream is None:
        raise failure("OUTPUT_FAILED", "standard output is closed")
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        give_up(stream)
        return False
    except OSError as error:
        give_up(stream)
        raise failure(
            "OUTPUT_FAILED", f"can't write to standard output: {error.strerror}"
        ) from error
    return True


def give_up(stream: TextIO | None) -> None:
    """Write no more to stdout: what is still buffered must not raise again at exit."""
    with suppress(OSError, ValueError):
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
