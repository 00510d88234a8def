"""What reading commands share: where they read from, and one view of one state of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aeroctl.contract.terms import Section
from aeroctl.errors import failure
from aeroctl.moment import Commit, Moment

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope
    from aeroctl.contract.envelope import Envelope, Note, ObservedAt, SnapshotEnvelope
    from aeroctl.contract.events import EventsEnvelope, PinEnvelope
    from aeroctl.output import Dialogue, Output
    from aeroctl.views.view import View


class Reading(Protocol):
    """The kernel (adapter.py), or a file that holds what it said (case.py). All raise Failure.

    What comes beside an envelope is the same as it came, with what a newer kernel may have added.
    """

    def holds(self, at: int | None) -> Sequence[Section]:
        """The sections that there are: of now, or of the commit `at`."""

    def snapshot(self, sections: Sequence[Section], at: int | None) -> "SnapshotEnvelope":
        """One consistent snapshot holding `sections`, live or of the commit `at`."""

    def document(self, sections: Sequence[Section], at: int | None) -> dict[str, Any]:
        """The same, as it came."""

    def audit(
        self, after: int, at: int | None, since: int | None = None
    ) -> "tuple[AuditEnvelope, list[dict[str, Any]]]":
        """Audit records after the sequence `after` and not before the commit `since`."""

    def events(self, after: int, at: int | None) -> "tuple[EventsEnvelope, dict[str, Any]]":
        """A page of events after the commit `after`."""

    def pin(self, moment: Moment) -> "PinEnvelope":
        """Which commit stands for a time, or for a while ago."""


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

    def commit_of(self, moment: Moment | None) -> "tuple[int | None, list[Note]]":
        """The commit that a moment stands for, None for now; and for a time, which one was taken.

        A commit is taken as it is; anything else asks the kernel once. Raises Failure.
        """
        if moment is None or isinstance(moment, Commit):
            return (None if moment is None else moment.id), []
        from aeroctl.contract.envelope import Note

        pin = self.source.pin(moment).data
        then = (
            f"the next logged one is commit {pin.following.commit_id}, {pin.following.time}"
            if pin.following
            else "no later one is logged"
        )
        taken = pin.taken
        message = (
            f"for {pin.asked}: commit {taken.commit_id}, logged {taken.time} by the clock of "
            f"{taken.clock} ({taken.source}); {then}"
        )
        return taken.commit_id, [Note(code="COMMIT_TAKEN", subject=None, message=message)]

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

        at, notes = self.commit_of(moment)
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


def noted(envelope: "Envelope[Any]", notes: "Sequence[Note]") -> Noted:
    """What is shown above and below a view of `envelope`."""
    return Noted(envelope.api_version, envelope.observed_at, [*envelope.notes, *notes])
