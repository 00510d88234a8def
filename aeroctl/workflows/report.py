"""The incident report, from the kernel or from a evidence file: read, checked, written."""

from typing import TYPE_CHECKING

from aeroctl.contract.chain import Chain
from aeroctl.contract.envelope import Note
from aeroctl.contract.terms import STORED
from aeroctl.errors import Failure, failure
from aeroctl.sources.evidence_file import EvidenceFile, collect
from aeroctl.views import audit
from aeroctl.views.report import Evidence, Trail, render

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment
    from aeroctl.workflows.read import Reader


def show_report(reader: "Reader", moment: "Moment | None") -> None:
    """Write the page. Raises Failure."""
    if reader.output.format != "table":
        raise failure("USAGE", "a report is a page of HTML: not with -o json or jsonl")
    reader.output.plain(render(_evidence(reader, moment)))


def _evidence(reader: "Reader", moment: "Moment | None") -> Evidence:
    """All of one revision (P7-D1)."""
    at, notes = reader.revision_of(moment)
    # What the kernel says goes through a case too, so that a file of it gives the same page.
    case = EvidenceFile("the kernel's answer", collect(reader.source, at), whole=True)
    envelope = case.snapshot(list(dict.fromkeys([*STORED, *case.holds(None)])), None)
    events, _ = case.events(0, None)
    notes = [*envelope.notes, *notes]
    trail = None
    try:
        trail = _checked(case)
    except Failure as refusal:
        if refusal.code != "NOT_AUTHORIZED":
            raise
        notes.append(Note(code="AUDIT_NOT_SHOWN", subject=None, message=refusal.message))
    return Evidence(envelope, events.data.base, events.data.events, trail, notes)


def _checked(case: EvidenceFile) -> Trail:
    """The trail, and what following its chain found (P7-O3): over the records as they came."""
    page, raw = case.audit(0, None)
    chain, head = Chain(), page.data.head
    chain.follow(raw, page.data.broken)
    found = chain.end(head.sequence, head.hash)
    verdict = audit.verification(len(raw), found, f"{head.sequence}:{head.hash}")
    return Trail(audit.AuditView(tuple(page.data.records), tuple(page.data.broken), verdict), head)
