"""An explanation is a proof over one state, good for exactly one request; it changes nothing."""

import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from aeroctl.contract.audit import AuditEnvelope
from aeroctl.contract.commands import COMMANDS, CommandName
from aeroctl.contract.errors import Error, ErrorBody
from aeroctl.contract.explanation import ExplanationEnvelope
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.decide.confirmation import Clock, Issue
from aeroctl.kernel.decide.state import State
from aeroctl.kernel.endpoints.explain import explanation
from aeroctl.kernel.store.requests import Put
from tests.support.etcd import Store
from tests.support.keyspaces import cluster_keys
from tests.support.world import World, run, writes

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
Test = Callable[[World], Coroutine[Any, Any, None]]
In = Callable[[Test], None]
TARGETS: dict[CommandName, str | None] = {
    "request_promotion": "n1",
    "request_demotion": "n3",
    "force_promotion": "n1",
    "run_diagnostics": None,
}


ISSUE = Issue(Clock(datetime(2026, 11, 23, 10, 15, 19, tzinfo=UTC), 300), b"8 bytes.")


@pytest.fixture
def inside(etcd_store: Store, tmp_path: Path) -> In:
    return lambda test: run(etcd_store, tmp_path, test)


def error(answer: httpx.Response) -> Error:
    found = ErrorBody.model_validate_json(answer.text).error
    assert found.outcome == "not_executed"
    return found


@pytest.mark.parametrize("name", list(COMMANDS))
def test_what_every_explanation_shows(name: CommandName) -> None:
    state = State(cluster_keys(), None)
    shown = explanation(COMMANDS[name], TARGETS[name], state, 33, ISSUE)
    assert (shown.explanation_type, shown.inputs.target) == (name, TARGETS[name])
    assert shown.observed_snapshot.revision == 57
    assert shown.action == COMMANDS[name].action
    assert [each.node for each in shown.affected] == ["n1", "n2", "n3"]
    assert (shown.cost is not None) == (name == "run_diagnostics")
    assert (shown.successors is not None) == (name == "request_demotion")
    assert bool(shown.overrides) == (name == "force_promotion")
    assert bool(shown.irreversible) == (name != "run_diagnostics")
    assert shown.observed_snapshot.failover_revision == 0
    assert shown.confirmation_term_seconds == 300
    assert shown.confirmation_expires_at == "2026-11-23T10:20:19.000000Z"
    assert explanation(COMMANDS[name], TARGETS[name], state, 33, ISSUE) == shown  # P7-D1
    other = explanation(COMMANDS[name], TARGETS[name], state, 33, replace(ISSUE, chance=bytes(8)))
    assert other.confirmation_token != shown.confirmation_token


def test_a_token_for_each_command_target_and_state() -> None:
    one, other = State(cluster_keys(), None), State(cluster_keys(leader="n2"), None)
    tokens = {
        explanation(COMMANDS[name], target, state, 33, ISSUE).confirmation_token
        for name in COMMANDS
        for target in ("n1", "n2")
        for state in (one, other)
    }
    assert len(tokens) == 16


@pytest.mark.parametrize("leader", ["observer", "operator", "auditor", None])
def test_anybody_may_ask(inside: In, leader: str | None) -> None:
    async def test(w: World) -> None:
        async def spoil(request: httpx.Request) -> None:
            assert not writes(request)

        w.wire.spoil = spoil
        answer = await w.clients[leader].post(
            "/v1/explain/request_promotion", json={"target": "n1"}
        )
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        found = ExplanationEnvelope.model_validate_json(answer.text)
        assert found.observed_at.revision == found.data.observed_snapshot.revision
        assert found.observed_at.state_digest == found.data.observed_snapshot.state_digest
        # no database answers here, so what only they can tell is not known
        assert found.data.conclusion == "undetermined"
        assert [note.code for note in found.notes] == ["NODE_UNREACHABLE"] * 3
        assert found.data.deadline_seconds == 33
        assert sorted(path for path, _ in w.agent.asked) == ["GET /cluster", "GET /patroni"]

    inside(test)


def test_what_is_in_flight_is_seen(inside: In) -> None:
    async def test(w: World) -> None:
        request_id = "6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b"
        await w.store.transact([], [Put(ledger.inflight_key(w.scope), request_id)])
        shown = await w.explain("request_promotion", "n1")
        (found,) = [
            each for each in shown["rules_applied"] if each["rule_id"] == "nothing_in_flight"
        ]
        assert found["evidence"] == [{"name": "request_id", "value": request_id}]
        assert shown["conclusion"] == "refused"

    inside(test)


@pytest.mark.parametrize(
    ("command", "target", "status", "code", "says"),
    [
        ("request_promotion", "n9", 400, "UNKNOWN_NODE", "there are n1, n2, n3"),
        ("request_promotion", None, 400, "UNKNOWN_NODE", "the kernel never chooses one"),
        ("run_diagnostics", "n1", 400, "UNKNOWN_NODE", "does not take the name of a node"),
        ("promote", "n1", 404, "UNKNOWN_COMMAND", "request_promotion"),
        ("inspect_node", "n1", 404, "UNKNOWN_COMMAND", "request_promotion"),
    ],
)
def test_what_is_not_there(
    inside: In, command: str, target: str | None, status: int, code: str, says: str
) -> None:
    async def test(w: World) -> None:
        for leader in ("operator", "observer"):
            answer = await w.clients[leader].post(f"/v1/explain/{command}", json={"target": target})
            found = error(answer)
            assert (answer.status_code, found.code) == (status, code)
            assert (found.domain, says in found.message) == ("operator_input", True)

    inside(test)


BODIES: list[tuple[Any, str]] = [
    (b"", "application/json"),
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b'{"target": 1}', "application/json"),
    (b'{"target": ""}', "application/json"),
    (b"{}", "application/json"),
    (b'{"target": "n1", "force": true}', "application/json"),
    (b'{"target": "n1"}', "text/plain"),
    (b'{"target": "n1"}', ""),
    (b'{"target": "\xff"}', "application/json"),
    (b'{"target": "' + b"n" * 70000 + b'"}', "application/json"),
    (b'{"target": "n1", "target": "n1"}', "application/json"),
    (b'{"target": "n2", "t\\u0061rget": "n1"}', "application/json"),
    (b'{"target": NaN}', "application/json"),
    (b'{"target": "\\ud800"}', "application/json"),
    (b'\xef\xbb\xbf{"target": "n1"}', "application/json"),
    ('{"target": "n1"}'.encode("utf-16"), "application/json"),
    (b"[" * 60000, "application/json"),
    (b'{"a":' * 12000, "application/json"),
    (b"1" * 9000, "application/json"),
]


@pytest.mark.parametrize("path", ["explain", "commands"])
def test_bodies_that_say_nothing(inside: In, path: str) -> None:
    async def test(w: World) -> None:
        for content, kind in BODIES:
            answer = await w.clients["operator"].post(
                f"/v1/{path}/request_promotion",
                content=content,
                headers={"Content-Type": kind} if kind else {},
            )
            assert (answer.status_code, error(answer).code) == (400, "BAD_REQUEST"), content[:40]
            assert answer.headers["cache-control"] == "no-store"
        assert await w.records() == []

    inside(test)


@pytest.mark.parametrize(
    ("said", "also"),
    [
        (b'"target":"n1"', b'"target":"n2"'),
        (b'"target":"n1"', b'"target":"n1"'),
        (b'"target":"n1"', b'"t\\u0061rget":"n2"'),
        (b'"kind":"standard"', b'"kind":"override"'),
        (b'"accepts_responsibility":false', b'"accepts_responsibilit\\u0079":true'),
        (b'"user":"ann"', b'"user":"bob"'),
    ],
)
def test_a_key_stands_once(inside: In, said: bytes, also: bytes) -> None:
    """At any depth, and however it is spelt: the last one does not win."""

    async def test(w: World) -> None:
        body = json.dumps(await w.request("request_promotion", "n1"), separators=(",", ":"))
        assert said in body.encode()
        for both in (b"%b,%b" % (said, also), b"%b,%b" % (also, said)):
            answer = await w.clients["operator"].post(
                "/v1/commands/request_promotion",
                content=body.encode().replace(said, both),
                headers={"Content-Type": "application/json"},
            )
            found = error(answer)
            assert (answer.status_code, found.code) == (400, "BAD_REQUEST")
            assert "more than once" in found.message
        assert (w.agent.posts, await w.records()) == ([], [])

    inside(test)


@pytest.mark.parametrize(
    "change",
    [
        {"bulk": ["n1", "n2"]},
        {"scheduled_at": "2026-11-23T12:00:00Z"},
        {"request_id": "6F2B7A4E-4A0C-4A8E-9D1C-3F4A7C1D2E5B"},
        {"request_id": "6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b\n"},
        {"request_id": None},
        {"target": ["n1"]},
        {"reason": "x" * 1001},
        {"client": {}},
        {"confirmation": None},
    ],
)
def test_a_request_says_everything_and_no_more(inside: In, change: Any) -> None:
    """P7-E1, P7-S3: no bulk form, no scheduled form."""

    async def test(w: World) -> None:
        body = await w.request("request_promotion", "n1") | change
        answer = await w.send("request_promotion", body)
        assert (answer.status_code, error(answer).code) == (400, "BAD_REQUEST")
        assert (w.agent.posts, await w.records()) == ([], [])

    inside(test)


def test_a_command_that_is_not_in_the_table(inside: In) -> None:
    async def test(w: World) -> None:
        body = await w.request("request_promotion", "n1")
        answer = await w.send("restart_node", body)
        found = error(answer)
        assert (answer.status_code, found.code) == (404, "UNKNOWN_COMMAND")
        assert found.request_id == body["request_id"]
        assert w.agent.posts == []

    inside(test)


class TestAudit:
    def test_who_may_read_it(self, inside: In) -> None:
        async def test(w: World) -> None:
            for leader, status in (("operator", 200), ("auditor", 200), ("observer", 403)):
                answer = await w.clients[leader].get("/v1/audit")
                assert answer.status_code == status
            anonymous = await w.clients[None].get("/v1/audit")
            assert (anonymous.status_code, error(anonymous).code) == (403, "NOT_AUTHORIZED")

        inside(test)

    def test_pages_and_the_past(self, inside: In) -> None:
        async def test(w: World) -> None:
            revisions = []
            for _ in range(3):
                body = await w.request("request_promotion", "n1") | {"state_digest": "another"}
                await w.send("request_promotion", body)
                revisions.append((await w.records())[-1].revision)

            async def page(query: str) -> AuditEnvelope:
                answer = await w.clients["auditor"].get(f"/v1/audit?{query}")
                assert answer.status_code == 200, answer.text
                assert answer.headers["cache-control"] == "no-store"
                return AuditEnvelope.model_validate_json(json.dumps(answer.json()))

            first = await page("limit=4")
            assert [each.sequence for each in first.data.records] == [1, 2, 3, 4]
            assert (first.data.next, first.data.head.sequence) == (4, 6)
            rest = await page("after=4&limit=4")
            assert ([each.sequence for each in rest.data.records], rest.data.next) == ([5, 6], None)
            then = await page(f"at={revisions[0]}")
            assert [each.sequence for each in then.data.records] == [1, 2]
            assert (then.observed_at.kind, then.observed_at.revision) == (
                "historical",
                revisions[0],
            )
            assert then.data.head.sequence == 2

        inside(test)

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0",
            "limit=1001",
            "limit=",
            "limit=1.5",
            "after=-1",
            "after=1&after=2",
            "at=0",
            "since=0",
            f"after={2**53}",
            "after=%D9%A3",
        ],
    )
    def test_parameters(self, inside: In, query: str) -> None:
        async def test(w: World) -> None:
            answer = await w.clients["auditor"].get(f"/v1/audit?{query}")
            assert (answer.status_code, error(answer).code) == (400, "BAD_PARAMETER")

        inside(test)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("nonsense", "BAD_REQUEST"),
        ("6F2B7A4E-4A0C-4A8E-9D1C-3F4A7C1D2E5B", "BAD_REQUEST"),
        ("6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b%0A", "BAD_REQUEST"),
        ("6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b?verbose=1", "BAD_PARAMETER"),
    ],
)
def test_a_request_that_cannot_be_asked_for(inside: In, path: str, code: str) -> None:
    async def test(w: World) -> None:
        answer = await w.clients["observer"].get(f"/v1/requests/{path}")
        assert (answer.status_code, error(answer).code) == (400, code)

    inside(test)


def test_a_node_that_is_gone_can_be_explained(inside: In) -> None:
    """It is a row of every view, so it is no unknown name."""

    async def test(w: World) -> None:
        await w.put(members__n7=w.member("n7"))
        await w.put(members__n7=None)
        shown = await w.explain("request_promotion", "n7")
        found = {rule["rule_id"]: rule["evaluation"] for rule in shown["rules_applied"]}
        assert (found["target_registered"], found["target_is_replica"]) == (
            "does_not_hold",
            "undetermined",
        )
        assert shown["conclusion"] == "refused"
        answer = await w.clients["operator"].post(
            "/v1/explain/request_promotion", json={"target": "n8"}
        )
        assert error(answer).code == "UNKNOWN_NODE"

    inside(test)
