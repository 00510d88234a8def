"""SIGKILL for anything at any time: nothing is executed twice or unrecorded, and the truth is told.

aeroctl leaves nothing behind and aerokernel needs no recovery (P7-F2; the `operator` fixture checks
that after every test).
"""

import psutil
import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.waiting import answers, wait_until
from tests.live.faults import FAULTS
from tests.live.operator import Operator
from tests.live.test_changes import PROMPT, next_to_lead
from tests.recorded.scenarios import leader
from tests.support.relay import Relay
from tests.support.terminal import END_OF_FILE, INTERRUPT, Terminal

pytestmark = pytest.mark.live


def revive(sandbox: Sandbox) -> None:
    """Start aerokernel again, with nothing else done."""
    sandbox.kernel.start()
    wait_until("aerokernel answers", sandbox.kernel.answers)


class TestAeroctl:
    def test_before_the_explanation(
        self, sandbox: Sandbox, operator: Operator, relay: Relay
    ) -> None:
        with relay.spoiling("POST /v1/explain", "hold reply"):
            process = operator.start(
                "promote", next_to_lead(sandbox).name, "--yes", kernel=relay.url
            )
            wait_until("it asks", lambda: relay.seen)
            process.kill()
            process.communicate()
        operator.nothing_happened()
        assert relay.count("POST /v1/commands") == 0

    @pytest.mark.parametrize(
        "fault",
        [
            "Ctrl-C at the prompt",
            "end of input at the prompt",
            "terminal closed at the prompt",
            "aeroctl killed at the prompt",
        ],
    )
    def test_at_the_prompt(
        self, sandbox: Sandbox, operator: Operator, relay: Relay, fault: str
    ) -> None:
        row = FAULTS[fault]
        name = next_to_lead(sandbox).name
        with operator.terminal("promote", name, "-o", "json", kernel=relay.url) as terminal:
            terminal.asked(PROMPT)
            interrupt(terminal, fault)
            code, out = terminal.finish()
        assert (code, out) == (row.exit, "")
        if fault != "terminal closed at the prompt":
            assert row.says in terminal.shown
        operator.followed(row, None)
        assert relay.count("POST /v1/commands") == 0

    @pytest.mark.parametrize(
        "fault", ["Ctrl-C after the request left", "aeroctl killed after the request left"]
    )
    def test_after_the_request_left(self, sandbox: Sandbox, operator: Operator, fault: str) -> None:
        """It goes on without us: the kernel has it, and says so to whoever asks."""
        row = FAULTS[fault]
        with operator.terminal("promote", next_to_lead(sandbox).name, "--yes") as terminal:
            request_id = operator.wait_for_dispatch()
            assert request_id in terminal.expect(request_id)
            interrupt(terminal, fault)
            code, out = terminal.finish()
        assert (code, out) == (row.exit, "")
        assert row.says in terminal.shown
        operator.followed(row, request_id)


def interrupt(terminal: Terminal, fault: str) -> None:
    if fault.startswith("Ctrl-C"):
        terminal.type(INTERRUPT)
    elif fault.startswith("end of input"):
        terminal.type(END_OF_FILE)
    elif fault.startswith("terminal closed"):
        terminal.hang_up()
    else:
        terminal.kill()


class TestAerokernel:
    def test_while_it_explains(self, sandbox: Sandbox, operator: Operator) -> None:
        target = next_to_lead(sandbox).name
        sandbox.kernel.freeze()
        started = operator.start("promote", target, "--yes", "-o", "json")
        wait_until("it asks", lambda: connections(sandbox) > 0)
        sandbox.kernel.kill()
        done = operator.finish(started)
        revive(sandbox)
        operator.fault("aerokernel killed while it explains", done)

    def test_between_dispatch_and_reply(self, sandbox: Sandbox, operator: Operator) -> None:
        """The engine has the request, and is done with it when nobody waits any more."""
        old, target = leader(sandbox), next_to_lead(sandbox)
        old.postgres.freeze_worker("checkpointer")  # it can't be done before
        try:
            started = operator.start("promote", target.name, "--yes", "-o", "json")
            request_id = operator.announced(started)
            operator.wait_for_dispatch(request_id)
            # Patroni tells no timeline of a primary that it is stopping: the last change here.
            entry = f"members/{old.name}"
            wait_until("it is being stopped", lambda: "timeline" not in sandbox.stored()[entry])
            sandbox.kernel.kill()
            done = operator.finish(started)
            revive(sandbox)
            assert operator.ask("outcome", request_id).says == "in_progress"
            # P6-F3: nothing is resumed, and nothing new begun while the old may be going on.
            explanation = operator.explain("request_promotion", target.name)
            refused = operator.post("/v1/commands/request_promotion", operator.request(explanation))
            assert refused.json()["error"]["code"] == "COMMAND_IN_FLIGHT", refused.text
        finally:
            old.postgres.thaw_worker("checkpointer")
        operator.fault("aerokernel killed after it dispatched", done, request_id)

    def test_before_the_outcome_is_recorded(self, sandbox: Sandbox, operator: Operator) -> None:
        target = next_to_lead(sandbox)
        started = operator.start("promote", target.name, "--yes", "-o", "json")
        request_id = operator.announced(started)
        wait_until("authority has passed", lambda: sandbox.stored().get("leader") == target.name)
        sandbox.kernel.kill()
        done = operator.finish(started)
        revive(sandbox)
        operator.fault("aerokernel killed before it recorded the outcome", done, request_id)
        kinds = [record["kind"] for record in operator.trail()]
        assert kinds == ["requested", "confirmed", "dispatched"]


class TestNodes:
    def test_the_holder_s_agent(self, sandbox: Sandbox, operator: Operator) -> None:
        """And its lease has not run out yet, so its node holds the leader key."""
        old = leader(sandbox)
        old.patroni.kill()
        try:
            done = operator.ask("promote", next_to_lead(sandbox).name, "--yes")
        finally:
            old.patroni.start()
            # Its entry in the store is from before: it says nothing about this process.
            wait_until("its agent answers", lambda: answers(old.rest_port, "/liveness"))
        operator.fault("engine's agent dead", done)

    def test_it_is_frozen(self, sandbox: Sandbox, operator: Operator) -> None:
        """It is known before anybody consents, and nothing is recorded or sent."""
        old, target = leader(sandbox), next_to_lead(sandbox)
        old.patroni.freeze()
        try:
            done = operator.ask("promote", target.name, "--yes")
        finally:
            old.patroni.thaw()
        assert "no answer within" in done.error["message"]
        operator.fault("engine's agent frozen", done)

    @pytest.mark.parametrize(
        ("fault", "everybody"),
        [
            ("asked node dies before it takes over", False),
            ("every other node dies before one takes over", True),
        ],
    )
    def test_once_the_holder_steps_down(
        self, sandbox: Sandbox, operator: Operator, fault: str, everybody: bool
    ) -> None:
        """Executed, but not as asked: never reported as success (P7-E2)."""
        old, target = leader(sandbox), next_to_lead(sandbox)
        others = [node for node in sandbox.nodes.values() if node not in (old, target)]
        dying = [target, *others] if everybody else [target]
        stepping_down = old.patroni.log.read_text().count("Demoting self (graceful)")
        old.postgres.freeze_worker("checkpointer")  # it has decided, and can't go on
        try:
            started = operator.start("promote", target.name, "--yes", "-o", "json")
            request_id = operator.announced(started)
            wait_until(
                "it steps down",
                lambda: (
                    old.patroni.log.read_text().count("Demoting self (graceful)") > stepping_down
                ),
            )
            for node in dying:
                node.kill()
        finally:
            old.postgres.thaw_worker("checkpointer")
        try:
            done = operator.finish(started)
        finally:
            for node in dying:
                node.start()
        operator.fault(fault, done, request_id)


def connections(sandbox: Sandbox) -> int:
    """How many clients have reached aerokernel, whether it has taken note of them or not."""
    there = ("127.0.0.1", sandbox.kernel.port)
    return sum(
        each.status == "ESTABLISHED" and tuple(each.raddr) == there
        for each in psutil.net_connections("tcp")
    )
