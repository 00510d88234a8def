"""Broken wires: between aeroctl and the kernel, the kernel and the engine, the kernel and etcd.

On a cluster of its own: n3 is tagged as never to be promoted, every Patroni is behind a relay.
"""

import contextlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live import store
from tests.live.faults import FAULTS
from tests.live.operator import Done, Operator
from tests.live.test_changes import as_waited, override
from tests.recorded.scenarios import leader, paused
from tests.support.relay import Relay, relaying

pytestmark = pytest.mark.live

COMMAND = "POST /v1/commands/"
TRANSACTION = "POST /v3/kv/txn"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Instead of everybody's: this one is wrecked."""
    with Sandbox(tags={"n3": {"nofailover": True}}, relayed=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def agents(sandbox: Sandbox) -> Iterator[dict[str, Relay]]:
    """A relay before each Patroni, by node: where the store says that it answers."""
    with contextlib.ExitStack() as stack:
        yield {
            node.name: stack.enter_context(relaying(node.rest_port, node.advertised_port))
            for node in sandbox.nodes.values()
        }


@pytest.fixture(autouse=True)
def _agents(agents: dict[str, Relay]) -> None:
    """The nodes need each other at every change."""


@pytest.fixture
def target(sandbox: Sandbox, operator: Operator) -> str:
    """The one that may be promoted."""
    return "n2" if leader(sandbox).name == "n1" else "n1"


class TestBetweenAeroctlAndTheKernel:
    def test_there_is_no_kernel(self, operator: Operator, target: str) -> None:
        nowhere = "http://127.0.0.1:1"
        done = operator.ask("promote", target, "--yes", kernel=nowhere)
        operator.fault("aerokernel not there", done)

    def test_the_request_is_lost(self, operator: Operator, relay: Relay, target: str) -> None:
        with relay.spoiling(COMMAND, "cut before"):
            done = operator.ask("promote", target, "--yes", kernel=relay.url)
        operator.fault("request lost on its way", done, done.request_id)
        assert relay.count(COMMAND) == 1
        assert operator.trail() == []

    def test_the_reply_is_cut(self, operator: Operator, relay: Relay, target: str) -> None:
        with relay.spoiling(COMMAND, "cut at once"):
            done = operator.ask("promote", target, "--yes", kernel=relay.url)
        assert done.error["outcome"] == "unknown"
        operator.fault("reply cut", done, done.request_id)
        assert relay.count(COMMAND) == 1

    def test_the_reply_comes_too_late(
        self, sandbox: Sandbox, operator: Operator, relay: Relay, target: str
    ) -> None:
        with relay.spoiling(COMMAND, "hold reply"):
            done = operator.ask("promote", target, "--yes", "--timeout", "2", kernel=relay.url)
            operator.fault("reply later than --timeout", done, done.request_id)
        assert relay.count(COMMAND) == 1

    def test_a_request_that_waited_in_a_frozen_kernel_is_not_executed(
        self, sandbox: Sandbox, operator: Operator, target: str
    ) -> None:
        """Its operator is gone: intent is contemporaneous or it is none (P7-A2)."""
        with operator.terminal("promote", target, "-o", "json", "--timeout", "2") as terminal:
            terminal.asked("Type yes to confirm:")
            sandbox.kernel.freeze()
            terminal.type("yes\n")
            code, out = terminal.finish()
        sandbox.kernel.thaw()
        done = Done(code, out, terminal.shown)
        wait_until("the kernel has seen it", operator.trail)
        operator.fault("aerokernel frozen until aeroctl has given up", done, done.request_id)
        assert operator.trail()[-1]["code"] == "CALLER_GONE"
        assert operator.posts() == 0


class TestPaused:
    """Where the engine refuses a demotion at once."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _paused(cls, sandbox: Sandbox, agents: dict[str, Relay]) -> Iterator[None]:
        assert agents, "patronictl reaches the nodes through them"
        sandbox.wait_until_ready()
        with paused(sandbox):
            yield

    @pytest.mark.parametrize(
        ("fault", "row"),
        [("garble reply", "reply garbled"), ("truncate reply", "reply cut in the middle")],
    )
    def test_a_reply_that_is_not_what_was_sent(
        self, sandbox: Sandbox, operator: Operator, relay: Relay, fault: str, row: str
    ) -> None:
        name = leader(sandbox).name
        with relay.spoiling(COMMAND, fault):  # type: ignore[arg-type]
            done = operator.ask("demote", name, "--yes", kernel=relay.url)
        assert done.error["outcome"] == "unknown"
        operator.fault(row, done, done.request_id)
        assert relay.count(COMMAND) == 1


class TestBetweenTheKernelAndTheEngine:
    @pytest.mark.parametrize(
        ("fault", "row"),
        [
            ("cut reply", "engine's reply cut"),
            ("swallow reply", "engine's reply lost"),
            ("garble reply", "engine's reply garbled"),
        ],
    )
    def test_its_reply_does_not_arrive(
        self,
        sandbox: Sandbox,
        operator: Operator,
        agents: dict[str, Relay],
        target: str,
        fault: str,
        row: str,
    ) -> None:
        """The state of the cluster says what happened, not the reply."""
        asked = agents[leader(sandbox).name]
        before = asked.count("POST /")
        with asked.spoiling("POST /switchover", fault):  # type: ignore[arg-type]
            done = operator.ask("promote", target, "--yes")
        operator.fault(row, done, done.request_id)
        assert asked.count("POST /") == before + 1

    def test_the_request_does_not_arrive(
        self, sandbox: Sandbox, operator: Operator, agents: dict[str, Relay], target: str
    ) -> None:
        """Not known to be lost before the time is over within which it could be taken up."""
        asked = agents[leader(sandbox).name]
        before = asked.count("POST /")
        with asked.spoiling("POST /switchover", "cut before"):
            done = operator.ask("promote", target, "--yes", "--timeout", "3")
        assert operator.ask("outcome", done.request_id).says == "in_progress"
        store.expire(operator.sandbox, store.IN_FLIGHT)
        lost = "request lost on its way to the engine, and --timeout over"
        operator.fault(lost, done, done.request_id)
        assert asked.count("POST /") == before + 1
        assert operator.posts() == 0

    def test_a_node_that_is_never_to_be_promoted(
        self, sandbox: Sandbox, operator: Operator
    ) -> None:
        explanation = operator.explain("request_promotion", "n3")
        rules = {rule["rule_id"]: rule for rule in explanation["rules_applied"]}
        assert rules["failover_allowed"]["evaluation"] == "does_not_hold"
        done = operator.ask("promote", "n3", "--yes")
        operator.fault("engine refuses", done, done.request_id)
        assert "no good candidates have been found" in done.error["message"]


class TestBetweenTheKernelAndTheStore:
    def test_it_hangs_before_the_dispatch(
        self, sandbox: Sandbox, operator: Operator, target: str
    ) -> None:
        with operator.terminal("promote", target, "-o", "json") as terminal:
            terminal.asked("Type yes to confirm:")
            sandbox.etcd.freeze()
            try:
                terminal.type("yes\n")
                code, out = terminal.finish()
            finally:
                store.thaw(sandbox)
        done = Done(code, out, terminal.shown)
        assert operator.posts() == 0
        assert "dispatched" not in [record["kind"] for record in operator.trail()]
        operator.fault("etcd frozen before the dispatch", done, done.request_id)

    def test_the_answer_to_the_dispatch_transaction_is_lost(
        self, sandbox: Sandbox, operator: Operator, target: str
    ) -> None:
        """The records are written, and the kernel can't know it: so nothing is dispatched."""
        with relaying(port_of(sandbox)) as between:
            kernel = sandbox.start_kernel(etcd_port=between.port)
            try:
                with between.spoiling(TRANSACTION, "cut reply", "request_put"):
                    done = operator.ask("promote", target, "--yes", kernel=kernel.url)
            finally:
                kernel.terminate()
        store.expire(sandbox, store.IN_FLIGHT)
        operator.fault("answer to the dispatch transaction lost", done, done.request_id)
        assert operator.posts() == 0
        assert "dispatched" in [record["kind"] for record in operator.trail()]

    def test_the_outcome_can_not_be_recorded(
        self, sandbox: Sandbox, operator: Operator, target: str
    ) -> None:
        with relaying(port_of(sandbox)) as between:
            kernel = sandbox.start_kernel(etcd_port=between.port)
            try:
                started = operator.start(
                    "promote", target, "--yes", "-o", "json", kernel=kernel.url
                )
                request_id = operator.announced(started)
                operator.wait_for_dispatch(request_id)
                with between.spoiling(TRANSACTION, "cut before", "request_put"):
                    done = as_waited(operator.finish(started), request_id)
            finally:
                kernel.terminate()
        operator.fault("outcome not recorded", done, request_id)
        assert "OUTCOME_NOT_RECORDED" in done.out
        assert "outcome" not in [record["kind"] for record in operator.trail()]

    def test_it_hangs_after_the_dispatch(
        self, sandbox: Sandbox, operator: Operator, agents: dict[str, Relay], target: str
    ) -> None:
        """Whether the engine's write was under way already: it is told as it was."""
        asked = agents[leader(sandbox).name]
        before = asked.count("POST /switchover")
        with asked.spoiling("POST /switchover", "hold request"):
            started = operator.start("promote", target, "--yes", "-o", "json", "--timeout", "4")
            request_id = operator.announced(started)
            wait_until("it is sent", lambda: asked.count("POST /switchover") > before)
            sandbox.etcd.freeze()
        done = as_waited(operator.finish(started), request_id)
        sandbox.etcd.thaw()
        row = FAULTS["etcd frozen after the dispatch"]
        assert (done.code, done.says) == (row.exit, row.says), done
        told = operator.ask("outcome", request_id, "--wait")
        store.expire(sandbox, store.IN_FLIGHT)
        sandbox.wait_until_ready()
        assert told.says in row.then, told
        operator.agree(request_id, told.says, "--wait")


def test_a_forced_promotion_of_a_replica_that_lags_loses_what_it_has_not_received(
    sandbox: Sandbox, operator: Operator, target: str
) -> None:
    """Nobody may take over by itself: one lags, the other is tagged. The last test here, because
    the cluster is not whole again after it."""
    dead, lagging = leader(sandbox), sandbox.nodes[target]
    dead.sql("CREATE TABLE kept AS SELECT 1 AS one")
    wait_until("it has arrived", lambda: exists(sandbox, target, "kept"))
    lagging.postgres.freeze_worker("walreceiver")
    for _ in range(4):
        dead.sql("SELECT pg_logical_emit_message(true, 'lag', repeat('x', 6000000))")
    dead.sql("CREATE TABLE lost AS SELECT 1 AS one")
    wait_until("the other has it", lambda: exists(sandbox, "n3", "lost"))
    wait_until("it is seen", lambda: not within_limit(operator, target))
    dead.kill()
    lagging.postgres.thaw_worker("walreceiver")
    store.expire(sandbox, f"{store.ENGINE}leader")
    wait_until("nobody leads", lambda: "leader" not in sandbox.stored())
    done = operator.ask(*override(operator, target))
    assert (done.code, done.says) == (0, "executed"), done
    operator.agree(done.request_id, "executed")
    confirmed = next(each for each in operator.trail() if each["kind"] == "confirmed")
    assert confirmed["confirmation"]["acknowledged"] == ["P6-A2", "P6-S1", "P6-S2"]
    assert exists(sandbox, target, "kept")
    assert not exists(sandbox, target, "lost")


def port_of(sandbox: Sandbox) -> int:
    port = urlsplit(sandbox.etcd_url).port
    assert port
    return port


def exists(sandbox: Sandbox, node: str, table: str) -> bool:
    return bool(sandbox.nodes[node].sql("SELECT 1 FROM pg_class WHERE relname = %s", table))


def within_limit(operator: Operator, target: str) -> bool:
    rules = operator.explain("request_promotion", target)["rules_applied"]
    found = next(rule for rule in rules if rule["rule_id"] == "lag_within_limit")
    return bool(found["evaluation"] == "holds")
