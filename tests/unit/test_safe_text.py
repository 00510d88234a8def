"""Untrusted text on its way to a terminal, and to JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.output.json_text import dumped
from aeroctl.safe_text import safe, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("2001:db8::1234:5678", "2001:db8::1234:5678", id="ipv6"),
        pytest.param("[/x]", "[/x]", id="markup"),
        pytest.param(":smile: [bold]", ":smile: [bold]", id="emoji-code"),
        pytest.param("größe 数据", "größe 数据", id="printable"),
        pytest.param("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07", id="osc"),
        pytest.param("\x9b31m", "\\x9b31m", id="c1"),
        pytest.param("a\rb\nc\td", "a\\rb\\nc\\td", id="line-ends"),
        pytest.param("\u202eexe.\u200b\u2028", "\\u202eexe.\\u200b\\u2028", id="bidi"),
        pytest.param("\x7f", "\\x7f", id="del"),
        pytest.param("\\x1b", "\\\\x1b", id="looks-escaped"),
    ],
)
def test_shown_harmlessly(text: str, shown: str) -> None:
    assert safe(text) == shown


@given(st.text(), st.text())
def test_no_two_texts_look_alike(one: str, other: str) -> None:
    assert safe(one).isprintable()
    assert (safe(one) == safe(other)) == (one == other)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_is_printable_ascii(text: str) -> None:
    document = dumped({"text": text}, None)
    assert document.isascii()
    assert document.isprintable()
    assert json.loads(document) == {"text": text}


def test_width_counts_columns() -> None:
    assert (width("abc"), width("数据"), width("e\u0301")) == (3, 4, 1)
