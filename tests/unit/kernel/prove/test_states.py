"""The state machine of a request: each state is reached as its diagram says, and has a verdict."""

import json

import pytest

from aeroctl.contract.cluster import Leader
from aeroctl.kernel.prove.evidence import (
    Evidence,
    FailoverCleared,
    LeaderKeyFreed,
    LeaderKeyTaken,
    LeaderReported,
    MemberEntry,
    OtherRequestWritten,
    RequestWritten,
)
from aeroctl.kernel.prove.request import TransferRequest, names_somebody
from aeroctl.kernel.prove.states import Progress, State
from aeroctl.kernel.prove.transitions import step
from aeroctl.kernel.prove.verdicts import VERDICTS

OLD, NEW = Leader(node="n1", since=40), Leader(node="n2", since=130)
THIRD = Leader(node="n3", since=130)
SERVES = MemberEntry("primary", "running", 1)
REPLICA = MemberEntry("replica", "running", 1)
REQUEST = TransferRequest("request_promotion", "n2", OLD, 90, 100)

WRITE = RequestWritten(110, OLD, SERVES)
CLEAR = FailoverCleared(120, deleted=False)
FREE = LeaderKeyFreed(125, expired=False)
TAKE = LeaderKeyTaken(130, NEW, REPLICA)
TAKE_BY_PRIMARY = LeaderKeyTaken(130, NEW, SERVES)
TAKE_BY_THIRD = LeaderKeyTaken(130, THIRD, SERVES)


def report(revision: int) -> LeaderReported:
    return LeaderReported(revision, SERVES, replaced=True)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], State.DISPATCHED),
        ([CLEAR, FREE, TAKE], State.DISPATCHED),
        ([WRITE], State.WRITTEN),
        ([WRITE, CLEAR], State.WITHDRAWN),
        ([WRITE, OtherRequestWritten(120)], State.WITHDRAWN),
        ([WRITE, CLEAR, WRITE], State.WRITTEN),
        ([WRITE, CLEAR, report(121)], State.WITHDRAWN),
        ([WRITE, CLEAR, report(121), report(122)], State.NOT_ACTED_ON),
        ([WRITE, FREE], State.LEADER_KEY_FREE),
        ([WRITE, CLEAR, FREE], State.LEADER_KEY_FREE),
        ([WRITE, TAKE], State.LEADER_CHANGED),
        ([WRITE, FREE, TAKE], State.LEADER_CHANGED),
        ([WRITE, FREE, TAKE, FREE], State.LEADER_KEY_FREE),
        ([WRITE, FREE, TAKE_BY_THIRD], State.NEW_PRIMARY),
        ([WRITE, FREE, TAKE_BY_THIRD, FREE], State.LEADER_KEY_FREE),
        ([WRITE, FREE, TAKE_BY_THIRD, TAKE], State.LEADER_CHANGED),
        ([WRITE, FREE, TAKE_BY_THIRD, CLEAR, report(140)], State.SETTLED),
        ([WRITE, FREE, TAKE, report(140)], State.SETTLED),
        ([WRITE, FREE, TAKE_BY_PRIMARY], State.SETTLED),
    ],
)
def test_events_lead_to_the_state_of_the_diagram(events: list[Evidence], state: State) -> None:
    progress = Progress(leader=OLD)
    for event in events:
        progress = step(REQUEST, progress, event, None)
    assert progress.state is state


@pytest.mark.parametrize("end", [State.NOT_ACTED_ON, State.SETTLED])
def test_an_end_stays_and_notes_the_request_written_once_more(end: State) -> None:
    before = Progress(end, leader=OLD, written=110)
    for event in (CLEAR, FREE, TAKE, report(140), OtherRequestWritten(150)):
        assert step(REQUEST, before, event, None) == before
    after = step(REQUEST, before, RequestWritten(160, OLD, SERVES), None)
    assert (after.state, after.repeated) == (end, 160)


def test_every_state_has_a_verdict() -> None:
    assert set(VERDICTS) == set(State)


@pytest.mark.parametrize(
    ("value", "somebody"),
    [
        (None, False),
        ("{}", False),
        (json.dumps({"leader": "n1"}), True),
        ("garbage", True),
    ],
)
def test_an_unreadable_failover_key_counts_as_a_request(value: str | None, somebody: bool) -> None:
    assert names_somebody(value) == somebody
