"""Histories of a made-up cluster, and a server that pages through them as a kernel would."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hypothesis import strategies as st

from aeroctl.contract.audit import AuditRecord, BrokenRecord
from aeroctl.contract.chain import NO_HASH, digest
from aeroctl.contract.cluster import Leader
from aeroctl.contract.events import Event, Logged, NodeStanding, Standing
from aeroctl.contract.standing import followed
from tests.support.answering import Received, answer
from tests.support.samples import document

IDS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(1, 4)]
NODES = ["n1", "n2", "n3"]
NOBODY = Standing(
    revision=0, leader=None, nodes=[], paused=False, pending=None, synchronous=None,
    system_id=None,
)  # fmt: skip


def event(revision: int, kind: Any, node: str | None = None, **changes: Any) -> Event:
    """An event; of index 0, exact, and of no known time unless `changes` says otherwise."""
    given = {
        "revision": revision, "index": 0, "kind": kind, "node": node, "subject": None,
        "before": None, "after": None, "since": None, "cause": None, "detail": None,
        "exact": True, "time": None, "clock": None, "not_before": None, "not_after": None,
    }  # fmt: skip
    return Event(**{**given, **changes})


def gap(first: int, last: int) -> Event:
    """What compaction leaves of these revisions."""
    return event(first, "gap", before=first, after=last)


def record(revision: int, kind: str, request: str = IDS[0], **changes: Any) -> dict[str, Any]:
    """An audit record before it has its place in the chain."""
    return {
        "kind": kind, "request_id": request, "time": "2026-11-23T10:00:00Z", "clock": "c",
        "cluster": "demo", "system_id": "7", "command": "request_promotion", "target": "n2",
        "identity": "ada", "authority": "operator",
        "client": {"user": None, "host": None, "version": None}, "reason": "drill",
        "state_digest": "e", "observed_revision": 1, "token_digest": None, "confirmation": None,
        "leader_before": None,
        "leader_after": None, "dispatch": None, "outcome": None, "code": None,
        "message": None, "engine_reply": None, "revision": revision, **changes,
    }  # fmt: skip


def chained(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records in their places."""
    found: list[dict[str, Any]] = []
    for sequence, each in enumerate(records, 1):
        before = found[-1]["hash"] if found else NO_HASH
        placed = {**each, "sequence": sequence, "previous_hash": before}
        found.append({**placed, "hash": digest(placed)})
    return found


@dataclass
class History:
    """What happened up to `revision`: to be asked for over HTTP, in pages."""

    events: list[Event] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    revision: int = 100
    base: Standing = NOBODY
    found: dict[int, Standing] = field(default_factory=dict)
    """What stood after the gap that ends at a revision, where it did more than nothing."""
    window: int = 5000
    limit: int = 100
    pins: list[Logged] = field(default_factory=list)
    broken: list[BrokenRecord] = field(default_factory=list)
    denied: bool = False
    """Whether the caller may not read the audit trail."""

    def __call__(self, request: Received) -> None:
        """Answer one request."""
        parts = urlsplit(request.path)
        asked = {name: int(value[0]) for name, value in parse_qs(parts.query).items()
                 if name in ("after", "at", "since")}  # fmt: skip
        at = asked.get("at", self.revision)
        if parts.path == "/v1/snapshot":
            answer(document(observed_at=observed(self.revision, live=True)))(request)
            return
        if parts.path == "/v1/audit" and self.denied:
            answer(refusal("NOT_AUTHORIZED", "observers don't read the audit trail"), 403)(request)
            return
        read = self.page if parts.path == "/v1/events" else self.audit
        data = read(asked["after"], at, asked.get("since", 0))
        live = "at" not in asked
        answer(envelope(data, at, live=live))(request)

    def page(self, after: int, at: int, _: int = 0) -> dict[str, Any]:
        """GET /v1/events."""
        end = min(after + self.window, at)
        gaps = [each for each in self.events if each.kind == "gap" and each.revision > after]
        if gaps and gaps[0].revision <= end:  # the standing after it, and whole
            last = gaps[0].after
            assert isinstance(last, int)
            base, end = self.standing(last), max(end, last)
        else:
            base = self.standing(after)
        events = [each.model_dump() for each in self.events if after < each.revision <= end]
        pins = [each.model_dump() for each in self.pins if after < each.revision <= end]
        following = end if end < at else None
        return {"base": base.model_dump(), "events": events, "pins": pins, "next": following}

    def standing(self, revision: int) -> Standing:
        """What stood at a revision."""
        known = max((last for last in self.found if last <= revision), default=0)
        steps = [
            each
            for each in self.events
            if known < each.revision <= revision and each.kind != "gap" and each.exact
        ]
        return followed(self.found.get(known, self.base), steps, revision)

    def audit(self, after: int, at: int, since: int) -> dict[str, Any]:
        """GET /v1/audit."""
        known = [each for each in self.records if each["revision"] <= at]
        left = [each for each in known if each["sequence"] > after and each["revision"] >= since]
        shown = left[: self.limit]
        head = known[-1] if known else {"sequence": 0, "hash": NO_HASH}
        return {
            "records": shown,
            "broken": [
                each.model_dump()
                for each in self.broken
                if (each.sequence is None or each.sequence > after) and since <= each.revision <= at
            ],
            "head": {"sequence": head["sequence"], "hash": head["hash"]},
            "next": shown[-1]["sequence"] if len(left) > len(shown) else None,
        }


def observed(revision: int, *, live: bool) -> dict[str, Any]:
    """Which state an answer shows."""
    told = ("2026-11-23T10:15:19Z", "here") if live else (None, None)
    return {
        "kind": "live" if live else "historical", "revision": revision, "state_digest": "e1",
        "time": told[0], "clock": told[1],
    }  # fmt: skip


def envelope(data: Any, revision: int, *, live: bool = False) -> bytes:
    """An answer."""
    seen = observed(revision, live=live)
    return json.dumps(
        {"api_version": "v1", "observed_at": seen, "data": data, "notes": []}
    ).encode()


def refusal(code: str, message: str, domain: str = "control_plane_validation") -> bytes:
    """An error."""
    error: dict[str, Any] = {
        "domain": domain, "code": code, "message": message, "invariants": [],
        "outcome": "not_executed", "request_id": None, "engine_reply": None,
    }  # fmt: skip
    return json.dumps({"error": error}).encode()


def parsed(records: Sequence[dict[str, Any]]) -> list[AuditRecord]:
    """Records as the adapter gives them."""
    return [AuditRecord.model_validate_json(json.dumps(each)) for each in records]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Any story of three nodes and three requests, with a gap where it pleases."""
    revision, events, records = 0, list[Event](), list[dict[str, Any]]()
    stands = NOBODY
    found: dict[int, Standing] = {}

    def happen(kind: Any, node: str | None = None, **changes: Any) -> None:
        nonlocal stands
        now = [each for each in events if each.revision == revision]
        there = [each.model_copy(update={"index": 0}) for each in now]
        new = event(revision, kind, node, **changes)
        if new in there:
            return  # a key has one value at a revision: nothing happens twice at one
        events.append(new.model_copy(update={"index": len(there)}))
        stands = followed(stands, events[-1:], revision)

    for step in draw(st.lists(st.sampled_from(
        ["join", "leave", "gain", "lose", "state", "pause", "record", "gap"]), max_size=14
    )):  # fmt: skip
        revision += draw(st.integers(0 if step != "gap" and events and events[-1].kind != "gap"
                                   else 1, 3))  # fmt: skip
        revision = max(revision, 1)
        about = draw(st.sampled_from(NODES))
        there = {each.name: each for each in stands.nodes}
        if step == "join" and about not in there:
            happen("member_joined", about)
        elif step == "leave" and about in there:
            happen("member_left", about, before=there[about].state, cause="lease_ended")
        elif step == "gain" and stands.leader is None:
            happen("leader_gained", about, since=revision)
        elif step == "lose" and stands.leader is not None:
            held: Leader = stands.leader
            happen("leader_lost", held.node, since=held.since, cause="released")
        elif step == "state" and about in there:
            happen("state_changed", about, before=there[about].state, after="running")
        elif step == "pause":
            happen("resumed" if stands.paused else "paused")
        elif step == "record":
            kind = draw(st.sampled_from(["requested", "dispatched", "outcome", "refused"]))
            records.append(record(revision, kind, draw(st.sampled_from(IDS)), target=about))
        elif step == "gap":
            last = revision + draw(st.integers(0, 3))
            events.append(gap(revision, last))
            revision = last
            nodes = [node(name) for name in sorted(draw(st.sets(st.sampled_from(NODES))))]
            holder = draw(st.sampled_from([None, *NODES]))
            leader = None if holder is None else Leader(node=holder, since=last)
            stands = found[last] = stands.model_copy(
                update={"nodes": nodes, "leader": leader, "revision": last}
            )
    revision += draw(st.integers(0, 2))
    records.sort(key=lambda each: each["revision"])
    return History(events, chained(records), max(revision, 1), found=found)


def node(name: str, **changes: Any) -> NodeStanding:
    """A registered node."""
    given = {"role": "replica", "state": "running", "replication_state": None, "timeline": 1}
    return NodeStanding(**{"name": name, **given, **changes})
