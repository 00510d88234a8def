"""Range reads at one endpoint: of a prefix or a key, now or at a revision, one or many together."""

from collections.abc import Mapping, Sequence

from aeroctl.kernel.failures import unreadable
from aeroctl.kernel.store.endpoint import Endpoint, survives_cancelled_reads
from aeroctl.kernel.store.keyspace import Keyspace, KeyValue
from aeroctl.kernel.store.replies import KeyValuePair, Range, RangeReply, ReadReply, misunderstood
from aeroctl.kernel.store.requests import Query, at_revision, prefix_query

ESCAPED = "backslashreplace"
"""How bytes that are not UTF-8 are decoded where one value must not hide the rest."""


def key_values(reply: Range, errors: str = "strict") -> dict[str, KeyValue]:
    """A range's keys by their whole names. `errors`: of values that are not UTF-8."""
    pairs = ((key_name(pair["key"]), pair) for pair in reply.kvs)
    return {name: key_value(name, pair, errors) for name, pair in pairs}


def key_value(name: str, pair: KeyValuePair, errors: str = "strict") -> KeyValue:
    """Raises Failure KERNEL_STATE_UNREADABLE for a value that is not UTF-8."""
    try:
        value = pair.get("value", b"").decode(errors=errors)
    except UnicodeDecodeError as error:
        raise unreadable(name, "not UTF-8") from error
    return KeyValue(
        value,
        created=pair["create_revision"],
        modified=pair["mod_revision"],
        lease=pair.get("lease", 0),
        version=pair.get("version", 1),
    )


def key_name(key: bytes) -> str:
    """A key's whole name."""
    return key.decode(errors=ESCAPED)


def without_prefix(prefix: str, pairs: Mapping[str, KeyValue]) -> dict[str, KeyValue]:
    """Named as in a keyspace."""
    return {name.removeprefix(prefix): pair for name, pair in pairs.items()}


async def read_prefix(
    endpoint: Endpoint, prefix: str, at: int | None, errors: str = "strict"
) -> Keyspace:
    """Every key below `prefix` in one linearizable range read."""
    query = prefix_query(prefix) | at_revision(at)
    reply = await endpoint.post("/v3/kv/range", query, RangeReply)
    revision = reply.header.revision if at is None else at
    return Keyspace(prefix, revision, without_prefix(prefix, key_values(reply, errors)))


async def read_at_one_revision(
    endpoint: Endpoint, queries: Sequence[Query], at: int | None
) -> tuple[int, Sequence[Range]]:
    """Several ranges, all of one revision, and the newest revision."""
    if not queries or survives_cancelled_reads(await endpoint.version()):
        return await _in_a_transaction(endpoint, queries, at)
    return await _one_by_one(endpoint, queries, at)


async def read_dated(endpoint: Endpoint, queries: Sequence[Query]) -> Sequence[Range]:
    """Ranges that each name their revision, so that they need not be one transaction."""
    if survives_cancelled_reads(await endpoint.version()):
        return (await _in_a_transaction(endpoint, queries, None))[1]
    return await endpoint.post_all("/v3/kv/range", queries, RangeReply)


async def _in_a_transaction(
    endpoint: Endpoint, queries: Sequence[Query], at: int | None
) -> tuple[int, list[Range]]:
    body = {"success": [{"request_range": {**query, **at_revision(at)}} for query in queries]}
    reply = await endpoint.post("/v3/kv/txn", body, ReadReply)
    if len(reply.responses) != len(queries):
        raise misunderstood(ReadReply, ("responses",), "not one for each range")
    return reply.header.revision, [response.response_range for response in reply.responses]


async def _one_by_one(
    endpoint: Endpoint, queries: Sequence[Query], at: int | None
) -> tuple[int, list[Range]]:
    """A request for each range, all of the revision of the first.

    What the first one has shown is there; the others need not be linearizable.
    """
    first = await endpoint.post("/v3/kv/range", {**queries[0], **at_revision(at)}, RangeReply)
    newest = first.header.revision
    dated = at_revision(newest if at is None else at) | {"serializable": True}
    others = [{**query, **dated} for query in queries[1:]]
    replies = await endpoint.post_all("/v3/kv/range", others, RangeReply) if others else []
    return newest, [first, *replies]
