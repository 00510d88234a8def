"""GET /v1/snapshot: one consistent document, or an error (state model 10)."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from aeroctl.contract.base import API_VERSION, Model, Observation
from aeroctl.contract.checkpoints import NodeCheckpoint
from aeroctl.contract.envelope import Note, ObservedAt, Snapshot, SnapshotEnvelope
from aeroctl.contract.mvcc import NodeMvcc
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.snapshots import NodeSnapshots
from aeroctl.contract.terms import NODE_SECTIONS, SECTIONS, STORED, Section
from aeroctl.contract.wal import NodeWal
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.audit.ledger import Ledger
from aeroctl.kernel.decide.confirmation import TERM_SECONDS, Clock
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.departed import departed
from aeroctl.kernel.patroni.digest import state_digest
from aeroctl.kernel.patroni.keys import Expected, Kernel, parse
from aeroctl.kernel.postgres import observations, queries
from aeroctl.kernel.postgres.observations import Answer
from aeroctl.kernel.server import parameters
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.kernel.store.keyspace import Keyspace

RE_READS = 3
READERS = 4
"""Documents that may ask the nodes at a time, one connection to each: no interference (P7-S2)."""
LOOKING_BACK = 2
"""Answers that may read the store's history at a time. Their turns are their own: who reads the
past does not hold up who asks for the present, or for a change.
"""

Answers = Mapping[str, Mapping[Section, Answer]]
Value = TypeVar("Value", bound=Model)
Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Source:
    """Where one cluster's state is read. `seconds` bounds a whole answer.

    `turns`: of readers to ask the nodes; `own`: of what is about a change, which waits for none of
    them.

    `pen`: held while records are appended to the trail, first come first served. Of two writers in
    one server neither fails then; of two servers' the store lets one win. `term_seconds`: how long
    after its explanation a change can be confirmed. `missed`: how many refusals of a caller were
    not recorded since one was (throttle.py). `expected`: what this server's operator says of the
    cluster's members.
    """

    store: Etcd
    namespace: str
    scope: str
    access: queries.Access
    seconds: float
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))
    own: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))
    past: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOOKING_BACK))
    pen: asyncio.Lock = field(default_factory=asyncio.Lock)
    term_seconds: int = TERM_SECONDS
    missed: dict[str, int] = field(default_factory=dict)
    expected: Expected = field(default_factory=Expected)

    async def kernel(self, at: int | None = None) -> Kernel:
        """The keys of the consensus store, in one linearizable range read."""
        return await self._parsed(await self.store.read(self.prefix, at))

    async def kernel_and_ledger(
        self, request_id: str | None, token: str | None = None
    ) -> tuple[Kernel, Ledger]:
        """Those keys, and what the kernel itself keeps, in one atomic view.

        `request_id`, `token`: the request, and the confirmation, that are asked about.
        """
        together = await self.store.read_together(
            [self.prefix], ledger.keys(self.scope, request_id, token)
        )
        kernel = await self._parsed(together.keyspaces[0])
        return kernel, ledger.parse(
            self.scope, request_id, together.keys, prefix=self.prefix, token=token
        )

    def clock(self) -> Clock:
        """By what a confirmation is judged now."""
        return Clock(datetime.now(UTC), self.term_seconds)

    async def with_departed(self, kernel: Kernel) -> Kernel:
        """And the nodes whose entries are gone, out of the store's history."""
        return replace(kernel, departed=await departed(self.store, self.prefix, kernel))

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Whatever is read within has `seconds`. Raises Failure KERNEL_BUSY when they are over."""
        try:
            async with asyncio.timeout(self.seconds):
                yield
        except TimeoutError as error:
            message = f"the store could not be read within {self.seconds:g} seconds"
            raise Failure(503, "kernel_rejection", "KERNEL_BUSY", message) from error

    @property
    def prefix(self) -> str:
        """Below which Patroni keeps this cluster's keys (dcs/__init__.py, AbstractDCS)."""
        return re.sub("/+", "/", f"/{self.namespace}/{self.scope}/")

    async def _parsed(self, keyspace: Keyspace) -> Kernel:
        if not keyspace.keys:
            raise Failure(
                404,
                "kernel_rejection",
                "CLUSTER_NOT_FOUND",
                f"the consensus store holds nothing below {keyspace.prefix}"
                f" at revision {keyspace.revision}",
            )
        kernel = replace(parse(self.scope, keyspace), expected=self.expected)
        leader = kernel.leader
        if leader is None or leader.version == 1:
            return kernel
        # Patroni before 4 that wakes up late writes over the key in place.
        return replace(kernel, since=await self.store.taken(self.prefix + "leader", leader))


@dataclass(frozen=True, slots=True)
class Measured(Generic[Read]):
    """One state of the store (and what was read `beside` it), and what the nodes answered in it.

    `time`: when the nodes were asked.
    """

    kernel: Kernel
    beside: Read
    answers: Answers
    time: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """Which sections, and as of which revision (None: now)."""

    sections: Sequence[Section]
    at: int | None


def request(pairs: Sequence[tuple[str, str]]) -> Request:
    """A request's query pairs. Raises Failure BAD_PARAMETER, SECTION_NOT_IN_HISTORY."""
    given = parameters.query(pairs, ["include", "at"])
    at = parameters.number(given, "at", 1, 2**53 - 1)
    if "include" not in given:
        return Request(SECTIONS if at is None else STORED, at)
    names = given["include"].split(",")
    for name in names:
        if name not in SECTIONS:
            raise parameters.bad_parameter(
                f"unknown section {name!r}; known: {', '.join(SECTIONS)}"
            )
        if at is not None and name in NODE_SECTIONS:
            raise Failure(
                409,
                "kernel_rejection",
                "SECTION_NOT_IN_HISTORY",
                f"history does not hold the section {name!r}: it is read from the nodes, now",
            )
    return Request([section for section in SECTIONS if section in names], at)


async def snapshot(source: Source, asked: Request) -> SnapshotEnvelope:
    """The sections that were asked for, all of one kernel state.

    Nodes can't be read at one instant together with the store, so the store is read again after
    them, and the document is given out only if nothing that decides who leads has changed.
    Raises Failure, among others SNAPSHOT_UNSTABLE.
    """
    wanted = [section for section in asked.sections if section in NODE_SECTIONS]

    async def read() -> tuple[Kernel, None]:
        return await source.kernel(asked.at), None

    return _envelope(asked, await measure(source, read, wanted))


async def measure(
    source: Source,
    read: Callable[[], Awaitable[tuple[Kernel, Read]]],
    wanted: Sequence[Section],
    turns: asyncio.Semaphore | None = None,
) -> Measured[Read]:
    """What `read` reads of the store, and the sections that every node answers itself.

    The store is read again after the nodes, until state that decides who leads was the same before
    and after. `turns`: to ask the nodes, where they are not a reader's. Raises Failure, among
    others SNAPSHOT_UNSTABLE.
    """
    unstable = False
    try:
        async with asyncio.timeout(source.seconds):
            kernel, beside = await read()
            for _ in range(1 + RE_READS):
                kernel = await source.with_departed(kernel)
                time = datetime.now(UTC)
                if not wanted:
                    return Measured(kernel, beside, {}, time)
                async with turns or source.turns:
                    answers = await queries.ask(
                        sections.nodes(kernel), wanted, source.access, kernel.system_id
                    )
                after, beside_after = await read()
                if state_digest(after) == state_digest(kernel):
                    return Measured(kernel, beside, answers, time)
                unstable, kernel, beside = True, after, beside_after
    except TimeoutError as error:
        if not unstable:
            message = f"the nodes could not be read within {source.seconds:g} seconds"
            raise Failure(503, "kernel_rejection", "KERNEL_BUSY", message) from error
    raise Failure(
        503,
        "kernel_rejection",
        "SNAPSHOT_UNSTABLE",
        "state that decides who leads kept changing while the nodes were read",
        invariants=["P7-F1"],
    )


def observed(kernel: Kernel, at: int | None, time: datetime | None = None) -> ObservedAt:
    """Which state an answer shows: `kernel` as of revision `at`, or (None) live at `time` or
    now.
    """
    return ObservedAt(
        kind="live" if at is None else "historical",
        revision=kernel.revision,
        state_digest=state_digest(kernel),
        time=rfc3339(time or datetime.now(UTC)) if at is None else None,
        clock=clock() if at is None else None,
    )


def clock() -> str:
    """Whose clock this server's times are read from."""
    return f"aerokernel on {socket.gethostname()}"


def rfc3339(time: datetime) -> str:
    """A time in UTC as the contract writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def notes(kernel: Kernel, answers: Answers) -> list[Note]:
    """What a reader must know of the store's keys and of nodes that did not answer."""
    stored = sections.notes(kernel)
    told = {(note.code, note.subject) for note in stored}
    missing = [
        note for note in observations.notes(answers) if (note.code, note.subject) not in told
    ]
    return sorted(stored + missing, key=lambda note: (note.code, note.subject or "", note.message))


def replication(kernel: Kernel, answers: Answers) -> list[Observation[NodeReplication]]:
    """The section `replication` out of every node's answer, by node name."""
    nodes = sections.nodes(kernel)
    kind = Observation[NodeReplication]
    return [
        observations.name_streams(
            observations.observation(
                kind, NodeReplication, node, answers[node.name]["replication"]
            ),
            nodes,
        )
        for node in nodes
    ]


def _envelope(asked: Request, seen: Measured[None]) -> SnapshotEnvelope:
    return SnapshotEnvelope(
        api_version=API_VERSION,
        observed_at=observed(seen.kernel, asked.at, seen.time),
        data=_data(seen.kernel, asked.sections, seen.answers),
        notes=notes(seen.kernel, seen.answers),
    )


def _data(kernel: Kernel, wanted: Sequence[Section], answers: Answers) -> Snapshot:
    nodes = sections.nodes(kernel)

    def section_of(
        section: Section, kind: type[Observation[Value]], model: type[Value]
    ) -> list[Observation[Value]] | None:
        if section not in wanted:
            return None
        return [
            observations.observation(kind, model, node, answers[node.name][section])
            for node in nodes
        ]

    return Snapshot(
        cluster=sections.cluster(kernel) if "cluster" in wanted else None,
        nodes=nodes if "nodes" in wanted else None,
        promotion=sections.promotion(kernel) if "promotion" in wanted else None,
        replication=replication(kernel, answers) if "replication" in wanted else None,
        wal=section_of("wal", Observation[NodeWal], NodeWal),
        mvcc=section_of("mvcc", Observation[NodeMvcc], NodeMvcc),
        checkpoints=section_of("checkpoints", Observation[NodeCheckpoint], NodeCheckpoint),
        snapshots=section_of("snapshots", Observation[NodeSnapshots], NodeSnapshots),
    )
