"""GET /v1/events: what changed, derived from the store's history anew each time it is asked.

Patroni's keys say how things stand, and an event is a change of what they say. What moves all the
time and decides nothing is none: WAL positions, addresses, versions.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from aeroctl.contract import lsn
from aeroctl.contract.base import API_VERSION
from aeroctl.contract.events import Event, EventPage, EventsEnvelope, Fact, Logged
from aeroctl.contract.terms import Cause, EventKind
from aeroctl.kernel.audit import clock_pins
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import baseline, sections
from aeroctl.kernel.patroni.baseline import Pair
from aeroctl.kernel.patroni.keys import MEMBERS, TimelineEnd, leader_of
from aeroctl.kernel.server import parameters
from aeroctl.kernel.source import Source, observed
from aeroctl.kernel.store.keyspace import Event as Written
from aeroctl.kernel.store.keyspace import History, Keyspace, KeyValue

WINDOW, WIDEST = 2000, 20000
"""Revisions that one page covers at most, unless asked otherwise, and in any case."""

ORDER = ("initialize", "leader", MEMBERS, "failover", "config", "sync", "history")
"""In which the events of one revision are told."""
SAYS: tuple[tuple[str, EventKind], ...] = (
    ("role", "role_changed"),
    ("state", "state_changed"),
    ("replication_state", "replication_changed"),
    ("timeline", "timeline_changed"),
)
HIDDEN = "(not shown)"
SECRET = re.compile(r"pass|secret|token|auth|credential|key", re.IGNORECASE)
WORDS = frozenset(
    {"synchronous_mode", "member_slots_ttl"}
    | {
        f"postgresql.parameters.{name}"
        for name in (
            "archive_mode",
            "fsync",
            "hot_standby",
            "synchronous_commit",
            "track_commit_timestamp",
            "wal_keep_size",
            "wal_level",
            "wal_log_hints",
        )
    }
)
"""Settings that are words and hold no secret; any other word may be one."""

Change = dict[str, Any]
"""An event's own fields; those that it does not have, and its place, are added at the end."""
NOTHING = {
    **dict.fromkeys(
        ("subject", "since", "cause", "detail", "time", "clock", "not_before", "not_after")
    ),
    "exact": True,
}
Rows = Mapping[tuple[int, int], TimelineEnd]


async def events(source: Source, pairs: Sequence[tuple[str, str]]) -> EventsEnvelope:
    """A page of what happened, up to one revision, which all pages of a reading have in common.

    Raises Failure: BAD_PARAMETER, FUTURE_REVISION, KERNEL_BUSY, and those of Source.keys for that
    revision. A key that could not be read at some time before is told of, and stops nothing.
    """
    given = parameters.query(pairs, ["after", "window", "at"])
    after = parameters.number(given, "after", 0, 2**53 - 1) or 0
    window = parameters.number(given, "window", 1, WIDEST) or WINDOW
    at = parameters.number(given, "at", 1, 2**53 - 1)
    async with source.in_time(), source.history_readers:
        keys = await source.keys(at)
        bound = keys.revision
        if after > bound:  # the store refuses a future revision; one that is past has no more
            await source.store.read_together([], [source.prefix + "leader"], after)
        history = await source.store.replay(source.prefix, after, bound, window=window)
        history = replace(history, base=await _based(source, history.base))
        # in a thread, or nobody else is served meanwhile
        found = await asyncio.to_thread(derive, history, after, keys.history)
        reached = history.keyspace.revision
        pins, around = await _pins(source, after, reached, bound)
        found = await asyncio.to_thread(clock_pins.dated, found, around)
    return EventsEnvelope(
        api_version=API_VERSION,
        observed_at=observed(keys, at),
        data=EventPage(
            base=baseline.standing(history.base),
            events=found,
            pins=pins,
            next=reached if reached < bound else None,
        ),
        notes=[],
    )


async def _pins(
    source: Source, after: int, reached: int, bound: int
) -> tuple[list[Logged], list[Logged]]:
    """The clock pins of a page's revisions, and the same with those on either side of them. A
    server that may not read them tells the story without.
    """
    try:
        pins, stood = await clock_pins.written(source.store, source.scope, after, reached)
        following = await clock_pins.next_after(source.store, source.scope, reached, bound)
    except Failure as failure:
        if failure.error.code != "STORE_REFUSED":
            raise
        return [], []
    around = {pin.revision: pin for pin in (stood, *pins, following) if pin is not None}
    return pins, list(around.values())


def derive(history: History, after: int, known: Sequence[TimelineEnd] = ()) -> list[Event]:
    """The events after revision `after`, in order. Following them from where `history` begins leads
    to where it ends (contract/standing.py). Pure.

    `known`: the rows of Patroni's history as of later, where a row may say more than at first.
    """
    rows = {_end(row): row for row in known}
    now = dict(history.base.keys)
    found: list[tuple[int, Change]] = []
    if not history.complete:
        found.extend(_gap(after + 1, history.base, rows))
    for revision, events in groupby(history.events, lambda event: event.revision):
        was: dict[str, Pair] = {}
        for event in events:
            was.setdefault(event.key, now.get(event.key))
            if event.value is None:
                now.pop(event.key, None)
            else:
                now[event.key] = _written(now.get(event.key), event.value, event)
        found.extend((revision, change) for change in _changes(was, now, rows))
    return _placed(found)


def _written(old: Pair, value: str, event: Written) -> KeyValue:
    """What a key holds once it is written. Of the leader key `created` is when its name took it:
    Patroni before 4 may write another name over it in place, which creates no key (P6-A1).
    """
    created = event.created
    if event.key == "leader" and created != event.revision:
        same = old is not None and old.value == value
        created = old.created if old is not None and same else event.revision
    return KeyValue(value, created, event.revision, event.lease)


async def _based(source: Source, base: Keyspace) -> Keyspace:
    """`base`, whose leader key was created when its name took it, as above."""
    leader = base.keys.get("leader")
    if leader is None or leader.version == 1:
        return base
    taken = await source.store.taken(source.prefix + "leader", leader)
    return replace(base, keys={**base.keys, "leader": replace(leader, created=taken, version=1)})


def ended(old: Pair, new: Pair, initialize: Pair) -> Iterator[tuple[TimelineEnd, bool]]:
    """The timelines whose end the history key told newly, and whether it was told when it came.

    Patroni writes all rows that it has each time: it may add to one (a time, a name), leave old
    ones out, or bring them back, none of which is news. What is not the last row came late. So may
    all of them where nobody knows what the key held before, or where it was absent and the cluster
    is perhaps older than its keys (`patronictl remove`): one that begins here takes `initialize`
    first, and writes its system id there later (ha.py, bootstrap).
    """
    had, problem = baseline.ends(old)
    told = {_end(row) for row in had}
    oldest = min((row.timeline for row in had), default=0)
    begun = initialize and new and initialize.created < initialize.modified < new.created
    followed = problem is None and bool(old or begun)
    rows, _ = baseline.ends(new)
    for place, row in enumerate(rows, 1):
        if row.timeline >= oldest and _end(row) not in told:
            yield row, followed and place == len(rows)


def _gap(first: int, base: Keyspace, rows: Rows) -> Iterator[tuple[int, Change]]:
    """What compaction removed, and what is known of it all the same."""
    last = base.revision
    detail = f"the store's history begins at revision {last}: what came before was compacted"
    yield first, _change("gap", before=first, after=last, detail=detail)
    for row in baseline.ends(base.keys.get("history"))[0]:
        yield last, _timeline_ended(rows.get(_end(row), row), exact=False)


def _changes(was: Mapping[str, Pair], now: Mapping[str, KeyValue], rows: Rows) -> Iterator[Change]:
    """What one revision changed. `was`: the keys that it wrote, before it; `now`: all, after it."""
    causes = _causes(was, now)
    for key in sorted(was, key=lambda key: (_place(key), key)):
        old, new, cause = was[key], now.get(key), causes.get(key)
        if key == "initialize":
            if (before := baseline.system_id(old)) != (after := baseline.system_id(new)):
                yield _change("system_id_changed", before=before, after=after)
        elif key == "leader":
            yield from _leader_term(old, new, cause)
        elif baseline.is_member(key):
            yield from _said(key, old, new, cause)
        elif key == "failover":
            yield from _transfer(old, new)
        elif key == "config":
            yield from _configured(old, new)
        elif key == "sync":
            before, _ = baseline.synchronous(old)
            after, problem = baseline.synchronous(new)
            if before != after:
                yield _change("synchronous_changed", before=before, after=after, detail=problem)
        elif key == "history":
            for row, exact in ended(old, new, now.get("initialize")):
                yield _timeline_ended(rows.get(_end(row), row), exact=exact)


def _leader_term(old: Pair, new: Pair, cause: Cause | None) -> Iterator[Change]:
    """P6-A1: one holder, and a leader term is a holder and the revision that created the leader
    key.
    """
    lost, gained = leader_of(old), leader_of(new)
    if lost == gained:
        return
    if lost:
        yield _change("leader_lost", lost.node, before=lost.node, since=lost.since, cause=cause)
    if gained:
        yield _change("leader_gained", gained.node, after=gained.node, since=gained.since)


def _said(key: str, old: Pair, new: Pair, cause: Cause | None) -> Iterator[Change]:
    """What a node newly said of itself."""
    name = key.removeprefix(MEMBERS)
    before, _ = baseline.node(key, old)
    after, problem = baseline.node(key, new)
    if after is None:
        if before is not None:
            yield _change("member_left", name, before=before.state, cause=cause)
        return
    if before is None:
        yield _change("member_joined", name, detail=problem)
    for field, kind in SAYS:
        first, then = getattr(before, field, None), getattr(after, field)
        if first != then:
            yield _change(kind, name, before=first, after=then, detail=problem)


def _transfer(old: Pair, new: Pair) -> Iterator[Change]:
    before, candidate, _ = baseline.pending(old)
    after, chosen, problem = baseline.pending(new)
    if before == after:
        return
    if before is not None:
        yield _change("transfer_cleared", candidate, before=before)
    if after is not None:
        yield _change("transfer_requested", chosen, after=after, detail=problem)


def _configured(old: Pair, new: Pair) -> Iterator[Change]:
    before, _ = baseline.settings(old)
    after, problem = baseline.settings(new)
    was, now = (sections.flag(settings.get("pause")) for settings in (before, after))
    if was != now:
        yield _change("paused" if now else "resumed", before=was, after=now, detail=problem)
    for name in sorted((before.keys() | after.keys()) - {"pause"}):
        first, then = before.get(name), after.get(name)
        if repr(first) != repr(then):  # 1 is not true there, and a NaN is itself
            yield _change(
                "configuration_changed",
                before=_shown(name, first),
                after=_shown(name, then),
                subject=name,
                detail=problem,
            )


def _timeline_ended(row: TimelineEnd, *, exact: bool) -> Change:
    time, node = sections.utc(row.time), row.new_leader or None
    return _change(
        "timeline_ended",
        node,
        before=row.timeline,
        detail=f"at {lsn.render(row.position)}: {row.reason}",
        exact=exact,
        time=time,
        clock=clock(row) if time else None,
    )


def clock(row: TimelineEnd) -> str:
    """Whose time it is: of the node that was promoted."""
    return f"Patroni on {row.new_leader or 'a node that it does not name'}"


def _causes(was: Mapping[str, Pair], now: Mapping[str, KeyValue]) -> dict[str, Cause]:
    """Why keys went, as far as the keys that went with them, or stayed, prove it.

    Patroni keeps a node's entry and the leader key on one lease. It removes the leader key itself,
    and an entry never (dcs/etcd3.py). etcd ends a lease in one revision, with all that is on it and
    nothing else.
    """
    gone = {key for key in was if key not in now}
    leases = {pair.lease for key in gone if (pair := was[key])}
    if len(leases) != 1 or leases == {0}:
        return {}
    stayed = any({pair.lease} == leases for key, pair in now.items() if key not in was)
    if gone == {"leader"}:  # where nothing stayed, a lease that ended looks like this as well
        return {"leader": "released"} if stayed else {}
    return {} if stayed else dict.fromkeys(gone, "lease_ended")


def _shown(name: str, value: Any) -> Fact:
    """A setting's value, unless it may be a secret: passwords hide in words of every kind."""
    if value is None:
        return None
    if SECRET.search(name) or not (isinstance(value, int | float) or name in WORDS):
        return HIDDEN
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    return value if isinstance(value, str) else json.dumps(value)


def _end(row: TimelineEnd) -> tuple[int, int]:
    """What makes a row the same one when Patroni writes it again."""
    return row.timeline, row.position


def _place(key: str) -> int:
    head = MEMBERS if key.startswith(MEMBERS) else key
    return ORDER.index(head) if head in ORDER else len(ORDER)


def _change(
    kind: EventKind, node: str | None = None, before: Fact = None, after: Fact = None, **more: Any
) -> Change:
    return {"kind": kind, "node": node, "before": before, "after": after} | more


def _placed(changes: Iterable[tuple[int, Change]]) -> list[Event]:
    """Events, each with its place within its revision."""
    found: list[Event] = []
    for revision, change in changes:
        same = bool(found) and found[-1].revision == revision
        index = found[-1].index + 1 if same else 0
        found.append(Event(**{**NOTHING, **change, "revision": revision, "index": index}))
    return found
