"""Views over arbitrary snapshots that the contract allows."""

import json
import random
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from aeroctl.commands.reading import view_named
from aeroctl.contract.envelope import Snapshot, SnapshotEnvelope
from aeroctl.contract.lsn import distance, parse, render
from aeroctl.output.output import Output
from aeroctl.views import view as views
from aeroctl.views.node import view_of
from aeroctl.views.nodes import node_rows
from aeroctl.views.pictures.topology import branches
from aeroctl.views.schemas import schema_of
from aeroctl.views.view import UnknownNode, View
from tests.support.arbitrary import ENVELOPES, SNAPSHOTS
from tests.support.examples import examples
from tests.support.harness import Stream

NAMES = ("cluster", "nodes", "replication", "promotion", "wal", "mvcc", "snapshots", "health")
VALIDATORS = {name: jsonschema.Draft202012Validator(schema_of(name)) for name in (*NAMES, "node")}

thorough = examples(
    25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def shown(envelope: SnapshotEnvelope, view: View[Any], form: Any, terminal: bool = False) -> str:
    """What the view prints."""
    stream = Stream(terminal)
    data = view.derive(envelope.data)
    Output(stream, form, terminal, color=False).show(envelope, data, view.layout(data))
    return stream.text()


@thorough
@given(envelope=ENVELOPES)
def test_every_snapshot_has_views_that_keep_their_schemas(envelope: SnapshotEnvelope) -> None:
    for name in NAMES:
        text = shown(envelope, view_named(name), "json")
        assert text.replace("\n", "").isprintable()
        assert text.isascii()
        VALIDATORS[name].validate(json.loads(text))
        (line,) = shown(envelope, view_named(name), "jsonl").splitlines()
        assert json.loads(line) == json.loads(text)


@thorough
@given(envelope=ENVELOPES, terminal=st.booleans())
def test_no_text_of_the_kernel_reaches_the_terminal_raw(
    envelope: SnapshotEnvelope, terminal: bool
) -> None:
    for name in NAMES:
        text = shown(envelope, view_named(name), "table", terminal)
        assert text.replace("\n", "").isprintable()


@thorough
@given(envelope=ENVELOPES, seed=st.randoms(use_true_random=False))
def test_the_order_in_which_the_kernel_lists_things_changes_nothing(
    envelope: SnapshotEnvelope, seed: random.Random
) -> None:
    lists = {
        key: seed.sample(value, len(value))
        for key, value in dict(envelope.data).items()
        if isinstance(value, list)
    }
    shuffled = envelope.model_copy(update={"data": envelope.data.model_copy(update=lists)})
    for name in NAMES:
        view = view_named(name)
        assert shown(shuffled, view, "json") == shown(envelope, view, "json")


@thorough
@given(envelope=ENVELOPES)
def test_a_node_is_shown_if_and_only_if_the_snapshot_has_it(envelope: SnapshotEnvelope) -> None:
    nodes = envelope.data.nodes or []
    for node in nodes:
        document = json.loads(shown(envelope, view_of(node.name), "json"))
        assert document["data"]["node"]["name"] == node.name
        VALIDATORS["node"].validate(document)
        assert shown(envelope, view_of(node.name), "table", terminal=True)
    with pytest.raises(UnknownNode):
        view_of("nowhere").derive(envelope.data)


@thorough
@given(snapshot=SNAPSHOTS)
def test_node_rows_say_what_the_kernel_says(snapshot: Snapshot) -> None:
    assert snapshot.cluster is not None
    rows = node_rows(snapshot)
    assert [row.name for row in rows] == sorted(node.name for node in snapshot.nodes or [])
    measured = {each.node: each.value for each in snapshot.replication or []}
    for row in rows:
        value = measured.get(row.name)
        writable = value.writable if value else None
        if value is not None and value.writable is None and value.in_recovery:
            writable = False  # in recovery PostgreSQL accepts no writes
        assert row.writable == writable
        # P6-A1: whoever writes holds the leader key, whoever holds the leader key writes.
        if row.writable is None:
            assert row.leader_disagreement is None
        elif not snapshot.cluster.standby_cluster:
            assert row.leader_disagreement == (row.is_leader != row.writable)
        assert row.lag_bytes is None or row.lag_bytes >= 0
        assert not (row.is_leader and row.lag_bytes is not None)


@thorough
@given(snapshot=SNAPSHOTS)
def test_the_tree_has_every_node_once_and_each_below_its_upstream(snapshot: Snapshot) -> None:
    rows = node_rows(snapshot)
    tree = branches(rows, lambda row: (row.name,))
    drawn = [branch.cells[0] for branch in tree]
    assert sorted(map(str, drawn)) == [row.name for row in rows]
    upstream = {row.name: row.upstream for row in rows}
    path: list[str] = []
    for branch in tree:
        path = [*path[: len(branch.last)], str(branch.cells[0])]
        if len(path) > 1:
            assert upstream[path[-1]] == path[-2]


def test_a_chain_longer_than_the_stack_is_drawn() -> None:
    class Row:
        def __init__(self, number: int) -> None:
            self.name = f"n{number:05}"
            self.upstream = f"n{number - 1:05}" if number else None

    tree = branches([Row(number) for number in range(5000)], lambda row: (row.name,))  # type: ignore[misc]
    assert [len(branch.last) for branch in tree] == list(range(5000))


@thorough
@given(snapshot=SNAPSHOTS)
def test_health_decides_only_what_the_snapshot_proves(snapshot: Snapshot) -> None:
    view = view_named("health").derive(snapshot)
    rules = {rule.rule_id: rule.evaluation for rule in view.rules}
    rows = node_rows(snapshot)
    assert snapshot.cluster is not None
    assert (rules["one_leader"] == "holds") == (snapshot.cluster.leader is not None)
    if not snapshot.cluster.standby_cluster:
        strangers = [row for row in rows if row.writable and not row.is_leader]
        assert (rules["single_writer"] == "does_not_hold") == bool(strangers)
    # A retired node need prove nothing: an operator vouches that it is gone for good.
    if any(row.writable is None and not row.is_leader and not row.retired for row in rows):
        assert rules["single_writer"] != "holds"
    assert view.all_hold == (set(rules.values()) == {"holds"})


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_positions(one: int, other: int) -> None:
    assert parse(render(one)) == one
    assert distance(render(one), render(other)) == max(0, one - other)
    assert distance(None, render(one)) is None
    with pytest.raises(ValueError, match="not an LSN"):
        parse("12")


@dataclass(frozen=True, slots=True)
class Held:
    """A row of a view."""

    node: str
    kind: str
    since: int | None
    unavailable: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """What the contract calls the same now: `since` has another name there."""

    kind: str
    since_revision: int | None


def test_a_field_that_the_contract_renamed_is_no_null() -> None:
    with pytest.raises(AttributeError, match="since"):
        views.row(Held, "n1", Told("backend", 7), unavailable=None)
    assert views.row(Held, "n1", None, unavailable="why") == Held("n1", None, None, "why")  # type: ignore[arg-type]
