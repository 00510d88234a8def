"""The only writer: one view, as JSON, as plain text, or as a table on a terminal.

Data goes to stdout, one document; everything else goes to stderr. Text from the kernel passes
`safe` on its way to a terminal or a pipe; JSON escapes all that is not ASCII.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

from aeroctl.errors import Failure, ReaderGone, failure
from aeroctl.text import safe, width
from aeroctl.views.blocks import Block, Branch, Cell, Facts, Flagged, Grid, Size, Tree

if TYPE_CHECKING:
    from rich.table import Table

    from aeroctl.contract.envelope import Note, ObservedAt, SnapshotEnvelope

Format = Literal["table", "json", "jsonl"]


@dataclass(frozen=True, slots=True)
class Output:
    """Where and how to write. `terminal` and `color` are decided once, for stdout."""

    format: Format
    terminal: bool
    color: bool
    columns: int | None = None

    def show(self, envelope: "SnapshotEnvelope", data: object, blocks: Sequence[Block]) -> None:
        """A view of a snapshot: as the kernel's envelope with the view as data, or as text."""
        if self.format == "table":
            self._text(envelope.observed_at, envelope.notes, blocks)
        else:
            self.document(
                {
                    "api_version": envelope.api_version,
                    "observed_at": envelope.observed_at,
                    "data": data,
                    "notes": envelope.notes,
                }
            )

    def document(self, document: object) -> None:
        """One JSON document: indented, or on one line under jsonl."""
        _write(sys.stdout, _json(document, indent=None if self.format == "jsonl" else 2) + "\n")

    def plain(self, text: str) -> None:
        """A text of our own, such as a completion script."""
        _write(sys.stdout, text)

    def _text(
        self, observed: "ObservedAt", notes: "Sequence[Note]", blocks: Sequence[Block]
    ) -> None:
        heading = f"commit {observed.commit_id}  epoch {observed.epoch}"
        if observed.time is not None:
            heading += f"  {observed.time} by the clock of {observed.clock}"
        remarks = [
            f"{note.code}{f' {note.subject}' if note.subject is not None else ''}: {note.message}"
            for note in notes
        ]
        if self.terminal:
            _Terminal(self.color, self.columns).write(heading, remarks, blocks)
        else:
            parts = [f"# {safe(heading)}"]
            parts += [_plain(block) for block in blocks]
            if remarks:
                parts.append("\n".join(f"# note: {safe(remark)}" for remark in remarks))
            _write(sys.stdout, "\n\n".join(part for part in parts if part) + "\n")


def report(error: Failure, as_json: bool) -> None:
    """Tell stderr why there is no result; nothing is written to stdout."""
    if as_json:
        body = {
            "domain": error.domain,
            "code": error.code,
            "message": error.message,
            "invariants": list(error.invariants),
            "outcome": error.outcome,
            "request_id": error.request_id,
            "next": error.next,
        }
        text = _json({"error": body}, indent=None)
    else:
        lines = [f"error: {safe(error.code)}: {safe(error.message)}"]
        facts = [f"domain: {error.domain}", f"outcome: {error.outcome.replace('_', ' ')}"]
        if error.invariants:
            facts.append(f"invariants: {safe(', '.join(error.invariants))}")
        if error.request_id:
            facts.append(f"request: {safe(error.request_id)}")
        lines.append("  " + "; ".join(facts))
        if error.next:
            lines.append(f"  next: {error.next}")
        text = "\n".join(lines)
    _write(sys.stderr, text + "\n")


def tell(line: str) -> None:
    """A remark to stderr: progress, traces."""
    _write(sys.stderr, safe(line) + "\n")


def wants_color(flag_no_color: bool, environment: Mapping[str, str], terminal: bool) -> bool:
    """Flag, then NO_COLOR, FORCE_COLOR or CLICOLOR_FORCE, CLICOLOR=0, dumb terminal, terminal."""
    if flag_no_color or environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR") or environment.get("CLICOLOR_FORCE", "0") != "0":
        return True
    if environment.get("CLICOLOR") == "0" or environment.get("TERM") == "dumb":
        return False
    return terminal


def _write(stream: TextIO, text: str) -> None:
    """Write and flush, so that a full disk is an error here and not at exit."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        raise failure("OUTPUT_FAILED", f"can't write: {error.strerror}") from error


def _json(document: object, indent: int | None) -> str:
    """JSON in ASCII alone. A raw DEL is ASCII, yet a terminal may obey it."""
    from pydantic_core import to_json

    # `vars`: what the compiled contract makes has attributes and no serializer of its own.
    text = to_json(document, indent=indent, ensure_ascii=True, fallback=vars).decode("ascii")
    return text.replace("\x7f", "\\u007f")


def _cell(cell: Cell, units: bool) -> str:
    """A cell's safe text. `units`: sizes for people instead of exact ones."""
    if isinstance(cell, Flagged):
        return _cell(cell.cell, units)
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, Size):
        return _units(cell.bytes) if units else str(cell.bytes)
    return safe(cell) if isinstance(cell, str) else str(cell)


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


def _rows(block: Grid | Tree, units: bool) -> list[list[str]]:
    if isinstance(block, Grid):
        return [[_cell(cell, units) for cell in row] for row in block.rows]
    return [
        [_drawn(branch) + _cell(branch.cells[0], units)]
        + [_cell(cell, units) for cell in branch.cells[1:]]
        for branch in block.branches
    ]


def _plain(block: Block) -> str:
    """Aligned text without truncation, colour or units: for pipes, logs and awk."""
    if isinstance(block, Facts):
        labels = max(len(label) for label, _ in block.rows)
        lines = [f"{f'{label}:':<{labels + 1}} {_cell(cell, False)}" for label, cell in block.rows]
    else:
        rows = [block.columns.split(), *_rows(block, False)]
        widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "  ".join(
                text + " " * (wide - width(text)) for text, wide in zip(row, widths, strict=True)
            ).rstrip()
            for row in rows
        ]
    title = None if isinstance(block, Tree) else block.title
    return "\n".join([f"# {title}", *lines] if title else lines)


class _Terminal:
    """Tables and colour by rich, which is loaded for terminals alone."""

    def __init__(self, color: bool, columns: int | None) -> None:
        from rich.console import Console

        self.console: Console = Console(
            file=sys.stdout,
            force_terminal=True,
            color_system="auto" if color else None,
            width=columns,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def write(self, heading: str, remarks: Sequence[str], blocks: Sequence[Block]) -> None:
        """The whole view in one write."""
        from rich.text import Text

        with self.console.capture() as captured:
            self.console.print(Text(safe(heading), style="dim"))
            for block in blocks:
                self.console.print()
                if not isinstance(block, Tree) and block.title:
                    self.console.print(Text(block.title, style="bold"))
                if isinstance(block, Grid) and not block.rows:
                    self.console.print(Text(f"  {block.empty}", style="dim"))
                else:
                    self.console.print(self._table(block))
            for remark in remarks:
                self.console.print(Text(f"note: {safe(remark)}", style="yellow"))
        lines = (line.rstrip() for line in captured.get().splitlines())
        _write(sys.stdout, "\n".join(lines) + "\n")

    def _table(self, block: Block) -> "Table":
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=not isinstance(block, Facts), pad_edge=False)
        if isinstance(block, Facts):
            table.add_column(style="dim", no_wrap=True)
            table.add_column(overflow="fold")
            for label, cell in block.rows:
                table.add_row(Text(label), self._styled(_cell(cell, True), cell))
            return table
        cells = (
            [branch.cells for branch in block.branches] if isinstance(block, Tree) else block.rows
        )
        for column, name in enumerate(block.columns.split()):
            numbers = any(_is_number(row[column]) for row in cells)
            table.add_column(
                Text(name.replace("-", " ")),
                justify="right" if numbers else "left",
                overflow="fold",
                header_style="bold dim",
                no_wrap=column == 0,
            )
        for texts, row in zip(_rows(block, True), cells, strict=True):
            table.add_row(
                *(self._styled(text, cell) for text, cell in zip(texts, row, strict=True))
            )
        return table

    def _styled(self, text: str, cell: Cell) -> Any:
        from rich.text import Text

        style = "bold red" if isinstance(cell, Flagged) else "dim" if cell is None else ""
        return Text(text, style=style)
