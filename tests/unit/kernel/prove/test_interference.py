"""Somebody writes Patroni's keys while its agents are at work: no final outcome is ever not so."""

from dataclasses import dataclass
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from aeroctl.contract.cluster import Leader
from aeroctl.contract.commands import CommandName
from aeroctl.contract.errors import EngineReply
from aeroctl.kernel.patroni.renewals import Renewals
from aeroctl.kernel.prove.judge import Judgement, attributed, judge
from aeroctl.kernel.prove.request import TransferRequest
from aeroctl.kernel.store.keyspace import History, Keyspace
from tests.support.agents_model import EMPTY, NAMES, Agents
from tests.support.examples import examples
from tests.support.keyspaces import PREFIX, text

FAILED = EngineReply(status=503, body="Switchover failed")
KEYS: dict[CommandName, dict[str, str]] = {
    "request_promotion": {"leader": "n1", "member": "n2"},
    "request_demotion": {"leader": "n1"},
    "force_promotion": {"member": "n2"},
}
WRITES: dict[str, tuple[str, Any]] = {
    "delete": ("failover", None),
    "clear": ("failover", {}),
    "other": ("failover", {"leader": "n1", "member": "n3"}),
    "forced": ("failover", {"member": "n3"}),
    "leader gone": ("leader", None),
    "leader n1": ("leader", "n1"),
    "leader n2": ("leader", "n2"),
    "leader n3": ("leader", "n3"),
}
"""What somebody may write by hand; and `same`, what the request wrote."""
MOVES = [f"{what} {name}" for what in ("loop", "see", "act") for name in NAMES]
MOVES += ["loop n1", "loop n1", "see n1", "act n1"]  # most happens there
OTHERS = ["ask", "poll", "feel", "judge", "judge", "ill", "land", *WRITES, "same"]


@dataclass
class Told:
    """What was said of the request, and when."""

    found: Judgement
    revision: int


class Play:
    """Agents, and a request that is written by n1's (a forced one by n2's)."""

    def __init__(self, command: CommandName, *, idle: bool) -> None:
        self.command = command
        self.agents = Agents(idle=idle, prompt=command == "force_promotion")
        self.arrived: int | None = None
        self.answered: int | None = None
        self.felt = 100
        self.landed: int | None = None
        self.told: list[Told] = []

    def do(self, move: str) -> None:
        """One step of somebody."""
        agents, (what, _, name) = self.agents, move.partition(" ")
        writer = "n2" if self.command == "force_promotion" else "n1"
        if move in WRITES or move == "same":
            key, value = WRITES.get(move, ("failover", KEYS[self.command]))
            agents.write(key, None if value is None else text(value))
        elif what == "loop":
            agents.step(name)
        elif what == "see":
            agents.deliver(name)
        elif what == "act":
            agents.act(name)
        elif what == "land" and self.arrived:
            self.landed = self.landed or agents.revision
        elif what == "ask" and self.arrived is None:
            value = text(KEYS[self.command])
            self.arrived = agents.write("failover", value, by=writer)
        elif what == "poll" and self.arrived and self.answered is None and agents.gone(writer):
            self.answered = agents.revision
        elif what == "feel":
            self.felt = agents.revision
        elif what == "ill":
            agents.healthy = not agents.healthy
        elif what == "judge":
            self.judge()

    def judge(self) -> None:
        """What the kernel says now."""
        agents = self.agents
        now = Keyspace(PREFIX, agents.revision, dict(agents.keys))
        asked = TransferRequest(
            command=self.command,
            target="n1" if self.command == "request_demotion" else "n2",
            leader_before=Leader(node="n1", since=40),
            failover_revision=90,
            dispatched=100,
        )
        history = History(now, tuple(agents.events), True, agents.base)
        leader = agents.keys.get("leader")
        count = sum(
            leader is not None and (name, revision > self.felt) == (leader.value, True)
            for name, revision in agents.renewed
        )
        found = judge(
            asked,
            history,
            self.landed is None,
            FAILED if self.answered else None,
            None,
            answered=self.answered,
            renewals=Renewals(self.felt, count),
        )
        landed = agents.revision if self.landed is None else self.landed
        found = attributed(found, self.answered or landed)
        self.told.append(Told(found, agents.revision))

    def finish(self) -> None:
        """Everybody goes on until nothing is left to be done."""
        for _ in range(12):
            for name in NAMES:
                while self.agents.nodes[name].delivered < len(self.agents.events):
                    self.agents.deliver(name)
                for _ in range(8):
                    self.agents.step(name)
                    self.agents.act(name)
        self.landed = self.landed or self.agents.revision
        self.judge()

    @property
    def usurped(self) -> bool:
        """Somebody gave authority away by hand: then that is what happened."""
        return any(
            event.key == "leader" and event.value and event.revision in self.agents.hands
            for event in self.agents.events
        )

    def check(self) -> None:
        """Hold what was said against what happened."""
        ours = [each for each in self.agents.acted if each[1] == self.arrived]
        later = [name for name, revision in self.agents.primaries if revision > (self.arrived or 0)]
        finals = [told for told in self.told if told.found.final]
        # What was felt of a pulse is in no history: later less may be told, but nothing else.
        assert len({told.found.outcome for told in finals} - {"unknown"}) <= 1
        for told in finals:
            outcome = told.found.outcome
            if outcome == "rejected":
                assert not ours, told
            if outcome in ("executed", "executed_other", "rolled_back"):
                assert told.found.leader_after is not None
                assert told.found.leader_after.node in later
                assert [each for each in ours if each[2] > told.revision] == []
            if outcome in ("executed", "executed_other") and not self.usurped:
                assert self.arrived not in self.agents.refused, told


def played(command: CommandName, moves: list[str], *, idle: bool) -> Play:
    play = Play(command, idle=idle)
    for move in moves:
        play.do(move)
    play.finish()
    play.check()
    return play


LOOP = ["loop n1"] * 4
TAKES = ["loop n3"] * 5
PHRASES = [[f"{what} {name}"] * 4 for what in ("loop", "see", "act") for name in NAMES]
PHRASES += [
    ["feel", *LOOP, *LOOP, "judge"],
    ["poll", "feel", *LOOP, "judge"],
    ["land", *LOOP, *LOOP, "judge"],
    ["ill", *LOOP],
]
parts = st.one_of(
    st.sampled_from(MOVES).map(lambda move: [move]),
    st.sampled_from(OTHERS).map(lambda move: [move]),
    st.sampled_from(PHRASES),
)
moves = st.lists(parts, max_size=25).map(lambda found: [move for part in found for move in part])
asking = st.builds(lambda before, after: [*before, "ask", *after], moves, moves)
COMMANDS: st.SearchStrategy[CommandName] = st.sampled_from(list(KEYS))


@examples(600)
@given(COMMANDS, asking, st.booleans())
@example("request_promotion", ["ask", "loop n1", "loop n1", "loop n1", "delete", "judge"], True)
def test_no_final_outcome_is_not_so(command: CommandName, moves: list[str], idle: bool) -> None:
    played(command, moves, idle=idle)


def test_the_model_plays_every_outcome() -> None:
    """Or the test above would prove nothing."""
    stories = {
        "executed": ["ask"],
        "rejected": ["ill", "ask"],
        "unknown": ["ask", "other"],
        "executed_other": ["ask", *LOOP, "delete", *["act n1"] * 4, *["see n3"] * 9, *TAKES],
    }
    for outcome, story in stories.items():
        play = played("request_promotion", story, idle=False)
        assert play.told[-1].found.outcome == outcome, (outcome, play.told[-1])
    assert EMPTY == "{}"
