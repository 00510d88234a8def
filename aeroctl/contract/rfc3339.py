"""Times as the contract writes them: RFC 3339, in UTC. Pure."""

from datetime import UTC, datetime


def render(time: datetime) -> str:
    """`2026-11-23T10:15:19.158000Z`. Raises OverflowError where UTC has no such year."""
    utc = time.astimezone(UTC)
    return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")


def shortest(time: datetime) -> str:
    """As `render`, without a fraction that is zero: `2026-11-23T10:15:19Z`."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
