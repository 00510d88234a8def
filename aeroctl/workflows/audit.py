"""The audit trail, page by page, all of one revision."""

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aeroctl.contract.chain import NO_HASH, Chain
from aeroctl.errors import failure
from aeroctl.views import audit
from aeroctl.workflows.read import check_held, noted

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope, AuditRecord, BrokenRecord
    from aeroctl.sources.moment import Moment
    from aeroctl.workflows.read import Reader, Reading


def pages(
    source: "Reading", at: int | None, since: int | None = None
) -> "Iterator[tuple[AuditEnvelope, list[dict[str, Any]]]]":
    """Every page, none before the revision `since`, and each record as it came. Holds one at a
    time.

    Later pages are asked for at the first one's revision, so that all are of one state (P7-D1).
    Raises Failure.
    """
    after: int | None = 0
    while after is not None:
        page, raw = source.audit(after, at, since)
        at, after = page.observed_at.revision, page.data.next
        yield page, raw
        gc.collect(0)  # what a connection leaves is circular, and start-up has put collection off


def show_trail(
    reader: "Reader",
    request_id: str | None,
    verify: bool,
    moment: "Moment | None",
    noted_head: tuple[int | None, str] | None = None,
) -> bool:
    """Print the records, of one request or of all; False if `verify` finds the chain broken, or not
    to hold the head (a sequence, where it is known, and a hash) that was noted of it earlier.

    Under jsonl each page is printed as it comes, in constant memory, and the verdict last; else
    all are held until the end. Raises Failure; what was printed by then stays.
    """
    streams = reader.output.format == "jsonl"
    if streams and reader.output.taken is not None:
        raise failure(
            "USAGE", "-o jsonl prints a line for each record: it can't be combined with --watch"
        )
    at, notes = reader.revision_of(moment)
    chain, checked = Chain(), 0
    expected = None if noted_head is None else audit.Noted(*noted_head)
    if expected is not None:
        expected.follow(0, NO_HASH)
    kept: list[AuditRecord] = []
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
            for each in raw:
                expected.follow(each["sequence"], each["hash"])
        for record in page.data.records:
            if request_id not in (None, record.request_id):
                continue
            if not streams:
                kept.append(record)
            elif not reader.output.document(record):
                return True  # nobody reads any more
        for hole in page.data.broken:  # which may be what was asked for
            if not streams:
                broken.append(hole)
            elif not reader.output.document({"broken": hole}):
                return True
        check_held(kept)
        check_held(broken)
        last = page
    assert first is not None
    assert last is not None
    head = last.data.head
    verdict = None
    if verify:
        found = chain.end(head.sequence, head.hash)
        verdict = audit.verification(checked, found, f"{head.sequence}:{head.hash}", expected)
    if not streams:
        view = audit.AuditView(tuple(kept), tuple(broken), verdict)
        reader.output.show(noted(first, notes), view, audit.layout(view))
    elif verdict is not None:
        reader.output.document({"verification": verdict})
    return verdict is None or verdict.verdict == "intact"
