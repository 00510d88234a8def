"""Incidents by seed, told by aeroctl: python -m tests.live.reconstruct --seeds 20 --first 1."""

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aeroctl.kernel.sandbox.cluster import Sandbox
from tests.live.mishaps import LOGGER, NEVER, Mishaps
from tests.live.operator import Done, Operator
from tests.live.reconstruction import Evidence, problems
from tests.live.truth import Truth, keys_at


@dataclass(frozen=True)
class Story:
    """What happened by one seed, and what aeroctl tells of it.

    `contradictions`: what else aeroctl shows that is not so.
    """

    evidence: Evidence
    timeline: list[Any]
    audit: list[Any]
    contradictions: list[str]

    def problems(self) -> list[str]:
        """Where the two differ."""
        return problems(self.evidence, self.timeline, self.audit) + self.contradictions


def story(seed: int, steps: int, home: Path, lines: Path) -> Story:
    """Let it happen, and have it told. `home`: an empty directory; `lines`: a file for what the
    recorder sees.
    """

    def follow(progress: str) -> None:
        if progress.startswith("creating"):  # etcd answers, and holds nothing yet
            truth.follow()

    sandbox = Sandbox(nodes=4, tags={NEVER: {"nofailover": True}}, progress=follow)
    truth = Truth(sandbox, lines)
    with sandbox:
        operator = Operator(sandbox, home)
        try:
            with truth.act("start") as act:
                act["began"] = 0
            Mishaps(sandbox, operator, truth, seed).run(steps)
            return _told(truth, operator, random.Random(seed))
        finally:
            operator.leave()
            truth.leave()


def _told(truth: Truth, operator: Operator, chance: random.Random) -> Story:
    end = truth.revision()
    timeline = _lines(operator.run("timeline", "--until", str(end), "-o", "jsonl"))
    contradictions = [
        *_looks_back(truth, operator, end, chance),
        *_in_pieces(operator, timeline, end, chance),
    ]
    verified = operator.run("audit", "--verify", "--at", str(end), "-o", "json")
    if verified.code != 0:
        contradictions.append(f"the audit trail is broken: {verified}")
    audit = _lines(operator.run("audit", "--at", str(end), "-o", "jsonl"))
    return Story(truth.evidence(end), timeline, audit, contradictions)


def _in_pieces(
    operator: Operator, timeline: list[Any], end: int, chance: random.Random
) -> list[str]:
    """A part of the story says what the whole does, and so do small pages of events."""
    since, until = sorted(chance.sample(range(1, end + 1), 2))
    asked = ("timeline", "--since", str(since), "--until", str(until), "-o", "jsonl")
    whole = [line for line in timeline if since <= line["revision"] <= until]
    problems = []
    if _undated(_lines(operator.run(*asked))) != _undated(whole):
        problems.append(f"of the revisions {since} to {until} something else is told by themselves")
    events: list[Any] = []
    after: int | None = 0
    while after is not None:
        window = chance.randint(1, 40)
        page = operator.get(f"/v1/events?after={after}&window={window}&at={end}")
        events += page["events"]
        after = page["next"]
    told = [line for line in timeline if line["source"] == "event"]
    if _undated(events) != _undated([{key: line[key] for key in events[0]} for line in told]):
        problems.append("page by page other events are told")
    return problems


def _undated(lines: list[Any]) -> list[Any]:
    """Without what a later reader knows better: between which clock pins it was."""
    dated = ("not_before", "not_after", "clock")
    return [{key: line[key] for key in line if key not in dated} for line in lines]


def _lines(done: Done) -> list[Any]:
    assert (done.code, done.err) == (0, ""), done
    return [json.loads(line) for line in done.out.splitlines()]


def _looks_back(truth: Truth, operator: Operator, end: int, chance: random.Random) -> list[str]:
    """`aeroctl snapshot --at` shows what the outside recorder saw then."""
    problems = []
    writes = truth.writes(end)
    for revision in sorted(chance.sample(range(truth.acts[0].ended, end + 1), 3)):
        keys = keys_at(writes, revision)
        leader = keys.get("leader")
        true = {
            "leader": leader and (leader.value, leader.created),
            "roles": {
                key.removeprefix("members/"): json.loads(each.value or "").get("role")
                for key, each in keys.items()
                if key.startswith("members/")
            },
        }
        data = operator.run("snapshot", "--at", str(revision)).data
        leader = data["cluster"]["leader"]
        shown = {
            "leader": leader and (leader["node"], leader["since"]),
            "roles": {node["name"]: node["role"] for node in data["nodes"] if node["registered"]},
        }
        if shown != true:
            problems.append(f"at {revision} there was {true}; shown was {shown}")
    return problems


def main() -> None:
    """Tell of each seed what was found; 1 where anything was not."""
    parser = argparse.ArgumentParser(prog="python -m tests.live.reconstruct")
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--steps", type=int, default=13, help="in each")
    asked = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    LOGGER.setLevel(logging.INFO)
    facts = failed = 0
    for seed in range(asked.first, asked.first + asked.seeds):
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as home, tempfile.NamedTemporaryFile() as lines:
                told = story(seed, asked.steps, Path(home), Path(lines.name))
            problems = told.problems()
            facts += len(told.evidence.facts)
        except (AssertionError, OSError):
            LOGGER.exception("seed %d", seed)
            problems = ["it could not be told to its end"]
        missing, invented = (
            sum(line.startswith(word) for line in problems) for word in ("missing", "invented")
        )
        LOGGER.info(
            "seed %d: %d missing, %d invented, %d problems; %.0f s",
            seed, missing, invented, len(problems), time.monotonic() - began,
        )  # fmt: skip
        for line in problems:
            LOGGER.info("  %s", line)
        failed += bool(problems)
    LOGGER.info("%d seeds with %d facts, %d of them not as told", asked.seeds, facts, failed)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
