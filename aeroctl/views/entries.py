"""Entries of a timeline: events and audit records in one form and in one order. Pure.

Ordered by revision and never by clock (P7-D1): what one revision changed happened at once.
"""

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal

from aeroctl.contract.audit import AuditRecord, BrokenRecord
from aeroctl.contract.events import Event
from aeroctl.contract.terms import Cause, EventKind, Given, RecordKind, RequestOutcome


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
    """Of a record: the request that was sent to Patroni."""
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


_EMPTY = Entry(
    revision=0,
    index=0,
    source="event",
    kind="gap",
    node=None,
    subject=None,
    before=None,
    after=None,
    since=None,
    cause=None,
    detail=None,
    exact=True,
    time=None,
    clock=None,
    not_before=None,
    not_after=None,
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


def merged(
    events: Iterable[Event], records: Iterable[AuditRecord | BrokenRecord]
) -> Iterator[Entry]:
    """Both as entries in one order, each in its own order. Holds one of each at a time."""
    revision, index = None, 0
    both: Iterator[Event | AuditRecord | BrokenRecord]
    both = heapq.merge(events, records, key=attrgetter("revision"))
    for event_or_record in both:
        index = index + 1 if event_or_record.revision == revision else 0
        revision = event_or_record.revision
        yield entry_of(event_or_record, index)


def entry_of(source: Event | AuditRecord | BrokenRecord, index: int) -> Entry:
    """An event, a record or a broken place of the trail as an entry; `index` in its revision."""
    if isinstance(source, Event):
        return of_event(source, index)
    return of_record(source, index) if isinstance(source, AuditRecord) else of_broken(source, index)


def of_event(event: Event, index: int) -> Entry:
    """An event as an entry."""
    return replace(
        _EMPTY,
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
    )


def of_record(record: AuditRecord, index: int) -> Entry:
    """An audit record as an entry."""
    before, after = record.leader_before, record.leader_after
    return replace(
        _EMPTY,
        revision=record.revision,
        index=index,
        source="audit",
        kind=record.kind,
        node=record.target,
        before=before.node if before else None,
        after=after.node if after else None,
        since=after.since if after else None,
        detail=record.dispatch.action if record.dispatch else None,
        time=record.time,
        clock=record.clock,
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
    return replace(
        _EMPTY,
        revision=broken.revision,
        index=index,
        source="audit",
        kind="broken",
        subject=broken.key,
        exact=False,
        sequence=broken.sequence,
        message=broken.problem,
    )


NAMING_NODES = ("transfer_requested", "transfer_cleared", "synchronous_changed")
"""Kinds whose `before` and `after` name nodes among other words: `n1 to n2`, `n1: n2,n3`."""


def nodes_of(entry: Entry) -> set[str]:
    """The nodes that an entry is about."""
    nodes = {entry.node} if entry.node is not None else set()
    if entry.source == "audit" or entry.kind in NAMING_NODES:
        for text in (entry.before, entry.after):
            if isinstance(text, str):
                nodes |= {text} if entry.source == "audit" else set(re.split("[ ,:]+", text))
    return nodes


def is_failure(entry: Entry) -> bool:
    """Whether a node's lease ended without a request, or its database crashed."""
    return entry.cause == "lease_ended" or (
        entry.kind == "state_changed" and entry.after in ("crashed", "start failed")
    )


def stands_out(entry: Entry) -> bool:
    """Whether a reader must not overlook it: a failure, or a place where evidence is missing."""
    return is_failure(entry) or entry.kind in ("gap", "broken")
