"""What the server says of itself."""

import io
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.kernel.server import logs


def written(*messages: str, error: bool = False) -> str:
    handler = logs.Bounded()
    handler.setStream(io.StringIO())
    handler.setFormatter(logs.Plain("%(levelname)s %(message)s"))
    for message in messages:
        problem = None
        if error:
            try:
                raise ValueError(message)
            except ValueError:
                problem = sys.exc_info()
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "%s", (message,), problem))
    text: str = handler.stream.getvalue()
    return text


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_nobody_forges_an_entry(message: str) -> None:
    for error in (False, True):
        text = written(message, error=error)
        first, *more = text.split("\n")[:-1]
        assert first.startswith("INFO ")
        assert all(line.startswith("  ") for line in more)
        assert all(each.isprintable() for line in (first, *more) for each in line)


def test_a_line_is_no_longer_than_that() -> None:
    assert len(written("x" * 1_000_000)) < 3 * logs.LONGEST


def test_the_same_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("aeroctl.kernel.server.logs.time.monotonic", lambda: now)
    handler = logs.Bounded()
    handler.setStream(io.StringIO())
    handler.setFormatter(logs.Plain("%(message)s"))

    def say(message: str, kind: str = "%s") -> None:
        handler.emit(logging.LogRecord("x", logging.INFO, "", 0, kind, (message,), None))

    for _ in range(10_000):
        say("y" * 1000)
    assert len(handler.stream.getvalue()) < 2 * logs.BURST
    say("another kind", "%s!")
    assert "another kind!" in handler.stream.getvalue()
    now = 60.0
    say("later")
    assert "later (left out before: 99" in handler.stream.getvalue()
