"""What is asked of etcd, and the JSON in which its gateway takes it. Pure."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Query = Mapping[str, object]
"""A range request of etcd, as JSON."""


def base64_text(value: str) -> str:
    """As etcd's gateway takes keys and values."""
    return base64.b64encode(value.encode()).decode()


def key_query(key: str) -> dict[str, object]:
    """The range of one key."""
    return {"key": base64_text(key)}


def prefix_query(prefix: str) -> dict[str, object]:
    """The range of all keys below `prefix`."""
    start = prefix.encode()
    end = start[:-1] + bytes([start[-1] + 1])
    return {"key": base64_text(prefix), "range_end": base64.b64encode(end).decode()}


def at_revision(revision: int | None) -> dict[str, object]:
    """What dates a range; None: now."""
    return {} if revision is None else {"revision": str(revision)}


@dataclass(frozen=True, slots=True)
class Compare:
    """What must hold for a transaction to write: the revision at which a key was created or last
    modified. 0: the key is absent.
    """

    key: str
    field: Literal["created", "modified"]
    equals: int


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key, on a lease if one is given."""

    key: str
    value: str
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key."""

    key: str


def transaction(compares: Sequence[Compare], changes: Sequence[Put | Delete]) -> dict[str, Any]:
    """The body of a transaction that writes all `changes` if all `compares` hold."""
    return {
        "compare": [_comparison(compare) for compare in compares],
        "success": [_change(change) for change in changes],
    }


def _comparison(compare: Compare) -> dict[str, str]:
    target, field = {
        "created": ("CREATE", "create_revision"),
        "modified": ("MOD", "mod_revision"),
    }[compare.field]
    return {
        "key": base64_text(compare.key),
        "target": target,
        "result": "EQUAL",
        field: str(compare.equals),
    }


def _change(change: Put | Delete) -> dict[str, dict[str, str]]:
    if isinstance(change, Delete):
        return {"request_delete_range": {"key": base64_text(change.key)}}
    put = {"key": base64_text(change.key), "value": base64_text(change.value)}
    return {"request_put": put | ({"lease": str(change.lease)} if change.lease else {})}


def watch_query(prefix: str, start: int) -> dict[str, object]:
    """All that is written below `prefix` from revision `start` on."""
    return {"create_request": prefix_query(prefix) | {"start_revision": str(start)}}
