"""The incident report: evidence of one revision, its audit chain verified, as a page of HTML."""

from typing import TYPE_CHECKING

from aeroctl.contract.chain import Chain
from aeroctl.contract.envelope import Note
from aeroctl.contract.terms import STORED
from aeroctl.errors import Failure, failure
from aeroctl.sources.collect import collect
from aeroctl.sources.evidence_file import EvidenceFile
from aeroctl.views import audit
from aeroctl.views.report import Evidence, VerifiedTrail, render

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment
    from aeroctl.workflows.read import Reader


def show_report(reader: "Reader", moment: "Moment | None") -> None:
    """Write the page. Raises Failure."""
    if reader.output.format != "table":
        raise failure("USAGE", "a report is HTML; it can't be combined with -o json or -o jsonl")
    reader.output.plain(render(_evidence(reader, moment)))


def _evidence(reader: "Reader", moment: "Moment | None") -> Evidence:
    """Everything of one revision (P7-D1)."""
    at, notes = reader.revision_of(moment)
    # The kernel's answers are read through an evidence file too: a file gives the same page.
    file = EvidenceFile("the kernel's answer", collect(reader.source, at), whole=True)
    envelope = file.snapshot(list(dict.fromkeys([*STORED, *file.holds(None)])), None)
    events, _ = file.events(0, None)
    notes = [*envelope.notes, *notes]
    trail = None
    try:
        trail = _trail(file)
    except Failure as refusal:
        if refusal.code != "NOT_AUTHORIZED":
            raise
        notes.append(Note(code="AUDIT_NOT_SHOWN", subject=None, message=refusal.message))
    return Evidence(envelope, events.data.base, events.data.events, trail, notes)


def _trail(file: EvidenceFile) -> VerifiedTrail:
    """The trail, and the verdict on its chain (P7-O3), computed over the records as they came."""
    page, raw = file.audit(0, None)
    chain, head = Chain(), page.data.head
    chain.follow(raw, page.data.broken)
    end = chain.end(head.sequence, head.hash)
    verdict = audit.verification(len(raw), end, f"{head.sequence}:{head.hash}")
    return VerifiedTrail(
        audit.AuditView(tuple(page.data.records), tuple(page.data.broken), verdict), head
    )
