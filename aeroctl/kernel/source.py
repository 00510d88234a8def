"""Where one cluster's state is read, and how it is read as one consistent state."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from aeroctl.contract import rfc3339
from aeroctl.contract.envelope import Note, ObservedAt
from aeroctl.contract.terms import Section
from aeroctl.kernel import clock
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.audit.ledger import Ledger
from aeroctl.kernel.decide.confirmation import TERM_SECONDS, Clock
from aeroctl.kernel.failures import Failure, busy
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.departed import departed
from aeroctl.kernel.patroni.digest import state_digest
from aeroctl.kernel.patroni.keys import ClusterKeys, Expected, parse
from aeroctl.kernel.postgres import observations, queries
from aeroctl.kernel.postgres.observations import Answer
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.kernel.store.keyspace import Keyspace

RE_READS = 3
"""How often the nodes are read again because the cluster's state changed meanwhile."""
READERS = 4
"""Answers that may read the nodes at a time, over one connection to each: readers must not disturb
the databases (P7-S2)."""
HISTORY_READERS = 2
"""Answers that may read the store's history at a time. They have a limit of their own, so that they
delay nobody who reads the present or asks for a change."""

Answers = Mapping[str, Mapping[Section, Answer]]
Beside = TypeVar("Beside")


@dataclass(frozen=True, slots=True)
class Source:
    """Where one cluster's state is read. `seconds` bounds a whole answer.

    `node_readers`: limits how many answers read the nodes at a time; `change_readers`: the same for
    what is about a change, which never waits for other readers; `history_readers`: the same for the
    store's history.

    `append_lock`: held while records are appended to the audit trail, first come first served. Of
    two writers in one server neither fails then; of two servers' the store lets one win.
    `term_seconds`: how long after its explanation a change can be confirmed.
    `unrecorded_refusals`: how many refusals of a caller were not recorded since one was
    (throttle.py). `expected`: what the configuration of this server says of the cluster's members.
    """

    store: Etcd
    namespace: str
    scope: str
    access: queries.Access
    seconds: float
    node_readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))
    change_readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))
    history_readers: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(HISTORY_READERS)
    )
    append_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    term_seconds: int = TERM_SECONDS
    unrecorded_refusals: dict[str, int] = field(default_factory=dict)
    expected: Expected = field(default_factory=Expected)

    async def keys(self, at: int | None = None) -> ClusterKeys:
        """The keys of the consensus store, in one linearizable range read."""
        return await self._parsed(await self.store.read(self.prefix, at))

    async def keys_and_ledger(
        self, request_id: str | None, token: str | None = None
    ) -> tuple[ClusterKeys, Ledger]:
        """Those keys, and what the kernel itself keeps, in one atomic view.

        `request_id`, `token`: the request, and the confirmation, that are asked about.
        """
        together = await self.store.read_together(
            [self.prefix], ledger.keys(self.scope, request_id, token)
        )
        keys = await self._parsed(together.keyspaces[0])
        return keys, ledger.parse(
            self.scope, request_id, together.keys, prefix=self.prefix, token=token
        )

    def clock(self) -> Clock:
        """By what a confirmation is judged now."""
        return Clock(datetime.now(UTC), self.term_seconds)

    async def with_departed(self, keys: ClusterKeys) -> ClusterKeys:
        """And the nodes whose entries are gone, out of the store's history."""
        return replace(keys, departed=await departed(self.store, self.prefix, keys))

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Whatever is read within has `seconds`. Raises Failure KERNEL_BUSY when they are over."""
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError as error:
            message = f"the store could not be read within {self.seconds:g} seconds"
            raise busy(message) from error

    @property
    def prefix(self) -> str:
        """Below which Patroni keeps this cluster's keys (dcs/__init__.py, AbstractDCS)."""
        return re.sub("/+", "/", f"/{self.namespace}/{self.scope}/")

    async def _parsed(self, keyspace: Keyspace) -> ClusterKeys:
        if not keyspace.keys:
            raise Failure(
                "CLUSTER_NOT_FOUND",
                f"the consensus store holds nothing below {keyspace.prefix}"
                f" at revision {keyspace.revision}",
            )
        keys = replace(parse(self.scope, keyspace), expected=self.expected)
        leader = keys.leader
        if leader is None or leader.version == 1:
            return keys
        # Patroni before 4 that wakes up late writes over the key in place.
        return replace(keys, since=await self.store.value_since(self.prefix + "leader", leader))


@dataclass(frozen=True, slots=True)
class Reading(Generic[Beside]):
    """One consistent state: what the store held, what was read `beside` it in the same view, and
    what the nodes answered. `time`: when the nodes were read.
    """

    keys: ClusterKeys
    beside: Beside
    answers: Answers
    time: datetime


async def read_with_nodes(
    source: Source,
    read: Callable[[], Awaitable[tuple[ClusterKeys, Beside]]],
    wanted: Sequence[Section],
    readers: asyncio.Semaphore | None = None,
) -> Reading[Beside]:
    """What `read` reads of the store, and the sections `wanted` that every node reports itself.

    Nodes can't be read at one instant together with the store. So the store is read before and
    after them, until its state digest is the same both times. `readers`: the limit that applies to
    reading the nodes, if not that of readers. Raises Failure, among others SNAPSHOT_UNSTABLE.
    """
    unstable = False
    try:
        async with asyncio.timeout(source.seconds):
            keys, beside = await read()
            for _ in range(1 + RE_READS):
                keys = await source.with_departed(keys)
                time = datetime.now(UTC)
                if not wanted:
                    return Reading(keys, beside, {}, time)
                async with readers or source.node_readers:
                    answers = await queries.ask(
                        sections.nodes(keys), wanted, source.access, keys.system_id
                    )
                after, beside_after = await read()
                if state_digest(after) == state_digest(keys):
                    return Reading(keys, beside, answers, time)
                unstable, keys, beside = True, after, beside_after
    except TimeoutError as error:
        if not unstable:
            message = f"the nodes could not be read within {source.seconds:g} seconds"
            raise busy(message) from error
    raise Failure(
        "SNAPSHOT_UNSTABLE",
        "the state that decides which node leads kept changing while the nodes were read",
    )


def observed(keys: ClusterKeys, at: int | None, time: datetime | None = None) -> ObservedAt:
    """Which state an answer shows: `keys` as of revision `at`, or (None) live at `time`."""
    return ObservedAt(
        kind="live" if at is None else "historical",
        revision=keys.revision,
        state_digest=state_digest(keys),
        time=rfc3339.render(time or datetime.now(UTC)) if at is None else None,
        clock=clock.name() if at is None else None,
    )


def notes(keys: ClusterKeys, answers: Answers) -> list[Note]:
    """What a reader must know of the store's keys and of nodes that did not answer."""
    stored = sections.notes(keys)
    noted = {(note.code, note.subject) for note in stored}
    missing = [
        note for note in observations.notes(answers) if (note.code, note.subject) not in noted
    ]
    return sorted(stored + missing, key=lambda note: (note.code, note.subject or "", note.message))
