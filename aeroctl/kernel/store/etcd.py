"""The consensus store's operations, by etcd's v3 JSON gateway; reads are linearizable."""

import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import httpx

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.store import history, ranges, replay
from aeroctl.kernel.store.endpoint import Endpoint
from aeroctl.kernel.store.gateway import Gateway
from aeroctl.kernel.store.keyspace import History, Keyspace, KeyValue, MultiRead
from aeroctl.kernel.store.problems import Refused
from aeroctl.kernel.store.ranges import ESCAPED, key_values, without_prefix
from aeroctl.kernel.store.replies import LeaseGrant, LeaseTimeToLive, Range, WriteReply
from aeroctl.kernel.store.requests import (
    Compare,
    Delete,
    Put,
    Query,
    at_revision,
    base64_text,
    key_query,
    prefix_query,
    transaction,
)
from aeroctl.kernel.timing import uptime

WRITES = 32
"""Writes of one value that are looked at, at most."""

Result = TypeVar("Result")


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

    def renew(self, password: str | None) -> None:
        """From now on the password is this one."""
        self._gateway.session.password = password

    async def version(self) -> str | None:
        """Which etcd answers, as it says itself; None where it doesn't say. Raises as `read`."""
        return await self._anywhere(lambda endpoint: endpoint.version())

    async def read(self, prefix: str, at: int | None = None) -> Keyspace:
        """Every key below `prefix` in one linearizable range read, now or as of revision `at`.

        Raises Failure: STORE_UNAVAILABLE, STORE_REFUSED, REVISION_COMPACTED, FUTURE_REVISION,
        KERNEL_STATE_UNREADABLE.
        """
        return await self._anywhere(lambda endpoint: ranges.read_prefix(endpoint, prefix, at))

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
        queries = [prefix_query(prefix) for prefix in prefixes]
        return await self._read_multiple(prefixes, queries, keys, at, errors)

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
        page = prefix_query(prefix) | {"key": base64_text(prefix + first), "limit": str(limit)}
        return await self._read_multiple([prefix], [page], keys, at, errors)

    async def transact(
        self, compares: Sequence[Compare], changes: Sequence[Put | Delete]
    ) -> int | None:
        """Write all `changes` in one transaction if all `compares` hold, and return its revision.

        None: one of them does not hold, and nothing was written. Sent at most once. Raises Failure
        STORE_REFUSED (nothing was written), STORE_UNAVAILABLE (its words tell whether it may have
        been); the outcome is `not_executed` in both, for nothing is dispatched on a write that is
        not known to be there (P7-O3).
        """
        body = transaction(compares, changes)
        try:
            reply = await self._gateway.once("/v3/kv/txn", body, WriteReply)
        except Refused as refusal:
            raise _failure(str(refusal)) from refusal
        return reply.header.revision if reply.succeeded else None

    async def lease(self, seconds: int) -> int:
        """Grant a lease; keys on it go when it ends. One that is never used ends all the same, so
        that asking another endpoint again does no harm. Raises as `read` does.
        """
        body = {"TTL": str(seconds)}
        reply = await self._anywhere(
            lambda endpoint: endpoint.post("/v3/lease/grant", body, LeaseGrant)
        )
        return reply.id

    async def remaining(self, lease: int) -> tuple[int, int]:
        """Whole seconds that a lease has left, below 0 if it has ended; and the store's term (raft
        term): within one, only the holder of the lease makes it last longer. Raises as `read`.
        """
        body = {"ID": str(lease)}
        reply = await self._anywhere(
            lambda endpoint: endpoint.post("/v3/lease/timetolive", body, LeaseTimeToLive)
        )
        return reply.ttl, reply.header.raft_term

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
            lambda endpoint: history.watched(endpoint, prefix, max(since, 1), until, window)
        )

    async def replay(self, prefix: str, since: int, until: int, *, window: int) -> History:
        """As `history`, but revision by revision, so that it costs the same however long ago that
        was, and shows a key that came and went as well. What is not UTF-8 has backslashes.

        It may end before `window` revisions, but not before one: when half of the time for an
        answer is over, or when much was written. `until` must be a revision that there is.
        """
        end = uptime() + self._gateway.session.seconds / 2
        return await self._anywhere(
            lambda endpoint: replay.replayed(endpoint, prefix, max(since, 1), until, window, end)
        )

    async def oldest(self, prefix: str, start: int) -> int:
        """The oldest revision that compaction has left, where it has removed revision `start`.

        Raises as `read` does.
        """
        return await self._anywhere(
            lambda endpoint: history.oldest_revision(endpoint, prefix, start)
        )

    async def counts(self, prefix: str, revisions: Sequence[int]) -> list[int]:
        """How many keys there were below `prefix` at each of those revisions, together.

        etcd counts in its index, and reads no value. Raises as `read` does.
        """
        query = prefix_query(prefix) | {"count_only": True}
        return [reply.count for reply in await self._read_dated(_at_each(query, revisions))]

    async def names(
        self, prefix: str, below: str, revisions: Sequence[int]
    ) -> list[dict[str, int]]:
        """Which keys there were below `prefix` and `below` at each of those revisions, named
        without `prefix`, and when each was created. Raises as `read` does.
        """
        query = prefix_query(prefix + below) | {"keys_only": True}
        return [
            {name: pair.created for name, pair in without_prefix(prefix, key_values(reply)).items()}
            for reply in await self._read_dated(_at_each(query, revisions))
        ]

    async def values_at(self, keys: Sequence[tuple[str, int]]) -> list[KeyValue | None]:
        """What each of those keys held as of its own revision, with backslashes where it is not
        UTF-8. Raises as `read` does.
        """
        queries = [key_query(key) | at_revision(revision) for key, revision in keys]
        replies = await self._read_dated(queries)
        return [
            key_values(reply, ESCAPED).get(key)
            for reply, (key, _) in zip(replies, keys, strict=True)
        ]

    async def versions(self, key: str, at: int) -> tuple[KeyValue, ...]:
        """What a key held up to revision `at`, oldest first, since it was created, or since the
        last write that compaction has left. Raises as `read` does.
        """
        versions: list[KeyValue] = []
        revision = at
        while True:
            try:
                pair = (await self.read_together([], [key], revision)).keys.get(key)
            except Failure as failure:
                if versions and failure.error.code == "REVISION_COMPACTED":
                    break
                raise
            if pair is None:
                break
            versions.append(pair)
            if pair.created == pair.modified:
                break
            revision = pair.modified - 1
        return tuple(reversed(versions))

    async def value_since(self, key: str, pair: KeyValue) -> int:
        """The revision at which the present value of a key came to be there: others that it held
        before were overwritten in place. `pair`: the key as it is. Raises as `read` does.

        Of a value that was written again and again, at most the last WRITES are looked at, and none
        that compaction has removed.
        """
        for _ in range(WRITES):
            if pair.version == 1:
                break
            try:
                (before,) = await self.values_at([(key, pair.modified - 1)])
            except Failure as failure:
                if failure.error.code == "REVISION_COMPACTED":
                    break
                raise
            if before is None or before.value != pair.value:
                break
            pair = before
        return pair.modified

    async def _read_multiple(
        self,
        prefixes: Sequence[str],
        queries: Sequence[Query],
        keys: Sequence[str],
        at: int | None,
        errors: str,
    ) -> MultiRead:
        """One query for each prefix, and single keys."""
        together = [*queries, *map(key_query, keys)]
        newest, replies = await self._anywhere(
            lambda endpoint: ranges.read_at_one_revision(endpoint, together, at)
        )
        revision = newest if at is None else at
        pairs = [key_values(reply, errors) for reply in replies]
        return MultiRead(
            revision,
            tuple(
                Keyspace(prefix, revision, without_prefix(prefix, below))
                for prefix, below in zip(prefixes, pairs, strict=False)
            ),
            {name: pair for single in pairs[len(prefixes) :] for name, pair in single.items()},
        )

    async def _read_dated(self, queries: Sequence[Query]) -> Sequence[Range]:
        if not queries:
            return []
        return await self._anywhere(lambda endpoint: ranges.read_dated(endpoint, queries))

    async def _anywhere(self, read: Callable[[Endpoint], Coroutine[Any, Any, Result]]) -> Result:
        try:
            return await self._gateway.anywhere(read)
        except Refused as refusal:
            raise _failure(str(refusal)) from refusal


def _at_each(query: Query, revisions: Sequence[int]) -> list[Query]:
    return [{**query, **at_revision(revision)} for revision in revisions]


def _failure(message: str) -> Failure:
    """What etcd's refusal means; etcd gives a past and a future revision the same code."""
    if "has been compacted" in message:
        return Failure("REVISION_COMPACTED", message)
    if "is a future revision" in message:
        return Failure("FUTURE_REVISION", message)
    return Failure("STORE_REFUSED", message)
