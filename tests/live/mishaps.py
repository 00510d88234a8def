"""What an operator, and bad luck, may do to a cluster, in an order by chance."""

import logging
import random
import time
from collections.abc import Callable
from typing import Any

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.node import NodeHandle
from aeroctl.kernel.sandbox.waiting import answers, wait_until
from tests.live import store
from tests.live.operator import Done, Operator
from tests.live.test_changes import as_waited, override
from tests.live.test_crashes import revive
from tests.live.truth import Truth
from tests.recorded.scenarios import leader, paused, synchronous

LOGGER = logging.getLogger("reconstruct")
NEVER = "n4"
"""The node that may not be promoted."""
LEAST = 10
"""Steps that make up an incident: each change, refusal and loss."""


class Mishaps:
    """Steps on one cluster, chosen by a seed, each of which ends at rest."""

    def __init__(self, sandbox: Sandbox, operator: Operator, truth: Truth, seed: int) -> None:
        self.sandbox = sandbox
        self.operator = operator
        self.truth = truth
        self.chance = random.Random(seed)

    def run(self, steps: int) -> None:
        """LEAST of them, and then any, up to so many; all in an order by chance."""
        changes = [self.promote, self.demote]
        refusals = [self.stale, self.never, self.observer, self.unknown, self.unknown_unchecked]
        losses = [self.kill, self.freeze, self.restart]
        others = [
            self.collide, self.orphan, self.force, self.crash, self.hang, self.hand_over,
            self.pause, self.synchronise, *changes, *losses,
        ]  # fmt: skip
        chosen = [*changes, *refusals, *losses]
        chosen += self.chance.sample(others, steps - LEAST)
        self.chance.shuffle(chosen)
        for step in chosen:
            began = time.monotonic()
            step()
            LOGGER.info("%s: %.1f s", step.__name__, time.monotonic() - began)

    # what an operator asks for

    def promote(self) -> None:
        self._ask("promote", "request_promotion", self._candidate())

    def demote(self) -> None:
        self._ask("demote", "request_demotion", leader(self.sandbox))

    def never(self) -> None:
        """The engine refuses."""
        self._ask("promote", "request_promotion", self.sandbox.nodes[NEVER])

    def observer(self) -> None:
        """Who may only read."""
        target = self._candidate()
        with self.truth.act("promote", target.name) as act:
            words = ("promote", target.name, "--yes", "-o", "json")
            done = self.operator.run(*words, authority="observer")
            act |= self._said(done, "request_promotion") | {"identity": "sandbox-observer"}

    def unknown(self) -> None:
        """aeroctl refuses: nothing is sent."""
        with self.truth.act("promote", "n9") as act:
            act["says"] = self.operator.ask("promote", "n9", "--yes").says

    def unknown_unchecked(self) -> None:
        """Past aeroctl's own check."""
        self._post("n9", target="n9")

    def stale(self) -> None:
        """An state digest that never was."""
        self._post(self._candidate().name, state_digest="0" * 32)

    def force(self) -> None:
        """The holder is dead, and nobody takes over by himself."""
        target, dead = self._candidate(), leader(self.sandbox)
        with self.truth.act("force", target.name) as act, paused(self.sandbox):
            act["dead"] = dead.name
            dead.kill()
            store.expire(self.sandbox, f"{store.ENGINE}leader")
            wait_until("nobody leads", lambda: "leader" not in self.sandbox.stored())
            act["gone"] = self.truth.revision()
            done = self.operator.ask(*override(self.operator, target.name))
            act |= self._said(done, "force_promotion")
            dead.start()
            self._back(dead)

    def collide(self) -> None:
        """The holder or its successor dies while authority is passed on."""
        target, holder = self._candidate(), leader(self.sandbox)
        dying = self.chance.choice([target, holder])
        with self.truth.act("collision", target.name) as act:
            started = self.operator.start("promote", target.name, "--yes", "-o", "json")
            request_id = self.operator.announced(started)
            self.operator.wait_for_dispatch(request_id)
            if self.chance.random() < 0.5:
                wait_until("nobody leads", lambda: "leader" not in self.sandbox.stored())
            dying.kill()
            store.expire(self.sandbox, f"{store.ENGINE}members/{dying.name}")
            act["gone"] = self.truth.revision()
            act["dead"] = dying.name
            done = as_waited(self.operator.finish(started), request_id)
            act |= self._said(done, "request_promotion")
            store.expire(self.sandbox, store.IN_FLIGHT)  # where the outcome was left open
            dying.start()
            self._back(dying)

    def orphan(self) -> None:
        """aerokernel dies once it has dispatched: no outcome is recorded, whatever it is."""
        target, holder = self._candidate(), leader(self.sandbox)
        with self.truth.act("orphan", target.name) as act:
            holder.postgres.freeze_worker("checkpointer")  # it can't be done before
            started = self.operator.start("promote", target.name, "--yes", "-o", "json")
            request_id = self.operator.announced(started)
            self.operator.wait_for_dispatch(request_id)
            self.sandbox.kernel.kill()
            done = as_waited(self.operator.finish(started), request_id)
            revive(self.sandbox)
            holder.postgres.thaw_worker("checkpointer")
            act |= self._said(done, "request_promotion") | {"says": ""}
            if self.operator.ask("outcome", request_id, "--wait").says != "executed":
                act["what"] = "orphan in vain"
            store.expire(self.sandbox, store.IN_FLIGHT)

    # what happens to a cluster

    def kill(self) -> None:
        self._lose("kill", NodeHandle.kill, NodeHandle.start)

    def freeze(self) -> None:
        self._lose("freeze", NodeHandle.freeze, NodeHandle.thaw)

    def restart(self) -> None:
        """In good order: authority is handed over first."""
        self._lose("restart", NodeHandle.stop, NodeHandle.start)

    def crash(self) -> None:
        """And back before its lease ends."""
        node = self._anybody()
        with self.truth.act("crash", node.name):
            node.kill()
            node.start()
            self._answers(node)

    def hang(self) -> None:
        """For a moment."""
        node = self._anybody()
        with self.truth.act("hang", node.name):
            node.freeze()
            node.thaw()

    def hand_over(self) -> None:
        """Somebody else has authority moved, past every aerokernel."""
        target = self._candidate()
        with self.truth.act("handover", target.name):
            self.operator.hand_over(target)

    def pause(self) -> None:
        with self.truth.act("pause"), paused(self.sandbox):
            pass

    def synchronise(self) -> None:
        with self.truth.act("synchronise"), synchronous(self.sandbox):
            pass

    def _back(self, node: NodeHandle) -> None:
        entry = f"members/{node.name}"
        wait_until(f"{node.name} is back", lambda: entry in self.sandbox.stored())

    def _answers(self, node: NodeHandle) -> None:
        """Its entry in the store may be from before: it says nothing about this process."""
        wait_until("its agent answers", lambda: answers(node.rest_port, "/liveness"))

    def _lose(
        self,
        what: str,
        lose: Callable[[NodeHandle], None],
        bring_back: Callable[[NodeHandle], None],
    ) -> None:
        """A node loses its lease; now and then it runs out by itself, mostly it is hastened."""
        node = self._anybody()
        with self.truth.act(what, node.name) as act:
            held = leader(self.sandbox) is node
            lose(node)
            entry = f"members/{node.name}"
            if self.chance.random() < 0.8:
                store.expire(self.sandbox, store.ENGINE + entry)
            wait_until(f"{node.name} has left", lambda: entry not in self.sandbox.stored(), 60)
            act["gone"] = self.truth.revision()
            if held:
                wait_until(
                    "another leads",
                    lambda: self.sandbox.stored().get("leader", node.name) != node.name,
                )
            bring_back(node)
            self._back(node)

    def _ask(self, word: str, command: str, target: NodeHandle) -> None:
        with self.truth.act(word, target.name) as act:
            act |= self._said(self.operator.ask(word, target.name, "--yes"), command)

    def _said(self, done: Done, command: str) -> dict[str, Any]:
        if not done.out and done.error["request_id"] is None:  # nothing was sent
            return {"says": done.says}
        return {
            "command": command,
            "request_id": done.request_id,
            "identity": "sandbox-operator",
            "says": done.says,
        }

    def _post(self, node: str, **changes: Any) -> None:
        with self.truth.act("promote", node) as act:
            explanation = self.operator.explain("request_promotion", self._candidate().name)
            body = self.operator.request(explanation, **({"target": node} | changes))
            answer = self.operator.post("/v1/commands/request_promotion", body)
            act |= {
                "command": "request_promotion",
                "request_id": body["request_id"],
                "identity": "sandbox-operator",
                "says": answer.json()["error"]["code"],
            }

    def _candidate(self) -> NodeHandle:
        holder = leader(self.sandbox)
        nodes = self.sandbox.nodes.values()
        return self.chance.choice([n for n in nodes if n is not holder and n.name != NEVER])

    def _anybody(self) -> NodeHandle:
        """Half of the time whoever it hurts most."""
        holder: NodeHandle = leader(self.sandbox)
        others = [node for node in self.sandbox.nodes.values() if node is not holder]
        return holder if self.chance.random() < 0.5 else self.chance.choice(others)
