"""Sorting and filtering."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.views.select import UnknownField, select


@dataclass(frozen=True)
class Row:
    name: str
    lag_bytes: int | None
    writable: bool | None


@dataclass(frozen=True)
class Rows:
    rows: tuple[Row, ...]


ROWS = st.builds(
    Rows,
    st.lists(
        st.builds(Row, st.text(max_size=3), st.none() | st.integers(), st.none() | st.booleans())
    ).map(tuple),
)


@given(ROWS, st.sampled_from(["lag_bytes", "writable"]), st.booleans())
def test_sorting_keeps_every_row_and_puts_null_last(
    view: Rows, field: str, descending: bool
) -> None:
    chosen = select(view, "rows", [], f"-{field}" if descending else field).rows
    assert sorted(map(repr, chosen)) == sorted(map(repr, view.rows))
    values = [getattr(row, field) for row in chosen]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=descending)


@given(ROWS, st.integers())
def test_filters_keep_the_order_and_split_the_rows(view: Rows, bound: int) -> None:
    below = select(view, "rows", [f"lag_bytes<{bound}"], None).rows
    above = select(view, "rows", [f"lag_bytes>={bound}"], None).rows
    unknown = select(view, "rows", ["lag_bytes=null"], None).rows
    assert len(below) + len(above) + len(unknown) == len(view.rows)
    assert [row for row in view.rows if row in below] == list(below)


def test_what_is_a_number_is_ordered_as_one() -> None:
    """LSNs and 64-bit ids are strings in JSON, and numbers all the same."""
    lsns = Rows(tuple(Row(name, None, None) for name in ("0/10000000", "0/9000000", "0/A000000")))
    in_order = ["0/9000000", "0/A000000", "0/10000000"]
    assert [row.name for row in select(lsns, "rows", [], "name").rows] == in_order
    assert [row.name for row in select(lsns, "rows", ["name<0/A000001"], "name").rows] == in_order[
        :2
    ]
    xids = Rows(tuple(Row(name, None, None) for name in ("1000", "999", "9007199254740993")))
    assert [row.name for row in select(xids, "rows", [], "-name").rows] == [
        "9007199254740993", "1000", "999",
    ]  # fmt: skip
    assert len(select(xids, "rows", ["name>9007199254740992"], None).rows) == 1


def test_filters_combine() -> None:
    view = Rows((Row("a", 1, True), Row("b", 2, True), Row("c", None, None)))
    assert select(view, "rows", ["writable=true", "lag_bytes!=1"], None).rows == view.rows[1:2]
    assert select(view, "rows", ["writable=null"], None).rows == view.rows[2:]


@pytest.mark.parametrize(
    ("filters", "sort_by", "words"),
    [
        pytest.param(["nme=a"], None, "no field 'nme'; there are: name", id="unknown-field"),
        pytest.param(["name"], None, "is no filter", id="no-operator"),
        pytest.param(["name<a"], None, "can't order", id="no-number"),
        pytest.param(["lag_bytes<nan"], None, "can't order", id="nan"),
        pytest.param(["name<5"], None, "can't order 'a'", id="text"),
        pytest.param([], "nme", "no field 'nme'", id="unknown-sort"),
    ],
)
def test_what_can_not_be_applied_is_said(
    filters: list[str], sort_by: str | None, words: str
) -> None:
    with pytest.raises(UnknownField, match=words):
        select(Rows((Row("a", 1, True),)), "rows", filters, sort_by)
