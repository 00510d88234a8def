"""Settings of Patroni's configuration as facts of events, without secrets."""

import json
import re
from typing import Any

from aeroctl.contract.events import Fact

HIDDEN = "(not shown)"
SECRET = re.compile(r"pass|secret|token|auth|credential|key", re.IGNORECASE)
WORD_SETTINGS = frozenset(
    {"synchronous_mode", "member_slots_ttl"}
    | {
        f"postgresql.parameters.{name}"
        for name in (
            "archive_mode",
            "fsync",
            "hot_standby",
            "synchronous_commit",
            "track_commit_timestamp",
            "wal_keep_size",
            "wal_level",
            "wal_log_hints",
        )
    }
)
"""Settings whose values are words and not secret; the word of any other setting may be secret."""


def setting_fact(name: str, value: Any) -> Fact:
    """A setting's value, or HIDDEN where it may be secret: any word can be a password."""
    if value is None:
        return None
    if SECRET.search(name) or not (isinstance(value, int | float) or name in WORD_SETTINGS):
        return HIDDEN
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    return value if isinstance(value, str) else json.dumps(value)
