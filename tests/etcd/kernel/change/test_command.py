"""A request is recorded, carried out once or not at all, and never told otherwise than it was."""

import asyncio
import base64
import json
import secrets
import time
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from aeroctl.contract import chain, consent
from aeroctl.contract.consent import Confirmable
from aeroctl.contract.errors import Error, ErrorBody
from aeroctl.contract.requests import Client, RequestEnvelope
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.change import command, outcome_record, throttle, transfer, watch
from aeroctl.kernel.patroni import rest_api
from aeroctl.kernel.postgres import queries
from aeroctl.kernel.source import READERS
from aeroctl.kernel.store.requests import Delete, Put
from tests.support.etcd import Store
from tests.support.world import SYSTEM_ID, World, puts, run, saying, writes

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
DISPATCHED = ["requested", "confirmed", "dispatched"]

Test = Callable[[World], Coroutine[Any, Any, None]]
In = Callable[[Test], None]


@pytest.fixture
def inside(etcd_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> In:
    """Run a test in a world of its own, where nobody waits for a database that isn't there."""
    monkeypatch.setattr(watch, "LAST_WORDS_SECONDS", 0.2)
    monkeypatch.setattr(watch, "POLL_SECONDS", 0.02)
    return lambda test: run(etcd_store, tmp_path, test)


def status(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return RequestEnvelope.model_validate_json(answer.text).data


def error(answer: httpx.Response, code: str, outcome: str = "not_executed") -> Error:
    found = ErrorBody.model_validate_json(answer.text).error
    assert (found.code, found.outcome) == (code, outcome), answer.text
    return found


def transferring(w: World, holder: str, target: str, reply: str) -> Any:
    async def act(asked: Any) -> tuple[int, str]:
        await w.switch(asked, holder, target)
        return 200, reply

    return act


async def loops(w: World, holder: str) -> None:
    """What that node's agent writes while its database is written to."""
    for position in range(1000):
        await asyncio.sleep(0.1)
        entry = w.member(holder, "primary", xlog_location=67108960 + position)
        await w.put(**{f"members__{holder}": entry})


@pytest.mark.parametrize(
    ("command", "target", "posted"),
    [
        ("request_promotion", "n1", ("/switchover", {"leader": "n3", "candidate": "n1"})),
        ("request_demotion", "n3", ("/switchover", {"leader": "n3"})),
        ("force_promotion", "n1", ("/failover", {"candidate": "n1"})),
    ],
)
def test_executed(inside: In, command: str, target: str, posted: Any) -> None:
    async def test(w: World) -> None:
        body = await w.request(command, target)
        seen: list[str] = []

        async def act(asked: Any) -> tuple[int, str]:
            seen.extend(await w.kinds(body["request_id"]))
            assert (await w.kept(body["request_id"])).in_flight == body["request_id"]
            await w.switch(asked, "n3", "n1")
            return 200, "Successfully"

        w.script.append(act)
        found = status(await w.send(command, body))
        assert (found.outcome, found.final, found.recorded) == ("executed", True, True)
        assert seen == DISPATCHED  # P7-O3: before anything is asked of the engine
        assert w.agent.posts == [(f"POST {posted[0]}", posted[1])]
        assert found.engine_reply.body == "Successfully"
        assert (found.leader_before.node, found.leader_after.node) == ("n3", "n1")
        (shown,) = [rule for rule in found.evidence if rule.rule_id == "writable"]
        assert shown.evaluation == "undetermined"  # there is no database here

        kept = await w.kept(body["request_id"])
        assert (kept.in_flight, kept.request) == (None, (1, 2, 3, 4))
        records = await w.records()
        assert [record.kind for record in records] == [*DISPATCHED, "outcome"]
        assert len({record.revision for record in records[:3]}) == 1
        assert found.revisions.dispatched == records[0].revision
        assert found.revisions.outcome == records[3].revision
        assert {record.identity for record in records} == {"the-operator"}
        assert records[0].confirmation is None
        assert records[1].confirmation is not None
        assert records[2].dispatch is not None
        assert records[2].dispatch.action.startswith(f"POST {posted[0]} ")
        follower = chain.Chain()
        follower.follow(record.model_dump(mode="json") for record in records)
        assert follower.end(kept.head.sequence, kept.head.hash) is None

        later = await w.clients["observer"].get(f"/v1/requests/{body['request_id']}")
        assert status(later).outcome == "executed"
        assert "ann" not in later.text
        assert "the-operator" not in later.text

    inside(test)


def test_another_node_than_asked(inside: In) -> None:
    async def test(w: World) -> None:
        body = await w.request("request_promotion", "n1")
        w.script.append(transferring(w, "n3", "n2", 'Switched over to "n2" instead of "n1"'))
        found = status(await w.send("request_promotion", body))
        assert (found.outcome, found.leader_after.node) == ("executed_other", "n2")

    inside(test)


def test_the_engine_rejects(inside: In) -> None:
    """P7-E3: its words and its code, verbatim, in the answer and in the record."""

    async def test(w: World) -> None:
        words = "switchover is not possible: no good candidates have been found"
        body = await w.request("request_promotion", "n1")
        w.script.append(saying(412, words))
        answer = await w.send("request_promotion", body)
        found = error(answer, "ENGINE_REJECTED")
        assert (answer.status_code, found.domain, found.message) == (409, "kernel_rejection", words)
        assert found.engine_reply is not None
        assert (found.engine_reply.status, found.engine_reply.body) == (412, words)
        assert found.request_id == body["request_id"]
        last = (await w.records(body["request_id"]))[-1]
        assert (last.kind, last.outcome, last.engine_reply) == (
            "outcome",
            "rejected",
            found.engine_reply,
        )
        assert (await w.kept(body["request_id"])).in_flight is None

    inside(test)


def test_the_holder_rejects_before_it_acts(inside: In) -> None:
    """Its next entry proves it: it is not stepping down."""

    async def test(w: World) -> None:
        async def act(asked: Any) -> tuple[int, str]:
            await w.arrive(asked)
            await w.put(failover={})
            return 503, "Switchover failed"

        body = await w.request("request_promotion", "n1")
        w.script.append(act)
        going_on = asyncio.create_task(loops(w, "n3"))
        found = error(await w.send("request_promotion", body), "ENGINE_REJECTED")
        going_on.cancel()
        assert found.message == "Switchover failed"

    inside(test)


@pytest.mark.parametrize("end", [None, "n1", "n2"])
def test_the_engine_says_that_it_failed_and_steps_down_all_the_same(
    inside: In, monkeypatch: pytest.MonkeyPatch, end: str | None
) -> None:
    """Somebody deleted the failover key: what Patroni says is evidence, not proof."""
    monkeypatch.setattr(transfer, "PROOF_SECONDS", 25.0)  # of 33

    async def test(w: World) -> None:
        async def step_down() -> None:
            await asyncio.sleep(1)
            if end:
                await w.put(members__n3=w.member("n3", "primary", timeline=None))
                await w.put(leader=None)
                await w.put(leader=end)
                await w.put(**{f"members__{end}": w.member(end, "primary", timeline=2)})

        async def act(asked: Any) -> tuple[int, str]:
            await w.arrive(asked)
            await w.put(failover=None)
            return 503, "Switchover failed"

        body = await w.request("request_promotion", "n1")
        w.script.append(act)
        going_on = asyncio.create_task(step_down())
        found = status(await w.send("request_promotion", body))
        await going_on
        outcome = {None: "in_progress", "n1": "executed", "n2": "executed_other"}[end]
        assert (found.outcome, found.final) == (outcome, end is not None)
        later = await w.clients["observer"].get(f"/v1/requests/{body['request_id']}")
        assert status(later).outcome == outcome

    inside(test)


def test_a_rejection_that_is_not_proved_is_no_denial(inside: In) -> None:
    """The engine's reply is lost: that the same leader term goes on is not all there is to know."""

    async def test(w: World) -> None:
        async def act(asked: Any) -> None:
            await w.arrive(asked)
            await w.put(failover={})

        body = await w.request("request_promotion", "n1")
        w.script.append(act)
        answer = await w.send("request_promotion", body)
        found = status(answer)
        assert (found.final, found.outcome in ("in_progress", "rejected")) == (False, True)

    inside(test)


def test_nobody_listens(inside: In) -> None:
    """The agent has gone after it said who it is, and before it was asked for the change."""

    async def test(w: World) -> None:
        body = await w.request("request_promotion", "n1")

        async def act(_: Any) -> tuple[int, str]:
            w.agents["n3"].leave()
            return 200, json.dumps(w.account("n3"))

        w.accounts["n3"] = act
        found = status(await w.send("request_promotion", body))
        assert (found.outcome, found.final, w.agent.posts) == ("not_executed", True, [])
        assert await w.kinds(body["request_id"]) == [*DISPATCHED, "outcome"]

    inside(test)


def test_no_proof_by_the_deadline(inside: In, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PROOF_SECONDS", 32.0)  # of 33

    async def test(w: World) -> None:
        async def act(asked: Any) -> None:
            await w.arrive(asked)
            await asyncio.sleep(10)

        body = await w.request("request_promotion", "n1")
        w.script.append(act)
        found = status(await w.send("request_promotion", body))
        assert (found.outcome, found.final, len(w.agent.posts)) == ("in_progress", False, 1)
        assert (await w.kept(body["request_id"])).in_flight == body["request_id"]

        w.script.append(saying(200, ""))
        other = await w.send("request_promotion", await w.request("request_promotion", "n2"))
        error(other, "COMMAND_IN_FLIGHT")
        await w.switch({"leader": "n3", "candidate": "n1"}, "n3", "n1")
        later = await w.clients["observer"].get(f"/v1/requests/{body['request_id']}")
        assert status(later).outcome == "executed"
        assert len(w.agent.posts) == 1

    inside(test)


class TestRefusals:
    """Nothing is asked of the engine, and each one is in the trail (P7-O1, P7-O3)."""

    async def refused(
        self,
        w: World,
        body: Any,
        code: str,
        http: int,
        *,
        leader: str | None = "operator",
        command: str = "request_promotion",
    ) -> Error:
        answer = await w.send(command, body, leader)
        found = error(answer, code)
        assert (answer.status_code, found.request_id) == (http, body["request_id"]), answer.text
        assert w.agent.posts == []
        records = await w.records(body["request_id"])
        assert [record.kind for record in records][-2:] == ["requested", "refused"]
        assert (records[-1].code, records[-1].message) == (code, found.message)
        assert (await w.kept(body["request_id"])).in_flight is None
        return found

    @pytest.mark.parametrize("leader", ["observer", "auditor", None])
    def test_who_may_not(self, inside: In, leader: str | None) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            found = await self.refused(w, body, "NOT_AUTHORIZED", 403, leader=leader)
            assert found.invariants == ["P7-A1"]
            (record, _) = await w.records()
            assert record.identity == (f"the-{leader}" if leader else "anonymous")
            assert record.confirmation is None
            later = await w.clients["observer"].get(f"/v1/requests/{body['request_id']}")
            assert (status(later).outcome, status(later).final) == ("rejected", True)

        inside(test)

    def test_an_id_is_used_once(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            w.script.append(saying(412, "no"))
            await w.send("request_promotion", body)
            kept = await w.kept(body["request_id"])
            found = error(await w.send("request_promotion", body), "REQUEST_SEEN", "unknown")
            assert found.invariants == ["P7-F3", "P7-E2"]
            again = await w.kept(body["request_id"])
            assert (again.request, again.request_revision) == (kept.request, kept.request_revision)
            kinds = await w.kinds(body["request_id"])
            assert kinds == [*DISPATCHED, "outcome", "refused"]
            assert len(w.agent.posts) == 1

        inside(test)

    def test_of_an_executed_one_nothing_is_denied(self, inside: In) -> None:
        """P7-E2: whoever sees the second answer only must not take it for the first one."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            w.script.append(transferring(w, "n3", "n1", "ok"))
            assert status(await w.send("request_promotion", body)).outcome == "executed"
            found = error(await w.send("request_promotion", body), "REQUEST_SEEN", "unknown")
            assert f"aeroctl outcome {body['request_id']}" in found.message
            assert len(w.agent.posts) == 1

        inside(test)

    def test_also_a_refused_one(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            await self.refused(w, body | {"state_digest": "another"}, "STATE_CHANGED", 409)
            error(await w.send("request_promotion", body), "REQUEST_SEEN")
            assert w.agent.posts == []

        inside(test)

    @pytest.mark.parametrize(
        ("command", "target", "code"),
        [
            ("request_promotion", "n9", "UNKNOWN_NODE"),
            ("request_promotion", None, "UNKNOWN_NODE"),
            ("run_diagnostics", "n1", "UNKNOWN_NODE"),
        ],
    )
    def test_the_target(self, inside: In, command: str, target: Any, code: str) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1") | {"target": target}
            await self.refused(w, body, code, 400, command=command)

        inside(test)

    @pytest.mark.parametrize(
        "change",
        [
            {"members__n1": None},
            {"failover": {"leader": "n3", "member": "n2"}},
            {"config": {"pause": True}},
            {"sync": {"leader": "n3", "sync_standby": "n1"}},
        ],
    )
    def test_the_state_has_changed(self, inside: In, change: Any) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n2")
            await w.put(**change)
            found = await self.refused(w, body, "STATE_CHANGED", 409)
            assert found.invariants == ["P7-D2"]

        inside(test)

    def test_the_same_holder_in_a_new_leader_term(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            await w.put(leader=None)
            await w.put(leader="n3")
            await self.refused(w, body, "STATE_CHANGED", 409)

        inside(test)

    def test_a_token_of_another_command(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            other = await w.request("request_promotion", "n2")
            for token in (other["confirmation"]["token"], "0" * 64):
                tried = await w.request("request_promotion", "n1")
                tried["confirmation"]["token"] = token
                await self.refused(w, tried, "CONFIRMATION_INVALID", 403)
            body["target"] = "n2"
            await self.refused(w, body, "CONFIRMATION_INVALID", 403)

        inside(test)

    def test_a_token_of_before_another_attempt(self, inside: In) -> None:
        """The state digest comes back after a rejection; the confirmation does not."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            await w.arrive({"leader": "n3", "candidate": "n1"})
            await w.put(failover={})
            assert (await w.request("request_promotion", "n1"))["state_digest"] == body[
                "state_digest"
            ]
            await self.refused(w, body, "CONFIRMATION_INVALID", 403)

        inside(test)

    def test_a_revision_that_nobody_has_seen(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1") | {"revision": 2**53 - 1}
            found = await self.refused(w, body, "CONFIRMATION_INVALID", 403)
            assert str(2**53 - 1) in found.message

        inside(test)

    def test_an_override_by_yes(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("force_promotion", "n1")
            body["confirmation"]["given"] = "yes"
            await self.refused(w, body, "CONFIRMATION_INVALID", 403, command="force_promotion")
            body = await w.request("force_promotion", "n1")
            body["confirmation"]["acknowledged"] = []
            await self.refused(w, body, "ACKNOWLEDGEMENT_MISMATCH", 403, command="force_promotion")

        inside(test)

    @pytest.mark.parametrize(
        ("command", "target", "rule", "change"),
        [
            ("request_promotion", "n3", "target_is_replica", {}),
            ("request_promotion", "n1", "has_leader", {"leader": None}),
            ("request_promotion", "n1", "nothing_pending", {"failover": {"member": "n2"}}),
            ("request_demotion", "n1", "target_is_leader", {}),
            ("request_promotion", "n1", "leader_is_primary", {"members__n3": None}),
            (
                "request_promotion",
                "n1",
                "not_standby_cluster",
                {"config": {"standby_cluster": {"host": "h"}}},
            ),
            ("force_promotion", "n1", "agent_known", {"members__n1": {"role": "replica"}}),
        ],
    )
    def test_a_rule_that_the_kernel_enforces(
        self, inside: In, command: str, target: str, rule: str, change: Any
    ) -> None:
        async def test(w: World) -> None:
            if change:
                await w.put(**change)
            assert (await w.explain(command, target))["conclusion"] == "refused"
            body = await w.request(command, target)
            found = await self.refused(w, body, "RULE_NOT_MET", 409, command=command)
            assert rule in found.message
            assert found.domain == "kernel_rejection"

        inside(test)

    def test_whoever_asked_has_gone(self, inside: In) -> None:
        """P7-A2: what waited in a frozen server's socket is nobody's intent any more."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            sent = iter(
                [
                    {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False},
                ]
            )

            async def receive() -> Any:
                return next(sent, {"type": "http.disconnect"})

            answer: list[Any] = []

            async def send(message: Any) -> None:
                answer.append(message)

            transport = w.clients["operator"]._transport
            assert isinstance(transport, httpx.ASGITransport)
            scope = {
                "type": "http",
                "method": "POST",
                "path": "/v1/commands/request_promotion",
                "raw_path": b"",
                "query_string": b"",
                "headers": [
                    (b"authorization", b"Bearer operator"),
                    (b"content-type", b"application/json"),
                ],
            }
            await transport.app(scope, receive, send)
            assert answer[0]["status"] == 409
            assert (await w.records())[-1].code == "CALLER_GONE"
            assert w.agent.posts == []

        inside(test)


class TestOneConsent:
    """One confirmation serves one request, whatever came of it (P7-A2, P7-F3)."""

    async def reused(self, w: World, command: str, body: Any, by: str) -> Error:
        """The same confirmation in a new request."""
        again = body | {"request_id": str(uuid.uuid4())}
        answer = await w.send(command, again)
        found = error(answer, "CONFIRMATION_REUSED")
        assert (answer.status_code, found.domain) == (409, "control_plane_validation")
        assert found.invariants == ["P7-A2", "P7-F3"]
        assert by in found.message
        assert await w.kinds(again["request_id"]) == ["requested", "refused"]
        later = await w.clients["observer"].get(f"/v1/requests/{again['request_id']}")
        assert (status(later).outcome, status(later).code) == ("rejected", "CONFIRMATION_REUSED")
        return found

    def test_two_explanations_have_two(self, inside: In) -> None:
        async def test(w: World) -> None:
            tokens = [
                (await w.explain("request_promotion", "n1"))["confirmation_token"] for _ in range(5)
            ]
            assert len(set(tokens)) == 5

        inside(test)

    @pytest.mark.parametrize(
        ("command", "target"),
        [("request_promotion", "n1"), ("request_demotion", "n3"), ("force_promotion", "n1")],
    )
    def test_after_the_engine_has_rejected_it(self, inside: In, command: str, target: str) -> None:
        async def test(w: World) -> None:
            body = await w.request(command, target)
            w.script.append(saying(412, "no"))
            error(await w.send(command, body), "ENGINE_REJECTED")
            for _ in range(3):
                await self.reused(w, command, body, body["request_id"])
            assert len(w.agent.posts) == 1
            w.script.append(saying(412, "no"))  # a new confirmation of the same state is one
            error(await w.send(command, await w.request(command, target)), "ENGINE_REJECTED")

        inside(test)

    def test_diagnostics_too(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("run_diagnostics", None)
            assert status(await w.send("run_diagnostics", body)).outcome == "executed"
            asked = len(w.agent.asked)
            await self.reused(w, "run_diagnostics", body, body["request_id"])
            assert len(w.agent.asked) == asked >= 3

        inside(test)

    def test_after_a_refusal(self, inside: In) -> None:
        async def test(w: World) -> None:
            for changes in ({"state_digest": "another"}, {"target": "n9"}, {"revision": 2**53 - 1}):
                body = await w.request("request_promotion", "n1")
                refused = body | changes | {"request_id": str(uuid.uuid4())}
                assert (await w.send("request_promotion", refused)).status_code >= 400
                await self.reused(w, "request_promotion", body, refused["request_id"])
            assert w.agent.posts == []

        inside(test)

    def test_a_request_seen_takes_it_with_it(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            w.script.append(saying(412, "no"))
            error(await w.send("request_promotion", body), "ENGINE_REJECTED")
            other = await w.request("request_promotion", "n1")
            same = other | {"request_id": body["request_id"]}
            error(await w.send("request_promotion", same), "REQUEST_SEEN", "unknown")
            await self.reused(w, "request_promotion", other, body["request_id"])
            # the first one once more is the first one once more
            error(await w.send("request_promotion", body), "REQUEST_SEEN", "unknown")

        inside(test)

    def test_for_another_command_or_target(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            w.script.append(saying(412, "no"))
            error(await w.send("request_promotion", body), "ENGINE_REJECTED")
            for target in ("n1", "n2"):
                asked = body | {"target": target}
                await self.reused(w, "request_demotion", asked, body["request_id"])
                await self.reused(w, "request_promotion", asked, body["request_id"])

        inside(test)

    @pytest.mark.parametrize("leader", ["observer", "auditor", None])
    def test_nobody_else_uses_it_up(self, inside: In, leader: str | None) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            for _ in range(throttle.MOST + 2):
                taken = body | {"request_id": str(uuid.uuid4())}
                error(await w.send("request_promotion", taken, leader), "NOT_AUTHORIZED")
            digests = {record.token_digest for record in await w.records()}
            assert digests == {None}
            w.script.append(transferring(w, "n3", "n1", "ok"))
            assert status(await w.send("request_promotion", body)).outcome == "executed"

        inside(test)

    def test_what_was_refused_before_it_was_a_request_uses_nothing_up(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            error(await w.send("request_promotion", body | {"bulk": 1}), "BAD_REQUEST")
            error(await w.send("restart", body), "UNKNOWN_COMMAND")
            w.script.append(transferring(w, "n3", "n1", "ok"))
            assert status(await w.send("request_promotion", body)).outcome == "executed"

        inside(test)

    def test_an_answer_that_was_lost_uses_it_up(self, inside: In) -> None:
        """The dispatch record is there, and nobody knows: nothing is asked of the engine, ever."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def spoil(request: httpx.Request) -> httpx.Response | None:
                if writes(request):
                    await super(type(w.wire), w.wire).handle_async_request(request)
                    raise httpx.ReadError("cut", request=request)
                return None

            w.wire.spoil = spoil
            error(await w.send("request_promotion", body), "STORE_UNAVAILABLE")
            w.wire.spoil = None
            await self.reused(w, "request_promotion", body, body["request_id"])
            assert w.agent.posts == []

        inside(test)

    @pytest.mark.parametrize("seconds", [301, -60])
    def test_it_has_a_term(self, inside: In, seconds: int) -> None:
        """By the kernel's clock; what the client says of its time is not asked for."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            shown = await w.explain("request_promotion", "n1")
            seen = shown["observed_snapshot"]
            about = Confirmable(
                "request_promotion", "n1", w.scope, shown["inputs"]["system_id"],
                seen["state_digest"], seen["failover_revision"],
            )  # fmt: skip
            issued = int((time.time() - seconds) * 1000)
            old = consent.token(about, issued, 3600, secrets.token_bytes(8))
            body["confirmation"]["token"] = old
            answer = await w.send("request_promotion", body)
            found = error(answer, "CONFIRMATION_EXPIRED")
            assert (answer.status_code, found.domain) == (403, "control_plane_validation")
            assert await w.kinds(body["request_id"]) == ["requested", "refused"]
            assert w.agent.posts == []
            await self.reused(w, "request_promotion", body, body["request_id"])

            body = await w.request("request_promotion", "n1")
            fresh = consent.token(about, int(time.time() * 1000) - 290_000, 300, bytes(8))
            body["confirmation"]["token"] = fresh
            w.script.append(transferring(w, "n3", "n1", "ok"))
            assert status(await w.send("request_promotion", body)).outcome == "executed"

        inside(test)

    def test_the_trail_shows_which_one(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            w.script.append(saying(412, "no"))
            await w.send("request_promotion", body)
            await self.reused(w, "request_promotion", body, body["request_id"])
            token = body["confirmation"]["token"]
            digests = {record.token_digest for record in await w.records()}
            assert digests == {consent.fingerprint(token)}
            assert token not in (await w.clients["auditor"].get("/v1/audit")).text

        inside(test)

    def test_many_at_once_through_two_servers(
        self, inside: In, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Exactly one is dispatched, over and over."""
        monkeypatch.setattr(command, "RECORD_SECONDS", 30.0)  # whoever comes last, on any machine

        async def test(w: World) -> None:
            for _ in range(15):
                body = await w.request("request_promotion", "n1")
                before = len(w.agent.posts)
                w.script[:] = [saying(412, "no")] * 6
                sides = [w.clients["operator"], w.beside["operator"]] * 3
                answers = await asyncio.gather(
                    *(
                        side.post(
                            "/v1/commands/request_promotion",
                            json=body | {"request_id": str(uuid.uuid4())},
                        )
                        for side in sides
                    )
                )
                codes = sorted(answer.json()["error"]["code"] for answer in answers)
                assert codes == ["CONFIRMATION_REUSED"] * 5 + ["ENGINE_REJECTED"]
                assert len(w.agent.posts) == before + 1
            records = await w.records()
            assert [record.kind for record in records].count("dispatched") == 15

        inside(test)


class TestRaces:
    def test_two_operators_and_two_candidates(self, inside: In) -> None:
        async def test(w: World) -> None:
            bodies = [await w.request("request_promotion", name) for name in ("n1", "n2")]

            async def act(asked: Any) -> tuple[int, str]:
                await asyncio.sleep(0.2)
                await w.switch(asked, "n3", asked["candidate"])
                return 200, "Successfully"

            w.script += [act, act]
            answers = await asyncio.gather(*(w.send("request_promotion", each) for each in bodies))
            assert sorted(answer.status_code for answer in answers) == [200, 409]
            assert len(w.agent.posts) == 1
            for answer, body in zip(answers, bodies, strict=True):
                kinds = await w.kinds(body["request_id"])
                executed = [*DISPATCHED, "outcome"]
                assert kinds == (
                    executed if answer.status_code == 200 else ["requested", "refused"]
                )

        inside(test)

    def test_one_id_sent_twice_at_once(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            w.script += [transferring(w, "n3", "n1", "ok"), transferring(w, "n3", "n1", "ok")]
            answers = await asyncio.gather(*(w.send("request_promotion", body) for _ in range(4)))
            assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
            assert len(w.agent.posts) == 1

        inside(test)

    def test_another_record_in_between_is_no_reason(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            other = await w.request("request_promotion", "n2")
            waiting = [other]

            async def spoil(request: httpx.Request) -> None:
                if writes(request) and waiting:
                    observer = w.beside["observer"]
                    await observer.post("/v1/commands/request_promotion", json=waiting.pop())

            w.wire.spoil = spoil
            w.script.append(transferring(w, "n3", "n1", "ok"))
            assert status(await w.send("request_promotion", body)).outcome == "executed"
            assert await w.kinds(other["request_id"]) == ["requested", "refused"]

        inside(test)

    def test_leader_that_changes_in_between_is(self, inside: In) -> None:
        """P7-D2: the record is bound to the very leader term that was confirmed."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            waiting = [True]

            async def spoil(request: httpx.Request) -> None:
                if writes(request) and waiting and waiting.pop():
                    await w.put(leader=None)
                    await w.put(leader="n3")

            w.wire.spoil = spoil
            error(await w.send("request_promotion", body), "STATE_CHANGED")
            assert await w.kinds(body["request_id"]) == ["requested", "refused"]
            assert w.agent.posts == []

        inside(test)

    def test_so_does_another_attempt(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            waiting = [True]

            async def spoil(request: httpx.Request) -> None:
                if puts(request, ledger.inflight_key(w.scope)) and waiting and waiting.pop():
                    await w.put(failover={})

            w.wire.spoil = spoil
            error(await w.send("request_promotion", body), "CONFIRMATION_INVALID")
            assert w.agent.posts == []

        inside(test)

    @pytest.mark.parametrize("key", ["config", "sync"])
    def test_so_do_settings(self, inside: In, key: str) -> None:
        """Written anew with what they held before: then it is decided again, and goes on."""

        async def test(w: World) -> None:
            await w.put(sync={})
            body = await w.request("request_promotion", "n1")
            found = await w.source.store.read(w.source.prefix)
            attempts: list[int] = []

            async def spoil(request: httpx.Request) -> None:
                if puts(request, ledger.inflight_key(w.scope)):
                    attempts.append(1)
                    if len(attempts) == 1:
                        await w.put(**{key: found.keys[key].value})

            w.wire.spoil = spoil
            w.script.append(transferring(w, "n3", "n1", "ok"))
            assert status(await w.send("request_promotion", body)).outcome == "executed"
            assert (len(attempts), len(w.agent.posts)) == (2, 1)

        inside(test)

    def test_a_key_in_the_way_of_the_next_record(
        self, inside: In, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is named, and nothing is dispatched."""
        monkeypatch.setattr(command, "RECORD_SECONDS", 0.3)

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            key = ledger.audit_key(w.scope, 2)
            await w.store.transact([], [Put(key, "x")])
            answer = await w.send("request_promotion", body)
            assert key in error(answer, "KERNEL_STATE_UNREADABLE").message
            assert w.agent.posts == []

        inside(test)

    def test_a_store_that_never_holds_still(
        self, inside: In, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(command, "RECORD_SECONDS", 0.3)

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def spoil(request: httpx.Request) -> None:
                if writes(request):
                    await w.put(config={"ttl": 20})

            w.wire.spoil = spoil
            answer = await w.send("request_promotion", body)
            assert answer.status_code == 503
            error(answer, "KERNEL_BUSY")
            assert (w.agent.posts, await w.records()) == ([], [])

        inside(test)


class TestTheStoreFails:
    def test_before_the_record(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def spoil(request: httpx.Request) -> httpx.Response | None:
                if writes(request):
                    raise httpx.ConnectError("gone", request=request)
                return None

            w.wire.spoil = spoil
            found = error(await w.send("request_promotion", body), "STORE_UNAVAILABLE")
            assert (found.domain, found.request_id) == ("transport", body["request_id"])
            w.wire.spoil = None
            assert (w.agent.posts, await w.records()) == ([], [])

        inside(test)

    def test_while_it_is_recorded(self, inside: In) -> None:
        """It is written, and nobody knows: then nothing is asked of the engine."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def spoil(request: httpx.Request) -> httpx.Response | None:
                if writes(request):
                    await super(type(w.wire), w.wire).handle_async_request(request)
                    raise httpx.ReadError("cut", request=request)
                return None

            w.wire.spoil = spoil
            found = error(await w.send("request_promotion", body), "STORE_UNAVAILABLE")
            assert found.message.startswith("nothing was dispatched: ")
            w.wire.spoil = None
            assert await w.kinds(body["request_id"]) == DISPATCHED
            assert w.agent.posts == []

        inside(test)

    def test_a_lease_that_takes_too_long(self, inside: In, monkeypatch: pytest.MonkeyPatch) -> None:
        """P7-F2: it may have ended before what it guards has left."""
        monkeypatch.setattr(rest_api, "SEND_SECONDS", 0.3)

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def spoil(request: httpx.Request) -> httpx.Response | None:
                if request.url.path != "/v3/lease/grant":
                    return None
                answer = await super(type(w.wire), w.wire).handle_async_request(request)
                await asyncio.sleep(0.4)
                return answer

            w.wire.spoil = spoil
            w.script.append(transferring(w, "n3", "n1", "ok"))
            found = status(await w.send("request_promotion", body))
            assert (found.outcome, found.final, w.agent.posts) == ("not_executed", True, [])

        inside(test)

    def test_a_refusal_needs_no_store(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def spoil(request: httpx.Request) -> httpx.Response:
                raise httpx.ConnectError("gone", request=request)

            w.wire.spoil = spoil
            error(await w.send("request_promotion", body, "observer"), "NOT_AUTHORIZED")
            error(await w.send("request_promotion", body), "STORE_UNAVAILABLE")

        inside(test)

    def test_a_refusal_that_cannot_be_written_is_one(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1") | {"state_digest": "another"}

            async def spoil(request: httpx.Request) -> httpx.Response | None:
                if not writes(request):
                    return None
                refusal = {"code": 7, "message": "etcdserver: permission denied"}
                return httpx.Response(403, json=refusal, request=request)

            w.wire.spoil = spoil
            error(await w.send("request_promotion", body), "STATE_CHANGED")
            right = await w.request("request_promotion", "n1")
            found = error(await w.send("request_promotion", right), "STORE_REFUSED")
            assert found.message == "etcdserver: permission denied"
            assert w.agent.posts == []

        inside(test)

    def test_once_it_is_dispatched(self, inside: In) -> None:
        """P7-E2: not known, so not told."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def act(asked: Any) -> tuple[int, str]:
                await w.switch(asked, "n3", "n1")
                w.wire.spoil = spoil
                return 200, "Successfully"

            async def spoil(request: httpx.Request) -> httpx.Response:
                raise httpx.ConnectError("gone", request=request)

            w.script.append(act)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(transfer, "PROOF_SECONDS", 32.0)
                answer = await w.send("request_promotion", body)
            found = error(answer, "STORE_UNAVAILABLE", "unknown")
            assert (found.request_id, found.invariants) == (body["request_id"], ["P7-E2"])
            assert found.engine_reply is not None
            assert found.engine_reply.body == "Successfully"

        inside(test)

    @pytest.mark.parametrize("lost", ["the write", "its answer"])
    def test_an_outcome_that_may_be_recorded(self, inside: In, lost: str) -> None:
        """It is looked for, and written once."""

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def act(asked: Any) -> tuple[int, str]:
                await w.switch(asked, "n3", "n1")
                w.wire.spoil = spoil
                return 200, "Successfully"

            async def spoil(request: httpx.Request) -> httpx.Response | None:
                if writes(request):
                    w.wire.spoil = None
                    if lost == "its answer":
                        await super(type(w.wire), w.wire).handle_async_request(request)
                    raise httpx.ReadError("cut", request=request)
                return None

            w.script.append(act)
            answer = await w.send("request_promotion", body)
            records = await w.records(body["request_id"])
            assert [record.kind for record in records] == [*DISPATCHED, "outcome"]
            assert status(answer).revisions.outcome == records[-1].revision
            assert "OUTCOME_NOT_RECORDED" not in answer.text
            assert (await w.kept(body["request_id"])).in_flight is None

        inside(test)

    @pytest.mark.parametrize(
        ("problem", "words"), [(httpx.ReadError, "may not be"), (None, "is not")]
    )
    def test_one_that_nobody_knows_of(
        self, inside: In, monkeypatch: pytest.MonkeyPatch, problem: Any, words: str
    ) -> None:
        monkeypatch.setattr(outcome_record, "RECORD_SECONDS", 0.3)

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def act(asked: Any) -> tuple[int, str]:
                await w.switch(asked, "n3", "n1")
                w.wire.spoil = spoil
                return 200, "Successfully"

            async def spoil(request: httpx.Request) -> httpx.Response | None:
                if not writes(request):
                    return None
                if problem:
                    raise problem("cut", request=request)
                refusal = {"code": 7, "message": "etcdserver: permission denied"}
                return httpx.Response(403, json=refusal, request=request)

            w.script.append(act)
            (note,) = [
                note
                for note in (await w.send("request_promotion", body)).json()["notes"]
                if note["code"] == "OUTCOME_NOT_RECORDED"
            ]
            assert note["message"].startswith(f"the outcome {words} in the audit trail: ")

        inside(test)

    def test_when_the_outcome_is_recorded(
        self, inside: In, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outcome_record, "RECORD_SECONDS", 0.3)

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")

            async def act(asked: Any) -> tuple[int, str]:
                await w.switch(asked, "n3", "n1")
                w.wire.spoil = spoil
                return 200, "Successfully"

            async def spoil(request: httpx.Request) -> httpx.Response | None:
                if writes(request):
                    raise httpx.ConnectError("gone", request=request)
                return None

            w.script.append(act)
            answer = await w.send("request_promotion", body)
            found = status(answer)
            assert (found.outcome, found.revisions.outcome) == ("executed", None)
            codes = [note["code"] for note in answer.json()["notes"]]
            assert "OUTCOME_NOT_RECORDED" in codes
            later = await w.clients["observer"].get(f"/v1/requests/{body['request_id']}")
            assert status(later).outcome == "executed"

        inside(test)


def test_a_bug_before_the_dispatch_is_one(inside: In, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr("aeroctl.kernel.decide.decision.decide", broken)

    async def test(w: World) -> None:
        body = await w.request("request_promotion", "n1")
        found = error(await w.send("request_promotion", body), "INTERNAL")
        assert found.request_id == body["request_id"]
        assert (w.agent.posts, await w.records()) == ([], [])

    inside(test)


def test_a_bug_after_the_dispatch_is_no_denial(inside: In, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr("aeroctl.kernel.prove.judge.judge", broken)

    async def test(w: World) -> None:
        body = await w.request("request_promotion", "n1")
        w.script.append(transferring(w, "n3", "n1", "ok"))
        answer = await w.send("request_promotion", body)
        found = error(answer, "INTERNAL", "unknown")
        assert (answer.status_code, found.request_id) == (500, body["request_id"])
        assert "hunter2" not in answer.text

    inside(test)


def test_a_record_is_never_written_over(inside: In, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where somebody has set the end of the trail back."""
    monkeypatch.setattr(command, "RECORD_SECONDS", 0.3)

    async def test(w: World) -> None:
        body = await w.request("request_promotion", "n1")
        await w.send("request_promotion", body, "observer")
        before = await w.records()
        head = ledger.head_key(w.scope)
        zero = json.dumps({"sequence": 0, "hash": chain.NO_HASH})
        await w.store.transact([], [Put(head, zero)])
        other = await w.request("request_promotion", "n1")
        answer = await w.send("request_promotion", other)
        found = error(answer, "KERNEL_STATE_UNREADABLE")
        assert ledger.audit_key(w.scope, 1) in found.message
        assert await w.records() == before
        assert w.agent.posts == []

    inside(test)


class TestWithoutAuthority:
    """Who may not ask can neither fill the trail nor hold up who may."""

    def test_their_words_stay_out(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1") | {"reason": "x" * 1000}
            error(await w.send("request_promotion", body, "observer"), "NOT_AUTHORIZED")
            for record in await w.records(body["request_id"]):
                assert record.reason is None
                assert record.client == Client(user=None, host=None, version=None)
                assert record.identity == "the-observer"

        inside(test)

    def test_so_many_and_no_more(self, inside: In, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(throttle, "TRY_SECONDS", 60)  # also on a busy machine

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            before = (await w.store.read(f"/aerodb/{w.scope}/")).revision

            async def ask(leader: str | None = "observer") -> str:
                request_id = str(uuid.uuid4())
                answer = await w.send(
                    "request_promotion", body | {"request_id": request_id}, leader
                )
                assert error(answer, "NOT_AUTHORIZED").request_id == request_id
                return request_id

            # all at once, so that they compete
            ids = await asyncio.gather(*(ask() for _ in range(throttle.MOST + 5)))
            records = await w.records()
            assert len(records) == 2 * throttle.MOST
            assert {record.request_id for record in records} < set(ids)
            gaps = [bool(record.message and throttle.GAP in record.message) for record in records]
            assert gaps == [False] * (len(records) - 1) + [True]

            end = (await w.kept(ids[0])).head_revision
            dropped = await ask()
            assert (await w.kept(dropped)).head_revision == end
            later = await w.clients["observer"].get(f"/v1/requests/{dropped}")
            assert status(later).recorded is False
            assert end - before == throttle.MOST  # the store is left alone

            await ask("auditor")  # another caller's count is its own
            await ask(None)
            assert len(await w.records()) == 2 * throttle.MOST + 4

        inside(test)

    def test_the_count_is_kept_for_a_while(self, inside: In, etcd_store: Store) -> None:
        async def test(w: World) -> None:
            name = throttle.key(w.scope, "the-observer")

            def lease() -> int:
                encoded = base64.b64encode(name.encode()).decode()
                (pair,) = etcd_store.ask("kv/range", key=encoded)["kvs"]
                return int(pair["lease"])

            leases = []
            for _ in range(3):
                body = await w.request("request_promotion", "n1")
                await w.send("request_promotion", body, "observer")
                leases.append(lease())
            assert len(set(leases)) == 1  # a refusal does not prolong it
            left = etcd_store.ask("lease/timetolive", ID=str(leases[0]))
            assert int(left["grantedTTL"]) == throttle.WINDOW_SECONDS
            etcd_store.ask("lease/revoke", ID=str(leases[0]))
            body = await w.request("request_promotion", "n1")
            await w.send("request_promotion", body, "observer")
            assert await w.kinds(body["request_id"]) == ["requested", "refused"]
            assert lease() not in leases

        inside(test)

    def test_an_operator_gets_through(self, inside: In) -> None:
        async def test(w: World) -> None:
            asked = await w.request("request_promotion", "n1")
            body = await w.request("request_promotion", "n1")
            over = asyncio.Event()

            async def pester(leader: str | None) -> None:
                while not over.is_set():
                    again = asked | {"request_id": str(uuid.uuid4())}
                    answer = await w.send("request_promotion", again, leader)
                    error(answer, "NOT_AUTHORIZED")

            async def operate() -> None:
                w.script.append(transferring(w, "n3", "n1", "ok"))
                try:
                    found = status(await w.send("request_promotion", body))
                    assert (found.outcome, found.revisions.outcome is None) == ("executed", False)
                finally:
                    over.set()

            others = ["observer", "auditor", None, "observer"] * 2
            await asyncio.gather(operate(), *(pester(leader) for leader in others))

        inside(test)

    def test_nor_do_two_servers_hold_each_other_up(self, inside: In) -> None:
        async def test(w: World) -> None:
            asked = await w.request("request_promotion", "n1")
            body = await w.request("run_diagnostics", None)
            over = asyncio.Event()
            w.accounts |= dict.fromkeys(w.accounts, saying(503, ""))

            async def pester() -> None:
                while not over.is_set():
                    again = asked | {"request_id": str(uuid.uuid4())}
                    await w.beside["observer"].post("/v1/commands/request_promotion", json=again)

            async def operate() -> None:
                try:
                    found = status(await w.send("run_diagnostics", body))
                    assert (found.outcome, found.revisions.outcome is None) == ("executed", False)
                finally:
                    over.set()

            await asyncio.gather(operate(), *(pester() for _ in range(4)))

        inside(test)

    def test_a_count_that_cannot_be_read(self, inside: In) -> None:
        async def test(w: World) -> None:
            await w.store.transact([], [Put(throttle.key(w.scope, "the-observer"), "many")])
            body = await w.request("request_promotion", "n1")
            error(await w.send("request_promotion", body, "observer"), "NOT_AUTHORIZED")
            assert await w.records() == []

        inside(test)


class TestForced:
    """The engine checks no holder there, so the kernel does, last of all."""

    def test_not_in_another_leader_term(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("force_promotion", "n1")
            recorded: list[bool] = []
            moving: list[bool] = []
            moved = asyncio.Event()

            async def spoil(request: httpx.Request) -> None:
                """Nobody reads anything after the dispatch before the leader term is another
                one.
                """
                if puts(request, ledger.inflight_key(w.scope)):
                    recorded.append(True)
                elif recorded and request.url.path.endswith("/kv/range"):
                    if not moving:
                        moving.append(True)
                        await w.put(leader=None)
                        await w.put(leader="n2")
                        moved.set()
                    await moved.wait()

            w.wire.spoil = spoil
            w.script.append(transferring(w, "n2", "n1", "ok"))
            found = status(await w.send("force_promotion", body))
            assert (found.outcome, found.final, w.agent.posts) == ("not_executed", True, [])
            assert "since" in found.engine_reply.body
            assert await w.kinds(body["request_id"]) == [*DISPATCHED, "outcome"]

        inside(test)

    def test_nor_where_the_leader_term_cannot_be_read(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("force_promotion", "n1")
            recorded: list[bool] = []

            async def spoil(request: httpx.Request) -> None:
                if puts(request, ledger.inflight_key(w.scope)):
                    recorded.extend([True] * 4)  # each read is tried a second time
                elif recorded and recorded.pop():  # whoever watches reads it, too
                    raise httpx.ReadError("cut", request=request)

            w.wire.spoil = spoil
            w.script.append(transferring(w, "n3", "n1", "ok"))
            found = status(await w.send("force_promotion", body))
            assert (found.outcome, found.final, w.agent.posts) == ("not_executed", True, [])

        inside(test)


class TestWhoWrites:
    """The new holder's own word, told by a database that isn't there."""

    def told(self, writable: bool) -> Any:
        missing = ("lsn", "received_lsn", "replayed_lsn", "replay_paused", "last_replayed_at")
        value = dict.fromkeys((*missing, "receiver")) | {
            "system_id": "7711333723011112335",
            "in_recovery": False,
            "writable": writable,
            "timeline": 2,
            "senders": [],
        }

        async def ask(nodes: Any, *_: object) -> Any:
            return {node.name: {"replication": json.dumps(value)} for node in nodes}

        return ask

    @pytest.mark.parametrize("writes", [True, False])
    def test_both_who_asked_and_who_looks_are_told_the_same(
        self, inside: In, monkeypatch: pytest.MonkeyPatch, writes: bool
    ) -> None:
        monkeypatch.setattr(transfer, "PROOF_SECONDS", 32.0)  # of 33: it would wait for writes

        async def test(w: World) -> None:
            body = await w.request("request_promotion", "n1")
            monkeypatch.setattr(queries, "ask", self.told(writes))
            w.script.append(transferring(w, "n3", "n1", "ok"))
            found = status(await w.send("request_promotion", body))
            later = await w.clients["observer"].get(f"/v1/requests/{body['request_id']}")
            expected = ("executed", True) if writes else ("in_progress", False)
            assert (found.outcome, found.final) == expected
            assert (status(later).outcome, status(later).final) == expected

        inside(test)

    def test_what_comes_after_it_is_not_weighed(
        self, inside: In, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transfer, "PROOF_SECONDS", 32.0)

        async def test(w: World) -> None:
            async def act(asked: Any) -> tuple[int, str]:
                await w.switch(asked, "n3", "n1")
                await w.put(leader=None)
                await w.put(leader="n2")
                return 200, "Successfully"

            body = await w.request("request_promotion", "n1")
            monkeypatch.setattr(queries, "ask", self.told(False))
            w.script.append(act)
            found = status(await w.send("request_promotion", body))
            assert (found.outcome, found.final, found.leader_after.node) == (
                "executed",
                True,
                "n1",
            )
            assert "writable" not in [rule.rule_id for rule in found.evidence]

        inside(test)


class TestRefusedAgainAndAgain:
    """An operator's script that goes wild fills no store."""

    def test_so_many_are_recorded(
        self, inside: In, etcd_store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(throttle, "MOST_OF_OPERATORS", 4)

        async def test(w: World) -> None:
            async def refused() -> str:
                asked = await w.request("request_promotion", "n1") | {"state_digest": "e" * 32}
                answer = await w.send("request_promotion", asked)
                return str(error(answer, "STATE_CHANGED").message)

            words = await asyncio.gather(*(refused() for _ in range(4)))
            assert sum(throttle.GAP in each for each in words) == 1
            before = await w.records()
            assert len({record.request_id for record in before}) == 4
            end = (await w.store.read(f"/aerodb/{w.scope}/")).revision
            await asyncio.gather(*(refused() for _ in range(3)))
            # The store is left alone.
            assert (await w.store.read(f"/aerodb/{w.scope}/")).revision == end
            assert await w.records() == before

            name = base64.b64encode(throttle.key(w.scope, "the-operator").encode()).decode()
            (pair,) = etcd_store.ask("kv/range", key=name)["kvs"]
            etcd_store.ask("lease/revoke", ID=pair["lease"])  # as its time does
            assert "3 refusals of this caller were not recorded" in await refused()
            last = (await w.records())[-1]
            assert last.message is not None
            assert "3 refusals" in last.message
            assert "were not recorded" not in await refused()  # said once

        inside(test)

    def test_one_too_many_uses_its_confirmation_up(
        self, inside: In, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also one that nobody recorded: once the state allows it, a new one is needed."""
        monkeypatch.setattr(throttle, "MOST_OF_OPERATORS", 1)

        async def test(w: World) -> None:
            asked = await w.request("request_promotion", "n1") | {"state_digest": "e" * 32}
            error(await w.send("request_promotion", asked), "STATE_CHANGED")
            body = await w.request("request_promotion", "n1")
            before = await w.records()
            flight = f"/aerodb/{w.scope}/inflight"
            await w.store.transact([], [Put(flight, str(uuid.uuid4()))])
            error(await w.send("request_promotion", body), "COMMAND_IN_FLIGHT")
            await w.store.transact([], [Delete(flight)])
            again = body | {"request_id": str(uuid.uuid4())}
            found = error(await w.send("request_promotion", again), "CONFIRMATION_REUSED")
            assert body["request_id"] in found.message
            assert await w.records() == before
            assert w.agent.posts == []

        inside(test)


class TestDiagnostics:
    def test_no_turn_before_the_deadline(self, inside: In, monkeypatch: pytest.MonkeyPatch) -> None:
        """Dispatched is dispatched: it ends with an outcome, and within its deadline."""

        async def test(w: World) -> None:
            body = await w.request("run_diagnostics", None)
            monkeypatch.setattr(queries, "CANCEL_SECONDS", 1.8)  # of 5, and 3 for the node
            for _ in range(READERS):
                await w.source.change_readers.acquire()
            found = status(await asyncio.wait_for(w.send("run_diagnostics", body), 5))
            assert (found.outcome, found.final) == ("not_executed", True)
            assert (found.diagnostics, w.agent.asked) == (None, [])
            assert "not read" in found.message
            assert await w.kinds(body["request_id"]) == [*DISPATCHED, "outcome"]
            for _ in range(READERS):
                w.source.change_readers.release()
            later = await w.clients["observer"].get(f"/v1/requests/{body['request_id']}")
            assert (status(later).outcome, status(later).final) == ("not_executed", True)

        inside(test)

    def test_every_account_of_every_node(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("run_diagnostics", None)
            told = {
                "role": "replica",
                "timeline": 1,
                "database_system_identifier": SYSTEM_ID,
                "patroni": {"name": "n1", "scope": w.scope},
            }
            w.accounts |= dict.fromkeys(w.accounts, saying(200, json.dumps(told)))
            found = status(await w.send("run_diagnostics", body))
            assert (found.outcome, found.final, found.evidence) == ("executed", True, [])
            assert w.agent.posts == []
            assert len(w.agent.asked) == 4  # n3's role differs, which is looked at again
            rules = {
                (str(rule.evidence[0].value), rule.rule_id): rule.evaluation
                for rule in found.diagnostics
            }
            assert rules["n1", "agent_is_the_nodes"] == "holds"
            assert rules["n2", "agent_is_the_nodes"] == "does_not_hold"
            assert rules["n1", "database_answers"] == "does_not_hold"
            assert rules["n3", "role_agrees"] == "does_not_hold"
            assert rules["n1", "role_agrees"] == "undetermined"
            assert await w.kinds(body["request_id"]) == [*DISPATCHED, "outcome"]
            later = await w.clients["observer"].get(f"/v1/requests/{body['request_id']}")
            assert status(later).outcome == "executed"

        inside(test)

    def test_it_is_refused_like_everything_else(self, inside: In) -> None:
        async def test(w: World) -> None:
            body = await w.request("run_diagnostics", None)
            error(await w.send("run_diagnostics", body, "auditor"), "NOT_AUTHORIZED")
            body = await w.request("run_diagnostics", None) | {"state_digest": "another"}
            error(await w.send("run_diagnostics", body), "STATE_CHANGED")
            assert w.agent.asked == []

        inside(test)
