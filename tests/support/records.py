"""Audit records, and a ledger in a real etcd to write them to."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx

from aeroctl.contract.audit import Confirmed, Dispatch, Head, RecordFacts
from aeroctl.contract.cluster import Leader
from aeroctl.contract.requests import Client
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.postgres.queries import Access
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.kernel.store.requests import Put
from tests.support.etcd import Store
from tests.support.keyspaces import STORED, text

ID = "6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b"
Result = TypeVar("Result")

CONFIRMED = Confirmed(kind="standard", given="yes", acknowledged=[], accepts_responsibility=False)


def facts(kind: Any = "requested", request_id: str = ID, **changes: Any) -> RecordFacts:
    """What a record says; of a promotion of n1 while n3 holds the leader key."""
    values: dict[str, Any] = {
        "kind": kind,
        "request_id": request_id,
        "time": "2026-11-23T10:15:19.158000Z",
        "clock": "aerokernel on kernel.test",
        "cluster": "demo",
        "system_id": "7711333723011112335",
        "command": "request_promotion",
        "target": "n1",
        "identity": "alice",
        "authority": "operator",
        "client": Client(user="alice", host="laptop", version="0.1"),
        "reason": "a ü reason",
        "state_digest": "e" * 32,
        "observed_revision": 41,
        "token_digest": "d" * 64,
        "confirmation": None if kind == "requested" else CONFIRMED,
        "leader_before": Leader(node="n3", since=12),
        "leader_after": None,
        "dispatch": None,
        "outcome": None,
        "code": None,
        "message": None,
        "engine_reply": None,
    }
    return RecordFacts(**(values | changes))


def dispatched(before: Leader, failover_revision: int = 0, **changes: Any) -> list[RecordFacts]:
    """The three records that come before an execution."""
    dispatch = Dispatch(
        action='POST /switchover {"candidate":"n1","leader":"n3"}',
        receiver="n3",
        failover_revision=failover_revision,
        deadline_seconds=40,
    )
    changes = {"leader_before": before} | changes
    return [
        facts("requested", **changes),
        facts("confirmed", **changes),
        facts("dispatched", dispatch=dispatch, **changes),
    ]


class Kept:
    """One cluster's keys in a real etcd: the engine's, as the test writes them, and the ledger."""

    def __init__(self, store: Etcd, scope: str) -> None:
        self.store = store
        self.scope = scope
        self.source = Source(
            store=store,
            namespace="service",
            scope=scope,
            access=Access(None, None, "postgres", 1),
            seconds=5,
        )

    async def begin(self) -> Leader:
        """The engine's keys; returns who holds the leader key."""
        puts = [Put(self.source.prefix + key, text(value)) for key, value in STORED.items()]
        return Leader(node="n3", since=await self.store.transact([], puts) or 0)

    async def engine(self, key: str, value: Any) -> int:
        """The engine writes a key."""
        return await self.store.transact([], [Put(self.source.prefix + key, text(value))]) or 0

    async def append(self, *facts: RecordFacts, flying: int | None = None) -> int:
        """Records at the end of the trail, and the request's key; `flying`: in flight, a lease."""
        request_id = facts[0].request_id
        seen = await self.store.read_together([], ledger.keys(self.scope, request_id))
        kept = ledger.parse(self.scope, request_id, seen.keys, prefix=self.source.prefix)
        texts, head = ledger.chained(
            kept.head, [fact.model_copy(update={"cluster": self.scope}) for fact in facts]
        )
        first = kept.head.sequence + 1
        used = [*(kept.request or ()), *range(first, head.sequence + 1)]
        puts = [
            *(Put(ledger.audit_key(self.scope, first + n), text) for n, text in enumerate(texts)),
            Put(ledger.head_key(self.scope), ledger.head_value(head, prefix=self.source.prefix)),
            Put(ledger.request_key(self.scope, request_id), ledger.request_value(used)),
        ]
        if flying is not None:
            puts.append(Put(ledger.inflight_key(self.scope), request_id, flying))
        return await self.store.transact([], puts) or 0


def kept(store: Store, scope: str, work: Callable[[Kept], Awaitable[Result]]) -> Result:
    """Do `work` on a cluster of that name."""

    async def run() -> Result:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await work(Kept(Etcd(client, [store.url], seconds=5), scope))

    return asyncio.run(run())


def chain(texts: Sequence[str], revisions: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Stored records as a reader gets them."""
    dated = zip(texts, revisions or range(1, len(texts) + 1), strict=True)
    return [json.loads(text) | {"revision": revision} for text, revision in dated]


EMPTY = Head(sequence=0, hash="0" * 64)
