"""The only writer: one view, as JSON, as plain text, or as a table on a terminal.

Data goes to stdout, one document; everything else goes to stderr. Text from the kernel passes
`safe` on its way to a terminal or a pipe; JSON escapes all that is not ASCII.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aeroctl.errors import Failure, failure
from aeroctl.safe_text import safe, width
from aeroctl.views.blocks import Block, Branch, Cell, Facts, Flagged, Grid, Lanes, Size, Tree

if TYPE_CHECKING:
    from aeroctl.contract.envelope import Envelope, Note, ObservedAt
    from aeroctl.contract.explanation import ExplanationEnvelope
    from aeroctl.views.marks import Marks
    from aeroctl.workflows.read import Noted

Format = Literal["table", "json", "jsonl"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A view of one state, before it is laid out as text."""

    observed: "ObservedAt"
    notes: "Sequence[Note]"
    blocks: Sequence[Block]
    changed: "Sequence[Marks] | None" = None
    """For each block what changed; None: nobody compared it with anything."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where and how to write. `terminal` and `color` are decided once, for stdout."""

    format: Format
    terminal: bool
    color: bool
    taken: Callable[[Frame | str], None] | None = None
    """Takes everything instead of stdout, for whoever writes it later, together."""

    def show(
        self, envelope: "Envelope[Any] | Noted", data: object, blocks: Sequence[Block]
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
        """One JSON document: indented, or on one line under jsonl. As `plain`."""
        return self._put(_json(document, indent=None if self.format == "jsonl" else 2) + "\n")

    def plain(self, text: str) -> bool:
        """A text of our own, such as a completion script. False: nobody reads any more."""
        return self._put(text)

    def pause(self, seconds: float) -> bool:
        """Wait so long. False, and at once: nobody reads any more, so nothing goes on (P7-S1)."""
        import select

        poll = select.poll()
        with suppress(OSError, ValueError, AttributeError):  # no stream of the system's
            poll.register(sys.stdout.fileno(), 0)  # an error there is told of all the same
        return not poll.poll(seconds * 1000)

    def topic(self, document: object, block: Block) -> None:
        """A page of help that is data: no kernel's state."""
        if self.format == "table":
            self._put(_Look(self.terminal, _painter(self.color)).block(block) + "\n")
        else:
            self.document(document)

    def text(self, piece: Frame | str) -> str:
        """What of a piece would go to stdout."""
        if isinstance(piece, str):
            return piece
        look = _Look(self.terminal, _painter(self.color), piece.changed is not None)
        return _text(look, piece.observed, piece.notes, piece.blocks, piece.changed)

    def screen(self) -> tuple[int, int] | None:
        """Columns and lines of the terminal, if stdout is one that can be written over."""
        if sys.stdout is None or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
            return None
        with suppress(OSError, ValueError):
            size = os.get_terminal_size(sys.stdout.fileno())
            if size.columns and size.lines:
                return size.columns, size.lines
        from shutil import get_terminal_size

        told = get_terminal_size()  # by COLUMNS and LINES: the terminal does not know itself
        return told.columns, told.lines

    def styled(self, text: str, style: str) -> str:
        """Untrusted text in a style, if there is colour."""
        return _painter(self.color)(safe(text), style)

    def _put(self, piece: Frame | str) -> bool:
        if self.taken is None:
            return _write(self.text(piece))
        self.taken(piece)
        return True


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is said on stderr around a change, so that stdout holds its outcome and nothing else."""

    format: Format
    terminal: bool
    color: bool
    progress: bool
    """Whether a line can be written over: on a real terminal, for people."""

    def show(self, envelope: "ExplanationEnvelope", blocks: Sequence[Block]) -> None:
        """What consent is about; shown also where it was given beforehand (P7-A2)."""
        if self.format == "table":
            look = _Look(self.terminal, _painter(self.color))
            _remark(_text(look, envelope.observed_at, envelope.notes, blocks))
        else:
            _remark(_json({"explanation": envelope}, None) + "\n")

    def failed(self, error: Failure) -> None:
        """Why there is nothing to show just now, though it goes on."""
        _remark(told(error, self.format != "table"))

    def notes(self, notes: "Sequence[Note]") -> None:
        """Notes that stdout has no place for, a line each."""
        for note in notes:
            if self.format == "table":
                _remark(safe(f"note: {_noted(note)}") + "\n")
            else:
                words = {"code": note.code, "subject": note.subject, "message": note.message}
                _remark(_line({"note": words}) + "\n")

    def ask(self, question: str) -> None:
        """A question; the answer is typed on the same line."""
        _remark(f"{safe(question)} ")

    def sending(self, request_id: str, words: Mapping[str, str | None]) -> None:
        """The request's id, before it leaves: with it the outcome can be asked for at any time."""
        if self.format == "table":
            said = "  ".join(f"{key} {safe(text)}" for key, text in words.items() if text)
            _remark(f"request {request_id}: {said}\n")
        else:
            _remark(_line({"request": {"request_id": request_id, **words}}) + "\n")

    def waiting(self, seconds: int) -> None:
        """How long the answer has been awaited; on a terminal only, on one line."""
        if self.progress and seconds:
            _remark(f"\r\x1b[Kwaiting for the outcome: {seconds} s")

    def done(self) -> None:
        """Take the waiting line away."""
        if self.progress:
            _remark("\r\x1b[K")

    def end_line(self) -> None:
        """After a question that nobody answered."""
        _remark("\n")


def _text(
    look: "_Look",
    observed: "ObservedAt",
    notes: "Sequence[Note]",
    blocks: Sequence[Block],
    changed: "Sequence[Marks] | None" = None,
) -> str:
    heading = f"revision {observed.revision}  state digest {observed.state_digest}"
    if observed.time is not None:
        heading += f"  {observed.time} by the clock of {observed.clock}"
    parts = [look.remark(heading, "dim")]
    parts += map(look.block, blocks, changed or [frozenset()] * len(blocks))
    if notes:
        parts.append("\n".join(look.remark(f"note: {_noted(each)}", "yellow") for each in notes))
    return "\n\n".join(parts) + "\n"


def _noted(note: "Note") -> str:
    return f"{note.code}{f' {note.subject}' if note.subject is not None else ''}: {note.message}"


def report(error: Failure, as_json: bool) -> None:
    """Tell stderr why there is no result; nothing is written to stdout."""
    _remark(told(error, as_json))


def told(error: Failure, as_json: bool) -> str:
    """An error in words, or as one line of JSON."""
    if as_json:
        body = {
            "domain": error.domain,
            "code": error.code,
            "message": error.message,
            "invariants": list(error.invariants),
            "outcome": error.outcome,
            "request_id": error.request_id,
            "engine_reply": None
            if error.engine_reply is None
            else dict(zip(("status", "body"), error.engine_reply, strict=True)),
            "next": error.next,
        }
        text = _line({"error": body})
    else:
        lines = [f"error: {safe(error.code)}: {safe(error.message)}"]
        facts = [f"domain: {error.domain}", f"outcome: {error.outcome.replace('_', ' ')}"]
        if error.invariants:
            facts.append(f"invariants: {safe(', '.join(error.invariants))}")
        if error.request_id:
            facts.append(f"request: {safe(error.request_id)}")
        if error.engine_reply and error.engine_reply[0] is not None:
            facts.append(f"the engine's own code: {error.engine_reply[0]}")
        lines.append("  " + "; ".join(facts))
        if error.next:
            lines.append(f"  next: {safe(error.next)}")
        text = "\n".join(lines)
    return text + "\n"


def tell(line: str) -> None:
    """A remark to stderr: progress, traces."""
    _remark(safe(line) + "\n")


def wants_color(flag_no_color: bool, environment: Mapping[str, str], terminal: bool) -> bool:
    """Flag, then NO_COLOR, FORCE_COLOR or CLICOLOR_FORCE, CLICOLOR=0, dumb terminal, terminal."""
    if flag_no_color or environment.get("NO_COLOR"):
        return False
    if environment.get("FORCE_COLOR") or environment.get("CLICOLOR_FORCE", "0") != "0":
        return True
    if environment.get("CLICOLOR") == "0" or environment.get("TERM") == "dumb":
        return False
    return terminal


def _write(text: str) -> bool:
    """Write to stdout and flush, so that a full disk is an error here and not at exit.

    A reader that has enough is no error, and changes no exit code. False: it has.
    """
    if sys.stdout is None:
        raise failure("OUTPUT_FAILED", "standard output is closed")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        give_up()
        return False
    except OSError as error:
        give_up()
        raise failure("OUTPUT_FAILED", f"can't write: {error.strerror}") from error
    return True


def give_up() -> None:
    """Write no more to stdout: what is still buffered must not raise again at exit."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _remark(text: str) -> None:
    """Write to stderr. Where that can't be done, the exit code still says what there is to say."""
    with suppress(OSError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()


def _line(document: object) -> str:
    """One line of JSON that can't fail: what was typed need not be UTF-8."""
    return json.dumps(document, separators=(",", ":")).replace("\x7f", "\\u007f")


def _json(document: object, indent: int | None) -> str:
    """JSON in ASCII alone. A raw DEL is ASCII, yet a terminal may obey it."""
    from pydantic_core import to_json

    # `vars`: what the compiled contract makes has attributes and no serializer of its own.
    text = to_json(document, indent=indent, ensure_ascii=True, fallback=vars).decode("ascii")
    return text.replace("\x7f", "\\u007f")


Paint = Callable[[str, str], str]
"""A text and a style to the text in that style."""


def _painter(color: bool) -> Paint:
    """The styles as escape sequences; nothing at all, and no rich, where there is no colour."""
    if not color:
        return lambda text, _: text
    from rich.style import Style

    def paint(text: str, style: str) -> str:
        return Style.parse(style).render(text) if style else text

    return paint


@dataclass(frozen=True, slots=True)
class _Look:
    """How text looks: for people on a terminal, or exact and plain in a pipe.

    Lines are never folded or cut: what is copied from them is whole.
    """

    terminal: bool
    paint: Paint
    gutter: bool = False
    """Whether lines are indented by two columns, in which what changed has a mark."""

    def remark(self, text: str, style: str) -> str:
        """A line about the view; in a pipe it is marked, so that a script can skip it."""
        line = self.paint(safe(text), style) if self.terminal else f"# {safe(text)}"
        return f"  {line}" if self.gutter else line

    def block(self, block: Block, changed: "Marks" = frozenset()) -> str:
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

    def _facts(self, block: Facts, changed: "Marks") -> list[str]:
        wide = max(len(label) for label, _ in block.rows) + 1
        return [
            f"{self.paint(f'{label}:'.ljust(wide), 'dim')} "
            + self._painted(self._cell(cell), cell, (row, 1) in changed)
            for row, (label, cell) in enumerate(block.rows)
        ]

    def _table(self, block: Grid | Tree, changed: "Marks") -> list[str]:
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
        head = [_aligned(*each) for each in zip(names, widths, right, strict=True)]
        lines = [self.paint("  ".join(head).rstrip(), "bold dim")]
        for number, (row, cells) in enumerate(zip(texts, rows, strict=True)):
            aligned = (_aligned(*each) for each in zip(row, widths, right, strict=True))
            painted = [
                self._painted(text, cell, (number, column) in changed)
                for column, (text, cell) in enumerate(zip(aligned, cells, strict=True))
            ]
            lines.append("  ".join(painted).rstrip())
        return lines

    def _lanes(self, block: Lanes, changed: "Marks") -> list[str]:
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
        """What contradicts stands out, what is missing steps back; spaces stay as they are."""
        style = "bold red" if isinstance(cell, Flagged) else "dim" if cell is None else ""
        style += " reverse" if changed else ""
        bare = text.strip()
        return text.replace(bare, self.paint(bare, style), 1) if style and bare else text


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
