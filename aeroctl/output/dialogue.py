"""Everything that is written to stderr: questions, progress, notes and errors."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from aeroctl.errors import Failure
from aeroctl.output import json_text
from aeroctl.output.color import painter
from aeroctl.output.text import Format, Frame, Layout, note_text
from aeroctl.safe_text import safe
from aeroctl.views.blocks import Block

if TYPE_CHECKING:
    from aeroctl.contract.envelope import Note
    from aeroctl.contract.explanation import ExplanationEnvelope


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One invocation's stderr: text, or a line of JSON for each message."""

    stream: TextIO | None
    format: Format
    terminal: bool
    color: bool
    progress: bool
    """Whether a line of progress can be overwritten: at a terminal, for people."""

    def show(self, envelope: "ExplanationEnvelope", blocks: Sequence[Block]) -> None:
        """What consent is about; shown also where it was given beforehand (P7-A2)."""
        if self.format == "table":
            layout = Layout(self.terminal, painter(self.color))
            self.write(layout.frame(Frame(envelope.observed_at, envelope.notes, blocks)))
        else:
            self.write(json_text.dumped({"explanation": envelope}, None) + "\n")

    def failed(self, error: Failure) -> None:
        """An error after which the command goes on."""
        self.write(error_text(error, self.format != "table"))

    def notes(self, notes: "Sequence[Note]") -> None:
        """Notes that stdout has no place for: one line for each."""
        for note in notes:
            if self.format == "table":
                self.write(safe(f"note: {note_text(note)}") + "\n")
            else:
                words = {"code": note.code, "subject": note.subject, "message": note.message}
                self.write(json_text.line({"note": words}) + "\n")

    def ask(self, question: str) -> None:
        """A question; the answer is typed on the same line."""
        self.write(f"{safe(question)} ")

    def sending(self, request_id: str, words: Mapping[str, str | None]) -> None:
        """The id of a request, before it is sent: aeroctl outcome takes it at any later time."""
        if self.format == "table":
            about = "  ".join(f"{key} {safe(text)}" for key, text in words.items() if text)
            self.write(f"request {request_id}: {about}\n")
        else:
            self.write(json_text.line({"request": {"request_id": request_id, **words}}) + "\n")

    def waiting(self, seconds: int) -> None:
        """For how many seconds the answer has been awaited; at a terminal only."""
        if self.progress and seconds:
            self.write(f"\r\x1b[Kwaiting for the outcome: {seconds} s")

    def done(self) -> None:
        """Erase the line of `waiting`."""
        if self.progress:
            self.write("\r\x1b[K")

    def end_line(self) -> None:
        """End the line of a question that got no answer."""
        self.write("\n")

    def trace(self, line: str) -> None:
        """A line of --debug."""
        self.write(safe(line) + "\n")

    def write(self, text: str) -> None:
        """Text as it is."""
        write(self.stream, text)


def report(stream: TextIO | None, error: Failure, as_json: bool) -> None:
    """Write to stderr why there is no result; stdout stays empty."""
    write(stream, error_text(error, as_json))


def write(stream: TextIO | None, text: str) -> None:
    """Write to stderr. Where that fails, the exit code still tells how the command ended."""
    with suppress(OSError):
        if stream is not None:
            stream.write(text)
            stream.flush()


def error_text(error: Failure, as_json: bool) -> str:
    """An error as lines of text, or as one line of JSON."""
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
        text = json_text.line({"error": body})
    else:
        lines = [f"error: {safe(error.code)}: {safe(error.message)}"]
        facts = [f"domain: {error.domain}", f"outcome: {error.outcome.replace('_', ' ')}"]
        if error.invariants:
            facts.append(f"invariants: {safe(', '.join(error.invariants))}")
        if error.request_id:
            facts.append(f"request: {safe(error.request_id)}")
        if error.engine_reply and error.engine_reply[0] is not None:
            facts.append(f"Patroni's HTTP status: {error.engine_reply[0]}")
        lines.append("  " + "; ".join(facts))
        if error.next:
            lines.append(f"  next: {safe(error.next)}")
        text = "\n".join(lines)
    return text + "\n"
