"""GET /v1/snapshot: one consistent document, or an error (state model 10)."""

import asyncio
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from aeroctl.contract.base import API_VERSION, Model, Observation
from aeroctl.contract.checkpoints import NodeCheckpoint
from aeroctl.contract.envelope import ObservedAt, Snapshot, SnapshotEnvelope
from aeroctl.contract.mvcc import NodeMvcc
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.snapshots import NodeSnapshots
from aeroctl.contract.terms import MEASURED, SECTIONS, STORED, Section
from aeroctl.contract.wal import NodeWal
from aeroctl.kernel import measured, patroni, postgres
from aeroctl.kernel.epoch import epoch
from aeroctl.kernel.etcd import Etcd
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.keys import Kernel, parse
from aeroctl.kernel.measured import Answer

RE_READS = 3
READERS = 4
"""Documents that may ask the nodes at a time, one connection to each: no interference (P7-S2)."""

Answers = Mapping[str, Mapping[Section, Answer]]
Value = TypeVar("Value", bound=Model)


@dataclass(frozen=True, slots=True)
class Source:
    """Where one cluster's state is read. `seconds` bounds a whole answer."""

    store: Etcd
    namespace: str
    scope: str
    access: postgres.Access
    seconds: float
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))

    async def kernel(self, at: int | None = None) -> Kernel:
        """The keys of the consensus store, in one linearizable range read."""
        keyspace = await self.store.read(f"/{self.namespace}/{self.scope}/", at)
        if not keyspace.keys:
            raise Failure(
                404,
                "kernel_rejection",
                "CLUSTER_NOT_FOUND",
                f"the consensus store holds nothing below {keyspace.prefix}"
                f" at commit {keyspace.commit_id}",
            )
        return parse(self.scope, keyspace)


@dataclass(frozen=True, slots=True)
class Request:
    """Which sections, and as of which commit (None: now)."""

    sections: Sequence[Section]
    at: int | None


def request(parameters: Sequence[tuple[str, str]]) -> Request:
    """A request's query parameters. Raises Failure BAD_PARAMETER, SECTION_NOT_IN_HISTORY."""
    given = dict(parameters)
    if len(given) != len(parameters):
        raise _bad_parameter("a parameter is given twice")
    if unknown := sorted(given.keys() - {"include", "at"}):
        raise _bad_parameter(f"unknown parameter {unknown[0]!r}")
    at = _commit(given["at"]) if "at" in given else None
    if "include" not in given:
        return Request(SECTIONS if at is None else STORED, at)
    names = given["include"].split(",")
    for name in names:
        if name not in SECTIONS:
            raise _bad_parameter(f"unknown section {name!r}; known: {', '.join(SECTIONS)}")
        if at is not None and name in MEASURED:
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
    them, and the document is given out only if nothing that decides about authority has changed.
    Raises Failure, among others SNAPSHOT_UNSTABLE.
    """
    wanted = [section for section in asked.sections if section in MEASURED]
    unstable = False
    try:
        async with asyncio.timeout(source.seconds):
            kernel = await source.kernel(asked.at)
            for _ in range(1 + RE_READS):
                time = datetime.now(UTC)
                if not wanted:
                    return _envelope(kernel, asked, {}, time)
                async with source.turns:
                    answers = await postgres.ask(
                        patroni.nodes(kernel), wanted, source.access, kernel.system_id
                    )
                after = await source.kernel()
                if epoch(after) == epoch(kernel):
                    return _envelope(kernel, asked, answers, time)
                unstable, kernel = True, after
    except TimeoutError as error:
        if not unstable:
            message = f"the nodes could not be read within {source.seconds:g} seconds"
            raise Failure(503, "kernel_rejection", "KERNEL_BUSY", message) from error
    raise Failure(
        503,
        "kernel_rejection",
        "SNAPSHOT_UNSTABLE",
        "authority-relevant state kept changing while the nodes were read",
        invariants=["P7-F1"],
    )


def _envelope(kernel: Kernel, asked: Request, answers: Answers, time: datetime) -> SnapshotEnvelope:
    live = asked.at is None
    stored = patroni.notes(kernel)
    told = {(note.code, note.subject) for note in stored}
    missing = [note for note in measured.notes(answers) if (note.code, note.subject) not in told]
    return SnapshotEnvelope(
        api_version=API_VERSION,
        observed_at=ObservedAt(
            snapshot="live" if live else "explicit",
            commit_id=kernel.commit_id,
            epoch=epoch(kernel),
            time=time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if live else None,
            clock=f"aerokernel on {socket.gethostname()}" if live else None,
        ),
        data=_data(kernel, asked.sections, answers),
        notes=sorted(
            stored + missing, key=lambda note: (note.code, note.subject or "", note.message)
        ),
    )


def _data(kernel: Kernel, sections: Sequence[Section], answers: Answers) -> Snapshot:
    nodes = patroni.nodes(kernel)

    def observed(
        section: Section, kind: type[Observation[Value]], model: type[Value]
    ) -> list[Observation[Value]] | None:
        if section not in sections:
            return None
        return [
            measured.observation(kind, model, node, answers[node.name][section]) for node in nodes
        ]

    replication = observed("replication", Observation[NodeReplication], NodeReplication)
    return Snapshot(
        cluster=patroni.cluster(kernel) if "cluster" in sections else None,
        nodes=nodes if "nodes" in sections else None,
        promotion=patroni.promotion(kernel) if "promotion" in sections else None,
        replication=replication and [measured.name_streams(seen, nodes) for seen in replication],
        wal=observed("wal", Observation[NodeWal], NodeWal),
        mvcc=observed("mvcc", Observation[NodeMvcc], NodeMvcc),
        checkpoints=observed("checkpoints", Observation[NodeCheckpoint], NodeCheckpoint),
        snapshots=observed("snapshots", Observation[NodeSnapshots], NodeSnapshots),
    )


def _commit(value: str) -> int:
    if not re.fullmatch("[0-9]{1,16}", value) or not 0 < int(value) < 2**53:
        raise _bad_parameter(f"at is not a commit: {value!r}")
    return int(value)


def _bad_parameter(message: str) -> Failure:
    return Failure(400, "operator_input", "BAD_PARAMETER", message)
