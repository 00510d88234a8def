"""Whether the new holder writes is weighed the same way by whoever asks."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract.rules import Rule
from aeroctl.contract.terms import Evaluation, RequestOutcome
from aeroctl.kernel.prove.writable import weighed

OUTCOMES: tuple[RequestOutcome, ...] = get_args(RequestOutcome)


def shown(evaluation: Evaluation) -> Rule:
    return Rule(
        rule_id="writable",
        description="",
        evaluation=evaluation,
        enforced_by="none",
        invariants=[],
        evidence=[],
    )


@pytest.mark.parametrize("outcome", ["executed", "executed_other"])
def test_it_is_not_over_while_the_new_holder_refuses_writes(outcome: RequestOutcome) -> None:
    assert weighed(outcome, True, shown("does_not_hold")) == ("in_progress", False)


@given(st.sampled_from(OUTCOMES), st.booleans(), st.sampled_from(["holds", "undetermined"]))
def test_nothing_else_changes_what_is_proved(
    outcome: RequestOutcome, final: bool, evaluation: Evaluation
) -> None:
    assert weighed(outcome, final, shown(evaluation)) == (outcome, final)


@given(st.sampled_from(OUTCOMES[2:]), st.booleans())
def test_nor_of_anything_but_an_execution(outcome: RequestOutcome, final: bool) -> None:
    assert weighed(outcome, final, shown("does_not_hold")) == (outcome, final)
