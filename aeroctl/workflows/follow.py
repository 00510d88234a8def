"""`timeline --follow`: new entries as they happen, until it is interrupted."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from aeroctl.contract.envelope import Note
from aeroctl.errors import Failure, failure
from aeroctl.views.entries import Entry
from aeroctl.views.timeline import EntryFilter
from aeroctl.workflows.timeline import Selection, Story, bounds, print_entry, wanted_of

if TYPE_CHECKING:
    from aeroctl.workflows.read import Reader

INTERVAL = 1.0
"""Seconds between two looks."""


def follow_timeline(reader: "Reader", selection: Selection) -> None:
    """Print entries as they happen, until it is interrupted or stdout's reader closes it.

    While the kernel is away, stderr says so once, and the kernel is asked again; no entry is lost
    or printed twice. Raises every other Failure.
    """
    if reader.output.format == "json":
        raise failure("USAGE", "--follow needs -o jsonl")
    Following(reader, selection).run()


class Following:
    """Looks at the kernel again and again; remembers how far it has printed, and which notes."""

    def __init__(self, reader: "Reader", selection: Selection) -> None:
        """Finds the first revision to print. Raises Failure."""
        self._reader, self._selection = reader, selection
        since, _, self._notes = bounds(reader, selection)
        if selection.since is None:
            since = reader.source.snapshot(("cluster",), None).observed_at.revision + 1
        self._place = Place(since)
        self._wanted: EntryFilter | None = None
        self._noted: list[Note] = []
        self._trouble = ""

    def run(self) -> None:
        """Until stdout's reader has closed it. Raises Failure."""
        while True:
            try:
                if not self._look():
                    return
            except Failure as error:
                # History that is compacted while it is read is a gap at the next look.
                compacted = error.code == "REVISION_COMPACTED"
                if self._wanted is None or not (error.transient or compacted):
                    raise
                if error.code != self._trouble:
                    self._reader.dialogue.failed(error)
                self._trouble = error.code
            if not self._reader.output.pause(INTERVAL):
                return

    def _look(self) -> bool:
        """Print what is new. False: stdout's reader has closed it."""
        place = self._place
        story = Story(self._reader.source, place.since, None, self._notes)
        if story.revision < place.since - 1:
            words = f"the kernel went back to revision {story.revision} from {place.since - 1}"
            raise failure("CONTRACT_BROKEN", words)
        self._wanted = self._wanted or wanted_of(story, self._selection)
        entries = story.entries() if story.revision >= place.since else iter(())
        self._remark(story)
        for entry in place.news(entries):
            if self._wanted.span is not None:
                self._wanted.span.follow(entry)
            if self._wanted.matches(entry) and not print_entry(self._reader, entry):
                return False
        place.reach(story.revision)
        return True

    def _remark(self, story: Story) -> None:
        """That the kernel answers again, and notes that were not printed before."""
        if self._trouble:
            words = f"the kernel answers again; printed so far: before revision {self._place.since}"
            note = Note(code="GOING_ON", subject=None, message=words)
            self._reader.dialogue.notes([note])
        self._trouble = ""
        news = [note for note in (*story.envelope.notes, *story.notes) if note not in self._noted]
        self._reader.dialogue.notes(news)
        self._noted += news


class Place:
    """How far the timeline is printed: all before the revision `since`, and some of it."""

    def __init__(self, since: int) -> None:
        """Nothing of `since` is printed yet."""
        self.since = since
        self._printed: set[Entry] = set()
        self._gap_to = 0

    def news(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Of the entries from `since` on, those not printed yet; they count as printed then.

        A gap is printed again only where it reaches further than before.
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
            if same not in self._printed:
                self._printed.add(same)
                yield entry

    def reach(self, revision: int) -> None:
        """All entries up to `revision` are printed."""
        self.since, self._printed = revision + 1, set()
