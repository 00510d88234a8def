"""P7-A2: a confirmation is good for one command, one target and one state, or it is none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract import consent
from aeroctl.contract.commands import COMMANDS, CommandName
from aeroctl.contract.consent import Confirmable, confirms
from aeroctl.contract.requests import CommandRequest
from aeroctl.kernel.decide.confirmation import AHEAD_SECONDS, Clock, Issue, check
from aeroctl.kernel.failures import Failure
from tests.support.examples import examples

NOW = 5
"""The kernel's revision."""
CLOCK = Clock(datetime(2026, 11, 23, 10, 15, 19, tzinfo=UTC), 300)
ABOUT = Confirmable("force_promotion", "n1", "demo", "7", "e", 3)
TOKEN = Issue(CLOCK, b"8 bytes.").token(ABOUT)
ABOUTS = st.builds(
    Confirmable,
    st.sampled_from(list(COMMANDS)),
    st.none() | st.text(max_size=3),
    st.text(max_size=3),
    st.none() | st.text(max_size=3),
    st.text(max_size=3),
    st.integers(0, 2),
)


def request(**changes: Any) -> CommandRequest:
    """A complete override, changed; `reason` is the request's, the rest the confirmation's."""
    confirmation = {
        "kind": "override",
        "given": "flags",
        "token": TOKEN,
        "acknowledged": ["P6-A2", "P6-S1"],
        "accepts_responsibility": True,
    }
    return CommandRequest.model_validate(
        {
            "request_id": "6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b",
            "target": "n1",
            "reason": changes.pop("reason", "the rack burns"),
            "state_digest": "e",
            "revision": changes.pop("revision", NOW),
            "confirmation": confirmation | changes,
            "client": {"user": None, "host": None, "version": None},
        }
    )


STANDARD: Any = {"kind": "standard", "given": "yes", "acknowledged": []}


def refused(command: CommandName, **changes: Any) -> str:
    overridden = ["P6-A2", "P6-S1"] if command == "force_promotion" else []
    with pytest.raises(Failure) as raised:
        check(request(**changes), COMMANDS[command], ABOUT, overridden, NOW, CLOCK)
    error = raised.value.error
    assert (raised.value.status, error.domain) == (403, "control_plane_validation")
    assert (error.invariants, error.outcome) == (["P7-A2"], "not_executed")
    return error.code


@pytest.mark.parametrize("given", ["terminal", "yes", "token"])
@pytest.mark.parametrize("command", ["request_promotion", "request_demotion", "run_diagnostics"])
def test_a_standard_one(command: CommandName, given: str) -> None:
    check(request(**STANDARD | {"given": given}), COMMANDS[command], ABOUT, [], NOW, CLOCK)


@pytest.mark.parametrize("given", ["terminal", "flags"])
def test_an_override(given: str) -> None:
    found = request(given=given)
    check(found, COMMANDS["force_promotion"], ABOUT, ["P6-S1", "P6-A2"], NOW, CLOCK)


@pytest.mark.parametrize(
    "changes",
    [
        STANDARD,
        {"given": "yes"},
        {"given": "token"},
        {"token": "0" * 64},
        {"accepts_responsibility": False},
        {"reason": None},
        {"reason": " \n"},
        {"revision": NOW + 1},
    ],
)
def test_an_incomplete_override(changes: Any) -> None:
    assert refused("force_promotion", **changes) == "CONFIRMATION_INVALID"


@pytest.mark.parametrize(
    "acknowledged",
    [
        [],
        ["P6-A2"],
        ["P6-A2", "P6-S1", "P6-S2"],
        ["P6-S1", "P6-A2"],
        ["P6-A2", "P6-A2", "P6-S1"],
        ["p6-a2", "p6-s1"],
    ],
)
def test_other_acknowledgements(acknowledged: list[str]) -> None:
    code = refused("force_promotion", acknowledged=acknowledged)
    assert code == "ACKNOWLEDGEMENT_MISMATCH"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "CONFIRMATION_INVALID"),
        (STANDARD | {"given": "flags"}, "CONFIRMATION_INVALID"),
        (STANDARD | {"token": "f" * 64}, "CONFIRMATION_INVALID"),
        (STANDARD | {"revision": NOW + 1}, "CONFIRMATION_INVALID"),
        (STANDARD | {"acknowledged": ["P6-S1"]}, "ACKNOWLEDGEMENT_MISMATCH"),
    ],
)
def test_a_standard_command(changes: Any, code: str) -> None:
    assert refused("request_promotion", **changes) == code


@examples(100)
@given(
    ABOUTS,
    ABOUTS,
    st.integers(0, 2**48 - 1),
    st.integers(1, 3600),
    st.binary(min_size=8, max_size=8),
)
def test_a_token_confirms_exactly_what_it_was_issued_for(
    one: Confirmable, other: Confirmable, issued: int, term: int, chance: bytes
) -> None:
    token = consent.token(one, issued, term, chance)
    assert confirms(token, other) == (one == other)
    assert (consent.issued(token), consent.term(token)) == (issued, term)


@examples(100)
@given(st.integers(0, 63), st.sampled_from("0123456789abcdefABC z\n"), st.booleans())
def test_an_altered_token_confirms_nothing(place: int, digit: str, longer: bool) -> None:
    """Neither its time nor its chance can be changed by hand to have it serve once more."""
    altered = TOKEN[:place] + digit + TOKEN[place + (not longer) :]
    assert confirms(altered, ABOUT) == (altered == TOKEN)
    assert not confirms(TOKEN[:place], ABOUT)


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
def test_two_explanations_of_one_state_have_two_tokens(one: bytes, other: bytes) -> None:
    tokens = {Issue(CLOCK, chance).token(ABOUT) for chance in (one, other)}
    assert len(tokens) == len({one, other})


@given(
    st.integers(1, 3600),
    st.integers(1, 3600),
    st.integers(-7200, 7200).map(lambda half: timedelta(seconds=half / 2)),
)
def test_a_term_by_the_kernels_clock(named: int, here: int, age: timedelta) -> None:
    """The one that the explanation named, also where another server's is longer."""
    found = request(token=Issue(Clock(CLOCK.now, named), b"8 bytes.").token(ABOUT))
    clock, term = Clock(CLOCK.now + age, here), min(named, here)

    def checked() -> None:
        check(found, COMMANDS["force_promotion"], ABOUT, ["P6-S1", "P6-A2"], NOW, clock)

    if -timedelta(seconds=AHEAD_SECONDS) <= age <= timedelta(seconds=term):
        checked()
        return
    with pytest.raises(Failure) as raised:
        checked()
    error = raised.value.error
    assert (error.code, error.domain, error.outcome, error.invariants) == (
        "CONFIRMATION_EXPIRED",
        "control_plane_validation",
        "not_executed",
        ["P7-A2"],
    )
    for time in (CLOCK.now, clock.now):
        assert time.isoformat(timespec="milliseconds").removesuffix("+00:00") in error.message


def test_a_time_that_no_calendar_has() -> None:
    token = consent.token(ABOUT, 2**48 - 1, 300, b"8 bytes.")
    assert refused("force_promotion", token=token) == "CONFIRMATION_EXPIRED"
