"""GET /v1/snapshot: one consistent document, or an error (state model 10)."""

from collections.abc import Sequence
from typing import TypeVar

from aeroctl.contract.base import API_VERSION, Model, Observation
from aeroctl.contract.checkpoints import NodeCheckpoint
from aeroctl.contract.envelope import Snapshot, SnapshotEnvelope
from aeroctl.contract.mvcc import NodeMvcc
from aeroctl.contract.queries import SnapshotQuery
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.snapshots import NodeSnapshots
from aeroctl.contract.terms import NODE_SECTIONS, SECTIONS, STORED, Section
from aeroctl.contract.wal import NodeWal
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.postgres import observations
from aeroctl.kernel.source import Answers, Source, notes, observed, read_with_nodes

Value = TypeVar("Value", bound=Model)


def wanted_sections(query: SnapshotQuery) -> list[Section]:
    """The sections to answer with, in the contract's order. Raises Failure SECTION_NOT_IN_HISTORY.

    Without a choice: all; of history, those that the store holds.
    """
    if query.include is None:
        return list(SECTIONS if query.at is None else STORED)
    wanted = [section for section in SECTIONS if section in query.include]
    for section in wanted:
        if query.at is not None and section in NODE_SECTIONS:
            raise Failure(
                "SECTION_NOT_IN_HISTORY",
                f"the section {section!r} is read from the nodes as they are now: history does not "
                "hold it",
            )
    return wanted


async def snapshot(source: Source, wanted: Sequence[Section], at: int | None) -> SnapshotEnvelope:
    """The sections `wanted`, all of one state: as of revision `at`, or (None) now.

    Raises Failure, among others SNAPSHOT_UNSTABLE.
    """

    async def read() -> tuple[ClusterKeys, None]:
        return await source.keys(at), None

    from_nodes = [section for section in wanted if section in NODE_SECTIONS]
    reading = await read_with_nodes(source, read, from_nodes)
    return SnapshotEnvelope(
        api_version=API_VERSION,
        observed_at=observed(reading.keys, at, reading.time),
        data=_data(reading.keys, wanted, reading.answers),
        notes=notes(reading.keys, reading.answers),
    )


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
