"""View `timeline`: what happened, from events and audit records up to one revision, in one order.

Ordered by revision and never by clock (P7-D1): what one revision changed happened at once. Pure.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.audit import AuditRecord
from aeroctl.contract.events import Standing
from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid, Lanes
from aeroctl.views.entries import Entry, nodes_of, stands_out
from aeroctl.views.entry_text import description, time_text

if TYPE_CHECKING:
    from aeroctl.views.pictures.lanes import Picture


@dataclass(frozen=True, slots=True)
class TimelineView:
    """The story of the revisions `since` to `until`, both included."""

    since: int
    until: int
    standings: tuple[Standing, ...]
    """What stood before the first entry, or after the gap that it is; and after each later gap."""
    entries: tuple[Entry, ...]


@dataclass(slots=True)
class Span:
    """The revisions between a request's first record and its last; no last one while it is open."""

    request_id: str
    first: int | None = None
    last: int | None = None
    open: bool = True

    def follow(self, entry: Entry | AuditRecord) -> None:
        """Extend the span by the next entry or record; one of another request changes nothing."""
        if entry.request_id == self.request_id:
            self.first = entry.revision if self.first is None else self.first
            self.last = max(entry.revision, self.last or 0)
            self.open = self.open and entry.kind not in ("outcome", "refused")

    def covers(self, entry: Entry) -> bool:
        """Whether an entry is a record of the request, or an event while the request was open."""
        if entry.source == "audit":
            return entry.request_id == self.request_id
        if self.first is None or self.last is None:
            return False
        return self.first <= entry.revision and (self.open or entry.revision <= self.last)


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries are shown: by node, kind and request; nothing given: all of them."""

    nodes: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    span: Span | None = None

    def matches(self, entry: Entry) -> bool:
        """Whether an entry is shown. A gap always is, and a broken place of the trail: what they
        hide may be what was asked for.
        """
        return entry.kind in ("gap", "broken") or (
            (not self.kinds or entry.kind in self.kinds)
            and (not self.nodes or not self.nodes.isdisjoint(nodes_of(entry)))
            and (self.span is None or self.span.covers(entry))
        )


def description_cell(entry: Entry) -> Cell:
    """The description, flagged where a reader must not overlook it."""
    return Flagged(description(entry)) if stands_out(entry) else description(entry)


def layout(view: TimelineView, picture: "Picture | None") -> tuple[Block, ...]:
    """A row per entry; with `picture`, a lane for each node beside the rows."""
    grid = Grid(
        "REVISION KIND NODE WHAT TIME CLOCK REQUEST",
        tuple(
            (
                entry.revision,
                entry.kind,
                entry.node,
                description_cell(entry),
                time_text(entry),
                entry.clock,
                entry.request_id,
            )
            for entry in view.entries
        ),
        None,
        "nothing happened",
    )
    if picture is None or not view.entries:
        return (grid,)
    legend: list[tuple[str, Cell]] = [("lanes", picture.legend)]
    if picture.left_out:
        legend.append(("without a lane", ", ".join(picture.left_out)))
    return Lanes(picture.lanes, picture.rows, grid), Facts(tuple(legend))


def line(entry: Entry) -> str:
    """An entry as one line, for output that does not wait for the entries after it."""
    parts = [
        f"{entry.revision:>8}  {entry.kind:<21}  {entry.node or '-':<12}  {description(entry)}"
    ]
    if (time := time_text(entry)) is not None:
        parts.append(f"{time} by the clock of {entry.clock}")
    if entry.request_id is not None:
        parts.append(f"request {entry.request_id}")
    return "  ".join(parts)
