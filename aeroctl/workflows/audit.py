"""The audit trail: read page by page up to one revision, its chain verified, printed."""

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aeroctl.contract.chain import NO_HASH, Chain
from aeroctl.errors import failure
from aeroctl.sources.source import Source, check_count
from aeroctl.views import audit
from aeroctl.workflows.read import header

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope, AuditRecord, BrokenRecord
    from aeroctl.sources.moment import Moment
    from aeroctl.workflows.read import Reader


def pages(
    source: Source, at: int | None, since: int | None = None
) -> "Iterator[tuple[AuditEnvelope, list[dict[str, Any]]]]":
    """Page after page, with the records as they came, from the revision `since` on.

    Later pages are read as of the first one's revision, so that all are of one state (P7-D1).
    Raises Failure.
    """
    after: int | None = 0
    while after is not None:
        page, raw = source.audit(after, at, since)
        at, after = page.observed_at.revision, page.data.next
        yield page, raw
        gc.collect(0)  # a closed connection is circular garbage, and main() has put collection off


def show_trail(
    reader: "Reader",
    request_id: str | None,
    verify: bool,
    moment: "Moment | None",
    noted_head: tuple[int | None, str] | None = None,
) -> bool:
    """Print the records, of one request or of all. False if `verify` finds the chain broken, or the
    earlier head `noted_head` (its sequence where it is known, and its hash) missing.

    Under jsonl each page is printed as it comes, in constant memory, and the verdict last; else all
    at the end. Raises Failure; some records may be printed by then.
    """
    streams = reader.output.format == "jsonl"
    if streams and reader.output.collect is not None:
        raise failure(
            "USAGE",
            "--watch can't be combined with -o jsonl here; use aeroctl timeline --follow",
        )
    at, notes = reader.revision_of(moment)
    chain, checked = Chain(), 0
    expected = None if noted_head is None else audit.Noted(*noted_head)
    if expected is not None:
        expected.follow(0, NO_HASH)
    records: list[AuditRecord] = []
    broken: list[BrokenRecord] = []
    first = last = None
    for page, raw in pages(reader.source, at):
        if first is None:
            first = page
            if streams:
                reader.dialogue.notes([*page.notes, *notes])
        chain.follow(raw, page.data.broken)
        checked += len(raw)
        if expected is not None:
            for document in raw:
                expected.follow(document["sequence"], document["hash"])
        for record in page.data.records:
            if request_id not in (None, record.request_id):
                continue
            if not streams:
                records.append(record)
            elif not reader.output.document(record):
                return True  # stdout's reader has closed it
        for hole in page.data.broken:  # which may be of that request
            if not streams:
                broken.append(hole)
            elif not reader.output.document({"broken": hole}):
                return True
        check_count(records)
        check_count(broken)
        last = page
    assert first is not None
    assert last is not None
    head = last.data.head
    verdict = None
    if verify:
        found = chain.end(head.sequence, head.hash)
        verdict = audit.verification(checked, found, f"{head.sequence}:{head.hash}", expected)
    if not streams:
        view = audit.AuditView(tuple(records), tuple(broken), verdict)
        reader.output.show(header(first, notes), view, audit.layout(view))
    elif verdict is not None:
        reader.output.document({"verification": verdict})
    return verdict is None or verdict.verdict == "intact"
