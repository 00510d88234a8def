"""What was written below a prefix, by a watch at one endpoint."""

import asyncio
from dataclasses import dataclass, field

from aeroctl.kernel.store.endpoint import Endpoint
from aeroctl.kernel.store.keyspace import Event, History, Keyspace
from aeroctl.kernel.store.problems import Refused, Unusable
from aeroctl.kernel.store.ranges import key_name, key_value, read_prefix
from aeroctl.kernel.store.replies import Deletion, GrpcCode, Put, WatchResult, is_deletion
from aeroctl.kernel.store.requests import watch_query
from aeroctl.kernel.timing import uptime

BATCH = 1000
"""Revisions in one message of a watch's backlog, at most (etcd: watchBatchMaxRevs). A message with
fewer is the backlog's last one."""
SILENCE = 1.0
"""Seconds without a message after which a backlog is over that may have ended with a full one."""


async def watched(
    endpoint: Endpoint, prefix: str, since: int, until: int | None, window: int | None
) -> History:
    """All at one endpoint, which has every revision that its linearizable read has shown."""
    last = await read_prefix(endpoint, prefix, until)
    start = min(since, last.revision)
    while True:
        try:
            base = await read_prefix(endpoint, prefix, start)
            now = last
            if window is not None and base.revision + window < last.revision:
                now = await read_prefix(endpoint, prefix, base.revision + window)
            events = await _events(endpoint, base, now)
        except Refused as refusal:
            start = await after_compaction(endpoint, prefix, start, refusal)
            if start > last.revision:
                last = await read_prefix(endpoint, prefix, until)
            continue
        if events is not None:
            return History(now, events, base.revision <= since, base)


async def after_compaction(endpoint: Endpoint, prefix: str, start: int, refusal: Refused) -> int:
    """Where history begins, if that is why etcd refused; otherwise it refused."""
    if "has been compacted" not in str(refusal):
        raise refusal
    return await oldest_revision(endpoint, prefix, start)


async def oldest_revision(endpoint: Endpoint, prefix: str, start: int) -> int:
    """The oldest revision that compaction has left; only a watch tells."""
    async with endpoint.watch(watch_query(prefix, start)) as results:
        async for result in results:
            if result.compact_revision:
                return result.compact_revision
            _check_not_canceled(result)
    raise Unusable("the watch ended before it reported how far back history goes")


async def _events(endpoint: Endpoint, base: Keyspace, now: Keyspace) -> tuple[Event, ...] | None:
    """The events after `base` that lead to `now`; None when they have been compacted meanwhile.

    A watch does not end by itself, nor does it say when it has caught up: see Backlog.
    """
    backlog = Backlog(base, now)
    if backlog.arrived():
        return ()
    ends = uptime() + endpoint.session.seconds
    async with endpoint.watch(watch_query(base.prefix, base.revision + 1)) as results:
        while uptime() < ends:  # nobody may be waiting for it any more
            try:
                async with asyncio.timeout(SILENCE if backlog.arrived() else None):
                    result = await anext(results)
            except TimeoutError:
                return tuple(backlog.events)
            except StopAsyncIteration:
                break
            if result.compact_revision:
                return None
            _check_not_canceled(result)
            if backlog.take([_event(base.prefix, event) for event in result.events]):
                return tuple(backlog.events)
    raise Unusable("the watch ended before it caught up")


@dataclass(slots=True)
class Backlog:
    """The events of a watch from `base` on, until they lead to `now`.

    etcd delivers every event in order, the backlog in batches of whole revisions. So it is over
    when the keys that it leads to are those that the range read found (a deletion is waited for as
    well as a write), and the batch was the last one or went beyond. After a full batch silence is
    taken for the end.
    """

    base: Keyspace
    now: Keyspace
    events: list[Event] = field(default_factory=list)
    _expected: dict[str, int] = field(init=False)
    _reached: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._expected = _last_writes(self.now)
        self._reached = _last_writes(self.base)

    def arrived(self) -> bool:
        """Whether the keys are those of `now`."""
        return self._reached == self._expected

    def take(self, batch: list[Event]) -> bool:
        """Whether it is over with these."""
        for event in batch:
            if event.revision > self.now.revision:
                continue
            self.events.append(event)
            if event.value is None:
                self._reached.pop(event.key, None)
            else:
                self._reached[event.key] = event.revision
        revisions = {event.revision for event in batch}
        return self.arrived() and (len(revisions) < BATCH or max(revisions) > self.now.revision)


def _last_writes(keyspace: Keyspace) -> dict[str, int]:
    return {name: pair.modified for name, pair in keyspace.keys.items()}


def _check_not_canceled(result: WatchResult) -> None:
    if result.canceled:
        raise Refused(GrpcCode.CANCELLED, result.cancel_reason or "etcd cancelled the watch")


def _event(prefix: str, event: Put | Deletion) -> Event:
    name = key_name(event["kv"]["key"])
    key = name.removeprefix(prefix)
    if is_deletion(event):
        pair = event["kv"]
        return Event(pair["mod_revision"], key, None, 0, pair.get("lease", 0))
    written = key_value(name, event["kv"])
    return Event(written.modified, key, written.value, written.created, written.lease)
