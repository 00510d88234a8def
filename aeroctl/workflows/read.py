"""One view of one state, printed; and which revision is meant by a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aeroctl.app import App
from aeroctl.errors import failure
from aeroctl.output.output import Header
from aeroctl.sources.moment import AtRevision, Moment
from aeroctl.sources.source import Source

if TYPE_CHECKING:
    from aeroctl.contract.envelope import Envelope, Note
    from aeroctl.contract.events import Pin
    from aeroctl.output.dialogue import Dialogue
    from aeroctl.output.output import Output
    from aeroctl.views.view import View


@dataclass(frozen=True, slots=True)
class Reader:
    """Where one invocation reads from, and where it writes to."""

    source: Source
    output: "Output"
    dialogue: "Dialogue"

    def revision_of(self, moment: Moment | None) -> "tuple[int | None, list[Note]]":
        """The revision whose state is shown for a moment, None for now; for a time also a note that
        says why it is that revision.

        A time asks the source once. Raises Failure.
        """
        if moment is None or isinstance(moment, AtRevision):
            return (None if moment is None else moment.id), []
        pin = self.source.pin(moment).data
        words = f"{pin.asked} is revision {pin.first}: {_bounds(pin)}; between them "
        if pin.first == pin.last:
            words += "nothing was written"
        elif not pin.moved:
            words += "nothing of this cluster was written"
        else:
            words += f"only WAL positions moved, at {pin.moved} of the revisions"
        return pin.first, [_taken(words)]

    def first_since(self, moment: Moment | None) -> "tuple[int | None, list[Note]]":
        """The first revision that may have come at a moment or after it; as `revision_of`."""
        if moment is None or isinstance(moment, AtRevision):
            return self.revision_of(moment)
        pin = self.source.pin(moment, "edge").data
        if pin.first == 0:
            words = f"no time is logged at or before {pin.asked}; all available history is shown"
            return 1, [_taken(words)]
        words = f"since {pin.asked}: from revision {pin.first + 1} on; {_bounds(pin)}"
        if pin.first < pin.last:
            words += f"; {_span(pin)} may have happened before that time"
        return pin.first + 1, [_taken(words)]

    def last_until(self, moment: Moment | None) -> "tuple[int | None, list[Note]]":
        """The last revision that may have come at a moment or before it; as `revision_of`."""
        if moment is None or isinstance(moment, AtRevision):
            return self.revision_of(moment)
        pin = self.source.pin(moment, "edge").data
        words = f"until {pin.asked}: up to revision {pin.last}; {_bounds(pin)}"
        if pin.first < pin.last:
            words += f"; {_span(pin)} may have happened after that time"
        return pin.last, [_taken(words)]

    def read(
        self,
        view: "View[Any]",
        moment: Moment | None,
        filters: tuple[str, ...] = (),
        sort_by: str | None = None,
    ) -> Any:
        """Fetch one snapshot, derive `view` from it, print it. Returns the view.

        Raises Failure, also for a field or node that does not exist.
        """
        from aeroctl.views.select import UnknownField, select
        from aeroctl.views.view import UnknownNode

        at, notes = self.revision_of(moment)
        available = self.source.holds(at)
        live = tuple(section for section in view.live if section in available)
        envelope = self.source.snapshot(view.sections + live, at)
        try:
            data = view.derive(envelope.data)
            if view.rows is not None:
                data = select(data, view.rows, filters, sort_by)
        except UnknownNode as error:
            raise failure("UNKNOWN_NODE", str(error)) from error
        except UnknownField as error:
            raise failure("UNKNOWN_FIELD", str(error)) from error
        self.output.show(header(envelope, notes), data, view.layout(data))
        return data


def reader_of(app: App, file: str | None) -> Reader:
    """A Reader of the kernel, or of `file`. Raises Failure; connects to nothing yet."""
    return Reader(app.kernel if file is None else app.evidence(file), app.output, app.dialogue)


def header(envelope: "Envelope[Any]", notes: "Sequence[Note]") -> Header:
    """What is shown around a view of `envelope`, with `notes` added to its own."""
    return Header(envelope.api_version, envelope.observed_at, [*envelope.notes, *notes])


def _taken(words: str) -> "Note":
    from aeroctl.contract.envelope import Note

    return Note(code="REVISION_TAKEN", subject=None, message=words)


def _span(pin: "Pin") -> str:
    if pin.first + 1 == pin.last:
        return f"the changes of revision {pin.last}"
    return f"the changes of revisions {pin.first + 1} to {pin.last}"


def _bounds(pin: "Pin") -> str:
    """The logged times before and after the pin's revisions."""
    before, after = pin.before, pin.after
    if before is not None:
        begin = f"revision {pin.first} existed at {before.time} (clock of {before.clock})"
    else:
        begin = f"revision {pin.first} is current" if pin.first else "no earlier time is logged"
    if after is None:
        return f"{begin}; no later time is logged, and revision {pin.last} is current"
    end = f"revision {after.revision} came after {after.time} (clock of {after.clock})"
    return f"{begin}; {end}"
