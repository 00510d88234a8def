"""The timeline of a cluster: events and audit records up to one revision, read page by page.

Nothing is stored (state model 6): what is not printed yet is read anew.
"""

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import chain, islice, takewhile
from operator import attrgetter
from typing import TYPE_CHECKING

from aeroctl.contract.envelope import Note
from aeroctl.errors import Failure, failure
from aeroctl.safe_text import safe
from aeroctl.sources.moment import AtRevision
from aeroctl.sources.source import MAX_ENTRIES, Source, check_count
from aeroctl.views.entries import Entry, merged, nodes_of
from aeroctl.views.timeline import EntryFilter, Span, TimelineView, layout, line
from aeroctl.workflows import audit
from aeroctl.workflows.read import header

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope, AuditPage, AuditRecord, BrokenRecord
    from aeroctl.contract.events import Event
    from aeroctl.sources.moment import Moment
    from aeroctl.workflows.read import Reader


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries to show. `since` and `until` are both included; None: the beginning, now."""

    since: "Moment | None"
    until: "Moment | None"
    nodes: tuple[str, ...]
    kinds: tuple[str, ...]
    request: str | None


class Story:
    """What happened from the revision `since` to `until`, as of one revision. It can be read once.

    The first page of events, read at once, fixes the revision; everything after it is asked for at
    that revision, so that all is of one state (P7-D1). Holds one page of events and one of records.
    """

    def __init__(self, source: Source, since: int, until: int | None, notes: list[Note]) -> None:
        """`until` None: to now. `notes`: in addition to the envelope's. Raises Failure.

        All is read as of now, also where it ends earlier: an evidence file gives the same.
        """
        self.source = source
        self.notes = list(notes)
        self._since = since
        self.envelope, _ = source.events(since - 1, None)
        self.revision = self.envelope.observed_at.revision
        self.until = self.revision if until is None else until
        if self.until > self.revision:
            raise failure("FUTURE_REVISION", f"revision {until} is later than now, {self.revision}")
        self.standings = [self.envelope.data.base]
        """The state at the beginning (or after a gap there), and after each later gap."""

    def entries(self) -> Iterator[Entry]:
        """All entries in order; without the authority to read the audit trail, without records and
        with a note. Raises Failure, also midway.
        """
        pages = audit.pages(self.source, self.revision, self._since)
        first: AuditPage | None = None
        try:
            first = next(pages)[0].data
        except Failure as refusal:
            if refusal.code != "NOT_AUTHORIZED":
                raise
            self.notes.append(Note(code="AUDIT_NOT_SHOWN", subject=None, message=refusal.message))
        story = merged(self._events(), _records(first, pages))
        return takewhile(lambda entry: entry.revision <= self.until, story)

    def _events(self) -> "Iterator[Event]":
        page = self.envelope.data
        yield from page.events
        while page.next is not None and page.next < self.until:
            gc.collect(0)  # as in audit.pages
            page = self.source.events(page.next, self.revision)[0].data
            if page.events and page.events[0].kind == "gap":
                self.standings.append(page.base)
            yield from page.events


def _records(
    page: "AuditPage | None", later: "Iterable[tuple[AuditEnvelope, object]]"
) -> "Iterator[AuditRecord | BrokenRecord]":
    last = 0
    for one in () if page is None else chain([page], (envelope.data for envelope, _ in later)):
        both: Iterator[AuditRecord | BrokenRecord]
        both = merge(one.records, one.broken, key=attrgetter("revision"))
        for record in both:
            if record.revision < last:  # tampered with: it must not hide the records after it
                words = f"audit record {record.sequence} is older than the one before it"
                raise failure("CONTRACT_BROKEN", f"{words}; check it with aeroctl audit --verify")
            last = record.revision
            yield record


def show_timeline(reader: "Reader", selection: Selection) -> None:
    """Print the timeline: under jsonl as it is read, in constant memory; else all at once.

    Raises Failure; under jsonl some entries may be printed by then.
    """
    since, until, notes = bounds(reader, selection)
    story = Story(reader.source, since, until, notes)
    wanted = wanted_of(story, selection)
    if reader.output.format == "jsonl":
        names = _stream(reader, story, wanted)
        if names is not None:
            reader.dialogue.notes(_missing(story, selection, names))
        return
    entries = list(islice(story.entries(), MAX_ENTRIES + 1))
    check_count(entries)
    chosen = tuple(filter(wanted.matches, entries))
    story.notes += _missing(
        story, selection, {name for entry in chosen for name in nodes_of(entry)}
    )
    picture = None
    if reader.output.format == "table" and reader.output.terminal:
        from aeroctl.views.pictures.lanes import drawn

        picture = drawn(story.standings, entries, wanted.matches)
    view = TimelineView(since, story.until, tuple(story.standings), chosen)
    reader.output.show(header(story.envelope, story.notes), view, layout(view, picture))


def bounds(reader: "Reader", selection: Selection) -> tuple[int, int | None, list[Note]]:
    """The first and the last revision, and notes that say which were taken for a time."""
    since, notes = reader.first_since(selection.since)
    until, more = reader.last_until(selection.until)
    # If nothing was written between two times, the first revision since is after the last until.
    apart = (
        0
        if isinstance(selection.since, AtRevision) and isinstance(selection.until, AtRevision)
        else 1
    )
    if since is not None and until is not None and since > until + apart:
        words = f"--since (revision {since}) is later than --until (revision {until})"
        raise failure("USAGE", words)
    return max(since or 1, 1), until, notes + more


def wanted_of(story: Story, selection: Selection) -> EntryFilter:
    """The filters. A request's span is looked up in the whole trail, wherever the story begins."""
    span = None
    if selection.request is not None:
        span = Span(selection.request)
        for page, _ in audit.pages(story.source, story.revision):
            for record in page.data.records:
                span.follow(record)
        if span.first is None:
            words = f"no record of {selection.request} in the audit trail up to {story.revision}"
            story.notes.append(Note(code="REQUEST_NOT_RECORDED", subject=None, message=words))
    return EntryFilter(frozenset(selection.nodes), frozenset(selection.kinds), span)


def _stream(reader: "Reader", story: Story, wanted: EntryFilter) -> set[str] | None:
    """Print each entry as it is read. Which of the selected nodes were named; None: stdout's reader
    has closed it.
    """
    entries = story.entries()
    reader.dialogue.notes([*story.envelope.notes, *story.notes])
    names: set[str] = set()
    for entry in filter(wanted.matches, entries):
        if not print_entry(reader, entry):
            return None
        if wanted.nodes:
            names |= nodes_of(entry) & wanted.nodes
    return names


def print_entry(reader: "Reader", entry: Entry) -> bool:
    if reader.output.format == "jsonl":
        return reader.output.document(entry)
    return reader.output.plain(f"{safe(line(entry))}\n")


def _missing(story: Story, selection: Selection, names: set[str]) -> list[Note]:
    """A note for each selected node that no entry names."""
    known = names | {node.name for standing in story.standings for node in standing.nodes}
    words = "this node was not registered, and no entry names it"
    return [
        Note(code="NODE_NOT_SEEN", subject=name, message=words)
        for name in selection.nodes
        if name not in known
    ]
