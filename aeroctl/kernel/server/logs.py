"""What the server says of itself, on stderr: one entry a line, harmless, and bounded.

Parts of an entry may come from anybody: a path, an identity, the words of a node. No control
character gets through, so that nobody forges an entry or moves a terminal's cursor; what follows
the first line (a traceback) is indented. Whoever makes the same thing be said again and again fills
no disk: what was left out is counted.
"""

import logging
import time
from typing import Any

LONGEST = 2000
"""Characters of one line."""
LINES = 60
"""Of one entry: a traceback's last ones tell most."""
BURST, RATE = 100_000, 10_000
"""Bytes that entries of one kind may take at once, and a second."""
KINDS = 500
"""Kinds of entries that are told apart; then counting begins anew."""

CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"()": f"{__name__}.Plain", "fmt": "%(asctime)s %(levelname)s %(message)s"}
    },
    "handlers": {"stderr": {"class": f"{__name__}.Bounded", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"uvicorn": {"level": "INFO"}, "aerokernel": {"level": "INFO"}},
}


def harmless(line: str) -> str:
    """One line without control characters, and not too long. Pure."""
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line[:LONGEST])
    return shown if len(line) <= LONGEST else f"{shown} ... ({len(line)} characters)"


class Plain(logging.Formatter):
    """The message is one line, whatever it holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """The first line."""
        return harmless(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The entry: its first line, and indented what there is beside it."""
        first, *more = super().format(record).split("\n")
        return "\n".join([first, *(f"  {harmless(line)}" for line in more[-LINES:])])


class Bounded(logging.StreamHandler[Any]):
    """Writes to stderr, and of one kind of entry no more than the bounds above allow."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[object, tuple[float, float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, or count it."""
        now = time.monotonic()
        kind = (record.name, record.levelno, record.msg if isinstance(record.msg, str) else None)
        if len(self._kinds) >= KINDS and kind not in self._kinds:
            self._kinds.clear()
        left, since, missed = self._kinds.get(kind, (float(BURST), now, 0))
        left = min(float(BURST), left + (now - since) * RATE)
        if left <= 0:
            self._kinds[kind] = left, now, missed + 1
            return
        text = self.format(record)
        if missed:
            text += f" (left out before: {missed} entries of this kind)"
        self._kinds[kind] = left - len(text), now, 0
        try:
            self.stream.write(text + self.terminator)
            self.flush()
        except Exception:  # noqa: BLE001 - as the base class does it
            self.handleError(record)
