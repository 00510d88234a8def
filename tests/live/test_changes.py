"""Changes that the cluster carries out: asked for once, carried out once, recorded, and proved."""

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.node import NodeHandle
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live import store
from tests.live.faults import FAULTS
from tests.live.operator import EXITS, Done, Operator, request_id_in
from tests.recorded.scenarios import leader, paused, replica

pytestmark = pytest.mark.live

PROMPT = "Type yes to confirm:"


def next_to_lead(sandbox: Sandbox) -> NodeHandle:
    """Whoever follows the leader, going round."""
    names = sorted(sandbox.nodes)
    return sandbox.nodes[names[(names.index(leader(sandbox).name) + 1) % len(names)]]


def override(operator: Operator, target: str) -> list[str]:
    """The command line of a forced promotion, with everything acknowledged that is asked for."""
    asked = operator.explain("force_promotion", target)["overrides"]
    acknowledged = [word for each in asked for word in ("--acknowledge", each["invariant"])]
    return ["force-promote", target, "--reason", "a test", *acknowledged, "--accept-responsibility"]


class TestPromoteEachNodeInTurn:
    """The next one, and the next; the third while the cluster is paused."""

    def test_at_a_terminal(self, sandbox: Sandbox, operator: Operator) -> None:
        old, target = leader(sandbox), next_to_lead(sandbox)
        with operator.terminal("promote", target.name, "--reason", "a drill") as terminal:
            shown = terminal.answer(PROMPT, "yes")
            code, out = terminal.finish()
        assert code == 0, terminal.shown
        system_id = sandbox.stored()["initialize"]
        for word in (old.name, target.name, "demo", system_id, "same_timeline", "lag_within_limit"):
            assert word in shown
        request_id = request_id_in(terminal.shown.removeprefix(shown))
        assert "executed" in out
        operator.agree(request_id, "executed")
        confirmed = next(each for each in operator.trail() if each["kind"] == "confirmed")
        assert (confirmed["identity"], confirmed["leader"]) == ("sandbox-operator", "operator")
        assert (confirmed["reason"], confirmed["confirmation"]["given"]) == ("a drill", "terminal")

    def test_with_yes(self, sandbox: Sandbox, operator: Operator) -> None:
        target = next_to_lead(sandbox)
        done = operator.ask("promote", target.name, "--yes")
        assert (done.code, done.says) == (0, "executed"), done
        assert leader(sandbox) is target
        data = operator.agree(done.request_id, "executed")
        assert data["leader_after"]["node"] == target.name
        assert data["leader_before"]["since"] < data["leader_after"]["since"]
        assert operator.posts() == 1
        kinds = [record["kind"] for record in operator.trail()]
        assert kinds == ["requested", "confirmed", "dispatched", "outcome"]


class TestPaused:
    """Automatic failover is switched off; a promotion completes the turn."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _paused(cls, sandbox: Sandbox) -> Iterator[None]:
        sandbox.wait_until_ready()
        with paused(sandbox):
            yield

    def test_a_promotion_works(self, sandbox: Sandbox, operator: Operator) -> None:
        done = operator.ask("promote", next_to_lead(sandbox).name, "--yes")
        assert (done.code, done.says) == (0, "executed"), done
        operator.agree(done.request_id, "executed")

    def test_a_demotion_is_refused_by_the_engine(
        self, sandbox: Sandbox, operator: Operator
    ) -> None:
        done = operator.ask("demote", leader(sandbox).name, "--yes")
        operator.fault("engine refuses", done, done.request_id)
        words = "Switchover is possible only to a specific candidate in a paused state"
        assert words in done.error["message"]
        assert done.error["engine_reply"]["status"] == 400
        assert len(operator.leader_terms()) == 1

    def test_a_forced_promotion_when_the_holder_is_dead(
        self, sandbox: Sandbox, operator: Operator
    ) -> None:
        dead, target = leader(sandbox), replica(sandbox)
        dead.kill()
        store.expire(sandbox, f"{store.ENGINE}leader")
        wait_until("nobody leads", lambda: "leader" not in sandbox.stored())
        try:
            done = operator.ask(*override(operator, target.name))
            assert (done.code, done.says) == (0, "executed"), done
            data = operator.agree(done.request_id, "executed")
        finally:
            dead.start()
        assert data["leader_before"] is None
        confirmed = next(each for each in operator.trail() if each["kind"] == "confirmed")
        assert "P6-A2" in confirmed["confirmation"]["acknowledged"]


def test_demote(sandbox: Sandbox, operator: Operator) -> None:
    old = leader(sandbox)
    explained = operator.ask("explain", "demote", old.name, "--check")
    assert explained.code == 0, explained
    token, successors = explained.data["confirmation_token"], explained.data["successors"]
    done = operator.ask("demote", old.name, "--confirm", token)
    assert (done.code, done.says) == (0, "executed"), done
    after = operator.agree(done.request_id, "executed")["leader_after"]
    assert after["node"] in [successor["node"] for successor in successors]
    assert after["node"] != old.name


def test_diagnose(operator: Operator) -> None:
    done = operator.ask("diagnose", "--yes")
    assert (done.code, done.says) == (0, "executed"), done
    rules = done.data["diagnostics"]
    assert [rule for rule in rules if rule["evaluation"] == "does_not_hold"] == []
    operator.agree(done.request_id, "executed")
    assert operator.posts() == 0
    assert len(operator.leader_terms()) == 1


def test_an_override_at_a_terminal(sandbox: Sandbox, operator: Operator) -> None:
    """The node's name, every invariant in its turn, and responsibility."""
    target = next_to_lead(sandbox)
    asked = operator.explain("force_promotion", target.name)["overrides"]
    assert asked
    with operator.terminal("force-promote", target.name, "--reason", "a drill") as terminal:
        terminal.answer("Type the node's name:", target.name)
        for each in asked:
            terminal.answer(f"Type {each['invariant']} to acknowledge it:", each["invariant"])
        shown = terminal.answer(PROMPT, "yes")
        code, _ = terminal.finish()
    assert code == 0, terminal.shown
    assert "responsibility" in shown
    operator.agree(request_id_in(terminal.shown.split(PROMPT)[1]), "executed")
    confirmed = next(each for each in operator.trail() if each["kind"] == "confirmed")
    assert confirmed["confirmation"]["acknowledged"] == [each["invariant"] for each in asked]
    assert confirmed["confirmation"]["accepts_responsibility"]


def test_two_operators_with_different_candidates_from_the_same_state_digest(
    sandbox: Sandbox, operator: Operator
) -> None:
    """Through two aerokernels: exactly one of the two executes."""
    second = sandbox.start_kernel()
    try:
        candidates = [node for node in sandbox.nodes.values() if node is not leader(sandbox)]
        tokens = [
            operator.explain("request_promotion", node.name)["confirmation_token"]
            for node in candidates
        ]
        started = [
            operator.start("promote", node.name, "--confirm", token, "-o", "json", kernel=kernel)
            for node, token, kernel in zip(
                candidates, tokens, (sandbox.kernel_url, second.url), strict=True
            )
        ]
        done = [operator.finish(process) for process in started]
    finally:
        second.terminate()
    executed = [each for each in done if each.code == 0]
    refused = [each for each in done if each.code in (3, 4)]
    assert (len(executed), len(refused)) == (1, 1), done
    operator.agree(executed[0].request_id, "executed")
    error = refused[0].error
    if error["request_id"] is None:  # the slower of the two saw it before it sent anything
        assert error["code"] in ("CONFIRMATION_STALE", "RULE_NOT_MET"), error
    else:
        assert error["code"] in ("COMMAND_IN_FLIGHT", "STATE_CHANGED"), error
        operator.agree(error["request_id"], "rejected")


def test_the_same_request_through_two_kernels_at_once(sandbox: Sandbox, operator: Operator) -> None:
    """As a proxy would send it that repeats what it has no answer to (P7-F3)."""
    second = sandbox.start_kernel()
    try:
        explanation = operator.explain("request_promotion", next_to_lead(sandbox).name)
        body = operator.request(explanation)

        def post(kernel: str) -> httpx.Response:
            return operator.post("/v1/commands/request_promotion", body, kernel=kernel)

        with ThreadPoolExecutor() as pool:
            answers = list(pool.map(post, [sandbox.kernel_url, second.url]))
    finally:
        second.terminate()
    executed, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert executed.status_code == 200, [answer.text for answer in answers]
    assert executed.json()["data"]["outcome"] == "executed", executed.text
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "REQUEST_SEEN")
    operator.agree(body["request_id"], "executed")
    assert [each["kind"] for each in operator.trail()].count("dispatched") == 1


def test_a_primary_that_is_slow_to_stop(sandbox: Sandbox, operator: Operator) -> None:
    """It hands over long after the deadline; until then the outcome is open, and so it is told."""
    old, target = leader(sandbox), next_to_lead(sandbox)
    other = next(node for node in sandbox.nodes.values() if node not in (old, target))
    old.postgres.freeze_worker("checkpointer")
    try:
        first = operator.start("promote", target.name, "--yes", "-o", "json")
        request_id = operator.announced(first)
        operator.wait_for_dispatch(request_id)
        # Patroni tells no timeline of a primary that it is stopping: that is the last change here.
        entry = f"members/{old.name}"
        wait_until("it is being stopped", lambda: "timeline" not in sandbox.stored()[entry])
        # While one is in flight, there is no room for another, whoever asks, and however.
        explanation = operator.explain("request_promotion", other.name)
        bypassing = operator.post("/v1/commands/request_promotion", operator.request(explanation))
        assert bypassing.status_code == 409, bypassing.text
        assert bypassing.json()["error"]["code"] == "COMMAND_IN_FLIGHT", bypassing.text
        second = operator.ask("promote", other.name, "--yes")
        row = FAULTS["another command in flight"]
        assert (second.code, second.says) == (row.exit, row.says), second
        assert "nothing_in_flight" in second.error["message"]
        assert operator.ask("outcome", request_id).code == EXITS["in_progress"]
        done = operator.finish(first)
        waiting = operator.start("outcome", request_id, "--wait", "-o", "json")
        with pytest.raises(subprocess.TimeoutExpired):  # it has nothing to say yet
            waiting.wait(1)
    finally:
        old.postgres.thaw_worker("checkpointer")
    assert operator.finish(waiting).code == 0
    operator.fault("old primary slow to stop", as_waited(done, request_id), request_id)


def as_waited(done: Done, request_id: str) -> Done:
    """A run whose id was read from its stderr already."""
    return Done(done.code, done.out, f"{request_id}\n{done.err}")
