"""What is refused, by whom, and that it left no trace but a record of the refusal."""

from pathlib import Path
from typing import Any

import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.tokens import Authority
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live.faults import FAULTS
from tests.live.operator import Done, Operator, request_id_in
from tests.live.test_changes import PROMPT, next_to_lead
from tests.recorded.scenarios import leader, replica, synchronous

pytestmark = pytest.mark.live

PROMOTION = "/v1/commands/request_promotion"
FORCE = "/v1/commands/force_promotion"


def refused(operator: Operator, done: Done, code: str, exit_code: int) -> Any:
    """aeroctl says so, nothing reached the engine, and the one record of it is a refusal."""
    assert (done.code, done.says) == (exit_code, code), done
    assert done.error["outcome"] == "not_executed"
    operator.agree(done.error["request_id"], "rejected")
    recorded_refusal(operator, done.error["request_id"], code)
    return done.error


def recorded_refusal(operator: Operator, request_id: str, code: str) -> None:
    """The trail has it, the kernel tells it, and authority is where it was."""
    data = operator.prove(request_id, "rejected")
    assert data["code"] == code
    records = [record for record in operator.trail() if record["request_id"] == request_id]
    assert [(record["kind"], record["code"]) for record in records][-1] == ("refused", code)
    assert "dispatched" not in [record["kind"] for record in records]
    assert operator.posts() == 0
    assert len(operator.leader_terms()) == 1


class TestAuthority:
    @pytest.mark.parametrize("authority", ["observer", "auditor"])
    def test_who_only_reads(
        self, sandbox: Sandbox, operator: Operator, authority: Authority
    ) -> None:
        target = next_to_lead(sandbox).name
        done = operator.run("promote", target, "--yes", "-o", "json", authority=authority)
        error = refused(operator, done, "NOT_AUTHORIZED", 3)
        assert "P7-A1" in error["invariants"]
        assert {record["identity"] for record in operator.trail()} == {f"sandbox-{authority}"}

    def test_nobody_in_particular(self, sandbox: Sandbox, operator: Operator) -> None:
        """Without a token file everybody is anonymous, and nobody would be responsible."""
        anonymous = sandbox.start_kernel(tokens=False)
        try:
            target = next_to_lead(sandbox).name
            done = operator.ask("promote", target, "--yes", kernel=anonymous.url)
        finally:
            anonymous.terminate()
        refused(operator, done, "NOT_AUTHORIZED", 3)

    def test_an_observer_does_not_see_the_audit_trail(self, operator: Operator) -> None:
        done = operator.run("audit", "-o", "json", authority="observer")
        assert (done.code, done.says) == (3, "NOT_AUTHORIZED")
        for authority in ("operator", "auditor"):
            listed = operator.run("audit", "--verify", "-o", "json", authority=authority)
            assert listed.code == 0, listed


class TestIntent:
    def test_no_confirmation(self, sandbox: Sandbox, operator: Operator) -> None:
        target = next_to_lead(sandbox).name
        for typed in ("", "yes\n"):
            done = operator.run("promote", target, "-o", "json", typed=typed)
            assert (done.code, done.says) == (3, "CONFIRMATION_MISSING")
        operator.nothing_happened()

    def test_the_wrong_answer(self, sandbox: Sandbox, operator: Operator) -> None:
        for answer in ("y", "YES", ""):
            with operator.terminal("promote", next_to_lead(sandbox).name) as terminal:
                terminal.answer(PROMPT, answer)
                assert terminal.finish() == (3, "")
            assert "DECLINED" in terminal.shown
        operator.nothing_happened()

    def test_a_token_for_something_else(self, sandbox: Sandbox, operator: Operator) -> None:
        one, other = (node for node in sandbox.nodes.values() if node is not leader(sandbox))
        token = operator.explain("request_promotion", one.name)["confirmation_token"]
        done = operator.ask("promote", other.name, "--confirm", token)
        assert (done.code, done.says) == (3, "CONFIRMATION_STALE")
        operator.nothing_happened()

    def test_an_override_that_is_not_complete(self, sandbox: Sandbox, operator: Operator) -> None:
        target = next_to_lead(sandbox).name
        asked = operator.explain("force_promotion", target)["overrides"]
        every = [word for each in asked for word in ("--acknowledge", each["invariant"])]
        force = ["force-promote", target, "--reason", "a test"]
        for flags in (["--accept-responsibility"], every, [*every, "--acknowledge", "P7-A1"]):
            done = operator.ask(*force, *flags)
            assert (done.code, done.says) == (3, "OVERRIDE_INCOMPLETE"), done
        operator.nothing_happened()


class TestCurl:
    """Who goes past aeroctl meets the same checks in the kernel (P7-E3)."""

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"confirmation": {"token": "e" * 64}}, "CONFIRMATION_INVALID"),
            ({"confirmation": {"kind": "override"}}, "CONFIRMATION_INVALID"),
            ({"confirmation": {"given": "flags"}}, "CONFIRMATION_INVALID"),
            ({"confirmation": {"acknowledged": ["P6-S1"]}}, "ACKNOWLEDGEMENT_MISMATCH"),
            ({"state_digest": "0" * 32}, "STATE_CHANGED"),
            ({"target": "n9"}, "UNKNOWN_NODE"),
        ],
    )
    def test_a_promotion(
        self, sandbox: Sandbox, operator: Operator, changes: dict[str, Any], code: str
    ) -> None:
        explanation = operator.explain("request_promotion", next_to_lead(sandbox).name)
        self.refused(operator, PROMOTION, operator.request(explanation, **changes), code)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"confirmation": {"acknowledged": []}}, "ACKNOWLEDGEMENT_MISMATCH"),
            ({"confirmation": {"acknowledged": ["P6-S1"] * 2}}, "ACKNOWLEDGEMENT_MISMATCH"),
            (
                {"confirmation": {"acknowledged": ["P6-S1", "P6-S2"]}},
                "ACKNOWLEDGEMENT_MISMATCH",
            ),
            ({"confirmation": {"accepts_responsibility": False}}, "CONFIRMATION_INVALID"),
            ({"confirmation": {"given": "yes"}}, "CONFIRMATION_INVALID"),
            ({"confirmation": {"kind": "standard"}}, "CONFIRMATION_INVALID"),
            ({"reason": " "}, "CONFIRMATION_INVALID"),
            ({"reason": None}, "CONFIRMATION_INVALID"),
        ],
    )
    def test_an_override(
        self, sandbox: Sandbox, operator: Operator, changes: dict[str, Any], code: str
    ) -> None:
        explanation = operator.explain("force_promotion", next_to_lead(sandbox).name)
        self.refused(operator, FORCE, operator.request(explanation, **changes), code)

    def test_a_token_of_another_command(self, sandbox: Sandbox, operator: Operator) -> None:
        target = next_to_lead(sandbox).name
        other = operator.explain("force_promotion", target)["confirmation_token"]
        explanation = operator.explain("request_promotion", target)
        asked = operator.request(explanation, confirmation={"token": other})
        self.refused(operator, PROMOTION, asked, "CONFIRMATION_INVALID")

    def test_the_same_request_twice(self, sandbox: Sandbox, operator: Operator) -> None:
        """The id is used up by whatever became of it (P7-F3)."""
        explanation = operator.explain("request_promotion", next_to_lead(sandbox).name)
        wrong = operator.request(explanation, confirmation={"token": "f" * 64})
        self.refused(operator, PROMOTION, wrong, "CONFIRMATION_INVALID")
        right = operator.request(explanation, request_id=wrong["request_id"])
        answer = operator.post(PROMOTION, right)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "REQUEST_SEEN")
        assert operator.trail()[-1]["code"] == "REQUEST_SEEN"
        recorded = operator.prove(wrong["request_id"], "rejected")
        assert recorded["code"] == "CONFIRMATION_INVALID"

    @pytest.mark.parametrize("authority", ["observer", "auditor"])
    def test_without_the_authority(
        self, sandbox: Sandbox, operator: Operator, authority: Authority
    ) -> None:
        explanation = operator.explain("request_promotion", next_to_lead(sandbox).name)
        answer = operator.post(PROMOTION, operator.request(explanation), authority)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "NOT_AUTHORIZED")
        recorded_refusal(operator, answer.json()["error"]["request_id"], "NOT_AUTHORIZED")

    def test_what_is_no_request(self, sandbox: Sandbox, operator: Operator) -> None:
        explanation = operator.explain("request_promotion", next_to_lead(sandbox).name)
        asked = operator.request(explanation)
        bodies = [
            {**asked, "scheduled_at": "2100-01-01T00:00:00Z"},
            {key: value for key, value in asked.items() if key != "confirmation"},
            {**asked, "request_id": "1"},
            [asked, asked],
            {},
        ]
        for body in bodies:
            answer = operator.post(PROMOTION, body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST")
        unknown = operator.post("/v1/commands/restart", asked)
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "UNKNOWN_COMMAND")
        operator.nothing_happened()

    def refused(self, operator: Operator, path: str, body: dict[str, Any], code: str) -> None:
        answer = operator.post(path, body)
        error = answer.json()["error"]
        assert (error["code"], error["outcome"]) == (code, "not_executed"), error
        assert error["request_id"] == body["request_id"]
        recorded_refusal(operator, body["request_id"], code)


class TestState:
    def test_a_node_that_is_not_there(self, operator: Operator) -> None:
        done = operator.ask("promote", "n9", "--yes")
        assert (done.code, done.says) == (2, "UNKNOWN_NODE")
        operator.nothing_happened()

    def test_the_holder_itself_and_a_replica(self, sandbox: Sandbox, operator: Operator) -> None:
        wrong = [("promote", leader(sandbox).name), ("demote", replica(sandbox).name)]
        for arguments in wrong:
            done = operator.ask(*arguments, "--yes")
            assert (done.code, done.says) == (4, "RULE_NOT_MET"), done
            assert operator.ask("explain", *arguments, "--check").code == 8
        operator.nothing_happened()
        explanation = operator.explain("request_promotion", leader(sandbox).name)
        answer = operator.post(PROMOTION, operator.request(explanation))
        assert answer.json()["error"]["code"] == "RULE_NOT_MET", answer.text
        assert "target_is_replica" in answer.json()["error"]["message"]
        recorded_refusal(operator, answer.json()["error"]["request_id"], "RULE_NOT_MET")

    def test_a_transfer_that_is_pending(self, sandbox: Sandbox, operator: Operator) -> None:
        operator.schedule()
        try:
            explanation = operator.explain("request_promotion", next_to_lead(sandbox).name)
            answer = operator.post(PROMOTION, operator.request(explanation))
            done = operator.ask("promote", next_to_lead(sandbox).name, "--yes")
        finally:
            sandbox.patronictl("flush", "demo", "switchover", "--force")
        assert answer.json()["error"]["code"] == "RULE_NOT_MET", answer.text
        assert "nothing_pending" in answer.json()["error"]["message"]
        assert (done.code, done.says) == (4, "RULE_NOT_MET"), done

    def test_a_replica_that_lags(self, sandbox: Sandbox, operator: Operator) -> None:
        """The engine's own check, and its own words."""
        node = next_to_lead(sandbox)
        node.postgres.freeze_worker("walreceiver")
        try:
            wal = "SELECT pg_logical_emit_message(true, 'lag', repeat('x', 4000000))"
            for _ in range(4):  # more than what may be under way in between
                leader(sandbox).sql(wal)
            rules = wait_until("it is seen", lambda: self.broken(operator, node.name))
            done = operator.ask("promote", node.name, "--yes")
        finally:
            node.postgres.thaw_worker("walreceiver")
        assert "lag_within_limit" in rules
        operator.fault("engine refuses", done, done.request_id)
        assert done.error["engine_reply"] == {"status": 503, "body": "Switchover failed"}
        assert len(operator.leader_terms()) == 1

    def test_a_candidate_that_is_not_synchronous(
        self, sandbox: Sandbox, operator: Operator
    ) -> None:
        with synchronous(sandbox):
            node = next(
                node
                for node in sandbox.nodes.values()
                if f'"{node.name}"' not in sandbox.stored()["sync"]
            )
            assert "synchronous_standby" in self.broken(operator, node.name)
            done = operator.ask("promote", node.name, "--yes")
            operator.fault("engine refuses", done, done.request_id)
        assert "candidate name does not match with sync_standby" in done.error["message"]

    def broken(self, operator: Operator, target: str) -> set[str]:
        rules = operator.explain("request_promotion", target)["rules_applied"]
        return {rule["rule_id"] for rule in rules if rule["evaluation"] == "does_not_hold"}


def test_leader_went_away_and_came_back_while_the_prompt_waited(
    sandbox: Sandbox, operator: Operator
) -> None:
    """The same node holds it, in a new leader term: what was confirmed is not what is there."""
    old, other = leader(sandbox), replica(sandbox)
    target = next(node for node in sandbox.nodes.values() if node not in (old, other))
    explanation = operator.explain("request_promotion", target.name)
    token = explanation["confirmation_token"]
    with operator.terminal("promote", target.name, "-o", "json") as terminal:
        terminal.asked(PROMPT)
        operator.hand_over(other)
        operator.hand_over(old)
        terminal.type("yes\n")
        code, out = terminal.finish()
    request_id = request_id_in(terminal.shown.split(PROMPT)[1])
    operator.fault(
        "state changed while the prompt waited", Done(code, out, terminal.shown), request_id
    )
    stale = operator.ask("promote", target.name, "--confirm", token)
    assert (stale.code, stale.says) == (3, "CONFIRMATION_STALE")
    bypassing = operator.post(PROMOTION, operator.request(explanation))
    assert bypassing.json()["error"]["code"] == "STATE_CHANGED"
    assert leader(sandbox) is old
    assert operator.posts() == 0


def test_a_cluster_without_a_replica(operator_alone: Operator) -> None:
    operator = operator_alone
    done = operator.ask("demote", "n1", "--yes")
    operator.fault("engine refuses", done, done.request_id)
    assert "cluster does not have members except leader" in done.error["message"]
    done = operator.ask("promote", "n1", "--yes")
    assert (done.code, done.says) == (4, "RULE_NOT_MET")


def test_every_row_of_the_table_of_faults_is_brought_about() -> None:
    """By name, in one of these files: a row that no test looks up says nothing."""
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in FAULTS if f'"{name}"' not in tests] == []
