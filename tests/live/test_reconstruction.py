"""aeroctl alone tells what happened: nothing missing, nothing invented, in the right order.

More of it: `make reconstruct SEEDS=20`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.live.mishaps import LEAST
from tests.live.reconstruct import Story, story

pytestmark = pytest.mark.live

SEED = 1
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Story:
    home, lines = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("lines")
    return story(SEED, LEAST + 1, home, lines / "lines")


def test_all_of_it_and_nothing_else(told: Story) -> None:
    problems = told.problems()
    assert not problems, "\n".join([f"seed {SEED}", *problems])


@pytest.mark.parametrize("command", ["timeline", "audit"])
class TestWhatIsNotSoIsNoticed:
    """Or the test above would prove nothing."""

    def test_a_line_that_is_missing(self, told: Story, command: str) -> None:
        lines = getattr(told, command)
        for place in range(len(lines)):
            assert wrong(told, command, lines[:place] + lines[place + 1 :]), lines[place]

    def test_a_line_that_is_told_twice(self, told: Story, command: str) -> None:
        lines = getattr(told, command)
        for place in range(len(lines)):
            assert wrong(told, command, lines[: place + 1] + lines[place:]), lines[place]

    def test_two_lines_in_the_wrong_order(self, told: Story, command: str) -> None:
        lines = getattr(told, command)
        for place in range(len(lines) - 1):
            one, other = lines[place : place + 2]
            swapped = [*lines[:place], other, one, *lines[place + 2 :]]
            assert wrong(told, command, swapped), (one, other)

    def test_a_line_that_says_something_else(self, told: Story, command: str) -> None:
        lines = getattr(told, command)
        for place, key, value in one_lie_of_each_kind(lines):
            lie = {**lines[place], key: value}
            assert wrong(told, command, [*lines[:place], lie, *lines[place + 1 :]]), (key, lie)


def test_each_witness_is_heard(told: Story) -> None:
    """Whoever says something else than the others is believed no less."""
    evidence = told.evidence

    def otherwise(**changes: Any) -> list[str]:
        return replace(told, evidence=replace(evidence, **changes)).problems()

    for place in range(len(evidence.facts)):
        assert otherwise(facts=[*evidence.facts[:place], *evidence.facts[place + 1 :]])
    for place, account in enumerate(evidence.accounts):
        nodes = {name: (not writes, line) for name, (writes, line) in account.nodes.items()}
        other = replace(account, nodes=nodes)
        assert otherwise(accounts=[*evidence.accounts[:place], other]), account
    assert otherwise(takings=evidence.takings[:-1])
    for place, act in enumerate(evidence.acts):
        lies: list[dict[str, Any]] = [{"gone": None}] if act.gone else []
        if act.request_id:
            said = ("says", "identity", "node", "command", "request_id")
            lies += [{key: "n5"} for key in said]
        for lie in lies:
            acts = [*evidence.acts[:place], replace(act, **lie), *evidence.acts[place + 1 :]]
            assert otherwise(acts=acts), (act, lie)


def wrong(told: Story, command: str, lines: Lines) -> list[str]:
    if command == "audit":
        return replace(told, audit=lines).problems()
    return replace(told, timeline=lines).problems()


def one_lie_of_each_kind(lines: Lines) -> Iterator[tuple[int, str, Any]]:
    """For each kind of line and each thing that it says: a line, and what is not so."""
    told = set()
    for place, line in enumerate(lines):
        # What clock pins bound is as good as the clocks, and nobody else has seen it.
        dated = {"not_before", "not_after", *([] if line["time"] else ["clock"])}
        for key, value in line.items():
            if key not in dated and value is not None and (line["kind"], key) not in told:
                told.add((line["kind"], key))
                yield place, key, other_than(value)


def other_than(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict):
        return value | {"node": "n5"}
    if value in ("audit", "event"):
        return "event" if value == "audit" else "audit"
    return "2026-11-23T10:15:19Z" if value.endswith("Z") else f"not {value}"
