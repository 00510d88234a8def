"""The consensus store's keys below one cluster's prefix, as one atomic view."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key. `created` and `modified` are commits (etcd: create_revision, mod_revision)."""

    value: str
    created: int
    modified: int


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Every key below `prefix`, named without it, as of one commit (etcd: revision)."""

    prefix: str
    commit_id: int
    keys: Mapping[str, KeyValue]
