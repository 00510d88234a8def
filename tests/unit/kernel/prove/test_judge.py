"""What the engine's keys prove about a request: examples of each outcome, and what always holds."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract.cluster import Leader
from aeroctl.contract.commands import CommandName
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.terms import RequestOutcome
from aeroctl.kernel.patroni.renewals import Renewals
from aeroctl.kernel.prove.judge import (
    REFUSALS,
    Judgement,
    attributed,
    gone_answer,
    judge,
    reply_shows_written,
)
from aeroctl.kernel.prove.request import TransferRequest
from aeroctl.kernel.prove.transitions import follow
from aeroctl.kernel.store.keyspace import Event, History, Keyspace, KeyValue
from tests.support.examples import examples
from tests.support.keyspaces import PREFIX, member, text

DISPATCHED = 100
NAMES = ["n1", "n2", "n3"]
BASIC = ["recorded", "arrived", "history_complete"]
RULES = [
    "recorded",
    "arrived",
    "withdrawn_under_same_leader",
    "leader_stayed_primary",
    "agent_moved_on",
    "leader_passed",
    "new_leader_is_primary",
    "history_complete",
]

Write = tuple[str, Any]
"""A key, and what is written there; None deletes it."""

RELEASE: Write = ("leader", None)
CLEAR: Write = ("failover", {})
SWITCHOVER: Write = ("failover", {"leader": "n1", "member": "n2"})
DEMOTION: Write = ("failover", {"leader": "n1"})
FORCE: Write = ("failover", {"member": "n2"})
OTHER: Write = ("failover", {"leader": "n1", "member": "n3"})
ANSWER: Write = ("", None)
"""Here the engine's reply has come."""
FAILED = EngineReply(status=503, body="Switchover failed")


def take(name: str) -> Write:
    return ("leader", name)


def role(name: str, role: str, **changes: Any) -> Write:
    return (f"members/{name}", member(name, role, **changes))


def base(leader: str | None = "n1") -> Keyspace:
    """The state at the dispatch."""
    keys = {
        "failover": KeyValue("{}", 20, 90),
        **{
            f"members/{name}": KeyValue(
                text(member(name, "primary" if name == leader else "replica")), 30, 80
            )
            for name in NAMES
        },
    }
    if leader:
        keys["leader"] = KeyValue(leader, 40, 40)
    return Keyspace(PREFIX, DISPATCHED, keys)


def written(start: Keyspace, writes: list[Write]) -> list[Event]:
    """The writes as the store's events, ten revisions apart."""
    keys = dict(start.keys)
    events = []
    for place, (key, value) in enumerate(writes, 1):
        revision = start.revision + 10 * place
        if key == "":
            continue
        if value is None:
            if keys.pop(key, None) is None:
                continue
            events.append(Event(revision, key, None, 0))
        else:
            created = keys[key].created if key in keys else revision
            keys[key] = KeyValue(text(value), created, revision)
            events.append(Event(revision, key, text(value), created))
    return events


def after(start: Keyspace, events: list[Event]) -> Keyspace:
    keys = dict(start.keys)
    for event in events:
        if event.value is None:
            keys.pop(event.key, None)
        else:
            keys[event.key] = KeyValue(event.value, event.created, event.revision)
    return Keyspace(PREFIX, events[-1].revision if events else start.revision, keys)


def history(start: Keyspace, events: list[Event], lost: int = 0) -> History:
    """From the dispatch on, without the first `lost` events."""
    left = after(start, events[:lost])
    return History(after(start, events), tuple(events[lost:]), lost == 0, left)


def asked(command: CommandName = "request_promotion", leader: str | None = "n1") -> TransferRequest:
    return TransferRequest(
        command=command,
        target="n1" if command == "request_demotion" else "n2",
        leader_before=Leader(node=leader, since=40) if leader else None,
        failover_revision=90,
        dispatched=DISPATCHED,
    )


def judged(
    *writes: Write,
    command: CommandName = "request_promotion",
    leader: str | None = "n1",
    in_flight: bool = False,
    reply: EngineReply | None = None,
    sent: bool | None = None,
    lost: int = 0,
    renewals: Renewals | None = None,
) -> Judgement:
    start = base(leader)
    answered = DISPATCHED + 10 * (writes.index(ANSWER) + 1) if ANSWER in writes else None
    found = judge(
        asked(command, leader),
        history(start, written(start, list(writes)), lost),
        in_flight,
        reply,
        sent,
        answered=answered,
        renewals=renewals,
    )
    in_order(found)
    return found


def in_order(found: Judgement) -> None:
    rules = [rule.rule_id for rule in found.evidence]
    assert rules == [rule for rule in RULES if rule in rules]
    assert set(BASIC) <= set(rules)


def evaluations(found: Judgement) -> dict[str, str]:
    return {rule.rule_id: rule.evaluation for rule in found.evidence}


STILL = role("n1", "primary")
"""The old holder describes itself as primary, on its old timeline."""
STEPS_DOWN = role("n1", "primary", timeline=None)
"""Its agent is at something: Patroni leaves the timeline out."""
LOOP = [STILL, STILL]
"""A whole loop of its agent."""
AWAY = [STEPS_DOWN, RELEASE]
EXECUTED = [SWITCHOVER, *AWAY, take("n2"), CLEAR, role("n2", "primary")]
DELETE: Write = ("failover", None)


@pytest.mark.parametrize(
    ("writes", "outcome", "final"),
    [
        ([], "not_executed", False),
        ([SWITCHOVER], "in_progress", False),
        ([SWITCHOVER, CLEAR], "unknown", False),
        # it may have read the request before it wrote that
        ([SWITCHOVER, CLEAR, STILL], "unknown", False),
        ([SWITCHOVER, STILL, STILL, CLEAR, STILL], "unknown", False),
        ([SWITCHOVER, CLEAR, *LOOP], "rejected", True),
        ([SWITCHOVER, DELETE, *LOOP], "rejected", True),
        # the leader key written again within the leader term (a new lease) is no new leader term
        ([SWITCHOVER, take("n1"), CLEAR, *LOOP], "rejected", True),
        # an entry that was gone may be written at the beginning of a loop
        ([SWITCHOVER, CLEAR, ("members/n1", None), STILL, STILL], "unknown", False),
        ([SWITCHOVER, RELEASE], "in_progress", False),
        ([SWITCHOVER, RELEASE, CLEAR], "in_progress", False),
        ([SWITCHOVER, RELEASE, take("n2"), CLEAR], "in_progress", False),
        ([SWITCHOVER, RELEASE, take("n2"), CLEAR, role("n2", "promoted")], "in_progress", False),
        (EXECUTED, "executed", True),
        ([*EXECUTED, RELEASE, take("n1"), role("n1", "primary")], "executed", True),
        # somebody took the request away while the holder was stepping down for it
        ([SWITCHOVER, DELETE, *AWAY, take("n2"), role("n2", "primary")], "executed", True),
        ([SWITCHOVER, STEPS_DOWN, DELETE, RELEASE, take("n2"), role("n2", "primary")],
         "executed", True),
        ([SWITCHOVER, STEPS_DOWN, CLEAR, RELEASE, take("n3"), role("n3", "primary")],
         "executed_other", True),
        ([SWITCHOVER, STEPS_DOWN, CLEAR], "unknown", False),
        # or somebody took the leader key away, and the engine had no part in it
        ([SWITCHOVER, DELETE, RELEASE, take("n2"), role("n2", "primary")], "unknown", True),
        ([SWITCHOVER, CLEAR, STEPS_DOWN, take("n3"), role("n3", "primary")], "unknown", True),
        ([SWITCHOVER, RELEASE, take("n2"), CLEAR, RELEASE], "in_progress", False),
        ([SWITCHOVER, RELEASE, take("n2"), RELEASE, take("n3"), CLEAR, role("n3", "primary")],
         "executed_other", True),
        # the request still stands, and may still be acted on
        ([SWITCHOVER, RELEASE, take("n3"), role("n3", "primary")], "in_progress", False),
        ([SWITCHOVER, RELEASE, take("n3"), CLEAR], "in_progress", False),
        ([SWITCHOVER, *AWAY, take("n1"), CLEAR], "in_progress", False),
        ([SWITCHOVER, *AWAY, take("n1"), CLEAR, role("n1", "demoted"), STILL], "in_progress",
         False),
        ([SWITCHOVER, role("n1", "demoted"), RELEASE, take("n1"), CLEAR, STILL], "rolled_back",
         True),
        # it leads again by somebody's hand, and what it has read it may still act on
        ([SWITCHOVER, RELEASE, take("n1")], "in_progress", False),
        ([SWITCHOVER, RELEASE, take("n1"), STILL, STILL], "in_progress", False),
        ([SWITCHOVER, RELEASE, take("n1"), CLEAR, STILL], "in_progress", False),
        ([SWITCHOVER, RELEASE, take("n1"), CLEAR, *LOOP], "unknown", True),
        ([SWITCHOVER, RELEASE, take("n1"), *AWAY, take("n2"), CLEAR, role("n2", "primary")],
         "executed", True),
        # written over in place, as a woken old leader does
        ([SWITCHOVER, take("n3"), CLEAR, role("n3", "primary")], "executed_other", True),
        ([SWITCHOVER, take("n3"), take("n1"), CLEAR, *LOOP], "unknown", True),
        ([SWITCHOVER, CLEAR, STILL, take("n3"), take("n1"), STILL], "unknown", False),
        # a crash long after a rejection is not the request's doing
        ([SWITCHOVER, CLEAR, *LOOP, RELEASE, take("n3"), role("n3", "primary")], "rejected", True),
        # a crash, and nobody had asked
        ([RELEASE, take("n3"), role("n3", "primary")], "not_executed", False),
        # taken up after somebody else's leader term had begun: whoever it names may act on it
        ([RELEASE, take("n3"), role("n3", "primary"), SWITCHOVER, CLEAR,
          *[role("n3", "primary")] * 2], "unknown", True),
        # even while the new holder still began to serve
        ([RELEASE, take("n3"), SWITCHOVER, role("n3", "primary", timeline=2), CLEAR,
          *[role("n3", "primary", timeline=2)] * 2], "unknown", True),
        # other operators' requests
        ([OTHER, CLEAR], "not_executed", False),
        ([DEMOTION, CLEAR], "not_executed", False),
        ([FORCE, CLEAR], "not_executed", False),
        ([("failover", {**SWITCHOVER[1], "scheduled_at": "2026-11-24T10:00:00+00:00"})],
         "not_executed", False),
        # paused: the new holder names only the candidate, and clears that later
        ([SWITCHOVER, RELEASE, take("n2"), FORCE, role("n2", "primary"), CLEAR], "executed", True),
        # the leader of a standby cluster writes to nothing
        ([SWITCHOVER, RELEASE, take("n2"), CLEAR, role("n2", "standby_leader")], "in_progress",
         False),
        # what can't be read is another request, not a clear
        ([SWITCHOVER, ("failover", "garbage")], "unknown", False),
        ([SWITCHOVER, ("members/n2", "garbage"), RELEASE, take("n2"), ("members/n2", "[]")],
         "in_progress", False),
    ],
)  # fmt: skip
def test_promotion(writes: list[Write], outcome: str, final: bool) -> None:
    found = judged(*writes)
    assert (found.outcome, found.final) == (outcome, final), found.message


@pytest.mark.parametrize(
    ("writes", "outcome", "final"),
    [
        ([SWITCHOVER, CLEAR], "not_executed", False),
        ([DEMOTION, CLEAR, *LOOP], "rejected", True),
        ([DEMOTION, role("n1", "primary", state="stopping"), CLEAR], "unknown", False),
        ([DEMOTION, role("n1", "primary", state="stopping"), CLEAR, *LOOP], "rolled_back", True),
        ([DEMOTION, OTHER, RELEASE, take("n3"), role("n3", "primary")], "unknown", True),
        ([DEMOTION, RELEASE, take("n3"), CLEAR, role("n3", "primary")], "executed", True),
        ([DEMOTION, RELEASE, take("n2"), CLEAR], "in_progress", False),
        ([DEMOTION, RELEASE, take("n1"), CLEAR], "in_progress", False),
    ],
)
def test_demotion(writes: list[Write], outcome: str, final: bool) -> None:
    found = judged(*writes, command="request_demotion")
    assert (found.outcome, found.final) == (outcome, final)


@pytest.mark.parametrize(
    ("writes", "leader", "outcome", "final"),
    [
        ([FORCE, take("n2"), CLEAR, role("n2", "primary")], None, "executed", True),
        ([FORCE, take("n2"), CLEAR], None, "in_progress", False),
        ([FORCE], None, "in_progress", False),
        # a node that has read it may still take the leader key
        ([FORCE, CLEAR], None, "unknown", False),
        ([FORCE, CLEAR, take("n2"), role("n2", "primary")], None, "unknown", True),
        # the new holder may have read it, too, and step down again
        ([FORCE, take("n3"), CLEAR, role("n3", "primary")], None, "in_progress", False),
        ([FORCE, take("n3"), CLEAR, *[role("n3", "primary")] * 2], None, "executed_other", True),
        # it had the role already when it took the key: the engine was paused, and nobody led
        ([role("n2", "primary"), FORCE, take("n2")], None, "executed", True),
        # it took the leader key of its own accord before the request arrived
        (
            [take("n2"), role("n2", "primary"), FORCE, CLEAR, *[role("n2", "primary")] * 2],
            None,
            "unknown",
            True,
        ),
        ([FORCE, CLEAR, *LOOP], "n1", "rejected", True),
        ([SWITCHOVER, CLEAR], "n1", "not_executed", False),
        ([FORCE, RELEASE, take("n2"), CLEAR, role("n2", "primary")], "n1", "executed", True),
    ],
)
def test_force(writes: list[Write], leader: str | None, outcome: str, final: bool) -> None:
    found = judged(*writes, command="force_promotion", leader=leader)
    assert (found.outcome, found.final) == (outcome, final)


def test_evidence() -> None:
    """P7-O2: raw revisions, in a fixed order, and none of it reads as if a success were a fault."""
    found = judged(*EXECUTED)
    assert evaluations(found) == {
        "recorded": "holds",
        "arrived": "holds",
        "leader_passed": "holds",
        "new_leader_is_primary": "holds",
        "history_complete": "holds",
    }
    facts = {fact.name: fact.value for rule in found.evidence for fact in rule.evidence}
    assert facts == {
        "dispatched_revision": 100,
        "failover_revision_before": 90,
        "arrived_revision": 110,
        "replaced_revision": None,
        "repeated_revision": None,
        "stepping_down_revision": 120,
        "leader_key_freed_revision": 130,
        "node_before": "n1",
        "since_before": 40,
        "node_after": "n2",
        "since_after": 140,
        "primary_revision": 160,
        "timeline_after": 1,
        "earlier_leader_key_freed_revision": None,
        "history_from_revision": 100,
        "history_to_revision": 160,
    }
    assert found.leader_after == Leader(node="n2", since=140)
    rejected = judged(SWITCHOVER, CLEAR, *LOOP, RELEASE, take("n3"))
    assert rejected.leader_after == Leader(node="n1", since=40)
    assert set(evaluations(rejected).values()) == {"holds"}
    assert "leader_passed" not in evaluations(rejected)


@pytest.mark.parametrize("start", ["n1", "n3"])
def test_a_leader_term_begins_when_the_name_takes_the_key(start: str) -> None:
    """P6-A1: a key that is written over in place keeps the revision that created it."""
    found = judged(SWITCHOVER, take("n3"), take(start), CLEAR)
    since = 130 if start == "n1" else 120
    assert found.leader_after == Leader(node=start, since=since)
    # as it was when the request was dispatched
    young = replace(base(), keys={**base().keys, "leader": KeyValue("n1", 40, 60)})
    bound = replace(asked(), leader_before=Leader(node="n1", since=60))
    events = written(young, [SWITCHOVER, CLEAR, *LOOP])
    found = judge(bound, history(young, events), False, None, None)
    assert (found.outcome, found.leader_after) == ("rejected", bound.leader_before)


class TestSameLeaderTerm:
    """A leader term that goes on does not prove that nothing was done in it, or will be."""

    @pytest.mark.parametrize(
        "seen",
        [
            role("n1", "demoted"),
            role("n1", "replica"),
            role("n1", "promoted"),
            *(
                role("n1", "primary", state=state)
                for state in ("stopping", "stopped", "starting", "crashed")
            ),
            role("n1", "primary", timeline=2),
        ],
    )
    def test_an_interruption_is_no_rejection(self, seen: Write) -> None:
        """It was stopped, and became primary again in the same leader term; the engine's word that
        the switchover failed is then no proof that nothing was done."""
        for reply in (None, FAILED):
            for end in ([CLEAR, ANSWER, *LOOP], [STILL, CLEAR, ANSWER, *LOOP]):
                found = judged(SWITCHOVER, seen, *end, reply=reply)
                assert (found.outcome, found.final) == ("rolled_back", True)
                assert "n1 is still the leader, after an interruption" in str(found.message)
                assert found.leader_after == Leader(node="n1", since=40)
                assert evaluations(found)["leader_stayed_primary"] == "does_not_hold"
        found = judged(SWITCHOVER, seen)
        assert (found.outcome, found.final) == ("in_progress", False)

    @pytest.mark.parametrize("removal", [CLEAR, DELETE, OTHER])
    def test_a_step_down_goes_on_whatever_becomes_of_the_request(self, removal: Write) -> None:
        """Where somebody else takes it away, the engine says that it failed, and acts on it."""
        for begun in ([STEPS_DOWN, removal], [removal, STEPS_DOWN]):
            for end in ([], [role("n1", "primary", state="stopping")], [RELEASE], AWAY):
                found = judged(SWITCHOVER, *begun, ANSWER, *end, reply=FAILED)
                assert not found.final, found
                assert found.outcome in ("unknown", "in_progress")

    def test_what_is_no_interruption(self) -> None:
        restarting = role("n1", "primary", state="restarting")
        for seen in (STILL, restarting, STEPS_DOWN, ("members/n1", "garbage")):
            found = judged(SWITCHOVER, seen, CLEAR, ANSWER, STILL, reply=FAILED)
            assert (found.outcome, found.final) == ("rejected", True)

    def test_the_engines_word_is_no_proof(self) -> None:
        """P7-E3. It is given where somebody deleted the key, too, while the holder steps down. Its
        agent finds nothing to act on any more: the loop that was under way then is all there is."""
        assert not judged(SWITCHOVER, CLEAR, ANSWER, reply=FAILED).final
        assert not judged(SWITCHOVER, CLEAR, STILL, ANSWER, reply=FAILED).final
        found = judged(SWITCHOVER, CLEAR, ANSWER, STILL, reply=FAILED)
        assert (found.outcome, found.final) == ("rejected", True)
        for later in ([role("n1", "demoted")], [RELEASE, take("n3"), role("n3", "primary")]):
            found = judged(SWITCHOVER, CLEAR, ANSWER, STILL, *later, reply=FAILED)
            assert (found.outcome, found.final) == ("rejected", True)
        # an answer that came before the request was taken away tells nothing of it
        assert not judged(SWITCHOVER, ANSWER, CLEAR, STILL, reply=FAILED).final

    def test_nor_is_another_agents_any_word_of_the_holders(self) -> None:
        """A forced one is sent to the target's."""
        found = judged(FORCE, CLEAR, ANSWER, STILL, reply=FAILED, command="force_promotion")
        assert (found.outcome, found.final) == ("unknown", False)

    @pytest.mark.parametrize(
        "reply",
        [
            None,
            EngineReply(status=None, body="cut"),
            EngineReply(status=503, body="Switchover status unknown"),
            EngineReply(status=503, body="failed to write failover key into DCS"),
            EngineReply(status=500, body="Switchover failed"),
        ],
    )
    def test_without_it_a_whole_loop_is_waited_for(self, reply: EngineReply | None) -> None:
        for writes in ([CLEAR, ANSWER], [CLEAR, ANSWER, STILL]):
            found = judged(SWITCHOVER, *writes, reply=reply)
            assert (found.outcome, found.final, found.waiting) == ("unknown", False, 3)
            assert evaluations(found)["agent_moved_on"] == "undetermined"
            assert judged(SWITCHOVER, *writes, reply=reply, in_flight=True).waiting == 3
        found = judged(SWITCHOVER, CLEAR, ANSWER, *LOOP, reply=reply)
        assert (found.outcome, found.final, found.waiting) == ("rejected", True, 0)
        # a request that reads the same may have been another's while the agent has not answered
        flying = judged(SWITCHOVER, CLEAR, ANSWER, *LOOP, reply=reply, in_flight=True)
        silent = reply is None or reply.status is None
        assert (flying.outcome, flying.final) == (
            "in_progress" if silent else "rejected",
            not silent,
        )

    @pytest.mark.parametrize(
        ("count", "since", "reply", "final"),
        [
            (2, 120, None, False),
            (3, 120, None, True),
            (3, 119, None, False),
            (1, 130, FAILED, False),
            (2, 130, FAILED, True),
            (2, 129, FAILED, False),
            (3, 129, FAILED, True),
        ],
    )
    def test_an_idle_holder_renews_its_lease(
        self, count: int, since: int, reply: EngineReply | None, final: bool
    ) -> None:
        """And has nothing to write."""
        felt = Renewals(since, count)
        found = judged(SWITCHOVER, CLEAR, ANSWER, reply=reply, renewals=felt)
        assert (found.outcome, found.final) == ("rejected" if final else "unknown", final)
        for busy in (STEPS_DOWN, role("n1", "demoted"), ("members/n1", None)):
            writes = (SWITCHOVER, CLEAR, ANSWER, busy)
            assert not judged(*writes, reply=reply, renewals=felt).final
        assert not judged(SWITCHOVER, renewals=felt).final
        assert not judged(SWITCHOVER, CLEAR, RELEASE, renewals=felt).final

    @pytest.mark.parametrize(
        "seen", [role("n1", "replica"), role("n1", "primary", timeline=2), RELEASE]
    )
    def test_nothing_is_final_while_it_may_go_on(self, seen: Write) -> None:
        assert not judged(SWITCHOVER, CLEAR, seen).final
        assert not judged(SWITCHOVER, CLEAR, seen, in_flight=True).final

    def test_no_leader_term_is_not_told_of_as_one(self) -> None:
        found = judged(FORCE, CLEAR, command="force_promotion", leader=None)
        assert "no node held the leader key" in str(found.message)


def test_a_request_that_was_taken_up_when_none_was_in_flight() -> None:
    """P7-E2: whoever asked the same later asked for himself."""
    for landed in (None, 109):
        found = attributed(judged(*EXECUTED), landed)
        assert (found.outcome, found.final) == ("unknown", True)
        assert "nothing proves that it was this one" in str(found.message)
    assert attributed(judged(*EXECUTED), 110).outcome == "executed"


def test_of_two_that_read_the_same_nothing_tells_which_is_this_one() -> None:
    """The first was another operator's, perhaps, and its own agent was slow to write this one."""
    twice = judged(SWITCHOVER, DELETE, *LOOP, STILL, SWITCHOVER, *AWAY)
    assert (twice.outcome, twice.repeated) == ("rejected", 160)
    assert attributed(twice, 150).outcome == "rejected"
    assert (attributed(twice, 160).outcome, attributed(twice, 160).final) == ("unknown", True)


@pytest.mark.parametrize(
    ("reply", "so"),
    [
        (None, False),
        (EngineReply(status=None, body=""), False),
        (EngineReply(status=503, body="failed to write failover key into DCS"), False),
        (EngineReply(status=412, body="leader name does not match"), False),
        (EngineReply(status=500, body=""), False),
        (FAILED, True),
        (EngineReply(status=503, body="Switchover status unknown"), True),
        (EngineReply(status=200, body="Successfully"), True),
    ],
)
def test_which_replies_show_that_the_agent_wrote_it(reply: EngineReply | None, so: bool) -> None:
    assert reply_shows_written(reply) == so


class TestReplaced:
    """Another request was written over ours: what came of that one is not ours."""

    @pytest.mark.parametrize(
        "other",
        [
            OTHER,
            FORCE,
            DEMOTION,
            ("failover", {**SWITCHOVER[1], "scheduled_at": "2030-01-01T00:00:00+00:00"}),
            ("failover", "garbage"),
        ],
    )
    @pytest.mark.parametrize("node", NAMES)
    def test_leader_passed(self, other: Write, node: str) -> None:
        found = judged(SWITCHOVER, other, RELEASE, take(node), role(node, "primary"))
        assert (found.outcome, found.final) == ("unknown", True)
        assert "another request replaced this one at revision 120" in str(found.message)
        facts = {fact.name: fact.value for rule in found.evidence for fact in rule.evidence}
        assert facts["replaced_revision"] == 120
        assert found.leader_after == Leader(node=node, since=140)

    def test_the_leader_term_goes_on(self) -> None:
        assert not judged(SWITCHOVER, OTHER).final
        for end in ([CLEAR, *LOOP], LOOP):
            found = judged(SWITCHOVER, OTHER, *end)
            assert (found.outcome, found.final) == ("rejected", True)
            assert str(found.message).startswith(
                "another request replaced this one at revision 120"
            )
        found = judged(SWITCHOVER, OTHER, role("n1", "demoted"), CLEAR, *LOOP)
        assert (found.outcome, found.final) == ("rolled_back", True)

    def test_the_same_again_replaces_nothing(self) -> None:
        found = judged(SWITCHOVER, *EXECUTED)
        assert (found.outcome, found.final) == ("executed", True)

    def test_unless_the_first_was_withdrawn(self) -> None:
        """Which of the two was acted on, nothing proves."""
        found = judged(SWITCHOVER, DELETE, *EXECUTED)
        assert (found.outcome, found.final) == ("unknown", True)
        assert "a request that reads the same was written at revision 130" in str(found.message)
        assert judged(SWITCHOVER, DELETE, SWITCHOVER).outcome == "in_progress"
        assert not judged(SWITCHOVER, DELETE, STILL, SWITCHOVER, CLEAR, STILL).final
        assert judged(SWITCHOVER, DELETE, SWITCHOVER, CLEAR, *LOOP).outcome == "rejected"
        assert judged(SWITCHOVER, DELETE, *LOOP, *EXECUTED).outcome == "rejected"


class TestSeveralLeaderTerms:
    """Whoever is first seen as primary decides."""

    @staticmethod
    def lost_by(node: str) -> list[Write]:
        return [SWITCHOVER, role("n1", "demoted"), RELEASE, take(node), CLEAR, RELEASE]

    def test_the_named_node_after_another_one(self) -> None:
        found = judged(*self.lost_by("n3"), take("n2"), role("n2", "primary"))
        assert (found.outcome, found.final) == ("executed", True)
        assert found.leader_after == Leader(node="n2", since=170)

    @pytest.mark.parametrize(
        ("timeline", "outcome"),
        [(1, "rolled_back"), (2, "rolled_back"), (3, "unknown"), (None, "unknown")],
    )
    def test_the_old_holder(self, timeline: int | None, outcome: str) -> None:
        """One timeline is its own promotion's; one more is that of somebody else in between."""
        again = role("n1", "primary", timeline=timeline)
        found = judged(*self.lost_by("n2"), take("n1"), again, again)
        if timeline is None:  # its agent is still at something
            assert not found.final
            return
        assert (found.outcome, found.final) == (outcome, True)
        assert found.leader_after == Leader(node="n1", since=170)

    def test_until_then_it_is_in_progress(self) -> None:
        found = judged(*self.lost_by("n2"))
        assert (found.outcome, found.final, found.leader_after) == ("in_progress", False, None)
        found = judged(*self.lost_by("n2"), take("n1"))
        assert (found.outcome, found.final) == ("in_progress", False)

    def test_who_claims_to_be_primary_while_stopping_is_not(self) -> None:
        stopping = role("n1", "primary", state="stopping")
        found = judged(SWITCHOVER, stopping, RELEASE, take("n1"))
        assert (found.outcome, found.final) == ("in_progress", False)


class TestReply:
    @pytest.mark.parametrize("status", sorted(REFUSALS))
    def test_a_refusal_is_final_and_verbatim(self, status: int) -> None:
        """P7-E3. The traces that look alike are somebody else's."""
        for writes in ([], EXECUTED, [SWITCHOVER]):
            found = judged(*writes, reply=EngineReply(status=status, body="no, said n1"))
            assert (found.outcome, found.final, found.message) == ("rejected", True, "no, said n1")
            assert evaluations(found)["arrived"] == "does_not_hold"

    @pytest.mark.parametrize("status", [None, 200, 202, 500, 502, 503])
    def test_no_other_reply_is_believed(self, status: int | None) -> None:
        """P7-E2: what the state does not show did not happen, or not yet."""
        reply = EngineReply(status=status, body='Successfully switched over to "n2"')
        assert judged(reply=reply, in_flight=True).outcome == "in_progress"
        found = judged(reply=reply)
        assert (found.outcome, found.final) == ("not_executed", False)
        assert judged(*EXECUTED, reply=reply).outcome == "executed"

    def test_what_never_left_did_nothing(self) -> None:
        for writes in ([], EXECUTED):
            found = judged(*writes, sent=False)
            assert (found.outcome, found.final) == ("not_executed", True)

    def test_in_flight_it_may_still_arrive(self) -> None:
        for sent in (True, None):
            found = judged(in_flight=True, sent=sent)
            assert (found.outcome, found.final) == ("in_progress", False)

    def test_a_frozen_agent_may_take_it_up_when_nobody_waits_any_more(self) -> None:
        """So that it did not arrive is never final, and what it does later is told."""
        assert not judged(sent=True).final
        assert judged(*EXECUTED, sent=True).outcome == "executed"


class TestCompaction:
    """The first writes are lost: nothing that rests on them is called a success, or final."""

    @pytest.mark.parametrize(
        ("writes", "lost", "outcome"),
        [
            ([SWITCHOVER, CLEAR], 2, "unknown"),
            ([SWITCHOVER, CLEAR, STILL], 2, "unknown"),
            ([SWITCHOVER], 1, "in_progress"),
            ([SWITCHOVER, RELEASE, take("n2"), CLEAR, role("n2", "primary")], 5, "unknown"),
            ([SWITCHOVER, RELEASE, take("n2"), CLEAR, role("n2", "primary")], 1, "unknown"),
            ([SWITCHOVER, CLEAR, *EXECUTED], 2, "unknown"),
            ([RELEASE, take("n3"), ("failover", {"leader": "n3"}), CLEAR], 4, "unknown"),
        ],
    )
    def test_what_is_left(self, writes: list[Write], lost: int, outcome: str) -> None:
        found = judged(*writes, lost=lost)
        assert (found.outcome, found.final) == (outcome, False)
        assert evaluations(found)["arrived"] == "undetermined"
        assert evaluations(found)["history_complete"] == "does_not_hold"
        assert judged(*writes, lost=lost, in_flight=True).outcome == "in_progress"

    def test_nothing_had_been_written_yet(self) -> None:
        """The failover key is as it was at the dispatch, so that no arrival was lost."""
        quiet = [role("n3", "replica"), *EXECUTED]
        found = judged(*quiet, lost=1)
        assert (found.outcome, found.final) == ("executed", True)
        assert evaluations(found)["history_complete"] == "does_not_hold"
        assert judged(quiet[0], lost=1).outcome == "not_executed"

    @pytest.mark.parametrize(
        ("writes", "outcome"),
        [
            ([SWITCHOVER, CLEAR, ("failover", None)], "unknown"),
            ([*EXECUTED, ("failover", None)], "unknown"),
            ([STILL], "unknown"),
        ],
    )
    def test_a_key_that_is_absent_as_before_proves_nothing(
        self, writes: list[Write], outcome: str
    ) -> None:
        """It was made for the request, and somebody deleted it."""
        start = base()
        start = replace(start, keys={k: v for k, v in start.keys.items() if k != "failover"})
        events = written(start, writes)
        found = judge(
            replace(asked(), failover_revision=0),
            history(start, events, len(events)),
            False,
            None,
            None,
        )
        assert (found.outcome, found.final) == (outcome, False)
        assert evaluations(found)["arrived"] == "undetermined"


WRITES = st.lists(
    st.one_of(
        st.sampled_from([SWITCHOVER, DEMOTION, FORCE, CLEAR, RELEASE]),
        st.sampled_from([SWITCHOVER, DEMOTION, FORCE, CLEAR, RELEASE]),
        st.sampled_from([("failover", {"leader": "n3", "member": "n1"}), ("failover", None)]),
        st.sampled_from(NAMES).map(take),
        st.sampled_from([STILL, role("n1", "primary", state="stopping"), ("members/n1", None)]),
        st.builds(
            role,
            st.sampled_from(NAMES),
            st.sampled_from(["primary", "replica", "demoted"]),
            timeline=st.sampled_from([None, 1, 2, 3]),
        ),
    ),
    max_size=14,
)
COMMANDS: st.SearchStrategy[CommandName] = st.sampled_from(
    ["request_promotion", "request_demotion", "force_promotion"]
)
LEADERS = st.sampled_from(["n1", None])
REPLIES = st.sampled_from(
    [None, FAILED, *(EngineReply(status=code, body="") for code in (None, 200, 412, 503))]
)
SUCCESSES: tuple[RequestOutcome, ...] = ("executed", "executed_other")
anything = examples(150)


def possible(start: Keyspace, writes: list[Write]) -> list[Event]:
    """The engine takes the leader key only where nobody holds it."""
    kept: list[Write] = []
    holder = start.keys["leader"].value if "leader" in start.keys else None
    for key, value in writes:
        if key == "leader":
            if value is not None and holder not in (None, value):
                continue
            holder = value
        kept.append((key, value))
    return written(start, kept)


@anything
@given(WRITES, COMMANDS, LEADERS, REPLIES, st.sampled_from([True, None, False]))
def test_a_final_judgement_stays(
    writes: list[Write],
    command: CommandName,
    leader: str | None,
    reply: EngineReply | None,
    sent: bool | None,
) -> None:
    """Whatever is written later, and although the request is no longer in flight."""
    start = base(leader)
    events = possible(start, writes)
    final: Judgement | None = None
    for end in range(len(events) + 1):
        known = history(start, events[:end])
        flying = judge(asked(command, leader), known, True, reply, sent)
        landed = judge(asked(command, leader), known, False, reply, sent)
        assert not flying.final or (flying.outcome, flying.evidence) == (
            landed.outcome,
            landed.evidence,
        )
        if final is not None:
            assert landed.final
            assert (landed.outcome, landed.message) == (final.outcome, final.message)
            assert landed.evidence[:-1] == final.evidence[:-1]
        elif landed.final:
            final = landed


@anything
@given(WRITES, COMMANDS, LEADERS, st.booleans())
def test_success_is_a_new_since_after_the_arrival(
    writes: list[Write], command: CommandName, leader: str | None, in_flight: bool
) -> None:
    """P7-E2, told from the raw events alone."""
    start = base(leader)
    events = possible(start, writes)
    found = judge(asked(command, leader), history(start, events), in_flight, None, None)
    bound = ("failover", SWITCHOVER[1] if leader else FORCE[1])
    names = {"request_promotion": bound, "request_demotion": DEMOTION}.get(command, FORCE)[1]
    arrivals = [
        event.revision
        for event in events
        if event.key == "failover" and json.loads(event.value or "{}") == names
    ]
    if found.outcome == "rolled_back" and "leader_passed" not in evaluations(found):
        assert leader == "n1" or any(event.key == "leader" for event in events)
    elif found.outcome in (*SUCCESSES, "rolled_back"):
        assert found.leader_after is not None
        since = found.leader_after.since
        assert arrivals
        assert since > arrivals[0] > DISPATCHED
        holder = found.leader_after.node
        assert any(
            (event.revision, event.key, event.value) == (since, "leader", holder)
            for event in events
        )
        if found.outcome in SUCCESSES:
            roles = {
                event.revision: json.loads(event.value or "{}")["role"]
                for event in events
                if event.key == f"members/{holder}"
            }
            assert "primary" in roles.values() or holder == leader
        wanted = holder != "n1" if command == "request_demotion" else holder == "n2"
        assert wanted == (found.outcome == "executed")
    if found.outcome == "rejected":
        assert arrivals
        assert found.final
    if not arrivals:
        assert found.outcome == ("in_progress" if in_flight else "not_executed")
        assert not found.final


@anything
@given(WRITES, COMMANDS, LEADERS, st.data())
def test_lost_history_proves_no_more_than_the_whole(
    writes: list[Write], command: CommandName, leader: str | None, data: st.DataObject
) -> None:
    start = base(leader)
    events = possible(start, writes)
    lost = data.draw(st.integers(0, len(events)))
    whole = judge(asked(command, leader), history(start, events), False, None, None)
    part = judge(asked(command, leader), history(start, events, lost), False, None, None)
    if part.final or part.outcome in SUCCESSES:
        assert (part.outcome, part.final) == (whole.outcome, whole.final)
    in_order(part)


@anything
@given(WRITES, COMMANDS, LEADERS, REPLIES, st.data())
def test_piece_by_piece_it_is_the_same(
    writes: list[Write],
    command: CommandName,
    leader: str | None,
    reply: EngineReply | None,
    data: st.DataObject,
) -> None:
    """However the history is cut, with the progress carried over."""
    start = base(leader)
    events = possible(start, writes)
    cut = data.draw(st.integers(0, len(events)))
    answered = data.draw(st.none() | st.integers(100, 200))
    request = asked(command, leader)
    answer = gone_answer(request, reply, answered)
    whole = history(start, events)
    progress = follow(request, history(start, events[:cut]), answer=answer)
    rest = history(after(start, events[:cut]), events[cut:])
    progress = follow(request, rest, progress, answer=answer)
    pieces = replace(whole, events=())
    found = judge(request, pieces, False, reply, None, progress, answered=answered)
    if reply is None or reply.status not in REFUSALS:  # else nothing is followed
        assert found == judge(request, whole, False, reply, None, answered=answered)


@anything
@given(WRITES, COMMANDS, LEADERS)
def test_nothing_is_called_rejected_that_was_interrupted(
    writes: list[Write], command: CommandName, leader: str | None
) -> None:
    """Told from the raw events alone: between the arrival and the last proof the holder was never
    seen to be anything else than primary, on one timeline."""
    start = base(leader)
    events = possible(start, writes)
    found = judge(asked(command, leader), history(start, events), False, None, None)
    facts = {fact.name: fact.value for rule in found.evidence for fact in rule.evidence}
    if found.outcome != "rejected":
        return
    arrived, proved = facts["arrived_revision"], facts["serving_again_revision"]
    assert isinstance(arrived, int)
    assert isinstance(proved, int)
    assert found.leader_after is not None
    key = f"members/{found.leader_after.node}"
    writes_of_it = [(80, start.keys[key].value)] + [
        (event.revision, event.value) for event in events if event.key == key
    ]
    at_arrival = max(revision for revision, _ in writes_of_it if revision <= arrived)
    said = [
        json.loads(value)
        for revision, value in writes_of_it
        if value and at_arrival <= revision <= proved
    ]
    down = [each for each in said if (each["role"], each["state"]) != ("primary", "running")]
    assert said[: len(down)] == down  # until it began, if it had not yet
    assert [each.get("timeline") for each in said[-2:]] == [facts["timeline"]] * 2


def test_another_leader_term_of_the_same_node_is_not_the_one_that_was_bound() -> None:
    """The leader term is the fence, not the name (P6-A1)."""
    start = base("n1")
    events = written(start, [SWITCHOVER, CLEAR])
    other = replace(asked(), leader_before=Leader(node="n1", since=39))
    assert judge(other, history(start, events, 2), False, None, None).outcome == "unknown"
