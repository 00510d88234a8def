"""The consensus store's keys below one cluster's prefix: at one commit, and over time."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key. `created` and `modified` are commits (etcd: create_revision, mod_revision).

    `lease`: the key goes when that ends; 0: it is on none. `version`: how often it was written
    since it was created.
    """

    value: str
    created: int
    modified: int
    lease: int = 0
    version: int = field(default=1, compare=False)


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Every key below `prefix`, named without it, as of one commit (etcd: revision)."""

    prefix: str
    commit_id: int
    keys: Mapping[str, KeyValue]


@dataclass(frozen=True, slots=True)
class Together:
    """Several prefixes and single keys, all as of one commit. `keys` go by their whole names; one
    that is absent has no entry.
    """

    commit_id: int
    keyspaces: tuple[Keyspace, ...]
    keys: Mapping[str, KeyValue]


@dataclass(frozen=True, slots=True)
class Event:
    """One write of a key, named without its prefix.

    `value` is None when the key was deleted, or its lease ended; `created` and `lease` are then 0.
    """

    commit_id: int
    key: str
    value: str | None
    created: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """What happened below a prefix: from `base` on, `events` in order of commit lead to `keyspace`.

    `complete`: it reaches back to the commit that was asked for. Otherwise compaction removed a
    part, and `base` is the oldest state that is left.
    """

    keyspace: Keyspace
    events: tuple[Event, ...]
    complete: bool
    base: Keyspace
