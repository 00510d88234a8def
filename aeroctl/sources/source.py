"""What any source of state can answer: a kernel, or an evidence file."""

from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING, Any, Protocol

from aeroctl.contract.moments import Ago, Purpose, Time
from aeroctl.contract.terms import Section
from aeroctl.errors import failure

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope
    from aeroctl.contract.envelope import SnapshotEnvelope
    from aeroctl.contract.events import EventsEnvelope, PinEnvelope

MAX_ENTRIES = 1_000_000
"""Entries of a log that are kept in memory at most; a stream (jsonl) keeps one page of them."""


class Source(Protocol):
    """A kernel, or a file that holds a kernel's answers. Every method raises Failure.

    Some return the JSON as it came beside the parsed answer: a newer kernel may have added to it.
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

    def pin(self, moment: Time | Ago, purpose: Purpose = "state") -> "PinEnvelope":
        """Which revisions may have stood at a time; for a state, refused where they differ in more
        than WAL positions.
        """


def check_count(entries: Sized) -> None:
    """Raise ANSWER_TOO_LARGE where there are more entries than may be kept in memory."""
    if len(entries) > MAX_ENTRIES:
        words = (
            f"more than {MAX_ENTRIES} entries; timeline and audit print any number with -o jsonl"
        )
        raise failure("ANSWER_TOO_LARGE", words)
