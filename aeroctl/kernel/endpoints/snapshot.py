"""GET /v1/snapshot: one consistent document, or an error (state model 10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from aeroctl.contract.base import API_VERSION, Model, Observation
from aeroctl.contract.checkpoints import NodeCheckpoint
from aeroctl.contract.envelope import Snapshot, SnapshotEnvelope
from aeroctl.contract.mvcc import NodeMvcc
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.snapshots import NodeSnapshots
from aeroctl.contract.terms import NODE_SECTIONS, SECTIONS, STORED, Section
from aeroctl.contract.wal import NodeWal
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.postgres import observations
from aeroctl.kernel.server import parameters
from aeroctl.kernel.source import Answers, Reading, Source, notes, observed, read_with_nodes

Value = TypeVar("Value", bound=Model)


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

    async def read() -> tuple[ClusterKeys, None]:
        return await source.keys(asked.at), None

    return _envelope(asked, await read_with_nodes(source, read, wanted))


def replication(keys: ClusterKeys, answers: Answers) -> list[Observation[NodeReplication]]:
    """The section `replication` out of every node's answer, by node name."""
    nodes = sections.nodes(keys)
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


def _envelope(asked: Request, reading: Reading[None]) -> SnapshotEnvelope:
    return SnapshotEnvelope(
        api_version=API_VERSION,
        observed_at=observed(reading.keys, asked.at, reading.time),
        data=_data(reading.keys, asked.sections, reading.answers),
        notes=notes(reading.keys, reading.answers),
    )


def _data(keys: ClusterKeys, wanted: Sequence[Section], answers: Answers) -> Snapshot:
    nodes = sections.nodes(keys)

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
        cluster=sections.cluster(keys) if "cluster" in wanted else None,
        nodes=nodes if "nodes" in wanted else None,
        promotion=sections.promotion(keys) if "promotion" in wanted else None,
        replication=replication(keys, answers) if "replication" in wanted else None,
        wal=section_of("wal", Observation[NodeWal], NodeWal),
        mvcc=section_of("mvcc", Observation[NodeMvcc], NodeMvcc),
        checkpoints=section_of("checkpoints", Observation[NodeCheckpoint], NodeCheckpoint),
        snapshots=section_of("snapshots", Observation[NodeSnapshots], NodeSnapshots),
    )
