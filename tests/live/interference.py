"""Somebody writes Patroni's own keys while a change is carried out, by seed; what aerokernel says
of it is held against what happened: python -m tests.live.interference --seeds 20 --first 1.

Every kind of write to the failover key and to the leader key, at every stage of a change. The truth
is asked of the engine's logs, of the databases and of the store's history.
"""

import argparse
import json
import logging
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.node import NodeHandle
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live import store
from tests.live.operator import Operator
from tests.recorded.scenarios import leader, paused

LOGGER = logging.getLogger("interference")
STAGES = ("dispatched", "arrived", "stepping down", "released", "taken", "cleared")
STEPPED_DOWN = re.compile(r"Demoting self \(graceful\)")
ENDS = ("executed", "executed_other", "rejected", "rolled_back")
REFUSED = range(400, 500)
STAGE_SECONDS = 4.0
RECOVERY_SECONDS = 75.0
AT_ONCE = 0.002


@dataclass
class Round:
    """One change, what was done to it, and what was said of it."""

    seed: int
    command: str
    target: str
    old: str
    plan: list[tuple[str, str, float]]
    """What is written, at which stage, and how many seconds later."""
    frozen: float = 0.0
    """For so many seconds the old holder's agent is frozen, while that is written."""
    lagging: bool = False
    pausing: bool = False
    broken: list[str] = field(default_factory=list)
    """What is missing of the cluster, which did not come back by itself."""
    done: list[str] = field(default_factory=list)
    dispatched: int = 0
    said: list[tuple[str, bool]] = field(default_factory=list)
    """Outcomes, and whether they were final, in the order in which they were told."""
    recorded: int | None = None
    refused: bool = False
    """The engine refused to be asked."""
    stepped_down: int = 0
    leader_terms: list[tuple[str, int]] = field(default_factory=list)
    """Who took the leader key after the dispatch, and by which revision."""
    primaries: list[tuple[str, int]] = field(default_factory=list)
    """Who described itself as primary while it held the key, in order."""
    busy: int | None = None
    """The revision by which the old holder's agent was no longer at rest."""

    @property
    def rivals(self) -> bool:
        """Another request was made meanwhile."""
        return any(each.split()[1] in ("other", "same", "forced", "rest") for each in self.done)

    @property
    def usurped(self) -> bool:
        """Somebody wrote the leader key."""
        return any(each.startswith("leader") for each in self.done)

    def problems(self) -> list[str]:
        """Final words that are not so."""
        finals = [outcome for outcome, final in self.said if final]
        found = []
        if len(set(finals)) > 1:
            found.append(f"first it was finally {finals[0]}, and then {finals[1:]}")
        for outcome in dict.fromkeys(finals):
            found += [f"{outcome}: {why}" for why in getattr(self, f"_{outcome}", list)()]
        return found

    def _rejected(self) -> Iterator[str]:
        if self.refused:
            return
        begun = self.busy is not None and (self.recorded is None or self.busy < self.recorded)
        if self.stepped_down and (begun or not self.rivals):
            yield f"{self.old} stepped down"
        first = self.leader_terms[0][1] if self.leader_terms else None
        if first is not None and (self.recorded is None or first < self.recorded):
            yield f"the leader term was over at revision {first}"

    def _executed(self) -> Iterator[str]:
        wanted = self._first()
        if wanted is None or not self._wants(wanted):
            yield f"{wanted} became primary"
        yield from self._not_acted_on()

    def _executed_other(self) -> Iterator[str]:
        first = self._first()
        if first in (None, self.old) or self._wants(str(first)):
            yield f"{first} became primary"
        yield from self._not_acted_on()

    def _rolled_back(self) -> Iterator[str]:
        if not self.stepped_down and not self.usurped:
            yield f"{self.old} never stepped down"
        if self._first() not in (None, self.old):
            yield f"{self._first()} became primary"

    def _not_acted_on(self) -> Iterator[str]:
        if not self.stepped_down and not self.usurped:
            yield f"{self.old} never stepped down"

    def _first(self) -> str | None:
        """Who was first seen as primary in a leader term that was taken after the dispatch. The old
        holder only where nobody else was: somebody may have written its name again.
        """
        names = [name for name, _ in self.primaries]
        return next((name for name in names if name != self.old), names[0] if names else None)

    def _wants(self, name: str) -> bool:
        return name == self.target if self.command == "request_promotion" else name != self.old


class Interference:
    """Changes on one cluster, each with somebody who interferes."""

    def __init__(self, sandbox: Sandbox, operator: Operator) -> None:
        self.sandbox = sandbox
        self.operator = operator

    def run(self, seed: int, **fixed: Any) -> Round:
        """One round. `fixed`: what is not left to chance, of the fields of a Round."""
        self.sandbox.wait_until_ready()
        store.expire(self.sandbox, store.IN_FLIGHT)
        round_ = self._drawn(random.Random(seed), seed, fixed)
        chance = random.Random(seed + 1)
        with self._circumstances(round_), ThreadPoolExecutor(1) as pool:
            explanation = self.operator.explain(round_.command, round_.target)
            body = self.operator.request(explanation)
            logs = {name: self._log(name) for name in self.sandbox.nodes}
            path = f"/v1/commands/{round_.command}"
            answer = pool.submit(self.operator.post, path, body)
            self._interfere(round_, chance, answer, body["request_id"])
            round_.said.append(_said(answer.result()))
        request_id = body["request_id"]
        self._ask(round_, request_id)
        round_.broken = self._recover()
        store.expire(self.sandbox, store.IN_FLIGHT)
        self._ask(round_, request_id)
        self._tell(round_, request_id, logs)
        return round_

    def _drawn(self, chance: random.Random, seed: int, fixed: Mapping[str, Any]) -> Round:
        """Chance decides everything, in the same order whatever is fixed."""
        old = leader(self.sandbox).name
        others = sorted(name for name in self.sandbox.nodes if name != old)
        command = chance.choice(["request_promotion"] * 4 + ["request_demotion"])
        target = chance.choice(others)
        plan = [self._write(chance) for _ in range(chance.choice([1, 1, 1, 2]))]
        frozen = chance.choice([0.0] * 4 + [chance.uniform(0.5, 6)])
        lagging = chance.random() < 0.15
        pausing = chance.random() < 0.1
        command = fixed.get("command", command)
        if command == "request_demotion":
            target, lagging, pausing = old, False, False
        drawn = {
            "command": command, "target": target, "plan": plan, "frozen": frozen,
            "lagging": lagging, "pausing": pausing,
        }  # fmt: skip
        return Round(seed=seed, old=old, **{**drawn, **fixed})

    @staticmethod
    def _write(chance: random.Random) -> tuple[str, str, float]:
        writes = [
            "failover delete", "failover delete", "failover clear", "failover same",
            "failover other", "failover forced", "failover rest",
            "leader delete", "leader other", "leader again",
        ]  # fmt: skip
        stage = chance.choice(STAGES)
        later = chance.choice([0.0, chance.uniform(0, 0.1), chance.uniform(0, 1.5)])
        return chance.choice(writes), stage, later

    @contextmanager
    def _circumstances(self, round_: Round) -> Iterator[None]:
        if round_.pausing:
            with paused(self.sandbox):
                yield
            return
        if not round_.lagging:
            yield
            return
        replica = self.sandbox.nodes[round_.target]
        replica.postgres.freeze_worker("walreceiver")
        try:
            for _ in range(4):
                wal = "SELECT pg_logical_emit_message(true, 'lag', repeat('x', 4000000))"
                self.sandbox.nodes[round_.old].sql(wal)
            rule = "lag_within_limit"

            def seen() -> bool:
                rules = self.operator.explain(round_.command, round_.target)["rules_applied"]
                found = {each["rule_id"]: each["evaluation"] for each in rules}
                return bool(found[rule] == "does_not_hold")

            wait_until("it is seen", seen)
            yield
        finally:
            replica.postgres.thaw_worker("walreceiver")

    def _interfere(
        self, round_: Round, chance: random.Random, answer: "Future[Any]", request_id: str
    ) -> None:
        old = self.sandbox.nodes[round_.old]
        for write, stage, later in round_.plan:
            reached = self._reached(round_, stage, answer, request_id)
            time.sleep(later)  # chance, not a condition
            if round_.frozen:
                old.patroni.freeze()
            try:
                self._do(round_, write, chance)
                round_.done.append(f"{write} at {stage}{'' if reached else ' (in vain)'}")
                time.sleep(round_.frozen)
            finally:
                if round_.frozen:
                    old.patroni.thaw()

    def _reached(self, round_: Round, stage: str, answer: "Future[Any]", request_id: str) -> bool:
        """Wait for a stage of the change; it may never come, or be over already."""
        end = time.monotonic() + STAGE_SECONDS
        arrived = False
        while time.monotonic() < end and not answer.done():
            if stage == "dispatched":
                if store.in_flight(self.sandbox) == request_id:
                    return True
            else:
                keys = self.sandbox.stored()
                entry = json.loads(keys.get(f"members/{round_.old}", "{}"))
                pending = keys.get("failover", "{}") != "{}"
                arrived = arrived or pending
                there = {
                    "arrived": pending,
                    "stepping down": "timeline" not in entry,
                    "released": "leader" not in keys,
                    "taken": keys.get("leader", round_.old) != round_.old,
                    "cleared": arrived and not pending,
                }
                if there[stage]:
                    return True
            time.sleep(AT_ONCE)
        return False

    def _do(self, round_: Round, write: str, chance: random.Random) -> None:
        """One write, by hand or by another operator."""
        old, names = round_.old, sorted(self.sandbox.nodes)
        third = next(name for name in names if name not in (old, round_.target))
        key, what = write.split()
        if what == "rest":
            candidate = chance.choice([third, round_.target])
            self._rest(chance.choice(names), {"leader": old, "candidate": candidate})
            return
        values: dict[str, dict[str, str]] = {
            "clear": {},
            "same": {"leader": old},
            "other": {"leader": old, "member": third},
            "forced": {"member": third},
        }
        if round_.command == "request_promotion":
            values["same"]["member"] = round_.target
        name = store.ENGINE + key
        if what in ("delete", "again"):
            store.tell(self.sandbox, "/v3/kv/deleterange", {"key": store.encoded(name)})
        if what == "again" or (key == "leader" and what == "other"):
            holder = old if what == "again" else third
            self._put(name, holder)
        elif key == "failover" and what in values:
            self._put(name, json.dumps(values[what], separators=(",", ":")))

    def _put(self, key: str, value: str) -> None:
        put = {"key": store.encoded(key), "value": store.encoded(value)}
        store.tell(self.sandbox, "/v3/kv/put", put)

    def _rest(self, node: str, body: Mapping[str, str]) -> None:
        """Another operator asks an agent, and does not wait for the end of it."""
        url = f"http://127.0.0.1:{self.sandbox.nodes[node].rest_port}/switchover"
        try:
            httpx.post(url, json=body, timeout=0.5, trust_env=False)
        except httpx.HTTPError:
            return

    def _ask(self, round_: Round, request_id: str) -> None:
        data = self.operator.get(f"/v1/requests/{request_id}")
        round_.said.append((data["outcome"], data["final"]))

    def _recover(self) -> list[str]:
        """A cluster that was meddled with comes back by itself, mostly; a request that somebody
        left pending is carried out first. Returns what is missing.
        """
        try:
            wait_until("nothing is pending", self._at_rest, RECOVERY_SECONDS)
        except TimeoutError:
            return [*self.sandbox.missing(), json.dumps(self.sandbox.stored())]
        return []

    def _at_rest(self) -> bool:
        keys = self.sandbox.stored()
        return keys.get("failover", "{}") == "{}" and not self.sandbox.missing()

    def _tell(self, round_: Round, request_id: str, logs: Mapping[str, int]) -> None:
        """What happened."""
        records = [each for each in self.operator.trail() if each["request_id"] == request_id]
        for record in records:
            if record["kind"] == "dispatched":
                round_.dispatched = record["revision"]
            if record["kind"] == "outcome" and record["outcome"] in ENDS:
                round_.recorded = record["revision"]
                reply = record["engine_reply"]
                round_.refused = reply is not None and (reply["status"] or 0) in REFUSED
        log = self.sandbox.nodes[round_.old].patroni.log.read_text(errors="replace")
        round_.stepped_down = len(STEPPED_DOWN.findall(log[logs[round_.old] :]))
        if round_.dispatched:
            self._follow(round_)

    def _follow(self, round_: Round) -> None:
        """Revision by revision, read from the store; nothing of it by the code that is tested."""
        holder: str | None = round_.old
        taken, seen = 0, 0
        for state in store.history(self.sandbox, round_.dispatched):
            found = state.keys.get("leader")
            name = found.value if found else None
            if name != holder:
                holder, taken = name, state.revision
                if name is not None:
                    round_.leader_terms.append((name, taken))
            entry = state.keys.get(f"members/{round_.old}")
            said = json.loads(entry.value) if entry else {}
            if round_.busy is None and "timeline" not in said:
                round_.busy = state.revision
            if holder is None or taken == seen or not taken:
                continue
            entry = state.keys.get(f"members/{holder}")
            said = json.loads(entry.value) if entry else {}
            fresh = entry is not None and (entry.modified > taken or holder != round_.old)
            if fresh and (said.get("role"), said.get("state")) == ("primary", "running"):
                round_.primaries.append((holder, state.revision))
                seen = taken

    def _log(self, name: str) -> int:
        node: NodeHandle = self.sandbox.nodes[name]
        return len(node.patroni.log.read_text(errors="replace"))


def _said(answer: httpx.Response) -> tuple[str, bool]:
    body = answer.json()
    if "data" in body:
        return body["data"]["outcome"], body["data"]["final"]
    error = body["error"]
    if error["code"] == "ENGINE_REJECTED":
        return "rejected", True
    return error["code"], False


def rounds(seeds: Iterator[int], home: Path, told: Callable[[Round], None]) -> list[Round]:
    """So many of them, on one cluster, or on a new one where it did not survive a round."""
    found: list[Round] = []
    for seed in seeds:
        with Sandbox() as sandbox:
            interference = Interference(sandbox, Operator(sandbox, home))
            found.append(interference.run(seed))
            told(found[-1])
            while not found[-1].broken and (following := next(seeds, None)) is not None:
                found.append(interference.run(following))
                told(found[-1])
    return found


def main() -> None:
    """Exit 1 where a final outcome is not so."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    LOGGER.setLevel(logging.INFO)
    counted: Counter[str] = Counter()

    def told(each: Round) -> None:
        outcome, final = each.said[-1]
        counted[f"{outcome}{'' if final else ' (open)'}"] += 1
        LOGGER.info("seed %d: %s %s; %s: %s", each.seed, each.command, each.target, each.done, each.said)  # fmt: skip  # noqa: E501
        if each.broken:
            LOGGER.info("  the cluster did not come back: %s", each.broken)
        for problem in each.problems():
            LOGGER.info("  FALSE: %s; %s", problem, each)

    with tempfile.TemporaryDirectory() as home:
        seeds = iter(range(asked.first, asked.first + asked.seeds))
        found = rounds(seeds, Path(home), told)
    false = sum(bool(each.problems()) for each in found)
    LOGGER.info("%d rounds, %s; %d false final outcomes", len(found), dict(counted), false)
    sys.exit(false > 0)


if __name__ == "__main__":
    main()
