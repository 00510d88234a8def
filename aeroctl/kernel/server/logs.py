"""The server's log on stderr: one entry a line, without control characters, and limited in size.

Parts of an entry may come from any client or node: a path, an identity, an error message. Control
characters are escaped, so that they can't forge an entry or move a terminal's cursor; the lines
after the first (a traceback) are indented. Repeated entries of one kind can't fill the disk: beyond
a rate they are left out, and counted.
"""

import logging
import time
from typing import Any

LONGEST = 2000
"""Characters of one line."""
LINES = 60
"""Lines of one entry; the last ones of a traceback are the most useful."""
BURST, RATE = 100_000, 10_000
"""Bytes that entries of one kind may take: in a burst, and per second."""
KINDS = 500
"""Kinds of entries that are counted separately; beyond it, all counts start again."""

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
    """A line with control characters escaped, cut to LONGEST characters. Pure."""
    escaped = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line[:LONGEST])
    return escaped if len(line) <= LONGEST else f"{escaped} ... ({len(line)} characters)"


class Plain(logging.Formatter):
    """Formats an entry as one line, and further lines indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        """The first line."""
        return harmless(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The entry: its first line, and its other lines indented."""
        first, *more = super().format(record).split("\n")
        return "\n".join([first, *(f"  {harmless(line)}" for line in more[-LINES:])])


class Bounded(logging.StreamHandler[Any]):
    """Writes to stderr, within the limits above for each kind of entry."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[object, tuple[float, float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write the entry, or count it as left out."""
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
