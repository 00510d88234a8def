"""evidence files: what a file holds is what the kernel said, and nothing else passes for one."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from aeroctl.contract.chain import NO_HASH
from aeroctl.contract.moments import Ago, Time
from aeroctl.contract.terms import NODE_SECTIONS
from aeroctl.errors import Failure
from aeroctl.sources import source
from aeroctl.sources.collect import digest
from aeroctl.sources.evidence_file import parsed
from aeroctl.workflows import timeline
from tests.support import stories
from tests.support.answering import Handler, Received, answer, answering
from tests.support.harness import run
from tests.support.samples import document
from tests.support.stories import History, chained, record

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])

STANDING: dict[str, Any] = {
    "revision": 1, "leader": None, "nodes": [], "paused": False, "pending": None,
    "synchronous": None, "system_id": None,
}  # fmt: skip


def event(revision: int, kind: str, **given: object) -> dict[str, Any]:
    """An event as JSON values."""
    empty: dict[str, Any] = dict.fromkeys(
        (
            "node", "subject", "before", "after", "since", "cause", "detail", "time", "clock",
            "not_before", "not_after",
        )
    )  # fmt: skip
    return {"revision": revision, "index": 0, "kind": kind, **empty, "exact": True, **given}


EVENTS = [
    event(5, "member_joined", node="n1"),
    event(5, "role_changed", node="n1", after="replica", index=1),
    event(46, "leader_gained", node="n1", after="n1", since=46),
    event(47, "role_changed", node="n1", before="replica", after="primary"),
    event(50, "timeline_ended", node="n1", before=1, time="2026-11-23T10:15:00Z", clock="P"),
]


PINS = [
    {"revision": revision, "reached": reached, "time": f"2026-11-23T10:{time}Z", "clock": "k",
     "source": "clock"}
    for revision, reached, time in ((3, 2, "14:00"), (48, 47, "15:05"), (51, 50, "15:15"))
]  # fmt: skip


def kernel(*, audit: bytes | None = None) -> Handler:
    """A server that says what a kernel said."""
    snapshot = json.loads(document())

    def handle(request: Received) -> None:
        path, _, query = request.path.partition("?")
        seen = dict(snapshot["observed_at"])
        if "at=" in query:
            seen |= {"kind": "historical", "time": None, "clock": None}
        body = {**snapshot, "observed_at": seen, "notes": []}
        if path == "/v1/events":
            body["data"] = {"base": STANDING, "events": EVENTS, "pins": PINS, "next": None}
        elif path == "/v1/audit":
            if audit is not None:
                answer(audit, 403)(request)
                return
            head = {"sequence": 0, "hash": NO_HASH}
            body["data"] = {"records": [], "broken": [], "head": head, "next": None}
        else:
            body["notes"] = snapshot["notes"]
        answer(json.dumps(body).encode())(request)

    return handle


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A evidence file."""
    with answering(kernel()) as served:
        taken = run("snapshot", "--full", "--kernel", served.url)
    assert taken.code == 0, taken.err
    path = tmp_path / "case.json"
    path.write_text(taken.out)
    return path


VIEWS = ("inspect cluster", "inspect nodes", "inspect node n1", "inspect promotion",
         "inspect replication", "inspect wal", "inspect mvcc", "inspect snapshots", "health",
         "snapshot --include nodes", "audit --verify")  # fmt: skip


@pytest.mark.parametrize("form", ["json", "jsonl", "table"])
@pytest.mark.parametrize("command", VIEWS)
def test_a_file_shows_what_the_kernel_showed(case: Path, command: str, form: str) -> None:
    with answering(kernel()) as served:
        live = run(*command.split(), "-o", form, "--kernel", served.url)
    again = run(*command.split(), "-o", form, "--from", str(case))
    assert (again.code, again.err) == (live.code, live.err)
    if not command.startswith("snapshot"):  # this server doesn't leave sections out
        assert again.out == live.out


def test_it_reads_standard_input(case: Path) -> None:
    piped = run("inspect", "nodes", "--from", "-", typed=case.read_text())
    assert piped.out == run("inspect", "nodes", "--from", str(case)).out != ""


def test_a_reformatted_file_is_the_same_file(case: Path) -> None:
    body = json.dumps(json.loads(case.read_text()), indent=7, sort_keys=True).encode()
    assert parsed(body, "it").revision == 57


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_a_shell_makes_of_a_file_is_the_same_file(case: Path, encoding: str) -> None:
    plain = run("inspect", "nodes", "--from", str(case)).out
    case.write_bytes(case.read_text().replace("\n", "\r\n").encode(encoding))
    assert run("inspect", "nodes", "--from", str(case)).out == plain != ""


def test_a_case_of_a_case_is_that_case(case: Path) -> None:
    assert run("snapshot", "--full", "--from", str(case)).out == case.read_text()


def test_a_plain_snapshot_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "plain.json"
    path.write_bytes(document())
    assert run("inspect", "nodes", "--from", str(path)).code == 0
    refused = run("audit", "--from", str(path), "-o", "json")
    assert (refused.code, refused.error["code"]) == (7, "NOT_IN_EVIDENCE")


def _cut(case: dict[str, Any]) -> bytes:
    return json.dumps(case).encode()[:-20]


def _altered(case: dict[str, Any]) -> bytes:
    case["data"]["events"]["events"][0]["node"] = "n2"
    return json.dumps(case).encode()


def _undigested(case: dict[str, Any]) -> bytes:
    del case["digest"]
    return json.dumps(case).encode()


def _newer(case: dict[str, Any]) -> bytes:
    return json.dumps({**case, "api_version": "v2"}).encode()


def _senseless(case: dict[str, Any]) -> bytes:
    case["data"]["events"]["events"][0]["kind"] = "hearsay"
    return json.dumps({**case, "digest": digest(case)}).encode()


def _partless(case: dict[str, Any]) -> bytes:
    del case["data"]["events"]
    return json.dumps({**case, "digest": digest(case)}).encode()


def _with(content: dict[str, Any], *events: dict[str, Any]) -> bytes:
    """A case with events that don't fit, and the digest that belongs to it."""
    content["data"]["events"]["events"] += events
    return json.dumps({**content, "digest": digest(content)}).encode()


def _late_record(content: dict[str, Any]) -> bytes:
    content["data"]["audit"]["records"] = chained([record(10**6, "requested")])
    return _with(content)


def _nested(depth: int) -> Any:
    inner = "[" * depth + "]" * depth
    return lambda _: f'{{"api_version": "v1", "data": {{"snapshot": {inner}}}}}'.encode()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda case: _with(case, event(40, "paused")), "EVIDENCE_DAMAGED"),  # out of order
        (lambda case: _with(case, event(58, "paused")), "EVIDENCE_DAMAGED"),  # later than the case
        (lambda case: _with(case, event(52, "role_changed", node="n9")), "EVIDENCE_DAMAGED"),
        (lambda case: _with(case, event(52, "gap", before=52, after=54)), "EVIDENCE_DAMAGED"),
        (_late_record, "EVIDENCE_DAMAGED"),
        (_nested(978), "EVIDENCE_DAMAGED"),
        (_nested(300), "EVIDENCE_DAMAGED"),
        (lambda _: b'{"data": NaN}', "EVIDENCE_DAMAGED"),
        (lambda _: b'{"data": %s}' % (b"9" * 5000), "EVIDENCE_DAMAGED"),
        (_cut, "EVIDENCE_DAMAGED"),
        (_altered, "EVIDENCE_DAMAGED"),
        (_undigested, "EVIDENCE_DAMAGED"),
        (_senseless, "EVIDENCE_DAMAGED"),
        (_partless, "EVIDENCE_DAMAGED"),
        (_newer, "UNKNOWN_API_VERSION"),
        (lambda _: b"", "EVIDENCE_DAMAGED"),
        (lambda _: b"[]", "EVIDENCE_DAMAGED"),
        (lambda _: b'{"data": 1}', "EVIDENCE_DAMAGED"),
        (lambda _: b"[" * 100_000, "EVIDENCE_DAMAGED"),
        (lambda _: b"\xff\xfe", "EVIDENCE_DAMAGED"),
        (lambda _: b'{"api_version": "v1", "data": {}}', "EVIDENCE_DAMAGED"),
    ],
)
@pytest.mark.parametrize("command", ["inspect nodes", "audit", "snapshot"])
def test_a_damaged_or_newer_file_is_refused(
    case: Path, damage: Any, code: str, command: str
) -> None:
    case.write_bytes(damage(json.loads(case.read_text())))
    refused = run(*command.split(), "--from", str(case), "-o", "json")
    assert (refused.code, refused.error["code"]) == (7, code)


def test_a_file_that_is_not_there() -> None:
    refused = run("health", "--from", "/nonexistent/evidence.json", "-o", "json")
    assert (refused.code, refused.error["code"]) == (2, "EVIDENCE_UNREADABLE")


def test_it_holds_one_revision_and_no_other(case: Path) -> None:
    assert run("inspect", "nodes", "--from", str(case), "--at", "57").code == 0
    refused = run("inspect", "nodes", "--from", str(case), "--at", "56", "-o", "json")
    assert (refused.code, refused.error["code"]) == (7, "NOT_IN_EVIDENCE")
    # As of a revision there is no section of what only nodes can tell, also where the file has one.
    refused = run("inspect", "wal", "--from", str(case), "--at", "57", "-o", "json")
    assert (refused.code, refused.error["code"]) == (7, "NOT_IN_EVIDENCE")


def test_whoever_may_not_read_the_trail_gets_a_case_that_says_so(tmp_path: Path) -> None:
    error = {
        "domain": "control_plane_validation", "code": "NOT_AUTHORIZED", "message": "eve: no",
        "invariants": ["P7-A1"], "outcome": "not_executed", "request_id": None,
    }  # fmt: skip
    with answering(kernel(audit=json.dumps({"error": error}).encode())) as served:
        taken = run("snapshot", "--full", "--kernel", served.url)
    assert taken.json["data"]["audit"] is None
    assert ("AUDIT_NOT_SHOWN", "eve: no") in {
        (note["code"], note["message"]) for note in taken.json["notes"]
    }
    path = tmp_path / "case.json"
    path.write_text(taken.out)
    refused = run("audit", "--from", str(path), "-o", "json")
    assert (refused.code, refused.error["code"]) == (3, "NOT_AUTHORIZED")
    assert refused.error["message"] == "eve: no"


def test_events_go_on_from_a_revision_in_the_middle(case: Path) -> None:
    held = parsed(case.read_bytes(), "case")
    answered, page = held.events(46, None)
    assert [each["revision"] for each in page["events"]] == [47, 50]
    base = answered.data.base
    assert (base.revision, base.leader and base.leader.node) == (46, "n1")
    assert [(node.name, node.role) for node in base.nodes] == [("n1", "replica")]
    with pytest.raises(Failure, match="FUTURE_REVISION"):
        held.events(58, None)


def test_a_gap_begins_where_its_reader_begins(case: Path) -> None:
    content = json.loads(case.read_text())
    gap = event(1, "gap", before=1, after=20)
    content["data"]["events"]["events"][:2] = [gap]
    node = dict.fromkeys(("role", "state", "replication_state", "timeline"))
    content["data"]["events"]["base"] |= {"revision": 20, "nodes": [{"name": "n1", **node}]}
    held = parsed(json.dumps({**content, "digest": digest(content)}).encode(), "case")
    first = held.events(10, None)[1]["events"][0]
    assert (first["kind"], first["revision"], first["before"], first["after"]) == (
        "gap", 11, 11, 20,
    )  # fmt: skip
    assert held.events(20, None)[1]["events"][0]["revision"] == 46


def test_a_time_is_pinned_by_the_logs_that_the_file_holds(case: Path) -> None:
    held = parsed(case.read_bytes(), "case")

    def edges(text: str) -> tuple[int, int]:
        pin = held.pin(Time(f"2026-11-23T10:{text}Z"), "edge").data
        return pin.first, pin.last

    assert [edges(text) for text in ("13:59", "14:30", "14:59", "15:02", "15:10", "15:16")] == [
        (0, 2), (2, 47), (2, 47), (2, 47), (47, 50), (50, 57),
    ]  # fmt: skip
    assert held.pin(Time("2026-11-23T10:15:16Z")).data.first == 50  # nothing is told of 51 to 57
    assert held.pin(Ago(0)).data.first == 57
    assert held.pin(Ago(10), "edge").data.asked == "2026-11-23T10:15:09Z"
    with pytest.raises(Failure, match="the state changed at revisions 5, 46, 47"):
        held.pin(Time("2026-11-23T10:14:30Z"))
    for moment in (Time("2026-11-23T10:13:59Z"), Time("2027-01-01T00:00:00Z"), Ago(2**53)):
        with pytest.raises(Failure, match="TIME_NOT_PINNED"):
            held.pin(moment)


def test_without_the_trail_no_other_revision_is_taken_for_a_time(case: Path) -> None:
    """The kernel pins times by records that this file lacks: it might say another revision."""
    content = json.loads(case.read_text())
    content["data"]["audit"] = None
    held = parsed(_with(content), "case")
    with pytest.raises(Failure, match="NOT_IN_EVIDENCE"):
        held.pin(Time("2026-11-23T10:15:10Z"))


def test_a_time_that_is_none_is_damage(case: Path) -> None:
    content = json.loads(case.read_text())
    junk = event(51, "timeline_ended", before=2, time="2026-06-31T10:15:00Z", clock="P")
    held = parsed(_with(content, junk), "case")
    with pytest.raises(Failure, match="EVIDENCE_DAMAGED"):
        held.pin(Time("2026-11-23T10:15:10Z"))


def test_more_than_can_be_held_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both are imported by now: one that is imported while the other's limit is 3 would keep it.
    monkeypatch.setattr(source, "MAX_ENTRIES", 3)
    monkeypatch.setattr(timeline, "MAX_ENTRIES", 3)
    history = History([stories.event(revision, "paused") for revision in range(1, 9)], window=2)
    history.records = chained(record(revision, "requested") for revision in range(1, 9))
    history.limit = 2
    with answering(history) as served:
        for command in ("timeline", "timeline -o json", "audit", "snapshot --full", "report"):
            refused = run(*command.split(), "--kernel", served.url)
            assert (refused.code, refused.out) == (7, ""), command
            assert "ANSWER_TOO_LARGE" in refused.err
        streamed = run("timeline", "-o", "jsonl", "--kernel", served.url)
    assert len(streamed.out.splitlines()) == 16


def test_a_case_of_a_time_says_which_revision_was_taken() -> None:
    taken = {"revision": 41, "reached": 40, "time": "2026-11-23T10:15:00Z", "clock": "P",
             "source": "clock"}  # fmt: skip
    pin = {"asked": "2026-11-23T10:15:10Z", "first": 40, "last": 45, "before": taken,
           "after": None, "moved": 3}  # fmt: skip
    history = History(revision=40)

    def handle(request: Received) -> None:
        if request.path.startswith("/v1/revisions"):
            answer(stories.envelope(pin, 40, live=True))(request)
        elif request.path.startswith("/v1/snapshot"):
            data = json.loads(document())["data"] | dict.fromkeys(NODE_SECTIONS)
            answer(document(data=data, observed_at=stories.observed(40, live=False)))(request)
        else:
            history(request)

    with answering(handle) as served:
        done = run("snapshot", "--full", "--at", "2026-11-23T10:15:10Z", "--kernel", served.url)
    assert done.json["observed_at"]["revision"] == 40
    assert "note: REVISION_TAKEN: 2026-11-23T10:15:10Z is revision 40" in done.err


def test_it_keeps_its_published_schema(case: Path) -> None:
    jsonschema.validate(json.loads(case.read_text()), run("schema", "evidence").json)
