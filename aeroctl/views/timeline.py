"""View `timeline`: what happened, from events and audit records of one revision, as one story.

Ordered by revision and never by clock (P7-D1): what one revision did happened at once. Pure.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

from aeroctl.contract.audit import AuditRecord, BrokenRecord
from aeroctl.contract.events import Event, Standing
from aeroctl.contract.terms import Cause, EventKind, Given, RecordKind, RequestOutcome
from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid, Lanes

if TYPE_CHECKING:
    from aeroctl.views.pictures.lanes import Picture


@dataclass(frozen=True, slots=True)
class Entry:
    """One event or one audit record. null: not known, or there is no such thing in this entry."""

    revision: int
    """At which it happened, or was recorded; of a gap, the first revision that is missing."""
    index: int
    """Place within the revision, from 0: events, then records."""
    source: Literal["event", "audit"]
    kind: EventKind | RecordKind | Literal["broken"]
    """`broken`: a place in the audit trail that holds no record that can be believed."""
    node: str | None
    """Of a record: the target that was asked for."""
    subject: str | None
    before: int | bool | str | None
    """Of a record: who held the leader key when it was asked; of a gap: its first revision."""
    after: int | bool | str | None
    """Of a record: who held the leader key at its outcome; of a gap: its last revision."""
    since: int | None
    """Of the leader key that was taken or lost; of a record: that of `after`."""
    cause: Cause | None
    detail: str | None
    """Of a record: the action that was asked of the engine."""
    exact: bool
    """false: it happened no later than `revision`, in a gap, and its place there is not known."""
    time: str | None
    """By `clock`; it orders nothing."""
    clock: str | None
    """Where `time` is null, of the next two."""
    not_before: str | None
    """It did not happen earlier, by the kernel's clock pins."""
    not_after: str | None
    """It did not happen later."""
    request_id: str | None
    sequence: int | None
    """Of the record in the audit trail."""
    command: str | None
    identity: str | None
    given: Given | None
    """How the request was confirmed."""
    reason: str | None
    outcome: RequestOutcome | None
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class TimelineView:
    """The story of the revisions `since` to `until`, both included."""

    since: int
    until: int
    standings: tuple[Standing, ...]
    """What stood before the first entry, or after the gap that it is; and after each later gap."""
    entries: tuple[Entry, ...]


def merged(
    events: Iterable[Event], records: Iterable[AuditRecord | BrokenRecord]
) -> Iterator[Entry]:
    """One story of both, each in its own order. Holds one of each at a time."""
    revision, index = None, 0
    both: Iterator[Event | AuditRecord | BrokenRecord]
    both = heapq.merge(events, records, key=attrgetter("revision"))
    for each in both:
        index = index + 1 if each.revision == revision else 0
        revision = each.revision
        if isinstance(each, Event):
            yield of_event(each, index)
        elif isinstance(each, AuditRecord):
            yield of_record(each, index)
        else:
            yield of_broken(each, index)


def of_event(event: Event, index: int) -> Entry:
    """An event as an entry."""
    return Entry(
        revision=event.revision,
        index=index,
        source="event",
        kind=event.kind,
        node=event.node,
        subject=event.subject,
        before=event.before,
        after=event.after,
        since=event.since,
        cause=event.cause,
        detail=event.detail,
        exact=event.exact,
        time=event.time,
        clock=event.clock,
        not_before=event.not_before,
        not_after=event.not_after,
        request_id=None,
        sequence=None,
        command=None,
        identity=None,
        given=None,
        reason=None,
        outcome=None,
        code=None,
        message=None,
    )


def of_record(record: AuditRecord, index: int) -> Entry:
    """An audit record as an entry."""
    before, after = record.leader_before, record.leader_after
    return Entry(
        revision=record.revision,
        index=index,
        source="audit",
        kind=record.kind,
        node=record.target,
        subject=None,
        before=before.node if before else None,
        after=after.node if after else None,
        since=after.since if after else None,
        cause=None,
        detail=record.dispatch.action if record.dispatch else None,
        exact=True,
        time=record.time,
        clock=record.clock,
        not_before=None,
        not_after=None,
        request_id=record.request_id,
        sequence=record.sequence,
        command=record.command,
        identity=record.identity,
        given=record.confirmation.given if record.confirmation else None,
        reason=record.reason,
        outcome=record.outcome,
        code=record.code,
        message=record.message,
    )


def of_broken(broken: BrokenRecord, index: int) -> Entry:
    """A broken place of the audit trail as an entry."""
    return Entry(
        revision=broken.revision,
        index=index,
        source="audit",
        kind="broken",
        node=None,
        subject=broken.key,
        before=None,
        after=None,
        since=None,
        cause=None,
        detail=None,
        exact=False,
        time=None,
        clock=None,
        not_before=None,
        not_after=None,
        request_id=None,
        sequence=broken.sequence,
        command=None,
        identity=None,
        given=None,
        reason=None,
        outcome=None,
        code=None,
        message=broken.problem,
    )


@dataclass(slots=True)
class Span:
    """The revisions between a request's first record and its last; no last one while it is open."""

    request_id: str
    first: int | None = None
    last: int | None = None
    open: bool = True

    def follow(self, each: Entry | AuditRecord) -> None:
        """Take in the next entry or record; others' change nothing."""
        if each.request_id == self.request_id:
            self.first = each.revision if self.first is None else self.first
            self.last = max(each.revision, self.last or 0)
            self.open = self.open and each.kind not in ("outcome", "refused")

    def covers(self, entry: Entry) -> bool:
        """Whether it is the request's own, or an event meanwhile."""
        if entry.source == "audit":
            return entry.request_id == self.request_id
        if self.first is None or self.last is None:
            return False
        return self.first <= entry.revision and (self.open or entry.revision <= self.last)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the story is shown; nothing given: all of it."""

    nodes: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    span: Span | None = None

    def has(self, entry: Entry) -> bool:
        """Whether an entry is shown. A gap always is, and a broken place of the trail: what they
        hide may be what was asked for.
        """
        return entry.kind in ("gap", "broken") or (
            (not self.kinds or entry.kind in self.kinds)
            and (not self.nodes or not self.nodes.isdisjoint(named(entry)))
            and (self.span is None or self.span.covers(entry))
        )


def named(entry: Entry) -> set[str]:
    """The nodes that an entry is about."""
    nodes = {entry.node} if entry.node is not None else set()
    if entry.source == "audit" or entry.kind in _NAMING:
        for text in (entry.before, entry.after):
            if isinstance(text, str):
                nodes |= {text} if entry.source == "audit" else set(re.split("[ ,:]+", text))
    return nodes


_NAMING = ("transfer_requested", "transfer_cleared", "synchronous_changed")
"""Whose `before` and `after` name nodes among the kernel's words: `n1 to n2`, `n1: n2,n3`."""


def words(entry: Entry) -> str:
    """What happened, on one line. What its other columns say is not said again."""
    said = _SAID[entry.kind](entry) if entry.kind in _SAID else _changed(entry)
    if entry.source == "event" and entry.detail:
        said += f" ({entry.detail})"
    if not entry.exact and entry.kind != "broken":
        said += f"; no later than revision {entry.revision}, its place is not known"
    return said


def _changed(entry: Entry) -> str:
    what = entry.subject or entry.kind.removesuffix("_changed").replace("_", " ")
    return f"{what}: {_fact(entry.before)} -> {_fact(entry.after)}"


def _fact(fact: int | bool | str | None) -> str:
    if fact is None:
        return "-"
    return str(fact).lower() if isinstance(fact, bool) else str(fact)


def _because(entry: Entry) -> str:
    return {"released": "released", "lease_ended": "its lease ended"}.get(
        entry.cause or "", "cause not known"
    )


def _requested(entry: Entry) -> str:
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{entry.identity} asks for {entry.command}{reason}"


def _broken(entry: Entry) -> str:
    which = f"audit record {entry.sequence}" if entry.sequence else f"the key {entry.subject}"
    return f"{which} can't be read: {_fact(entry.message)}"


def when(entry: Entry) -> str | None:
    """Its time as it is shown: one that was logged, or between which two it was, in whole seconds
    that leave nothing out.
    """
    if entry.time is not None:
        return entry.time
    first = _second(entry.not_before, up=False) if entry.not_before else None
    last = _second(entry.not_after, up=True) if entry.not_after else None
    if first and last:
        same = first.date() == last.date()
        day = f"{first:%Y-%m-%d} " if same else ""
        form = "%H:%M:%S" if same else "%Y-%m-%d %H:%M:%S"
        return f"{day}between {first:{form}} and {last:{form}} UTC"
    if first:
        return f"not before {first:%Y-%m-%d %H:%M:%S} UTC"
    return f"not after {last:%Y-%m-%d %H:%M:%S} UTC" if last else None


def _second(time: str, *, up: bool) -> datetime:
    whole = datetime.fromisoformat(time)
    down = whole.replace(microsecond=0)
    return down + timedelta(seconds=1) if up and down != whole else down


def _outcome(entry: Entry) -> str:
    parts = (entry.outcome, entry.code, entry.message)
    return "outcome: " + ": ".join(part for part in parts if part)


_SAID: dict[str, Callable[[Entry], str]] = {
    "leader_gained": lambda entry: f"takes the leader key, leader term {_fact(entry.since)}",
    "leader_lost": lambda entry: (
        f"loses the leader key, leader term {_fact(entry.since)}: {_because(entry)}"
    ),
    "member_joined": lambda _: "registers",
    "member_left": lambda entry: f"is gone, was {_fact(entry.before)}: {_because(entry)}",
    "transfer_requested": lambda entry: f"transfer pending: {_fact(entry.after)}",
    "transfer_cleared": lambda entry: f"transfer no longer pending: {_fact(entry.before)}",
    "paused": lambda _: "automatic failover is paused",
    "resumed": lambda _: "automatic failover is resumed",
    "timeline_ended": lambda entry: f"ends timeline {_fact(entry.before)}",
    "gap": lambda entry: (
        f"revisions {_fact(entry.before)} to {_fact(entry.after)} are missing: "
        "history was compacted, only its result is known"
    ),
    "requested": _requested,
    "confirmed": lambda entry: f"confirmed: {_fact(entry.given)}",
    "dispatched": lambda entry: f"asked of the engine: {_fact(entry.detail)}",
    "outcome": _outcome,
    "broken": _broken,
    "refused": lambda entry: f"refused: {_fact(entry.code)}: {_fact(entry.message)}",
}


def bad(entry: Entry) -> bool:
    """Whether a node went although nobody asked it to, or its database crashed."""
    return entry.cause == "lease_ended" or (
        entry.kind == "state_changed" and entry.after in ("crashed", "start failed")
    )


def flagged(entry: Entry) -> bool:
    """Whether a reader must not overlook it: it is bad, or evidence is missing there."""
    return bad(entry) or entry.kind in ("gap", "broken")


def layout(view: TimelineView, picture: "Picture | None") -> tuple[Block, ...]:
    """A line per entry, with the lanes beside them if there is a picture of them."""
    grid = Grid(
        "REVISION KIND NODE WHAT TIME CLOCK REQUEST",
        tuple(
            (
                entry.revision,
                entry.kind,
                entry.node,
                Flagged(words(entry)) if flagged(entry) else words(entry),
                when(entry),
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
    """An entry on a line of its own, where what follows is not known yet."""
    parts = [f"{entry.revision:>8}  {entry.kind:<21}  {entry.node or '-':<12}  {words(entry)}"]
    if (time := when(entry)) is not None:
        parts.append(f"{time} by the clock of {entry.clock}")
    if entry.request_id is not None:
        parts.append(f"request {entry.request_id}")
    return "  ".join(parts)
