"""What every answer is wrapped in, and the snapshot that goes inside."""

from typing import Generic, Literal, TypeVar

from pydantic import Field, model_validator

from aeroctl.contract.base import Model, Observation, Revision, Time
from aeroctl.contract.checkpoints import NodeCheckpoint
from aeroctl.contract.checks import consistent
from aeroctl.contract.cluster import Cluster
from aeroctl.contract.mvcc import NodeMvcc
from aeroctl.contract.nodes import Node
from aeroctl.contract.promotion import Promotion
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.snapshots import NodeSnapshots
from aeroctl.contract.wal import NodeWal


class ObservedAt(Model):
    """Which kernel state an answer shows (state model 10)."""

    kind: Literal["live", "historical"]
    revision: Revision
    state_digest: str = Field(
        description="Opaque. Equal exactly when the state that decides which node leads is equal: "
        "leader and since when, members with role and timeline, pending failover, synchronous "
        "set, pause, and whether the whole cluster follows another."
    )
    time: Time | None = Field(description="null for an explicit snapshot: history keeps no clock.")
    clock: str | None = Field(description="Whose clock `time` is.")


class Note(Model):
    """Something about the answer that a reader must know, such as a node that did not reply."""

    code: str
    subject: str | None = Field(description="The node it is about, if it is about one.")
    message: str


class Snapshot(Model):
    """One consistent document. A section that was not asked for is null; lists go by node name."""

    cluster: Cluster | None
    nodes: list[Node] | None
    promotion: Promotion | None
    replication: list[Observation[NodeReplication]] | None
    wal: list[Observation[NodeWal]] | None
    mvcc: list[Observation[NodeMvcc]] | None
    checkpoints: list[Observation[NodeCheckpoint]] | None
    snapshots: list[Observation[NodeSnapshots]] | None

    _check = model_validator(mode="after")(consistent)


Data = TypeVar("Data")


class Envelope(Model, Generic[Data]):
    """`data` is what was asked for, `observed_at` which state it shows."""

    api_version: Literal["v1"]
    observed_at: ObservedAt
    data: Data
    notes: list[Note]


class SnapshotEnvelope(Envelope[Snapshot]):
    """The answer to GET /v1/snapshot."""


class Health(Model):
    """The server process, not the cluster."""

    status: Literal["ok"]
    version: str


class Ready(Model):
    """The consensus store can be read; what an operator should know of it is in the notes."""

    status: Literal["ready"]
    store_version: str | None = Field(description="As etcd reports it.")
    notes: list[Note]
