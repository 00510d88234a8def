"""A time in the kernel's history, as a request names it, and what it is asked for."""

from dataclasses import dataclass
from typing import Literal

Purpose = Literal["state", "edge"]
"""`state`: the one revision whose state stood at that time; refused where that is not known.
`edge`: the revisions between which that time lies."""


@dataclass(frozen=True, slots=True)
class Time:
    """An instant: RFC 3339 in UTC."""

    text: str


@dataclass(frozen=True, slots=True)
class Ago:
    """So many seconds before now, by the clock of the kernel that keeps the log."""

    seconds: int
