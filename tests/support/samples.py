"""Small valid documents, for tests of the wire and of refusals."""

import json
from typing import Any

from aeroctl.contract import consent
from aeroctl.contract.base import Observation, Unavailable
from aeroctl.contract.checkpoints import NodeCheckpoint
from aeroctl.contract.cluster import Cluster, Leader, Synchronous
from aeroctl.contract.commands import COMMANDS, INVARIANTS, CommandName
from aeroctl.contract.envelope import ObservedAt, Snapshot, SnapshotEnvelope
from aeroctl.contract.explanation import (
    Affected,
    Explanation,
    Inputs,
    ObservedSnapshot,
    Override,
)
from aeroctl.contract.mvcc import NodeMvcc
from aeroctl.contract.nodes import Node
from aeroctl.contract.promotion import Promotion
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.rules import Fact, Rule
from aeroctl.contract.snapshots import NodeSnapshots
from aeroctl.contract.wal import NodeWal

NODE = Node(
    name="n1",
    registered=True,
    known_from=["member_key"],
    last_entry=None,
    retired=False,
    shares_address_with=[],
    is_leader=True,
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
AUTHORITY = Leader(node="n1", since=46)
ENVELOPE = SnapshotEnvelope(
    api_version="v1",
    observed_at=ObservedAt(
        kind="live", revision=57, state_digest="e1", time="2026-11-23T10:15:19Z", clock="here"
    ),
    data=Snapshot(
        cluster=Cluster(
            name="demo",
            system_id="7439000000000000001",
            leader=AUTHORITY,
            paused=False,
            standby_cluster=False,
            lease_ttl_seconds=20,
            maximum_lag_bytes=1048576,
            leader_lsn="0/5000060",
            synchronous=Synchronous(
                mode="off", strict=False, leader=None, standbys=[], quorum=None
            ),
            expected_members=[],
            expected_member_count=None,
        ),
        nodes=[NODE],
        promotion=Promotion(state="Steady", leader=AUTHORITY, pending=None, history=[]),
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


EPOCH = "b5b5b3f2077b65ab7934ac0f276a6e11"
SYSTEM_ID = "77"


def token_of(command: CommandName) -> str:
    """The token of the explanation of that command on `n2`."""
    about = consent.Confirmable(command, "n2", "demo", SYSTEM_ID, EPOCH, 0)
    return consent.token(about, 1795515319158, 300, b"8 bytes.")


TOKEN = token_of("request_promotion")


def explanation(command: CommandName = "request_promotion", **changes: Any) -> bytes:
    """An explanation of a command on `n2`; every rule holds unless `changes` says otherwise."""
    override = command == "force_promotion"
    data = Explanation(
        explanation_type=command,
        observed_snapshot=ObservedSnapshot(revision=21, state_digest=EPOCH, failover_revision=0),
        inputs=Inputs(command=command, target="n2", cluster="demo", system_id=SYSTEM_ID),
        action=COMMANDS[command].action,
        confirmation=COMMANDS[command].confirmation,
        leader=Leader(node="n1", since=14),
        rules_applied=[
            Rule(
                rule_id="nothing_in_flight",
                description="no other request is being carried out",
                evaluation="holds",
                enforced_by="kernel",
                invariants=["P7-E1"],
                evidence=[Fact(name="in_flight", value=None)],
            )
        ],
        conclusion="all_rules_hold",
        affected=[Affected(node="n1", effect="loses the leader key")],
        irreversible=["a new timeline begins"],
        overrides=[
            Override(invariant=each, description=INVARIANTS[each], reason="it is not checked")
            for each in ("P6-S1", "P6-S2")
            if override
        ],
        successors=None,
        cost=None,
        deadline_seconds=30,
        confirmation_term_seconds=300,
        confirmation_expires_at="2026-11-24T10:20:19.158000Z",
        confirmation_token=token_of(command),
    )
    shown = data.model_dump() | changes
    body = {"api_version": "v1", "observed_at": OBSERVED, "data": shown, "notes": []}
    return json.dumps(body).encode()


def status(request_id: str, outcome: str = "executed", **changes: Any) -> bytes:
    """The answer to a command."""
    data = {
        "request_id": request_id, "recorded": True, "command": "request_promotion",
        "target": "n2", "outcome": outcome, "final": True, "code": None, "message": None,
        "engine_reply": None, "leader_before": None, "leader_after": None,
        "revisions": {"requested": 22, "dispatched": 22, "outcome": 30}, "evidence": [],
        "diagnostics": None, **changes,
    }  # fmt: skip
    body = {"api_version": "v1", "observed_at": OBSERVED, "data": data, "notes": []}
    return json.dumps(body).encode()


OBSERVED = {"kind": "live", "revision": 21, "state_digest": EPOCH, "time": None, "clock": None}
