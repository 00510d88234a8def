"""WAL positions as numbers (PostgreSQL: pg_lsn), so that they can be compared and subtracted."""


def parse(lsn: str) -> int:
    """The byte position of an LSN such as `0/404C800`. ValueError if it is not one."""
    high, separator, low = lsn.partition("/")
    if not separator:
        raise ValueError(f"not an LSN: {lsn!r}")
    return (int(high, 16) << 32) | int(low, 16)


def render(position: int) -> str:
    """The LSN of a byte position, as PostgreSQL prints it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def distance(ahead: str | None, behind: str | None) -> int | None:
    """Bytes of WAL from `behind` to `ahead`, not below 0; None where one is not known.

    Two positions of one snapshot may have been written a moment apart, so the one that should be
    behind can be ahead by what was written in between: that is no lag.
    """
    if ahead is None or behind is None:
        return None
    return max(0, parse(ahead) - parse(behind))
