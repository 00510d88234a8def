"""What the evidence for an outcome looks like: by what it means for the outcome."""

from typing import Any, get_args

import pytest

from aeroctl.contract.requests import RequestStatus
from aeroctl.contract.rules import Fact, Rule
from aeroctl.contract.terms import Evaluation, RequestOutcome
from aeroctl.views.blocks import Facts, Flagged, Grid
from aeroctl.views.outcome import layout
from tests.support.answering import answer, answering
from tests.support.harness import run
from tests.support.samples import status

ID = "6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b"
RULES = (
    "recorded", "arrived", "withdrawn_under_same_leader", "leader_stayed_primary", "agent_moved_on",
    "leader_passed", "new_leader_is_primary", "history_complete", "of_a_newer_kernel",
)  # fmt: skip
PROMOTED: dict[str, Evaluation] = {
    "recorded": "holds",
    "arrived": "holds",
    "withdrawn_under_same_leader": "does_not_hold",
    "leader_stayed_primary": "does_not_hold",
    "leader_passed": "holds",
    "new_leader_is_primary": "holds",
    "history_complete": "holds",
}
RED = "\x1b[1;31m"


def rule(rule_id: str, evaluation: Evaluation) -> Rule:
    return Rule(
        rule_id=rule_id,
        description=f"words of {rule_id}",
        evaluation=evaluation,
        enforced_by="patroni",
        invariants=[],
        evidence=[Fact(name="revision", value=7)],
    )


def told(outcome: RequestOutcome, *rules: Rule, final: bool = True) -> RequestStatus:
    shown: dict[str, Any] = {"evidence": [each.model_dump() for each in rules], "final": final}
    import json

    return RequestStatus(**json.loads(status(ID, outcome, **shown))["data"])


def flagged(view: RequestStatus) -> set[str]:
    """What stands out, by the first cell of its row."""
    return {
        str(row[0])
        for block in layout(view)
        if isinstance(block, Facts | Grid)
        for row in block.rows
        if any(isinstance(cell, Flagged) for cell in row)
    }


@pytest.mark.parametrize("evaluation", get_args(Evaluation))
@pytest.mark.parametrize("rule_id", RULES)
def test_nothing_stands_out_in_what_was_executed(rule_id: str, evaluation: Evaluation) -> None:
    assert flagged(told("executed", rule(rule_id, evaluation))) == set()


REASONS: dict[RequestOutcome, tuple[dict[str, Evaluation], set[str]]] = {
    "executed": ({}, set()),
    "executed_other": ({"leader_passed": "does_not_hold"}, {"leader_passed"}),
    "rolled_back": (
        {"leader_passed": "does_not_hold"}, {"leader_passed", "leader_stayed_primary"},
    ),
    "rejected": (
        {"withdrawn_under_same_leader": "holds", "leader_stayed_primary": "holds",
         "leader_passed": "does_not_hold", "new_leader_is_primary": "undetermined"},
        {"withdrawn_under_same_leader", "leader_passed"},
    ),
    "not_executed": (
        {"arrived": "does_not_hold", "withdrawn_under_same_leader": "undetermined"},
        {"arrived", "withdrawn_under_same_leader"},
    ),
    "in_progress": (
        {"leader_passed": "undetermined", "new_leader_is_primary": "undetermined"},
        {"leader_passed", "new_leader_is_primary", "final"},
    ),
    "unknown": (
        {"history_complete": "does_not_hold"}, {"history_complete", "leader_stayed_primary"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("outcome", get_args(RequestOutcome))
def test_what_stands_out_is_why_it_is_not_as_was_asked(outcome: RequestOutcome) -> None:
    changes, expected = REASONS[outcome]
    rules = [rule(*each) for each in (PROMOTED | changes).items()]
    found = flagged(told(outcome, *rules, final=outcome != "in_progress"))
    assert found == (expected | {"outcome"} if outcome != "executed" else set())


def test_every_evaluation_has_words_of_its_own() -> None:
    for rule_id in RULES:
        said = set()
        for evaluation in get_args(Evaluation):
            (_, grid) = layout(told("unknown", rule(rule_id, evaluation)))
            assert isinstance(grid, Grid)
            said.add(grid.rows[0][grid.columns.split().index("MEANS")])
        assert len(said) == 3
        if rule_id == "of_a_newer_kernel":
            words = f"words of {rule_id}"
            assert said == {words, f"failing: {words}", f"unknown: {words}"}


@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
def test_a_promotion_that_succeeded_has_nothing_red_on_a_terminal() -> None:
    rules = [rule(*each).model_dump() for each in PROMOTED.items()]
    for outcome, red in {"executed": False, "rejected": True}.items():
        with answering(answer(status(ID, outcome, evidence=rules))) as kernel:
            shown = run("outcome", ID, "--kernel", kernel.url, terminal=True)
        assert (RED in shown.out) == red, shown.out
        assert "That leader stopped being primary." in shown.out
