"""The story of a cluster, read page by page: events and audit records of one revision, composed.

Nothing is written anywhere but to the output (state model 6): what is not printed yet is read anew.
"""

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain, islice, takewhile
from operator import attrgetter
from typing import TYPE_CHECKING

from aeroctl.contract.envelope import Note
from aeroctl.errors import Failure, failure
from aeroctl.safe_text import safe
from aeroctl.sources.moment import AtRevision
from aeroctl.views.timeline import Entry, Span, TimelineView, Wanted, layout, line, merged, named
from aeroctl.workflows import audit
from aeroctl.workflows.read import HELD, check_held, noted

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope, AuditPage, AuditRecord, BrokenRecord
    from aeroctl.contract.events import Event
    from aeroctl.sources.moment import Moment
    from aeroctl.workflows.read import Reader, Reading

INTERVAL = 1.0
"""Seconds between two looks of --follow."""
PASSING = (
    "KERNEL_UNREACHABLE", "KERNEL_TIMEOUT", "CONNECTION_LOST", "STORE_UNAVAILABLE", "KERNEL_BUSY",
    "REVISION_COMPACTED",
)  # fmt: skip
"""Failures that --follow outlasts: of a restart, and of history that is compacted while it is read,
which the next look meets as a gap."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for. `since` and `until` are both included; None: the beginning, now."""

    since: "Moment | None"
    until: "Moment | None"
    nodes: tuple[str, ...]
    kinds: tuple[str, ...]
    request: str | None


class Story:
    """What one revision says happened from the revision `since` to `until`. It can be read once.

    The first page of events, read at once, fixes the revision; everything after it is asked for at
    that revision, so that all is of one state (P7-D1). Holds one page of events and one of records.
    """

    def __init__(self, source: "Reading", since: int, until: int | None, notes: list[Note]) -> None:
        """`until` None: to now. `notes`: beside the envelope's. Raises Failure.

        What is told is told of now, also where it ends earlier: so a file tells the same.
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
        """What stood at the beginning, or after the gap that it is, and after each later gap."""

    def entries(self) -> Iterator[Entry]:
        """All of it, in order; a caller who may not read the audit trail gets it without records,
        and with a note. Raises Failure, also midway.
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
    for each in () if page is None else chain([page], (envelope.data for envelope, _ in later)):
        both: Iterator[AuditRecord | BrokenRecord]
        both = merge(each.records, each.broken, key=attrgetter("revision"))
        for record in both:
            if record.revision < last:  # whoever did that may not hide what comes after it
                words = f"audit record {record.sequence} is older than the one before it"
                raise failure("CONTRACT_BROKEN", f"{words}: see aeroctl audit --verify")
            last = record.revision
            yield record


def show(reader: "Reader", asked: Asked) -> None:
    """Print the story: under jsonl as it is read, in constant memory; else when all of it is there.

    Raises Failure; under jsonl what was printed by then stays, and is not all.
    """
    since, until, notes = _bounds(reader, asked)
    story = Story(reader.source, since, until, notes)
    wanted = _wanted(story, asked)
    if reader.output.format == "jsonl":
        seen = _stream(reader, story, wanted)
        if seen is not None:
            reader.dialogue.notes(_unseen(story, asked, seen))
        return
    entries = list(islice(story.entries(), HELD + 1))
    check_held(entries)
    shown = tuple(filter(wanted.has, entries))
    story.notes += _unseen(story, asked, {name for entry in shown for name in named(entry)})
    picture = None
    if reader.output.format == "table" and reader.output.terminal:
        from aeroctl.views.pictures.lanes import drawn

        picture = drawn(story.standings, entries, wanted.has)
    view = TimelineView(since, story.until, tuple(story.standings), shown)
    reader.output.show(noted(story.envelope, story.notes), view, layout(view, picture))


def follow(reader: "Reader", asked: Asked) -> None:
    """Print the story as it goes on, until it is interrupted, or nobody reads any more.

    A kernel that goes away is said on stderr and asked again; what happened meanwhile comes then,
    nothing twice and nothing left out. Raises every other Failure.
    """
    if reader.output.format == "json":
        raise failure("USAGE", "a document has an end: with --follow, use -o jsonl")
    since, _, notes = _bounds(reader, asked)
    if asked.since is None:
        since = reader.source.snapshot(("cluster",), None).observed_at.revision + 1
    place = Place(since)
    wanted: Wanted | None = None
    told: list[Note] = []
    trouble = ""
    while True:
        try:
            story = Story(reader.source, place.since, None, notes)
            if story.revision < place.since - 1:
                words = f"the kernel went back to revision {story.revision} from {place.since - 1}"
                raise failure("CONTRACT_BROKEN", words)
            wanted = wanted or _wanted(story, asked)
            entries = story.entries() if story.revision >= place.since else iter(())
            if trouble:
                words = f"the kernel answers again; told so far: before revision {place.since}"
                reader.dialogue.notes([Note(code="GOING_ON", subject=None, message=words)])
            trouble = ""
            news = [note for note in (*story.envelope.notes, *story.notes) if note not in told]
            reader.dialogue.notes(news)
            told += news
            for entry in place.news(entries):
                if wanted.span is not None:
                    wanted.span.follow(entry)
                if wanted.has(entry) and not _print(reader, entry):
                    return
            place.reach(story.revision)
        except Failure as error:
            if wanted is None or error.code not in PASSING:
                raise
            if error.code != trouble:
                reader.dialogue.failed(error)
            trouble = error.code
        if not reader.output.pause(INTERVAL):
            return


class Place:
    """How far a story is told: everything before the revision `since`, and some of that
    revision.
    """

    def __init__(self, since: int) -> None:
        """Nothing of `since` is told yet."""
        self.since = since
        self._some: set[Entry] = set()
        self._gap_to = 0

    def news(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Those of a story read from `since` on that are not told yet; they count as told then.

        Not told again is a gap, also where compaction has gone on, unless it reaches further.
        """
        for entry in entries:
            if entry.kind == "gap":
                assert isinstance(entry.after, int)
                if entry.after <= self._gap_to:
                    continue
                self._gap_to = entry.after
            if entry.revision > self.since:
                self.reach(entry.revision - 1)
            same = replace(entry, index=0)  # a gap in front of it moves it on
            if same not in self._some:
                self._some.add(same)
                yield entry

    def reach(self, revision: int) -> None:
        """All of `revision` is told, and all before it."""
        self.since, self._some = revision + 1, set()


def _bounds(reader: "Reader", asked: Asked) -> tuple[int, int | None, list[Note]]:
    """The first and the last revision that are asked for, and which were taken for a time."""
    since, notes = reader.first_since(asked.since)
    until, more = reader.last_until(asked.until)
    # Where nothing was written between two times the first revision since comes after the last
    # until.
    apart = 0 if isinstance(asked.since, AtRevision) and isinstance(asked.until, AtRevision) else 1
    if since is not None and until is not None and since > until + apart:
        words = f"--since (revision {since}) is later than --until (revision {until})"
        raise failure("USAGE", words)
    return max(since or 1, 1), until, notes + more


def _wanted(story: Story, asked: Asked) -> Wanted:
    """The filters. A request's span is looked for in the whole trail, wherever the story begins."""
    span = None
    if asked.request is not None:
        span = Span(asked.request)
        for page, _ in audit.pages(story.source, story.revision):
            for record in page.data.records:
                span.follow(record)
        if span.first is None:
            words = f"up to revision {story.revision} there is no record of {asked.request}"
            story.notes.append(Note(code="REQUEST_NOT_RECORDED", subject=None, message=words))
    return Wanted(frozenset(asked.nodes), frozenset(asked.kinds), span)


def _stream(reader: "Reader", story: Story, wanted: Wanted) -> set[str] | None:
    """Print each entry as it is read. Those of the nodes asked for that were seen; None: nobody
    reads any more.
    """
    entries = story.entries()
    reader.dialogue.notes([*story.envelope.notes, *story.notes])
    seen: set[str] = set()
    for entry in filter(wanted.has, entries):
        if not _print(reader, entry):
            return None
        if wanted.nodes:
            seen |= named(entry) & wanted.nodes
    return seen


def _print(reader: "Reader", entry: Entry) -> bool:
    if reader.output.format == "jsonl":
        return reader.output.document(entry)
    return reader.output.plain(f"{safe(line(entry))}\n")


def _unseen(story: Story, asked: Asked, seen: set[str]) -> list[Note]:
    """A note for each node asked for that there was nothing of."""
    known = seen | {node.name for standing in story.standings for node in standing.nodes}
    words = "no entry is about it, and it was not registered"
    return [
        Note(code="NODE_NOT_SEEN", subject=name, message=words)
        for name in asked.nodes
        if name not in known
    ]
