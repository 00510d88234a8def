"""`--watch`: the same view again and again, one snapshot per frame, until it is interrupted.

Only the last frame is kept, to mark what changed since. At a terminal frames replace one another;
elsewhere they follow one another. The cursor stays visible and the screen the usual one, so that
nothing has to be restored, however the process ends (P7-F2).
"""

import gc
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from aeroctl.errors import Exit, Failure, failure
from aeroctl.output.dialogue import Dialogue, error_text
from aeroctl.output.output import Output
from aeroctl.output.text import Frame
from aeroctl.safe_text import width
from aeroctl.views.changed_cells import compared

Pieces = Sequence[Frame | str]
LASTING = ("OUTPUT_FAILED", "SECTION_NOT_IN_HISTORY", "REVISION_COMPACTED", "NOT_IN_EVIDENCE")
"""Failures that asking again can't cure, although others of their exit code may pass."""
_PARTS = re.compile(r"\x1b\[[0-9;]*m|.")
"""A style sequence, or one character."""


def watch(
    command: str,
    seconds: float,
    output: Output,
    dialogue: Dialogue,
    frame: Callable[[Output], object],
) -> None:
    """Every `seconds` show what `frame` reads and writes to the Output that it is given.

    While the kernel is away, or has no consistent snapshot, that is shown instead; any other
    Failure is raised. Ends when stdout's reader closes it. `command`: its words, for the heading.
    """
    if output.format == "json":
        raise failure("USAGE", "--watch can't be combined with -o json; use -o jsonl")
    period = f"{command}, every {seconds:g} s"
    display: _Display = _Scroll(output, dialogue)
    if output.format == "table" and output.screen():
        display = _Screen(output, period)
    while True:
        pieces: list[Frame | str] = []
        try:
            frame(replace(output, collect=pieces.append))
        except Failure as error:
            if not passing(error):
                raise
            goes_on = display.failed(error)
        else:
            goes_on = display.show(pieces)
        if not goes_on:
            return
        gc.collect(0)  # as in audit.pages
        # Counted from the answer on: a slow kernel is not asked more often (P7-S2).
        if not output.pause(seconds):
            return


def passing(error: Failure) -> bool:
    """Whether a later attempt may succeed: the kernel is away, or has no consistent snapshot."""
    temporary = error.domain == "transport" or error.exit == Exit.NO_SNAPSHOT
    return temporary and error.code not in LASTING


class _Display(Protocol):
    """Where frames appear. Both methods return False once stdout's reader has closed it."""

    def show(self, pieces: Pieces) -> bool: ...

    def failed(self, error: Failure) -> bool: ...


@dataclass(slots=True)
class _Scroll:
    """One frame after the other: a pipe, a file, a terminal that can't be written over."""

    output: Output
    dialogue: Dialogue
    separator: str = ""
    reported: Failure | None = None

    def show(self, pieces: Pieces) -> bool:
        text = self.separator + "".join(map(self.output.text, pieces))
        self.separator, self.reported = "\n" if self.output.format == "table" else "", None
        return self.output.plain(text)

    def failed(self, error: Failure) -> bool:
        """Reported once for as long as it lasts."""
        if error != self.reported:
            self.dialogue.failed(error)
        self.reported = error
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
            heading += _revision(self.last, ", previous frame {}") + "; * marks changes"
        if gone:
            heading += f"; removed: {', '.join(gone)}"
        self.last = pieces
        return self._draw([self.output.styled(heading, "bold")], self._lines(marked))

    def failed(self, error: Failure) -> bool:
        """The last frame stays, every line of it marked as old: it may be outdated (P7-D1)."""
        heading = f"{self.period}: NO NEW STATE"
        if self.last:
            heading += "; ~ marks old lines" + _revision(self.last, ", of revision {}")
        reason = error_text(error, as_json=False).splitlines()
        old = [f"~ {line}".rstrip() for line in self._lines(self.last)]
        return self._draw([self.output.styled(heading, "bold red"), *reason], old)

    def _lines(self, pieces: Pieces) -> list[str]:
        return "".join(map(self.output.text, pieces)).splitlines()

    def _draw(self, head: Sequence[str], body: Sequence[str]) -> bool:
        columns, lines = self.output.screen() or (80, 24)
        text = "\x1b[H" + drawn([*head, "", *body], columns, lines - 1)
        if not self.begun:
            text = "\n" * lines + text  # scroll up what is on the screen, do not erase it
        self.begun = True
        return self.output.plain(text)


def drawn(lines: Sequence[str], columns: int, room: int) -> str:
    """The first lines that fit into `room` lines of a terminal, and how many are left out.

    Each line erases the rest of its row, so that nothing flickers; the last one all rows below.
    """
    rows: list[str] = []
    heights: list[int] = []
    for line in lines:
        covering, height = _covering(line, columns)
        rows.append(covering)
        heights.append(height)
        if sum(heights) > room:
            break
    if sum(heights) > room:
        while heights and sum(heights) > room - 1:
            heights.pop()
        remark = f"... {len(lines) - len(heights)} lines not shown"[:columns]
        rows = [*rows[: len(heights)], _covering(remark, columns)[0]]
    return "".join(f"{line}\n" for line in rows) + "\x1b[J"


def _covering(line: str, columns: int) -> tuple[str, int]:
    """A line that erases the rest of its row, and how many rows of the terminal it takes.

    At the end of a full row nothing is erased: a terminal would erase its last column.
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
    """The pieces with marks at what changed, and the rows that were removed."""
    marked: list[Frame | str] = []
    gone: list[str] = []
    for number, piece in enumerate(now):
        old = before[number] if number < len(before) else None
        if isinstance(piece, str):
            known = set(old.splitlines() if isinstance(old, str) else piece.splitlines())
            lines = (f"{' ' if line in known else '*'} {line}" for line in piece.splitlines())
            marked.append("\n".join(lines) + "\n")
            continue
        comparison = compared(old.blocks if isinstance(old, Frame) else piece.blocks, piece.blocks)
        marked.append(replace(piece, changed=comparison.changed))
        gone += comparison.gone
    return marked, gone


def _revision(pieces: Pieces, words: str) -> str:
    """`words` with the revision that the pieces show; empty where they are not views."""
    views = [piece for piece in pieces if isinstance(piece, Frame)]
    return words.format(views[0].observed.revision) if views else ""
