"""Somebody writes Patroni's keys while a change is carried out: no final outcome is not so.

Chosen rounds; more of them, by chance: `make interference SEEDS=20`.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from tests.live.interference import Interference
from tests.live.operator import Operator

pytestmark = pytest.mark.live

Plan = list[tuple[str, str, float]]


@pytest.fixture(scope="module")
def interference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interference]:
    """On a cluster of its own: not every one survives that."""
    with Sandbox() as sandbox:
        yield Interference(sandbox, Operator(sandbox, tmp_path_factory.mktemp("home")))


@pytest.mark.parametrize(
    ("plan", "circumstances", "outcomes"),
    [
        # the request is taken away while the old primary steps down for it: Patroni says failed
        ([("failover delete", "stepping down", 0.0)], {}, {"executed", "executed_other"}),
        ([("failover delete", "stepping down", 0.8)], {}, {"executed", "executed_other"}),
        ([("failover clear", "arrived", 0.3)], {}, {"executed", "executed_other"}),
        # it is rejected, and then somebody meddles
        ([("failover delete", "cleared", 0.2)], {"lagging": True}, {"rejected"}),
        ([("failover other", "stepping down", 0.0)], {}, {"unknown"}),
        # the leader key, in another's name, and in the old one's
        ([("leader other", "arrived", 0.0)], {}, {"executed", "executed_other", "rolled_back"}),
        ([("leader again", "arrived", 0.1)], {}, {"executed", "executed_other", "rolled_back"}),
    ],
)
def test_no_final_outcome_is_not_so(
    interference: Interference, plan: Plan, circumstances: dict[str, Any], outcomes: set[str]
) -> None:
    fixed = {"lagging": False, "pausing": False, "frozen": 0.0, **circumstances}
    round_ = interference.run(1, command="request_promotion", plan=plan, **fixed)
    assert round_.problems() == [], round_
    outcome, final = round_.said[-1]
    assert outcome in {*outcomes, "unknown", "in_progress"}, round_
    assert not round_.broken
    if outcomes in ({"rejected"}, {"unknown"}):
        assert (outcome in outcomes, final) == (True, True), round_


def test_a_step_down_that_a_frozen_agent_has_begun(interference: Interference) -> None:
    """It goes on when it wakes up, and nothing final was said before."""
    round_ = interference.run(
        2,
        command="request_promotion",
        plan=[("failover delete", "stepping down", 0.0)],
        lagging=False,
        pausing=False,
        frozen=4.0,
    )
    assert round_.problems() == [], round_
    assert round_.stepped_down == 1, round_
