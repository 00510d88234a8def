"""Small valid documents, for tests of the wire and of refusals."""

import json
from typing import Any

from aeroctl.contract.base import Observation, Unavailable
from aeroctl.contract.checkpoints import NodeCheckpoint
from aeroctl.contract.cluster import Authority, Cluster, Synchronous
from aeroctl.contract.envelope import ObservedAt, Snapshot, SnapshotEnvelope
from aeroctl.contract.mvcc import NodeMvcc
from aeroctl.contract.nodes import Node
from aeroctl.contract.promotion import Promotion
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.snapshots import NodeSnapshots
from aeroctl.contract.wal import NodeWal

NODE = Node(
    name="n1",
    registered=True,
    holds_authority=True,
    role="primary",
    state="running",
    replication_state=None,
    timeline=1,
    timeline_status="current",
    lsn="0/5000060",
    received_lsn=None,
    replayed_lsn=None,
    host="127.0.0.1",
    port=5432,
    agent_version="4.1.5",
    no_failover=False,
    replicate_from=None,
    pending_restart=False,
    paused=False,
    tags={},
)
SILENT: Any = {
    "node": "n1",
    "value": None,
    "unavailable": Unavailable(code="NODE_TIMEOUT", message="no answer within 3 seconds"),
}
AUTHORITY = Authority(node="n1", reign=46)
ENVELOPE = SnapshotEnvelope(
    api_version="v1",
    observed_at=ObservedAt(
        snapshot="live", commit_id=57, epoch="e1", time="2026-11-23T10:15:19Z", clock="here"
    ),
    data=Snapshot(
        cluster=Cluster(
            name="demo",
            system_id="7439000000000000001",
            authority=AUTHORITY,
            paused=False,
            standby_cluster=False,
            lease_ttl_seconds=20,
            maximum_lag_bytes=1048576,
            leader_lsn="0/5000060",
            synchronous=Synchronous(
                mode="off", strict=False, leader=None, standbys=[], quorum=None
            ),
        ),
        nodes=[NODE],
        promotion=Promotion(state="Steady", authority=AUTHORITY, pending=None, history=[]),
        replication=[Observation[NodeReplication](**SILENT)],
        wal=[Observation[NodeWal](**SILENT)],
        mvcc=[Observation[NodeMvcc](**SILENT)],
        checkpoints=[Observation[NodeCheckpoint](**SILENT)],
        snapshots=[Observation[NodeSnapshots](**SILENT)],
    ),
    notes=[],
)


def document(**changes: Any) -> bytes:
    """The envelope as the kernel would send it, with parts of it replaced."""
    return json.dumps({**ENVELOPE.model_dump(), **changes}).encode()
