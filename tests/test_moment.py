"""Points of history in an operator's words, and which commit stands for a time."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract.events import Logged
from aeroctl.contract.pinning import NotPinned, pin
from aeroctl.moment import Ago, Commit, Moment, Time, parse, written

START = datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("812", Commit(812)),
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
        ("0", "no commit"),
        ("99999999999999999", "no commit"),
        ("9007199254740992", "no commit"),
        ("", "no commit (812)"),
        ("yesterday", "no commit (812)"),
        ("-5", "no commit (812)"),
        ("٣", "no commit (812)"),
        ("2026-11-23T10:15:19", "no time zone"),
        ("2026-11-23", "no time zone"),
        ("0001-01-01T00:00:00+14:00", "no time in UTC"),
        ("9999-12-31T23:59:59-14:00", "no time in UTC"),
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
    assert parse(here.isoformat()) == Time(written(here))


def logged(*times: tuple[int, int]) -> list[Logged]:
    """(commit, seconds) pairs."""
    return [
        Logged(commit_id=commit, time=at(seconds), clock="k", source="audit")
        for commit, seconds in times
    ]


def at(seconds: int) -> str:
    return written(START + timedelta(seconds=seconds))


def test_the_last_logged_commit_not_after_the_time_is_taken() -> None:
    found = pin(at(15), logged((5, 0), (8, 10), (9, 15), (12, 20)), at(30))
    assert (found.taken.commit_id, found.following and found.following.commit_id) == (9, 12)


@pytest.mark.parametrize(
    ("seconds", "times", "now", "words"),
    [
        (15, [(5, 20)], 30, "no commit is logged at or before"),
        (15, [], 30, "no time is logged"),
        (40, [(5, 0)], 30, "is in the future"),
        (15, [(5, 20), (7, 10)], 30, "contradict each other"),
        (15, [(5, 0), (6, 20), (7, 10)], 30, "contradict each other"),
        (15, [(5, 0)], None, "later than the last logged time"),
    ],
)
def test_a_time_that_is_not_pinned(
    seconds: int, times: list[tuple[int, int]], now: int | None, words: str
) -> None:
    with pytest.raises(NotPinned, match=words):
        pin(at(seconds), logged(*times), None if now is None else at(now))


@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=12),
    st.integers(0, 100),
)
def test_a_pin_is_the_only_place_that_all_logged_times_allow(times: list[int], when: int) -> None:
    entries = logged(*enumerate(times, 1))
    before = [commit for commit, seconds in enumerate(times, 1) if seconds <= when]
    after = [commit for commit, seconds in enumerate(times, 1) if seconds > when]
    try:
        found = pin(at(when), entries, at(200))
    except NotPinned:
        assert not before or (after and min(after) < max(before))
    else:
        assert found.taken.commit_id == max(before)
        assert all(commit > found.taken.commit_id for commit in after)
