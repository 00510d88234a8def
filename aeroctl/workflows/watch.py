"""`--watch`: the same view again and again, one snapshot per frame, until it is interrupted.

Between two frames nothing is kept but the last one, to mark what changed since. On a terminal
frames replace one another; elsewhere they follow one another. The cursor stays visible and the
screen the usual one, so that nothing is to be restored, whatever ends the process (P7-F2).
"""

import gc
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn, Protocol

import click

from aeroctl.errors import Exit, Failure, failure
from aeroctl.output.output import Dialogue, Frame, Output, told
from aeroctl.safe_text import width
from aeroctl.views.marks import compared

Pieces = Sequence[Frame | str]
LASTING = ("OUTPUT_FAILED", "SECTION_NOT_IN_HISTORY", "REVISION_COMPACTED", "NOT_IN_EVIDENCE")
"""Failures that asking again can't cure, although their kind can pass."""
_PARTS = re.compile(r"\x1b\[[0-9;]*m|.")
"""A style, or a character that takes room."""


def watch(
    seconds: float, output: Output, dialogue: Dialogue, frame: Callable[[Output], object]
) -> NoReturn:
    """Show what `frame` reads and writes to the Output that it is given, every `seconds`.

    A kernel that is away, or has no consistent snapshot, is said and asked again; any other Failure
    is raised. Ends with exit 0 when nobody reads stdout any more, and by an interrupt.
    """
    if output.format == "json":
        raise failure("USAGE", "--watch is no single document: use -o jsonl, one on each line")
    period = f"{click.get_current_context().command_path}, every {seconds:g} s"
    stage: _Stage = _Sequel(output, dialogue)
    if output.format == "table" and output.screen():
        stage = _Screen(output, period)
    while True:
        pieces: list[Frame | str] = []
        try:
            frame(replace(output, taken=pieces.append))
        except Failure as error:
            if not passing(error):
                raise
            goes_on = stage.failed(error)
        else:
            goes_on = stage.show(pieces)
        if not goes_on:
            raise click.exceptions.Exit(Exit.DONE)
        gc.collect(0)  # as in trail.pages
        # After the answer: a slow kernel is not asked more often (P7-S2).
        if not output.pause(seconds):
            raise click.exceptions.Exit(Exit.DONE)


def passing(error: Failure) -> bool:
    """Whether asking again may help: the kernel is away, or has no consistent snapshot now."""
    no_state = error.domain == "transport" or error.exit == Exit.NO_SNAPSHOT
    return no_state and error.code not in LASTING


class _Stage(Protocol):
    """Where frames appear. Both methods: False when nobody looks any more."""

    def show(self, pieces: Pieces) -> bool: ...

    def failed(self, error: Failure) -> bool: ...


@dataclass(slots=True)
class _Sequel:
    """One frame after the other: a pipe, a file, a terminal that can't be written over."""

    output: Output
    dialogue: Dialogue
    separator: str = ""
    said: Failure | None = None

    def show(self, pieces: Pieces) -> bool:
        text = self.separator + "".join(map(self.output.text, pieces))
        self.separator, self.said = "\n" if self.output.format == "table" else "", None
        return self.output.plain(text)

    def failed(self, error: Failure) -> bool:
        """Said once for as long as it lasts."""
        if error != self.said:
            self.dialogue.failed(error)
        self.said = error
        return True


@dataclass(slots=True)
class _Screen:
    """A terminal, on which each frame replaces the one before."""

    output: Output
    period: str
    begun: bool = False
    last: Pieces = field(default_factory=list)

    def show(self, pieces: Pieces) -> bool:
        marked, gone = _marked(self.last, pieces)
        heading = self.period + _revision(pieces, ": revision {}")
        if self.last:
            heading += _revision(self.last, ", the frame before {}") + "; * is what changed since"
        if gone:
            heading += f"; gone: {', '.join(gone)}"
        self.last = pieces
        return self._draw([self.output.styled(heading, "bold")], self._lines(marked))

    def failed(self, error: Failure) -> bool:
        """The last frame stays, every line of it marked as old: it is not the present (P7-D1)."""
        heading = f"{self.period}: NO NEW STATE"
        if self.last:
            heading += "; ~ is old" + _revision(self.last, ", of revision {}")
        reason = told(error, as_json=False).splitlines()
        old = [f"~ {line}".rstrip() for line in self._lines(self.last)]
        return self._draw([self.output.styled(heading, "bold red"), *reason], old)

    def _lines(self, pieces: Pieces) -> list[str]:
        return "".join(map(self.output.text, pieces)).splitlines()

    def _draw(self, head: Sequence[str], body: Sequence[str]) -> bool:
        columns, lines = self.output.screen() or (80, 24)
        text = "\x1b[H" + drawn([*head, "", *body], columns, lines - 1)
        if not self.begun:
            text = "\n" * lines + text  # what stands on the screen is scrolled up, not erased
        self.begun = True
        return self.output.plain(text)


def drawn(lines: Sequence[str], columns: int, room: int) -> str:
    """The lines that `room` lines of a terminal can show whole, and how many those are not.

    Each erases what it does not cover, so that nothing flickers, and the last one all below it.
    """
    shown: list[str] = []
    heights: list[int] = []
    for line in lines:
        covering, height = _covering(line, columns)
        shown.append(covering)
        heights.append(height)
        if sum(heights) > room:
            break
    if sum(heights) > room:
        while heights and sum(heights) > room - 1:
            heights.pop()
        remark = f"... {len(lines) - len(heights)} lines not shown"[:columns]
        shown = [*shown[: len(heights)], _covering(remark, columns)[0]]
    return "".join(f"{line}\n" for line in shown) + "\x1b[J"


def _covering(line: str, columns: int) -> tuple[str, int]:
    """A line that erases what it leaves free, and how many lines of the terminal it takes.

    After the last column there is nothing to erase: a terminal would erase that column.
    """
    parts, height, used = [], 1, 0
    for part in _PARTS.findall(line):
        wide = 0 if part.startswith("\x1b") else width(part)
        if used + wide > columns:
            if used < columns:  # a wide character goes on to the next line
                parts.append("\x1b[K")
            height, used = height + 1, 0
        used += wide
        parts.append(part)
    if used < columns:
        parts.append("\x1b[K")
    return "".join(parts), height


def _marked(before: Pieces, now: Pieces) -> tuple[list[Frame | str], list[str]]:
    """The pieces with marks at what changed, and the rows that are gone."""
    marked: list[Frame | str] = []
    gone: list[str] = []
    for number, piece in enumerate(now):
        old = before[number] if number < len(before) else None
        if isinstance(piece, str):
            known = set(old.splitlines() if isinstance(old, str) else piece.splitlines())
            lines = (f"{' ' if line in known else '*'} {line}" for line in piece.splitlines())
            marked.append("\n".join(lines) + "\n")
            continue
        found = compared(old.blocks if isinstance(old, Frame) else piece.blocks, piece.blocks)
        marked.append(replace(piece, changed=found.changed))
        gone += found.gone
    return marked, gone


def _revision(pieces: Pieces, words: str) -> str:
    """The revision that the pieces show, in words; nothing where they are no views."""
    views = [piece for piece in pieces if isinstance(piece, Frame)]
    return words.format(views[0].observed.revision) if views else ""
