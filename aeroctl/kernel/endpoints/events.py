"""GET /v1/events: changes of Patroni's keys, derived from etcd's history at every request.

An event is a change of what the keys state about the cluster. WAL positions, addresses and versions
change all the time and decide nothing: their changes are not events.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from aeroctl.contract import lsn
from aeroctl.contract.base import API_VERSION
from aeroctl.contract.events import Event, EventPage, EventsEnvelope, Fact, Logged
from aeroctl.contract.queries import EventsQuery
from aeroctl.contract.terms import Cause, EventKind
from aeroctl.kernel.audit import clock_pins
from aeroctl.kernel.endpoints.setting_facts import setting_fact
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import baseline, sections
from aeroctl.kernel.patroni.baseline import Pair
from aeroctl.kernel.patroni.keys import MEMBERS, TimelineEnd, leader_of
from aeroctl.kernel.patroni.settings import flag
from aeroctl.kernel.source import Source, observed
from aeroctl.kernel.store.keyspace import Event as Written
from aeroctl.kernel.store.keyspace import History, Keyspace, KeyValue

ORDER = ("initialize", "leader", MEMBERS, "failover", "config", "sync", "history")
"""The order of the events of one revision, by key."""
MEMBER_FIELDS: tuple[tuple[str, EventKind], ...] = (
    ("role", "role_changed"),
    ("state", "state_changed"),
    ("replication_state", "replication_changed"),
    ("timeline", "timeline_changed"),
)
Change = dict[str, Any]
"""The fields that an event sets; DEFAULTS has the others, and _numbered adds its place."""
DEFAULTS = {
    **dict.fromkeys(
        ("subject", "since", "cause", "detail", "time", "clock", "not_before", "not_after")
    ),
    "exact": True,
}
Rows = Mapping[tuple[int, int], TimelineEnd]


async def events(source: Source, query: EventsQuery) -> EventsEnvelope:
    """A page of events, up to one revision, which all pages of a reading have in common.

    Raises Failure: FUTURE_REVISION, KERNEL_BUSY, and those of Source.keys for that
    revision. A key that can't be parsed at an earlier revision is reported, and not an error.
    """
    async with source.in_time(), source.history_readers:
        keys = await source.keys(query.at)
        after, bound = query.after, keys.revision
        if after > bound:  # the store refuses a future revision; one that is past has no more
            await source.store.read_together([], [source.prefix + "leader"], after)
        history = await source.store.replay(source.prefix, after, bound, window=query.window)
        history = replace(history, base=await _with_leader_since(source, history.base))
        # in a thread, so that other requests are served meanwhile
        page = await asyncio.to_thread(derive, history, after, keys.history)
        reached = history.keyspace.revision
        pins, around = await _pins(source, after, reached, bound)
        page = await asyncio.to_thread(clock_pins.dated, page, around)
    return EventsEnvelope(
        api_version=API_VERSION,
        observed_at=observed(keys, query.at),
        data=EventPage(
            base=baseline.standing(history.base),
            events=page,
            pins=pins,
            next=reached if reached < bound else None,
        ),
        notes=[],
    )


async def _pins(
    source: Source, after: int, reached: int, bound: int
) -> tuple[list[Logged], list[Logged]]:
    """The clock pins of a page's revisions, and these with the nearest pin before and after them.
    Both are empty where etcd does not let this server read them.
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

    `known`: the rows of Patroni's history at a later revision, where a row may have more fields.
    """
    rows = {_end(row): row for row in known}
    now = dict(history.base.keys)
    changes: list[tuple[int, Change]] = []
    if not history.complete:
        changes.extend(_gap(after + 1, history.base, rows))
    for revision, events in groupby(history.events, lambda event: event.revision):
        was: dict[str, Pair] = {}
        for event in events:
            was.setdefault(event.key, now.get(event.key))
            if event.value is None:
                now.pop(event.key, None)
            else:
                now[event.key] = _written(now.get(event.key), event.value, event)
        changes.extend((revision, change) for change in _changes(was, now, rows))
    return _numbered(changes)


def _written(old: Pair, value: str, event: Written) -> KeyValue:
    """The key after an event wrote it. The leader key counts as created when its holder took it:
    Patroni before 4 may write another name over it in place, which creates no key (P6-A1).
    """
    created = event.created
    if event.key == "leader" and created != event.revision:
        same = old is not None and old.value == value
        created = old.created if old is not None and same else event.revision
    return KeyValue(value, created, event.revision, event.lease)


async def _with_leader_since(source: Source, base: Keyspace) -> Keyspace:
    """`base` with its leader key's `created` corrected as in _written."""
    leader = base.keys.get("leader")
    if leader is None or leader.version == 1:
        return base
    taken = await source.store.value_since(source.prefix + "leader", leader)
    return replace(base, keys={**base.keys, "leader": replace(leader, created=taken, version=1)})


def new_timeline_ends(old: Pair, new: Pair, initialize: Pair) -> Iterator[tuple[TimelineEnd, bool]]:
    """The rows that the history key gained, and whether each was written when its timeline ended.

    Patroni writes all rows every time: it may add to one (a time, a name), leave old ones out, or
    bring them back, none of which is a new row. Only the last row can have been written in time;
    none counts as such where the key's earlier value is unknown, or where it was absent and the
    cluster is perhaps older than its keys (`patronictl remove`): a cluster that begins here takes
    `initialize` first, and writes its system id there later (ha.py, bootstrap).
    """
    earlier, problem = baseline.ends(old)
    recorded = {_end(row) for row in earlier}
    oldest = min((row.timeline for row in earlier), default=0)
    begun = initialize and new and initialize.created < initialize.modified < new.created
    followed = problem is None and bool(old or begun)
    rows, _ = baseline.ends(new)
    for place, row in enumerate(rows, 1):
        if row.timeline >= oldest and _end(row) not in recorded:
            yield row, followed and place == len(rows)


def _gap(first: int, base: Keyspace, rows: Rows) -> Iterator[tuple[int, Change]]:
    """The revisions that compaction removed, and the timelines that ended within them."""
    last = base.revision
    detail = f"the store's history begins at revision {last}: what came before was compacted"
    yield first, _change("gap", before=first, after=last, detail=detail)
    for row in baseline.ends(base.keys.get("history"))[0]:
        yield last, _timeline_ended(rows.get(_end(row), row), exact=False)


def _changes(was: Mapping[str, Pair], now: Mapping[str, KeyValue], rows: Rows) -> Iterator[Change]:
    """The changes of one revision. `was`: the keys that it wrote, before it; `now`: all keys after
    it.
    """
    causes = _causes(was, now)
    for key in sorted(was, key=lambda key: (_place(key), key)):
        old, new, cause = was[key], now.get(key), causes.get(key)
        if key == "leader":
            yield from _leader_term(old, new, cause)
        elif baseline.is_member(key):
            yield from _member(key, old, new, cause)
        elif key == "history":
            for row, exact in new_timeline_ends(old, new, now.get("initialize")):
                yield _timeline_ended(rows.get(_end(row), row), exact=exact)
        elif key in CHANGES_OF_KEYS:
            yield from CHANGES_OF_KEYS[key](old, new)


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


def _member(key: str, old: Pair, new: Pair, cause: Cause | None) -> Iterator[Change]:
    """The changes of a node's own entry."""
    name = key.removeprefix(MEMBERS)
    before, _ = baseline.node(key, old)
    after, problem = baseline.node(key, new)
    if after is None:
        if before is not None:
            yield _change("member_left", name, before=before.state, cause=cause)
        return
    if before is None:
        yield _change("member_joined", name, detail=problem)
    for field, kind in MEMBER_FIELDS:
        first, then = getattr(before, field, None), getattr(after, field)
        if first != then:
            yield _change(kind, name, before=first, after=then, detail=problem)


def _system_id(old: Pair, new: Pair) -> Iterator[Change]:
    before, after = baseline.system_id(old), baseline.system_id(new)
    if before != after:
        yield _change("system_id_changed", before=before, after=after)


def _synchronous(old: Pair, new: Pair) -> Iterator[Change]:
    before, _ = baseline.synchronous(old)
    after, problem = baseline.synchronous(new)
    if before != after:
        yield _change("synchronous_changed", before=before, after=after, detail=problem)


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
    was, now = (flag(settings.get("pause")) for settings in (before, after))
    if was != now:
        yield _change("paused" if now else "resumed", before=was, after=now, detail=problem)
    for name in sorted((before.keys() | after.keys()) - {"pause"}):
        first, then = before.get(name), after.get(name)
        if repr(first) != repr(then):  # 1 is not true there, and a NaN is itself
            yield _change(
                "configuration_changed",
                before=setting_fact(name, first),
                after=setting_fact(name, then),
                subject=name,
                detail=problem,
            )


CHANGES_OF_KEYS: Mapping[str, Callable[[Pair, Pair], Iterator[Change]]] = {
    "initialize": _system_id,
    "failover": _transfer,
    "config": _configured,
    "sync": _synchronous,
}


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
    """The name of the clock that a row's time is from: that of the promoted node."""
    return f"Patroni on {row.new_leader or 'a node that it does not name'}"


def _causes(was: Mapping[str, Pair], now: Mapping[str, KeyValue]) -> dict[str, Cause]:
    """Why keys were removed, where the keys removed or left beside them prove it.

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


def _end(row: TimelineEnd) -> tuple[int, int]:
    """The identity of a row, which remains when Patroni writes it again."""
    return row.timeline, row.position


def _place(key: str) -> int:
    head = MEMBERS if key.startswith(MEMBERS) else key
    return ORDER.index(head) if head in ORDER else len(ORDER)


def _change(
    kind: EventKind, node: str | None = None, before: Fact = None, after: Fact = None, **more: Any
) -> Change:
    return {"kind": kind, "node": node, "before": before, "after": after} | more


def _numbered(changes: Iterable[tuple[int, Change]]) -> list[Event]:
    """Events, with their index within their revision."""
    events: list[Event] = []
    for revision, change in changes:
        same = bool(events) and events[-1].revision == revision
        index = events[-1].index + 1 if same else 0
        events.append(Event(**{**DEFAULTS, **change, "revision": revision, "index": index}))
    return events
