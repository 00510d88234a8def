"""What was written below a prefix, revision by revision, at one endpoint.

It costs the same however long ago that was. Each revision is asked for what it wrote, many at a
time, and for how many keys there are: where that is not what the writes make, keys were deleted.
etcd looks at all keys of the prefix for each revision. The reads need not be linearizable, for
those revisions are there and will not change.
"""

from collections.abc import Iterable, Sequence

from aeroctl.kernel.store.endpoint import Endpoint
from aeroctl.kernel.store.history import after_compaction
from aeroctl.kernel.store.keyspace import Event, History, Keyspace, KeyValue
from aeroctl.kernel.store.problems import Refused
from aeroctl.kernel.store.ranges import (
    ESCAPED,
    key_values,
    read_dated,
    read_prefix,
    without_prefix,
)
from aeroctl.kernel.store.replies import Range
from aeroctl.kernel.store.requests import prefix_query
from aeroctl.kernel.timing import uptime

REVISIONS = 32
"""Revisions that are read together, at most."""
LARGE, OVERHEAD = 4_000_000, 100
"""Bytes that one such transaction looks at, and that one replay gathers, before it stops; and what
a key counts beside its value."""


async def replayed(
    endpoint: Endpoint, prefix: str, since: int, until: int, window: int, end: float
) -> History:
    """From revision `since` on, at most `window` revisions, up to revision `until` or the uptime
    `end`.
    """
    start = min(since, until)
    while True:
        try:
            base = await read_prefix(endpoint, prefix, start, ESCAPED)
            now, events = await _follow(endpoint, base, min(start + window, until), end)
        except Refused as refusal:
            if start == until:
                raise
            start = min(until, await after_compaction(endpoint, prefix, start, refusal))
        else:
            return History(now, events, base.revision <= since, base)


async def _follow(
    endpoint: Endpoint, base: Keyspace, limit: int, end: float
) -> tuple[Keyspace, tuple[Event, ...]]:
    """Where the events after `base` lead, up to revision `limit`, or to some revision when it is
    past `end`; and the events.
    """
    keys, last = dict(base.keys), base.revision
    events: list[Event] = []
    gathered = 0
    while last < limit and (not gathered or (gathered < LARGE and uptime() < end)):
        first = last + 1
        last = min(limit, last + max(1, min(REVISIONS, LARGE // _size(keys.values()))))
        replies = await _written(endpoint, base.prefix, first, last)
        for revision, reply in enumerate(replies, first):
            written = without_prefix(base.prefix, key_values(reply, ESCAPED))
            gathered += _size(written.values())
            keys |= written
            if reply.count != len(keys):
                present = await read_prefix(endpoint, base.prefix, revision, ESCAPED)
                deleted = sorted(keys.keys() - present.keys.keys())
                for name in deleted:
                    del keys[name]
                events += [Event(revision, name, None, 0) for name in deleted]
            events += [
                Event(revision, name, pair.value, pair.created, pair.lease)
                for name, pair in sorted(written.items())
            ]
    return Keyspace(base.prefix, last, keys), tuple(events)


async def _written(endpoint: Endpoint, prefix: str, first: int, last: int) -> Sequence[Range]:
    """For each of those revisions the keys that it wrote, and how many there were."""
    below = prefix_query(prefix) | {"serializable": True}
    queries = [
        below | {"revision": str(revision), "min_mod_revision": str(revision)}
        for revision in range(first, last + 1)
    ]
    return await read_dated(endpoint, queries)


def _size(pairs: Iterable[KeyValue]) -> int:
    return OVERHEAD + sum(OVERHEAD + len(pair.value) for pair in pairs)
