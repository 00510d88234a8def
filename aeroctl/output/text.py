"""Blocks of a view laid out as text: columns aligned, exact in a pipe, with units at a terminal.

By hand, because a line must never be folded or cut: rich's tables fit text to the terminal's width,
and cost a start-up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aeroctl.output.color import Paint
from aeroctl.safe_text import safe, width
from aeroctl.views.blocks import Block, Branch, Cell, Facts, Flagged, Grid, Lanes, Size, Tree

if TYPE_CHECKING:
    from aeroctl.contract.envelope import Note, ObservedAt
    from aeroctl.views.changed_cells import ChangedCells

Format = Literal["table", "json", "jsonl"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A view of one state, before it is laid out as text."""

    observed: "ObservedAt"
    notes: "Sequence[Note]"
    blocks: Sequence[Block]
    changed: "Sequence[ChangedCells] | None" = None
    """For each block its changed cells; None: the frame was not compared with another."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How text is laid out: for people at a terminal, or exact and plain in a pipe.

    Lines are never folded or cut: what is copied from them is complete.
    """

    terminal: bool
    paint: Paint
    gutter: bool = False
    """Whether lines are indented by two columns, in which what changed has a mark."""

    def frame(self, frame: Frame) -> str:
        """A whole view: which state it shows, its blocks, its notes."""
        observed = frame.observed
        heading = f"revision {observed.revision}  state digest {observed.state_digest}"
        if observed.time is not None:
            heading += f"  {observed.time} by the clock of {observed.clock}"
        parts = [self.remark(heading, "dim")]
        parts += map(self.block, frame.blocks, frame.changed or [frozenset()] * len(frame.blocks))
        if frame.notes:
            notes = [self.remark(f"note: {note_text(note)}", "yellow") for note in frame.notes]
            parts.append("\n".join(notes))
        return "\n\n".join(parts) + "\n"

    def remark(self, text: str, style: str) -> str:
        """A line about the view; in a pipe it is marked, so that a script can skip it."""
        line = self.paint(safe(text), style) if self.terminal else f"# {safe(text)}"
        return f"  {line}" if self.gutter else line

    def block(self, block: Block, changed: "ChangedCells" = frozenset()) -> str:
        """A block, its title above it."""
        if isinstance(block, Facts):
            lines, first = self._facts(block, changed), 0
        elif isinstance(block, Lanes):
            lines, first = self._lanes(block, changed), len(block.names) + 1
        else:
            lines, first = self._table(block, changed), 1
        if self.gutter:
            marked = {first + row for row, _ in changed}
            lines = [f"{'*' if at in marked else ' '} {line}" for at, line in enumerate(lines)]
        if not isinstance(block, Tree | Lanes) and block.title:
            lines.insert(0, self.remark(block.title, "bold"))
        return "\n".join(lines)

    def _facts(self, block: Facts, changed: "ChangedCells") -> list[str]:
        wide = max(len(label) for label, _ in block.rows) + 1
        return [
            f"{self.paint(f'{label}:'.ljust(wide), 'dim')} "
            + self._painted(self._cell(cell), cell, (row, 1) in changed)
            for row, (label, cell) in enumerate(block.rows)
        ]

    def _table(self, block: Grid | Tree, changed: "ChangedCells") -> list[str]:
        names = block.columns.split()
        if isinstance(block, Grid):
            rows, lead = block.rows, [""] * len(block.rows)
            if not rows and self.terminal:
                return [self.paint(f"  {block.empty}", "dim")]
        else:
            rows = tuple(branch.cells for branch in block.branches)
            lead = [_drawn(branch) for branch in block.branches]
        texts = [
            [front + self._cell(cell) if column == 0 else self._cell(cell)
             for column, cell in enumerate(row)]
            for front, row in zip(lead, rows, strict=True)
        ]  # fmt: skip
        widths = [
            max(len(name), *(width(row[column]) for row in texts)) if texts else len(name)
            for column, name in enumerate(names)
        ]
        right = [any(_is_number(row[column]) for row in rows) for column in range(len(names))]
        head = [_aligned(*column) for column in zip(names, widths, right, strict=True)]
        lines = [self.paint("  ".join(head).rstrip(), "bold dim")]
        for number, (row, cells) in enumerate(zip(texts, rows, strict=True)):
            aligned = (_aligned(*column) for column in zip(row, widths, right, strict=True))
            painted = [
                self._painted(text, cell, (number, column) in changed)
                for column, (text, cell) in enumerate(zip(aligned, cells, strict=True))
            ]
            lines.append("  ".join(painted).rstrip())
        return lines

    def _lanes(self, block: Lanes, changed: "ChangedCells") -> list[str]:
        """The lanes' names as stairs down to them, then a row of the table beside each."""
        stairs = ["│ " * at + safe(name) for at, name in enumerate(block.names)]
        head, *rows = self._table(block.grid, changed)
        drawn = [
            "".join(self.paint(char, _LANE_STYLES.get(char, "")) for char in marks)
            for marks in block.marks
        ]
        lines = [f"{marks}  {row}" for marks, row in zip(drawn, rows, strict=True)]
        return [*stairs, " " * 2 * len(block.names) + " " + head, *lines]

    def _cell(self, cell: Cell) -> str:
        """A cell's safe text; sizes in units on a terminal, exact in a pipe."""
        if isinstance(cell, Flagged):
            return self._cell(cell.cell)
        if cell is None:
            return "-"
        if isinstance(cell, bool):
            return "yes" if cell else "no"
        if isinstance(cell, Size):
            return _units(cell.bytes) if self.terminal else str(cell.bytes)
        if cell in ("", "-"):
            return f'"{cell}"'  # not to be taken for nothing
        return safe(cell) if isinstance(cell, str) else str(cell)

    def _painted(self, text: str, cell: Cell, changed: bool) -> str:
        """A flagged cell in red, a missing one dim, a changed one reversed; padding stays plain."""
        style = "bold red" if isinstance(cell, Flagged) else "dim" if cell is None else ""
        style += " reverse" if changed else ""
        bare = text.strip()
        return text.replace(bare, self.paint(bare, style), 1) if style and bare else text


def note_text(note: "Note") -> str:
    return f"{note.code}{f' {note.subject}' if note.subject is not None else ''}: {note.message}"


_LANE_STYLES = {
    **dict.fromkeys("┃┏┗◆", "bold green"),
    "●": "bold",
    "✗": "bold red",
    "R": "bold cyan",
    **dict.fromkeys("│~", "dim"),
}


def _aligned(text: str, wide: int, right: bool) -> str:
    space = " " * (wide - width(text))
    return space + text if right else text + space


def _units(count: int) -> str:
    """Binary units, one decimal: 1536 is `1.5 KiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(amount) < 1024:
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} PiB"


def _is_number(cell: Cell) -> bool:
    inner = cell.cell if isinstance(cell, Flagged) else cell
    return isinstance(inner, int | Size) and not isinstance(inner, bool)


def _drawn(branch: Branch) -> str:
    """The lines of a tree in front of a branch."""
    if not branch.last:
        return ""
    above = "".join("   " if last else "│  " for last in branch.last[:-1])
    return above + ("└─ " if branch.last[-1] else "├─ ")
