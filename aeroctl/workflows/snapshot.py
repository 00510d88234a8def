"""The kernel's snapshot as it is; or, with events and audit trail, an evidence file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aeroctl.contract.terms import Section
from aeroctl.sources.collect import collect
from aeroctl.workflows.read import Reader

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment


def show_snapshot(reader: Reader, sections: Sequence[Section], moment: "Moment | None") -> None:
    """Print the sections, or all that there are. Raises Failure."""
    at, notes = reader.revision_of(moment)
    document = reader.source.document(sections or reader.source.holds(at), at)
    reader.output.document({**document, "notes": [*document["notes"], *notes]})


def write_evidence(reader: Reader, moment: "Moment | None") -> None:
    """Print the content of an evidence file. Raises Failure."""
    at, notes = reader.revision_of(moment)
    reader.dialogue.notes(notes)  # not part of the evidence: they are not the kernel's words
    reader.output.document(collect(reader.source, at))
