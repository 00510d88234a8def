"""A whole incident, made up: a gap, a promotion that was asked for, a crash, a refusal, a pause."""

import json
from typing import Any

from aeroctl.contract.audit import AuditRecord, Head
from aeroctl.contract.base import Observation
from aeroctl.contract.chain import NO_HASH, Chain
from aeroctl.contract.cluster import Leader
from aeroctl.contract.envelope import SnapshotEnvelope
from aeroctl.contract.replication import NodeReplication, Receiver
from aeroctl.contract.terms import NODE_SECTIONS
from aeroctl.kernel.audit import ledger
from aeroctl.sources.collect import digest
from aeroctl.views import audit
from aeroctl.views.report import VerifiedTrail
from tests.factories.events import event, standing
from tests.support.records import facts
from tests.support.samples import ENVELOPE

FIRST, SECOND = (f"{digit * 8}-4a0c-4a8e-9d1c-3f4a7c1d2e5b" for digit in "12")


BASE = standing(812, ("n1", "n2", "n3"), "n1")
PATRONI = {"time": "2026-11-23T10:15:21.400Z", "clock": "Patroni on n2"}
EVENTS = [
    event(1, "gap", before=1, after=812),
    event(812, "timeline_ended", "n1", before=1, detail="at 0/404C800: no target", exact=False,
          time="2026-11-23T08:01:02Z", clock="Patroni on n1"),
    event(840, "configuration_changed", subject="ttl", before=30, after=20),
    event(851, "transfer_requested", "n2", after="n1 to n2"),
    event(853, "leader_lost", "n1", before="n1", since=46, cause="released"),
    event(854, "leader_gained", "n2", after="n2", since=854),
    event(855, "transfer_cleared", "n2", before="n1 to n2"),
    event(856, "role_changed", "n2", before="replica", after="primary"),
    event(858, "timeline_changed", "n2", before=2, after=3),
    event(858, "timeline_ended", "n2", index=1, before=2, detail="at 0/5000060: switchover",
          **PATRONI),
    event(861, "role_changed", "n1", before="primary", after="replica"),
    event(861, "state_changed", "n1", index=1, before="running", after="starting"),
    event(865, "state_changed", "n1", before="starting", after="running"),
    event(866, "replication_changed", "n1", before=None, after="streaming"),
    event(901, "leader_lost", "n2", before="n2", since=854, cause="lease_ended"),
    event(901, "member_left", "n2", index=1, before="running", cause="lease_ended"),
    event(903, "leader_gained", "n3", after="n3", since=903),
    event(904, "role_changed", "n3", before="replica", after="primary"),
    event(910, "paused"),
    event(915, "state_changed", "n1", before="running", after="crashed"),
    event(930, "synchronous_changed", before=None, after="n3: n1"),
]  # fmt: skip


def records() -> tuple[list[AuditRecord], Head, list[dict[str, Any]]]:
    """A trail whose chain holds: a promotion that was executed, and one that was refused."""
    n1, n2 = Leader(node="n1", since=46), Leader(node="n2", since=854)
    told: list[tuple[int, Any]] = [
        (850, facts("requested", FIRST, target="n2", leader_before=n1, reason="drill 7")),
        (850, facts("confirmed", FIRST, target="n2", leader_before=n1)),
        (850, facts("dispatched", FIRST, target="n2", leader_before=n1)),
        (860, facts("outcome", FIRST, target="n2", outcome="executed", leader_after=n2,
                    message="Successfully switched over to n2", time="2026-11-23T10:15:23.001Z")),
        (920, facts("refused", SECOND, target="n9", identity="mallory", code="UNKNOWN_NODE",
                    message="no node </script><b> \u202e here", confirmation=None)),
    ]  # fmt: skip
    texts, head = ledger.chained(Head(sequence=0, hash=NO_HASH), [fact for _, fact in told])
    raw = [
        {**json.loads(text), "revision": revision}
        for text, (revision, _) in zip(texts, told, strict=True)
    ]
    return [AuditRecord.model_validate_json(json.dumps(each)) for each in raw], head, raw


def checked() -> VerifiedTrail:
    """The trail, and what its chain proves."""
    found, head, raw = records()
    chain = Chain()
    chain.follow(raw)
    broken = chain.end(head.sequence, head.hash)
    verdict = audit.verification(len(raw), broken, f"{head.sequence}:{head.hash}")
    return VerifiedTrail(audit.AuditView(tuple(found), (), verdict), head)


def case() -> str:
    """All of it as a evidence file."""
    _, head, raw = records()
    taken = snapshot().model_dump()
    told = [each.model_dump() for each in EVENTS]
    content = {
        "api_version": "v1",
        "observed_at": taken["observed_at"],
        "data": {
            "snapshot": taken["data"],
            "events": {"base": BASE.model_dump(), "events": told, "pins": []},
            "audit": {"records": raw, "broken": [], "head": head.model_dump()},
        },
        "notes": taken["notes"],
    }
    return json.dumps({**content, "digest": digest(content)})


def account(node: str, upstream: str | None, *, writable: bool) -> Any:
    """What a node says of its replication."""
    receiver = None
    if upstream is not None:
        receiver = Receiver(
            status="streaming", upstream=upstream, host="127.0.0.1", port=5432, slot=node,
            timeline=4, flushed_lsn="0/5000060", last_message_at=None,
        )  # fmt: skip
    value = NodeReplication(
        system_id="7439000000000000001", in_recovery=not writable, writable=writable, timeline=4,
        lsn="0/5000060", received_lsn=None, replayed_lsn=None, replay_paused=False,
        last_replayed_at=None, receiver=receiver, senders=[],
    )  # fmt: skip
    return Observation[NodeReplication](node=node, value=value, unavailable=None)


def snapshot() -> SnapshotEnvelope:
    """How it ended: n3 holds the leader key, n1 follows it, n2 is gone."""
    taken = ENVELOPE.model_dump()
    (node,) = taken["data"]["nodes"]
    replica = {
        **node, "name": "n1", "is_leader": False, "role": "replica",
        "replication_state": "streaming", "replayed_lsn": "0/5000000", "timeline": 4,
    }  # fmt: skip
    gone = {
        **replica, "name": "n2", "registered": False, "role": "unknown", "timeline": None,
        "timeline_status": "unknown", "state": None, "replication_state": None,
    }  # fmt: skip
    held = {"node": "n3", "since": 903}
    silent = taken["data"]["wal"][0]
    names = ("n1", "n2", "n3")
    data = {
        **taken["data"],
        "nodes": [replica, gone, {**node, "name": "n3", "timeline": 4}],
        "cluster": {**taken["data"]["cluster"], "leader": held, "paused": True},
        "promotion": {**taken["data"]["promotion"], "leader": held},
        **{name: [{**silent, "node": node} for node in names] for name in NODE_SECTIONS},
        "replication": [
            account("n1", "n3", writable=False).model_dump(),
            {**silent, "node": "n2"},
            account("n3", None, writable=True).model_dump(),
        ],
    }
    note = {"code": "NODE_TIMEOUT", "subject": "n2", "message": "no answer within 3 seconds"}
    observed = {**taken["observed_at"], "revision": 931}
    whole = {**taken, "observed_at": observed, "data": data, "notes": [note]}
    return SnapshotEnvelope.model_validate_json(json.dumps(whole))
