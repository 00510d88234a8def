"""P7-A2: a confirmation is good for one command, one target and one state, or it is none."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeroctl.contract.commands import COMMANDS, CommandName
from aeroctl.contract.requests import CommandRequest
from aeroctl.kernel.confirmation import check, token
from aeroctl.kernel.failures import Failure

NOW = 5
"""The kernel's commit."""
TOKEN = token("force_promotion", "n1", "demo", "7", "e", 3)
PARTS = st.tuples(
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
            "epoch": "e",
            "commit_id": changes.pop("commit_id", NOW),
            "confirmation": confirmation | changes,
            "client": {"user": None, "host": None, "version": None},
        }
    )


STANDARD: Any = {"kind": "standard", "given": "yes", "acknowledged": []}


def refused(command: CommandName, **changes: Any) -> str:
    overridden = ["P6-A2", "P6-S1"] if command == "force_promotion" else []
    with pytest.raises(Failure) as raised:
        check(request(**changes), COMMANDS[command], TOKEN, overridden, NOW)
    error = raised.value.error
    assert (raised.value.status, error.domain) == (403, "control_plane_validation")
    assert (error.invariants, error.outcome) == (["P7-A2"], "not_executed")
    return error.code


@pytest.mark.parametrize("given", ["terminal", "yes", "token"])
@pytest.mark.parametrize("command", ["request_promotion", "request_demotion", "run_diagnostics"])
def test_a_standard_one(command: CommandName, given: str) -> None:
    check(request(**STANDARD | {"given": given}), COMMANDS[command], TOKEN, [], NOW)


@pytest.mark.parametrize("given", ["terminal", "flags"])
def test_an_override(given: str) -> None:
    found = request(given=given)
    check(found, COMMANDS["force_promotion"], TOKEN, ["P6-S1", "P6-A2"], NOW)


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
        {"commit_id": NOW + 1},
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
        (STANDARD | {"commit_id": NOW + 1}, "CONFIRMATION_INVALID"),
        (STANDARD | {"acknowledged": ["P6-S1"]}, "ACKNOWLEDGEMENT_MISMATCH"),
    ],
)
def test_a_standard_command(changes: Any, code: str) -> None:
    assert refused("request_promotion", **changes) == code


@settings(max_examples=100)
@given(PARTS, PARTS)
def test_a_token_is_equal_exactly_when_everything_is(one: Any, other: Any) -> None:
    assert (token(*one) == token(*other)) == (one == other)
