"""A point of the kernel's history, as an operator names it: a revision, a time, or how long ago."""

import re
from dataclasses import dataclass
from datetime import datetime

from aeroctl.contract.moments import Ago, Time
from aeroctl.contract.rfc3339 import shortest

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AtRevision:
    """A revision of the kernel's consensus store."""

    id: int


Moment = AtRevision | Time | Ago


def parse(text: str) -> Moment:
    """`812`, `2026-11-23T10:15:19Z`, or `90s`, `10m`, `1h30m`, `2d`. Raises ValueError with words.

    A time needs a zone: the same words must mean the same instant wherever they are typed.
    """
    if text.isascii() and text.isdecimal():
        if len(text) > 16 or not 0 < int(text) < 2**53:
            raise ValueError(f"revision numbers are 1 to 2^53 - 1, not {text[:32]}")
        return AtRevision(int(text))
    duration = _DURATION.fullmatch(text)
    if duration is not None and text:
        pairs = zip(duration.groups(), _UNITS.values(), strict=True)
        seconds = sum(int(count) * unit for count, unit in pairs if count)
        return Ago(min(seconds, 2**53 - 1))
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"expected a revision (812), a time (2026-11-23T10:15:19Z) or a duration (90s, 10m, "
            f"1h30m, 2d), not {text!r}"
        ) from None
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} lacks a time zone; for UTC, end it with Z")
    try:
        return Time(shortest(instant))
    except OverflowError:
        raise ValueError(f"{instant} is outside the years that UTC can write") from None
