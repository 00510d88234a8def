"""Points of history in an operator's words, and which revisions may have stood at a time."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract.events import Logged, Pin
from aeroctl.contract.moments import Ago, Time
from aeroctl.contract.pinning import NotPinned, Pinning, settled
from aeroctl.contract.rfc3339 import shortest
from aeroctl.sources.moment import AtRevision, Moment, parse

START = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("812", AtRevision(812)),
        ("90s", Ago(90)),
        ("10m", Ago(600)),
        ("1h30m", Ago(5400)),
        ("2d", Ago(172800)),
        ("0s", Ago(0)),
        ("2026-11-23T10:15:19Z", Time("2026-11-23T10:15:19Z")),
        ("2026-11-23T10:15:19.158Z", Time("2026-11-23T10:15:19.158000Z")),
        ("2026-11-23T12:15:19+02:00", Time("2026-11-23T10:15:19Z")),
        ("2026-11-23 10:15:19+00:00", Time("2026-11-23T10:15:19Z")),
    ],
)
def test_moments(text: str, moment: Moment) -> None:
    assert parse(text) == moment


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "revision numbers are 1 to"),
        ("99999999999999999", "revision numbers are 1 to"),
        ("9007199254740992", "revision numbers are 1 to"),
        ("", "expected a revision (812)"),
        ("yesterday", "expected a revision (812)"),
        ("-5", "expected a revision (812)"),
        ("٣", "expected a revision (812)"),
        ("2026-11-23T10:15:19", "lacks a time zone"),
        ("2026-11-23", "lacks a time zone"),
        ("0001-01-01T00:00:00+14:00", "outside the years that UTC can write"),
        ("9999-12-31T23:59:59-14:00", "outside the years that UTC can write"),
    ],
)
def test_what_is_no_moment(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        parse(text)


@given(st.text(max_size=24))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse(text), Moment)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(-12, 12))
def test_a_time_means_the_same_instant_in_every_zone(when: datetime, hours: int) -> None:
    here = when.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert parse(here.isoformat()) == Time(shortest(here))


def logged(*times: tuple[int, int, int]) -> list[Logged]:
    """(revision reached by then, revision that wrote it, seconds)."""
    return [
        Logged(revision=revision, reached=reached, time=at(seconds), clock="k", source="clock")
        for reached, revision, seconds in times
    ]


def at(seconds: float) -> str:
    return shortest(START + timedelta(seconds=seconds))


def pin(asked: str, logs: list[Logged], now: str | None, newest: int) -> Pin:
    pinning = Pinning(asked, now)
    for each in logs:
        pinning.see(each)
    return pinning.pinned(newest, newest)


def test_a_time_lies_between_what_was_there_and_what_came_later() -> None:
    logs = logged((4, 5, 0), (7, 8, 10), (8, 12, 20), (14, 15, 25))
    found = pin(at(15), logs, at(30), 20)
    assert (found.first, found.last) == (7, 11)
    assert (found.before, found.after) == (logs[1], logs[2])
    exact = pin(at(20), logs, at(30), 20)
    assert (exact.first, exact.last) == (8, 11)
    assert pin(at(30), logs, at(30), 20).first == 20
    last = pin(at(29), logs, at(30), 20)
    assert (last.first, last.last, last.after) == (14, 20, None)
    first = pin(at(-5), logs, at(30), 20)
    assert (first.first, first.last, first.before) == (0, 4, None)


def test_a_state_needs_both_sides() -> None:
    pinning = Pinning(at(15), at(30))
    with pytest.raises(NotPinned, match=r"no time is logged at or before .*; no time is logged"):
        pinning.check_bounded(pinning.pinned(0, 20), ends=False)
    pinning.see(logged((7, 8, 20))[0])
    with pytest.raises(NotPinned, match=r"no time is logged at or before .*; the first is"):
        pinning.check_bounded(pinning.pinned(0, 20), ends=False)
    pinning = Pinning(at(15), None)
    pinning.see(logged((7, 8, 10))[0])
    pinning.check_bounded(pinning.pinned(0, 20), ends=False)
    with pytest.raises(NotPinned, match="later than the last logged time"):
        pinning.check_bounded(pinning.pinned(0, 20), ends=True)


def test_a_change_in_between_is_named() -> None:
    found = pin(at(15), logged((4, 5, 0), (14, 15, 25)), at(30), 20)
    assert settled(found, [], 3) == found.model_copy(update={"moved": 3})
    with pytest.raises(NotPinned, match="at revision 7") as refused:
        settled(found, [7], 3)
    assert "revision 4 was there by" in str(refused.value)
    assert "revision 15 after" in str(refused.value)
    with pytest.raises(NotPinned, match="at revisions 5, 6, 7, 8, 9, 10, 11, 12 and 2 more"):
        settled(found, list(range(5, 15)), 0)


def test_the_future_and_clocks_that_contradict_each_other() -> None:
    with pytest.raises(NotPinned, match="in the future"):
        pin(at(40), [], at(30), 20)
    with pytest.raises(NotPinned, match="contradict each other"):
        pin(at(15), logged((4, 5, 20), (7, 8, 10)), at(30), 20)
    # A clock that was wrong by years hides nothing: it is later than now.
    wrong = logged((4, 5, 0), (5, 6, 10**9), (7, 8, 10), (11, 12, 20))
    found = pin(at(15), wrong, at(30), 20)
    assert (found.first, found.last) == (7, 11)


def test_a_clock_that_was_set_back_for_a_while_moves_no_state() -> None:
    """The pin of revision 16 says second 1, and is later than second 20: by how much nobody
    knows.
    """
    logs = logged((4, 5, 0), (7, 8, 20), (15, 16, 1), (20, 21, 60))
    found = pin(at(30), logs, at(90), 30)
    assert (found.first, found.last) == (7, 20)
    assert found.before == logs[1]
    assert pin(at(70), logs, at(90), 30).first == 20
    # nor where another log bounds it
    record = logs[2].model_copy(update={"source": "audit", "reached": 17, "revision": 18})
    assert pin(at(30), [*logs, record], at(90), 30).first == 7


STEPS = st.lists(
    st.tuples(st.floats(0.01, 30), st.sampled_from(["write", "look", "pin", "record"])),
    min_size=1,
    max_size=30,
)


@given(STEPS, st.floats(0, 1))
def test_what_stood_then_is_among_the_revisions(
    steps: list[tuple[float, str]], share: float
) -> None:
    """However long a writer was frozen between reading the time and writing it."""
    now, revision, last_record = 0.0, 1, 0
    truth = [(0.0, 1)]
    looked: tuple[int, float] | None = None
    logs = []
    for wait, what in steps:
        now += wait
        if what == "look":
            looked = revision, now
            continue
        revision += 1
        truth.append((now, revision))
        if what == "pin" and looked is not None:
            logs += logged((looked[0], revision, 0))
            logs[-1] = logs[-1].model_copy(update={"time": at(looked[1])})
            looked = None
        if what == "record":
            logs += logged((last_record, revision, 0))
            logs[-1] = logs[-1].model_copy(update={"time": at(now - wait / 2)})
            last_record = revision
    when = now * share
    found = pin(at(when), logs, at(now), revision)
    asked = datetime.fromisoformat(at(when))
    (stood,) = [c for t, c in truth if START + timedelta(seconds=t) <= asked][-1:]
    assert found.first <= stood <= found.last
