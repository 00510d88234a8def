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
    from aeroctl.contract.audit import AuditEnvelope, AuditPage, AuditRecord, BrokenRecord, Head
    from aeroctl.contract.envelope import Note
    from aeroctl.sources.moment import Moment
    from aeroctl.workflows.read import Reader

    Trail = Iterator[tuple[AuditEnvelope, list[AuditRecord]]]


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


class ChainCheck:
    """Verifies the chain over the pages as they come: it keeps no record."""

    def __init__(self, noted_head: tuple[int | None, str] | None) -> None:
        """`noted_head`: an earlier head (its sequence where it is known, and its hash)."""
        self._chain, self._records = Chain(), 0
        self._head: Head | None = None
        self._noted = None if noted_head is None else audit.Noted(*noted_head)
        if self._noted is not None:
            self._noted.follow(0, NO_HASH)

    def follow(self, page: "AuditPage", raw: list[dict[str, Any]]) -> None:
        """The next page, and its records as they came."""
        self._chain.follow(raw, page.broken)
        self._records += len(raw)
        if self._noted is not None:
            for record in raw:
                self._noted.follow(record["sequence"], record["hash"])
        self._head = page.head

    def verdict(self) -> audit.Verification:
        """After the last page: whether the chain is whole and holds the earlier head."""
        assert self._head is not None
        end = self._chain.end(self._head.sequence, self._head.hash)
        head = f"{self._head.sequence}:{self._head.hash}"
        return audit.verification(self._records, end, head, self._noted)


def show_trail(
    reader: "Reader",
    request_id: str | None,
    verify: bool,
    moment: "Moment | None",
    noted_head: tuple[int | None, str] | None = None,
) -> bool:
    """Print the records, of one request or of all. False if `verify` finds the chain broken, or
    the earlier head missing.

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
    check = ChainCheck(noted_head)
    trail = _checked(reader.source, at, check, request_id)
    verdict = (_stream if streams else _show)(reader, trail, notes, check if verify else None)
    return verdict is None or verdict.verdict == "intact"


def _checked(source: Source, at: int | None, check: ChainCheck, request_id: str | None) -> "Trail":
    """Every page with its records of the request, or all of them; `check` has followed it."""
    for page, raw in pages(source, at):
        check.follow(page.data, raw)
        records = page.data.records
        yield page, [record for record in records if request_id in (None, record.request_id)]


def _stream(
    reader: "Reader", trail: "Trail", notes: "list[Note]", check: ChainCheck | None
) -> audit.Verification | None:
    """Print each page as it comes, then the verdict. None, too, once stdout's reader has closed."""
    for number, (page, records) in enumerate(trail):
        if number == 0:
            reader.dialogue.notes([*page.notes, *notes])
        broken = ({"broken": hole} for hole in page.data.broken)  # they may be of that request
        if not all(map(reader.output.document, (*records, *broken))):
            return None
    verdict = None if check is None else check.verdict()
    if verdict is not None:
        reader.output.document({"verification": verdict})
    return verdict


def _show(
    reader: "Reader", trail: "Trail", notes: "list[Note]", check: ChainCheck | None
) -> audit.Verification | None:
    """Print one view of the whole trail."""
    records: list[AuditRecord] = []
    broken: list[BrokenRecord] = []
    first = None
    for page, more in trail:
        first = first or page
        records += more
        broken += page.data.broken
        check_count(records)
        check_count(broken)
    assert first is not None
    verdict = None if check is None else check.verdict()
    view = audit.AuditView(tuple(records), tuple(broken), verdict)
    reader.output.show(header(first, notes), view, audit.layout(view))
    return verdict
