"""The consensus store's operations: etcd's v3 JSON gateway; reads are linearizable."""

import asyncio
import base64
import binascii
import ssl
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import httpx

from aeroctl.kernel.failures import Failure, unreadable
from aeroctl.kernel.store.gateway import Endpoint, Gateway, Refused, Unusable, safe
from aeroctl.kernel.store.keyspace import Event, History, Keyspace, KeyValue, MultiRead
from aeroctl.kernel.timing import uptime

BATCH = 1000
"""Revisions in one message of a watch's backlog, at most (etcd: watchBatchMaxRevs). A message with
fewer is the backlog's last one."""
SILENCE = 1.0
"""Seconds without a message after which a backlog is over that may have ended with a full one."""
WRITES = 32
"""Writes of one value that are looked at, at most."""
REVISIONS = 32
"""Revisions that are read together, at most."""
LARGE, OVERHEAD = 4_000_000, 100
"""Bytes that one such transaction looks at, and that one replay gathers, before it stops; and what
a key counts beside its value."""

SHOWN = "backslashreplace"
"""How bytes that are no text are shown where one value must not hide the rest."""

Read = TypeVar("Read")
Followed = tuple[Keyspace, tuple[Event, ...]]
"""Where some events lead, and they themselves."""


@dataclass(frozen=True, slots=True)
class Compare:
    """What must be so for a transaction to write: the revision at which a key was created or last
    modified. 0: the key is absent.
    """

    key: str
    field: Literal["created", "modified"]
    equals: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key, on a lease if one is given."""

    key: str
    value: str
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key."""

    key: str


class Etcd:
    """One etcd cluster. Constructor as for Gateway: endpoints are tried in order."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        endpoints: Sequence[str],
        *,
        seconds: float,
        user: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._gateway = Gateway(
            client, endpoints, seconds=seconds, user=user, password=password, tls=tls
        )

    async def read(self, prefix: str, at: int | None = None) -> Keyspace:
        """Every key below `prefix` in one linearizable range read, now or as of revision `at`.

        Raises Failure: STORE_UNAVAILABLE, STORE_REFUSED, REVISION_COMPACTED, FUTURE_REVISION,
        KERNEL_STATE_UNREADABLE.
        """
        return await self._anywhere(lambda endpoint: _range(endpoint, prefix, at))

    async def read_together(
        self,
        prefixes: Sequence[str],
        keys: Sequence[str],
        at: int | None = None,
        errors: str = "strict",
    ) -> MultiRead:
        """Prefixes and single keys in one atomic, linearizable view.

        At most 128 of them (etcd: max-txn-ops). `errors`: as Python names them, of values that are
        not UTF-8. Raises as `read` does.
        """
        ranges = [_below(prefix) for prefix in prefixes] + [{"key": _encode(key)} for key in keys]
        revision, found = await self._ranges(ranges, at, errors)
        return MultiRead(
            revision,
            tuple(
                Keyspace(prefix, revision, _named(prefix, pairs))
                for prefix, pairs in zip(prefixes, found, strict=False)
            ),
            {name: pair for pairs in found[len(prefixes) :] for name, pair in pairs.items()},
        )

    async def read_page(
        self,
        prefix: str,
        first: str,
        limit: int,
        keys: Sequence[str],
        at: int | None = None,
        errors: str = "strict",
    ) -> MultiRead:
        """As `read_together` of one prefix, but of its keys only the first `limit` ones from
        `first` on (named without the prefix), in order of their names.
        """
        page = _below(prefix) | {"key": _encode(prefix + first), "limit": str(limit)}
        singles = [{"key": _encode(key)} for key in keys]
        revision, found = await self._ranges([page, *singles], at, errors)
        return MultiRead(
            revision,
            (Keyspace(prefix, revision, _named(prefix, found[0])),),
            {name: pair for pairs in found[1:] for name, pair in pairs.items()},
        )

    async def transact(
        self, compares: Sequence[Compare], changes: Sequence[Put | Delete]
    ) -> int | None:
        """Write all `changes` in one transaction if all `compares` hold, and return its revision.

        None: one of them does not hold, and nothing was written. Sent at most once. Raises Failure
        STORE_REFUSED (nothing was written), STORE_UNAVAILABLE (its words tell whether it may have
        been); the outcome is `not_executed` in both, for nothing is dispatched on a write that is
        not known to be there (P7-O3).
        """
        query = {
            "compare": [_comparison(compare) for compare in compares],
            "success": [_change(change) for change in changes],
        }
        try:
            answer = await self._gateway.once("/v3/kv/txn", query)
        except Refused as refusal:
            raise _failure(str(refusal)) from refusal
        return _revision(answer) if answer.get("succeeded") else None

    async def lease(self, seconds: int) -> int:
        """Grant a lease; keys on it go when it ends. One that is never used ends all the same, so
        that asking another endpoint again does no harm. Raises as `read` does.
        """
        try:
            answer = await self._anywhere(
                lambda endpoint: endpoint.post("/v3/lease/grant", {"TTL": str(seconds)})
            )
            return int(answer["ID"])
        except (KeyError, TypeError, ValueError) as error:
            raise _misunderstood("a lease", error) from error

    async def remaining(self, lease: int) -> tuple[int, int]:
        """Whole seconds that a lease has left, below 0 if it has ended; and the store's term (raft
        term): within one, nobody but who holds the lease makes it last longer. Raises as `read`.
        """
        answer = await self._anywhere(
            lambda endpoint: endpoint.post("/v3/lease/timetolive", {"ID": str(lease)})
        )
        try:
            return int(answer.get("TTL", 0)), int(answer["header"]["raft_term"])
        except (KeyError, TypeError, ValueError) as error:
            raise _misunderstood("how long a lease lasts", error) from error

    async def history(
        self, prefix: str, since: int, until: int | None = None, *, window: int | None = None
    ) -> History:
        """What was written below `prefix` after revision `since`, up to now or to revision `until`.

        By a watch, which costs nothing where nothing was written, but as much as all that was
        written to the store since: it is for what is not long ago. `window`: at most so many
        revisions of it, the first ones that compaction has left. Raises as `read` does; compaction
        is no failure but an incomplete history, unless `until` itself is gone.
        """
        return await self._anywhere(
            lambda endpoint: _history(endpoint, prefix, max(since, 1), until, window)
        )

    async def replay(self, prefix: str, since: int, until: int, *, window: int) -> History:
        """As `history`, but revision by revision, so that it costs the same however long ago that
        was, and shows a key that came and went as well. What is not UTF-8 is shown with
        backslashes.

        It may end before `window` revisions, but not before one: when half of the time for an
        answer is over, or when much was written. `until` must be a revision that there is.
        """
        end = uptime() + self._gateway.seconds / 2
        return await self._anywhere(
            lambda endpoint: _replay(endpoint, prefix, max(since, 1), until, window, end)
        )

    async def versions(self, key: str, at: int) -> tuple[KeyValue, ...]:
        """What a key held up to revision `at`, oldest first, since it was created, or since the
        last write that compaction has left. Raises as `read` does.
        """
        found: list[KeyValue] = []
        revision = at
        while True:
            try:
                pair = (await self.read_together([], [key], revision)).keys.get(key)
            except Failure as failure:
                if found and failure.error.code == "REVISION_COMPACTED":
                    break
                raise
            if pair is None:
                break
            found.append(pair)
            if pair.created == pair.modified:
                break
            revision = pair.modified - 1
        return tuple(reversed(found))

    async def counts(self, prefix: str, revisions: Sequence[int]) -> list[int]:
        """How many keys there were below `prefix` at each of those revisions, together.

        etcd counts in its index, and reads no value. Raises as `read` does.
        """
        below = _below(prefix) | {"count_only": True}
        ranges = [below | {"revision": str(revision)} for revision in revisions]
        return [int(found.get("count", 0)) for found in await self._answers(ranges)]

    async def names(
        self, prefix: str, below: str, revisions: Sequence[int]
    ) -> list[dict[str, int]]:
        """Which keys there were below `prefix` and `below` at each of those revisions, named
        without
        `prefix`, and when each was created. Raises as `read` does.
        """
        keys = _below(prefix + below) | {"keys_only": True}
        answers = await self._answers(
            [keys | {"revision": str(revision)} for revision in revisions]
        )
        return [
            {name: pair.created for name, pair in _named(prefix, _pairs(found)).items()}
            for found in answers
        ]

    async def each(self, keys: Sequence[tuple[str, int]]) -> list[KeyValue | None]:
        """What each of those keys held as of its own revision, shown with backslashes where it is
        not UTF-8. Raises as `read` does.
        """
        ranges = [{"key": _encode(key), "revision": str(revision)} for key, revision in keys]
        answers = await self._answers(ranges)
        found = [_pairs(answer, SHOWN) for answer in answers]
        return [pairs.get(key) for pairs, (key, _) in zip(found, keys, strict=True)]

    async def oldest(self, prefix: str, start: int) -> int:
        """The oldest revision that compaction has left, where it has removed revision `start`.

        Raises as `read` does.
        """
        return await self._anywhere(lambda endpoint: _oldest(endpoint, prefix, start))

    async def taken(self, key: str, pair: KeyValue) -> int:
        """The revision at which the present value of a key came to be there: others that it held
        before were overwritten in place. `pair`: the key as it is. Raises as `read` does.

        Of a value that was written again and again, at most the last WRITES are looked at, and none
        that compaction has removed.
        """
        for _ in range(WRITES):
            if pair.version == 1:
                break
            try:
                (before,) = await self.each([(key, pair.modified - 1)])
            except Failure as failure:
                if failure.error.code == "REVISION_COMPACTED":
                    break
                raise
            if before is None or before.value != pair.value:
                break
            pair = before
        return pair.modified

    async def _answers(self, ranges: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
        if not ranges:
            return []
        answers = await self._anywhere(lambda endpoint: _at_once(endpoint, ranges))
        if len(answers) != len(ranges):
            raise unreadable("a reading transaction", "not etcd's answer to it: too few parts")
        return answers

    async def _anywhere(self, read: Callable[[Endpoint], Coroutine[Any, Any, Read]]) -> Read:
        try:
            return await self._gateway.anywhere(read)
        except Refused as refusal:
            raise _failure(str(refusal)) from refusal

    async def _ranges(
        self, ranges: Sequence[dict[str, Any]], at: int | None, errors: str = "strict"
    ) -> tuple[int, list[dict[str, KeyValue]]]:
        async def read(endpoint: Endpoint) -> tuple[int, list[dict[str, Any]]]:
            if safe(await endpoint.version()):
                return await _together(endpoint, ranges, at)
            return await _one_by_one(endpoint, ranges, at)

        revision, answers = await self._anywhere(read)
        return (revision if at is None else at), [_pairs(each, errors) for each in answers]

    async def version(self) -> str | None:
        """Which etcd answers, as it says itself; None where it doesn't say. Raises as `read`."""

        async def read(endpoint: Endpoint) -> str | None:
            return await endpoint.version()

        return await self._anywhere(read)

    def renew(self, password: str | None) -> None:
        """From now on the password is this one."""
        self._gateway.password = password


async def _together(
    endpoint: Endpoint, ranges: Sequence[Mapping[str, object]], at: int | None
) -> tuple[int, list[dict[str, Any]]]:
    """The answers to several ranges of one revision, by one reading transaction."""
    revision = {} if at is None else {"revision": str(at)}
    query = {"success": [{"request_range": {**keys, **revision}} for keys in ranges]}
    answer = await endpoint.post("/v3/kv/txn", query)
    return _revision(answer), _responses(answer)


async def _one_by_one(
    endpoint: Endpoint, ranges: Sequence[dict[str, Any]], at: int | None
) -> tuple[int, list[dict[str, Any]]]:
    """As `_together`, but with a request for each range, all of the revision of the first.

    For etcd that panics when a reading transaction is broken off half-way (gateway.py). What
    the first one has shown is there; the others need not be linearizable.
    """
    if not ranges:
        return await _together(endpoint, ranges, at)
    asked = {} if at is None else {"revision": str(at)}
    first = await endpoint.post("/v3/kv/range", ranges[0] | asked)
    newest = _revision(first)
    revision = newest if at is None else at
    same = {"revision": str(revision), "serializable": True}
    others = [keys | same for keys in ranges[1:]]
    return newest, [first, *(await endpoint.post_all("/v3/kv/range", others) if others else [])]


async def _range(
    endpoint: Endpoint, prefix: str, at: int | None, errors: str = "strict"
) -> Keyspace:
    query = _below(prefix) | ({} if at is None else {"revision": str(at)})
    answer = await endpoint.post("/v3/kv/range", query)
    newest = _revision(answer)
    revision = newest if at is None else at
    return Keyspace(prefix, revision, _named(prefix, _pairs(answer, errors)))


async def _history(
    endpoint: Endpoint, prefix: str, since: int, until: int | None, window: int | None
) -> History:
    """All at one endpoint, which has every revision that its linearizable read has shown."""
    last = await _range(endpoint, prefix, until)
    start = min(since, last.revision)
    while True:
        try:
            base = await _range(endpoint, prefix, start)
            now = last
            if window is not None and base.revision + window < last.revision:
                now = await _range(endpoint, prefix, base.revision + window)
            events = await _events(endpoint, base, now)
        except Refused as refusal:
            start = await _after_compaction(endpoint, prefix, start, refusal)
            if start > last.revision:
                last = await _range(endpoint, prefix, until)
            continue
        if events is not None:
            return History(now, events, base.revision <= since, base)


async def _replay(
    endpoint: Endpoint, prefix: str, since: int, until: int, window: int, end: float
) -> History:
    """All at one endpoint, as `_history`."""
    start = min(since, until)
    while True:
        try:
            base = await _range(endpoint, prefix, start, SHOWN)
            now, events = await _revisions(endpoint, base, min(start + window, until), end)
        except Refused as refusal:
            if start == until:
                raise
            start = min(until, await _after_compaction(endpoint, prefix, start, refusal))
        else:
            return History(now, events, base.revision <= since, base)


async def _revisions(endpoint: Endpoint, base: Keyspace, limit: int, end: float) -> Followed:
    """The events after `base` up to revision `limit`, or up to some revision when it is past `end`.

    Each revision is asked for what it wrote, many at a time, and how many keys there are: where
    that is not what the writes make, keys were deleted. etcd looks at all of them for each
    revision. It need not be linearizable, for those revisions are there and will not change.
    """
    keys, revision = dict(base.keys), base.revision
    events: list[Event] = []
    gathered = 0
    while revision < limit and (not gathered or (gathered < LARGE and uptime() < end)):
        first = revision + 1
        revision = min(limit, revision + max(1, min(REVISIONS, LARGE // _size(keys.values()))))
        for each, found in enumerate(await _written(endpoint, base.prefix, first, revision), first):
            written = _named(base.prefix, _pairs(found, SHOWN))
            gathered += _size(written.values())
            keys |= written
            gone: set[str] = set()
            if int(found.get("count", 0)) != len(keys):
                there = await _range(endpoint, base.prefix, each, SHOWN)
                gone = keys.keys() - there.keys.keys()
            for name in gone:
                del keys[name]
            events += [Event(each, name, None, 0) for name in sorted(gone)]
            events += [
                Event(each, name, pair.value, pair.created, pair.lease)
                for name, pair in sorted(written.items())
            ]
    return Keyspace(base.prefix, revision, keys), tuple(events)


async def _written(endpoint: Endpoint, prefix: str, first: int, last: int) -> list[dict[str, Any]]:
    """For each of those revisions the keys that it wrote, and how many there were."""
    below = _below(prefix) | {"serializable": True}
    ranges = [
        below | {"revision": str(each), "min_mod_revision": str(each)}
        for each in range(first, last + 1)
    ]
    return await _at_once(endpoint, ranges)


async def _at_once(
    endpoint: Endpoint, ranges: Sequence[Mapping[str, object]]
) -> list[dict[str, Any]]:
    """The answers to ranges that each name their revision, so that they need not be one transaction
    where that does harm (gateway.py, `safe`).
    """
    if safe(await endpoint.version()):
        return (await _together(endpoint, ranges, None))[1]
    return await endpoint.post_all("/v3/kv/range", ranges)


def _size(pairs: Iterable[KeyValue]) -> int:
    return OVERHEAD + sum(OVERHEAD + len(pair.value) for pair in pairs)


async def _after_compaction(endpoint: Endpoint, prefix: str, start: int, refusal: Refused) -> int:
    """Where history begins, if that is why etcd refused; otherwise it refused."""
    if "has been compacted" not in str(refusal):
        raise refusal
    return await _oldest(endpoint, prefix, start)


async def _oldest(endpoint: Endpoint, prefix: str, start: int) -> int:
    """The oldest revision that compaction has left; only a watch tells."""
    async with endpoint.stream("/v3/watch", _watch(prefix, start)) as results:
        async for result in results:
            if oldest := int(result.get("compact_revision", 0)):
                return oldest
            _uncancelled(result)
    raise Unusable("the watch ended before it said how far back history goes")


async def _events(endpoint: Endpoint, base: Keyspace, now: Keyspace) -> tuple[Event, ...] | None:
    """The events after `base` that lead to `now`; None when they have been compacted meanwhile.

    A watch does not end by itself, nor does it say when it has caught up. It delivers every event
    in order, the backlog in batches of whole revisions, so it is over when the keys that it leads
    to are those that the range read found (a deletion is waited for as well as a write), and the
    batch was the last one or went beyond. After a full batch silence is taken for the end.
    """
    expected = {name: pair.modified for name, pair in now.keys.items()}
    reached = {name: pair.modified for name, pair in base.keys.items()}
    if reached == expected:
        return ()
    there = False
    found: list[Event] = []
    watch = _watch(base.prefix, base.revision + 1)
    ends = uptime() + endpoint.gateway.seconds
    async with endpoint.stream("/v3/watch", watch) as results:
        while uptime() < ends:  # nobody may be waiting for it any more
            try:
                async with asyncio.timeout(SILENCE if there else None):
                    result = await anext(results)
            except TimeoutError:
                return tuple(found)
            except StopAsyncIteration:
                break
            if result.get("compact_revision"):
                return None
            _uncancelled(result)
            batch = _parsed(base.prefix, result)
            for event in batch:
                if event.revision > now.revision:
                    continue
                found.append(event)
                if event.value is None:
                    reached.pop(event.key, None)
                else:
                    reached[event.key] = event.revision
            there = reached == expected
            revisions = {event.revision for event in batch}
            if there and (len(revisions) < BATCH or max(revisions) > now.revision):
                return tuple(found)
    raise Unusable("the watch ended before it caught up")


def _watch(prefix: str, start: int) -> dict[str, Any]:
    return {"create_request": _below(prefix) | {"start_revision": str(start)}}


def _uncancelled(result: dict[str, Any]) -> None:
    if result.get("canceled"):
        raise Refused(0, str(result.get("cancel_reason") or "etcd cancelled the watch"))


def _parsed(prefix: str, result: dict[str, Any]) -> list[Event]:
    events = []
    try:
        for event in result.get("events", []):
            pair = event["kv"]
            name = _name(pair)
            deleted = event.get("type") == "DELETE"
            events.append(
                Event(
                    revision=int(pair["mod_revision"]),
                    key=name.removeprefix(prefix),
                    value=None if deleted else _text(name, pair),
                    created=0 if deleted else int(pair["create_revision"]),
                    lease=int(pair.get("lease", 0)),
                )
            )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise _misunderstood("a watch", error) from error
    return events


def _failure(message: str) -> Failure:
    """What etcd's refusal means; etcd gives a past and a future revision the same code."""
    if "has been compacted" in message:
        return Failure("REVISION_COMPACTED", message)
    if "is a future revision" in message:
        return Failure("FUTURE_REVISION", message)
    return Failure("STORE_REFUSED", message)


def _misunderstood(question: str, error: Exception) -> Failure:
    return unreadable(question, f"not etcd's answer to it: {error!r}")


def _revision(answer: dict[str, Any]) -> int:
    try:
        return int(answer["header"]["revision"])
    except (KeyError, TypeError, ValueError) as error:
        raise _misunderstood("revision", error) from error


def _responses(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """A reading transaction's range reads."""
    try:
        return [dict(each["response_range"]) for each in answer["responses"]]
    except (KeyError, TypeError, ValueError) as error:
        raise _misunderstood("a reading transaction", error) from error


def _pairs(answer: dict[str, Any], errors: str = "strict") -> dict[str, KeyValue]:
    """A range read's keys by their whole names. `errors`: of values that are not UTF-8."""
    keys = {}
    try:
        for pair in answer.get("kvs", []):  # the gateway leaves empty fields out
            name = _name(pair)
            keys[name] = KeyValue(
                value=_text(name, pair, errors),
                created=int(pair["create_revision"]),
                modified=int(pair["mod_revision"]),
                lease=int(pair.get("lease", 0)),
                version=int(pair.get("version", 1)),
            )
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise _misunderstood("a range", error) from error
    return keys


def _named(prefix: str, pairs: dict[str, KeyValue]) -> dict[str, KeyValue]:
    return {name.removeprefix(prefix): pair for name, pair in pairs.items()}


def _comparison(compare: Compare) -> dict[str, str]:
    target, field = {
        "created": ("CREATE", "create_revision"),
        "modified": ("MOD", "mod_revision"),
    }[compare.field]
    return {
        "key": _encode(compare.key),
        "target": target,
        "result": "EQUAL",
        field: str(compare.equals),
    }


def _change(change: Put | Delete) -> dict[str, dict[str, str]]:
    if isinstance(change, Delete):
        return {"request_delete_range": {"key": _encode(change.key)}}
    put = {"key": _encode(change.key), "value": _encode(change.value)}
    return {"request_put": put | ({"lease": str(change.lease)} if change.lease else {})}


def _below(prefix: str) -> dict[str, str]:
    start = prefix.encode()
    end = start[:-1] + bytes([start[-1] + 1])
    return {"key": _encode(prefix), "range_end": base64.b64encode(end).decode()}


def _name(pair: dict[str, Any]) -> str:
    return base64.b64decode(pair["key"]).decode(errors=SHOWN)


def _text(key: str, pair: dict[str, Any], errors: str = "strict") -> str:
    value = base64.b64decode(pair.get("value", ""))
    try:
        return value.decode(errors=errors)
    except UnicodeDecodeError as error:
        raise unreadable(key, "not UTF-8") from error


def _encode(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
