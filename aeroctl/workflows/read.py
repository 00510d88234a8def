"""What reading commands share: where they read from, and one view of one state of it."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from aeroctl.contract.terms import Section
from aeroctl.errors import failure
from aeroctl.sources.moment import AtRevision, Moment

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope
    from aeroctl.contract.envelope import Envelope, Note, ObservedAt, SnapshotEnvelope
    from aeroctl.contract.events import Event, EventsEnvelope, Pin, PinEnvelope
    from aeroctl.output.output import Dialogue, Output
    from aeroctl.views.view import View


Purpose = Literal["state", "edge"]
HELD = 1_000_000
"""Entries of a log that are held together at most; a stream (jsonl) holds a page of them."""


class Reading(Protocol):
    """The kernel (adapter.py), or a file that holds what it said (case.py). All raise Failure.

    What comes beside an envelope is the same as it came, with what a newer kernel may have added.
    """

    def holds(self, at: int | None) -> Sequence[Section]:
        """The sections that there are: of now, or of the revision `at`."""

    def snapshot(self, sections: Sequence[Section], at: int | None) -> "SnapshotEnvelope":
        """One consistent snapshot holding `sections`, live or of the revision `at`."""

    def document(self, sections: Sequence[Section], at: int | None) -> dict[str, Any]:
        """The same, as it came."""

    def audit(
        self, after: int, at: int | None, since: int | None = None
    ) -> "tuple[AuditEnvelope, list[dict[str, Any]]]":
        """Audit records after the sequence `after` and not before the revision `since`."""

    def events(self, after: int, at: int | None) -> "tuple[EventsEnvelope, dict[str, Any]]":
        """A page of events after the revision `after`."""

    def pin(self, moment: Moment, purpose: Purpose = "state") -> "PinEnvelope":
        """Which revisions may have stood at a time, or a while ago; for a state, refused where they
        differ in more than WAL positions.
        """


@dataclass(frozen=True, slots=True)
class Noted:
    """An envelope without its data, and with what reading it has to add to its notes."""

    api_version: str
    observed_at: "ObservedAt"
    notes: "list[Note]"


@dataclass(frozen=True, slots=True)
class Reader:
    """One invocation's reading: from where, and to where."""

    source: Reading
    output: "Output"
    dialogue: "Dialogue"

    def revision_of(self, moment: Moment | None) -> "tuple[int | None, list[Note]]":
        """The revision whose state is shown for a moment, None for now; and for a time, why that
        one.

        A revision is taken as it is; anything else asks the kernel once. Raises Failure.
        """
        if moment is None or isinstance(moment, AtRevision):
            return (None if moment is None else moment.id), []
        pin = self.source.pin(moment).data
        words = f"for {pin.asked}: revision {pin.first}; {_bounds(pin)}; between them "
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
            words = f"no time is logged at or before {pin.asked}: all that history holds is shown"
            return 1, [_taken(words)]
        words = f"since {pin.asked}: from revision {pin.first + 1} on; {_bounds(pin)}"
        if pin.first < pin.last:
            words += f"; {_span(pin)} may have been before that time"
        return pin.first + 1, [_taken(words)]

    def last_until(self, moment: Moment | None) -> "tuple[int | None, list[Note]]":
        """The last revision that may have come at a moment or before it; as `revision_of`."""
        if moment is None or isinstance(moment, AtRevision):
            return self.revision_of(moment)
        pin = self.source.pin(moment, "edge").data
        words = f"until {pin.asked}: up to revision {pin.last}; {_bounds(pin)}"
        if pin.first < pin.last:
            words += f"; {_span(pin)} may have been after that time"
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
        held = self.source.holds(at)
        live = tuple(section for section in view.live if section in held)
        envelope = self.source.snapshot(view.sections + live, at)
        try:
            data = view.derive(envelope.data)
            if view.rows is not None:
                data = select(data, view.rows, filters, sort_by)
        except UnknownNode as error:
            raise failure("UNKNOWN_NODE", str(error)) from error
        except UnknownField as error:
            raise failure("UNKNOWN_FIELD", str(error)) from error
        self.output.show(noted(envelope, notes), data, view.layout(data))
        return data


def _taken(words: str) -> "Note":
    from aeroctl.contract.envelope import Note

    return Note(code="REVISION_TAKEN", subject=None, message=words)


def _span(pin: "Pin") -> str:
    if pin.first + 1 == pin.last:
        return f"what revision {pin.last} did"
    return f"what revisions {pin.first + 1} to {pin.last} did"


def _bounds(pin: "Pin") -> str:
    """By what its revisions are known."""
    before, after = pin.before, pin.after
    if before is not None:
        begin = f"revision {pin.first} was there by {before.time}, by the clock of {before.clock}"
    else:
        begin = f"revision {pin.first} is now" if pin.first else "nothing is logged before that"
    if after is None:
        return f"{begin}; no later time is logged, and now is revision {pin.last}"
    return f"{begin}; revision {after.revision} came after {after.time}, by that of {after.clock}"


def check_held(entries: Sized) -> None:
    """Raise Failure ANSWER_TOO_LARGE where more are held together than there may be."""
    if len(entries) > HELD:
        words = f"more than {HELD} entries: -o jsonl of timeline and audit prints them as they come"
        raise failure("ANSWER_TOO_LARGE", words)


def check_events(events: "Sequence[Event]", after: int, revision: int) -> None:
    """Raise ValueError unless they come in the order of revisions, after `after` and up to
    `revision`, and a gap says where it ends.
    """
    last = after + 1
    for event in events:
        if not last <= event.revision <= revision:
            raise ValueError(f"an event of revision {event.revision} is astray")
        last = event.revision
        end = event.after
        if event.kind == "gap" and (type(end) is not int or not last <= end <= revision):
            raise ValueError(f"the gap at revision {event.revision} has no end")


def check_records(answer: "AuditEnvelope") -> None:
    """Raise ValueError where one is later than the state that it is of. Whether they are whole and
    in order is for the chain to say.
    """
    revisions = [record.revision for record in answer.data.records]
    for revision in (*revisions, *(hole.revision for hole in answer.data.broken)):
        if revision > answer.observed_at.revision:
            raise ValueError(f"a record of revision {revision} is astray")


def noted(envelope: "Envelope[Any]", notes: "Sequence[Note]") -> Noted:
    """What is shown above and below a view of `envelope`."""
    return Noted(envelope.api_version, envelope.observed_at, [*envelope.notes, *notes])
