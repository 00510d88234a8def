"""One confirmation serves one request, for a time, on the cluster that it was given for."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.kernel import Kernel
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live.faults import FAULTS
from tests.live.operator import Done, Operator, request_id_in
from tests.live.test_changes import PROMPT, next_to_lead
from tests.recorded.scenarios import leader, paused
from tests.support.relay import Relay, relaying

pytestmark = pytest.mark.live

PROMOTION = "/v1/commands/request_promotion"
DEMOTION = "/v1/commands/request_demotion"
DIAGNOSTICS = "/v1/commands/run_diagnostics"
ROUNDS = 25


def again(body: dict[str, Any]) -> dict[str, Any]:
    """The same confirmation in a new request."""
    return body | {"request_id": str(uuid.uuid4())}


def code_of(answer: Any) -> str:
    """The code of an error; of an answer its outcome."""
    found = answer.json()
    return str(found["error"]["code"] if "error" in found else found["data"]["outcome"])


class TestOnce:
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _paused(cls, sandbox: Sandbox) -> Iterator[None]:
        """The engine refuses a demotion then, at once, and the state stays as it is."""
        sandbox.wait_until_ready()
        with paused(sandbox):
            yield

    def test_after_the_engine_has_refused(self, sandbox: Sandbox, operator: Operator) -> None:
        body = operator.request(operator.explain("request_demotion", leader(sandbox).name))
        assert code_of(operator.post(DEMOTION, body)) == "ENGINE_REJECTED"
        for _ in range(3):
            refused = again(body)
            answer = operator.post(DEMOTION, refused)
            assert code_of(answer) == "CONFIRMATION_REUSED", answer.text
            assert body["request_id"] in answer.json()["error"]["message"]
            assert operator.prove(refused["request_id"], "rejected")["code"] == (
                "CONFIRMATION_REUSED"
            )
        assert operator.posts() == 1

    def test_by_aeroctl(self, sandbox: Sandbox, operator: Operator) -> None:
        name = leader(sandbox).name
        token = operator.ask("explain", "demote", name).data["confirmation_token"]
        first = operator.ask("demote", name, "--confirm", token)
        assert (first.code, first.says) == (4, "ENGINE_REJECTED")
        second = operator.ask("demote", name, "--confirm", token)
        # the failover key was not written, so that the state is the one that was confirmed
        assert (second.code, second.says) == (3, "CONFIRMATION_REUSED"), second
        assert first.request_id in second.error["message"]
        assert operator.posts() == 1


def test_two_kernels_one_token_many_times(sandbox: Sandbox, operator: Operator) -> None:
    second = sandbox.start_kernel()
    kernels = [sandbox.kernel_url, second.url] * 2
    try:
        with ThreadPoolExecutor(len(kernels)) as pool:
            for _ in range(ROUNDS):
                body = operator.request(operator.explain("run_diagnostics", None))
                answers = list(
                    pool.map(
                        lambda kernel, body=body: operator.post(
                            DIAGNOSTICS, again(body), kernel=kernel
                        ),
                        kernels,
                    )
                )
                codes = sorted(map(code_of, answers))
                assert codes == ["CONFIRMATION_REUSED"] * 3 + ["executed"], codes
    finally:
        second.terminate()
    assert [record["kind"] for record in operator.trail()].count("dispatched") == ROUNDS


def test_two_kernels_one_token_two_promotions(sandbox: Sandbox, operator: Operator) -> None:
    """Two requests with ids of their own and one consent: one is carried out."""
    second = sandbox.start_kernel()
    try:
        explanation = operator.explain("request_promotion", next_to_lead(sandbox).name)
        body = operator.request(explanation)
        with ThreadPoolExecutor() as pool:
            answers = list(
                pool.map(
                    lambda kernel: operator.post(PROMOTION, again(body), kernel=kernel),
                    [sandbox.kernel_url, second.url],
                )
            )
    finally:
        second.terminate()
    assert sorted(map(code_of, answers)) == ["CONFIRMATION_REUSED", "executed"]
    assert operator.posts() == 1


class TestTerm:
    """Judged by the clock of the kernel that is asked."""

    @pytest.fixture
    def brief(self, sandbox: Sandbox) -> Iterator[Kernel]:
        """An aerokernel that takes no confirmation that is older than a second."""
        kernel = sandbox.start_kernel("--confirmation-term=1")
        yield kernel
        kernel.terminate()

    def over(self, operator: Operator, kernel: Kernel, expires_at: str) -> None:
        def shows() -> bool:
            answer = operator.ask("inspect", "cluster", kernel=kernel.url)
            return str(answer.observed_at["time"]) > expires_at

        wait_until("the kernel's clock shows more", shows)

    def test_at_the_prompt(self, sandbox: Sandbox, operator: Operator, brief: Kernel) -> None:
        target = next_to_lead(sandbox).name
        with operator.terminal("promote", target, "-o", "json", kernel=brief.url) as terminal:
            shown = terminal.asked(PROMPT)
            # a later explanation: when its term is over, that of the earlier one is, too
            explained = operator.ask("explain", "promote", target, kernel=brief.url).data
            assert "confirmation_expires_at" in shown
            self.over(operator, brief, explained["confirmation_expires_at"])
            terminal.type("yes\n")
            code, out = terminal.finish()
        request_id = request_id_in(terminal.shown.split(PROMPT)[1])
        row = "prompt waited beyond the confirmation's term"
        operator.fault(row, Done(code, out, terminal.shown), request_id)
        assert operator.posts() == 0

    def test_a_token(self, sandbox: Sandbox, operator: Operator, brief: Kernel) -> None:
        target = next_to_lead(sandbox).name
        explained = operator.ask("explain", "promote", target, kernel=brief.url).data
        assert explained["confirmation_term_seconds"] == 1
        self.over(operator, brief, explained["confirmation_expires_at"])
        token = explained["confirmation_token"]
        done = operator.ask("promote", target, "--confirm", token, kernel=brief.url)
        assert (done.code, done.says) == (3, "CONFIRMATION_EXPIRED"), done
        operator.agree(done.error["request_id"], "rejected")
        assert operator.posts() == 0


class TestAnotherCluster:
    """A member key of A advertises an address where an agent of B answers. Both clusters have the
    same name and the same names of nodes, as after a configuration was copied: only the system ids
    differ.
    """

    @pytest.fixture(scope="class")
    @classmethod
    def sandbox(cls) -> Iterator[Sandbox]:
        with Sandbox(nodes=2, relayed=True) as sandbox:
            yield sandbox

    @pytest.fixture(scope="class")
    @classmethod
    def other(cls) -> Iterator[Sandbox]:
        with Sandbox(nodes=2) as other:
            yield other

    @pytest.mark.parametrize("verb", ["promote", "demote", "force-promote"])
    def test_is_not_asked(
        self, sandbox: Sandbox, operator: Operator, other: Sandbox, verb: str
    ) -> None:
        holder = leader(sandbox)
        replica = next(node for node in sandbox.nodes.values() if node is not holder)
        target = holder if verb == "demote" else replica
        asked = replica if verb == "force-promote" else holder
        before = self.posts(other)
        with relaying(other.nodes[asked.name].rest_port, asked.advertised_port) as relay:
            command = {"promote": "request_promotion", "demote": "request_demotion"}.get(
                verb, "force_promotion"
            )
            explanation = operator.explain(command, target.name)
            flags = ["--yes"]
            if verb == "force-promote":
                flags = ["--reason", "a test", "--accept-responsibility"]
                for each in explanation["overrides"]:
                    flags += ["--acknowledge", each["invariant"]]
            done = operator.ask(verb, target.name, *flags)
            answer = operator.post(f"/v1/commands/{command}", operator.request(explanation))
            assert relay.count("POST") == 0
            assert relay.count("GET /patroni") >= 3
        assert explanation["conclusion"] == "refused"
        ids = {sandbox.stored()["initialize"], other.stored()["initialize"]}
        row = FAULTS["another cluster's agent at the address"]
        assert (done.code, done.says) == (row.exit, row.says), done
        assert code_of(answer) == "AGENT_MISMATCH", answer.text
        for message in (done.error["message"], answer.json()["error"]["message"]):
            assert all(system_id in message for system_id in ids)
        assert [record["kind"] for record in operator.trail()] == ["requested", "refused"]
        assert self.posts(other) == before
        assert operator.posts() == 0

    def test_the_right_one_is(self, sandbox: Sandbox, operator: Operator, other: Sandbox) -> None:
        nodes = list(sandbox.nodes.values())
        before = self.posts(other)
        relays: list[Relay] = []
        one, two = (relaying(node.rest_port, node.advertised_port) for node in nodes)
        with one as first, two as second:
            relays += [first, second]
            target = next(node for node in nodes if node is not leader(sandbox))
            done = operator.ask("promote", target.name, "--yes")
            assert (done.code, done.says) == (0, "executed"), done
            sandbox.wait_until_ready()
        assert sum(relay.count("POST /switchover") for relay in relays) == 1
        assert self.posts(other) == before

    def posts(self, sandbox: Sandbox) -> int:
        logs = (node.patroni.log.read_text() for node in sandbox.nodes.values())
        return sum(log.count("received switchover request") for log in logs) + sum(
            log.count("received failover request") for log in logs
        )
