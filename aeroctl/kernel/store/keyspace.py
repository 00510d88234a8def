"""The consensus store's keys below one cluster's prefix: at one revision, and over time."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key. `created` and `modified` are revisions (etcd: create_revision, mod_revision).

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
    """Every key below `prefix`, named without it, as of one revision (etcd: revision)."""

    prefix: str
    revision: int
    keys: Mapping[str, KeyValue]


@dataclass(frozen=True, slots=True)
class MultiRead:
    """Several prefixes and single keys, all as of one revision. `keys` go by their whole names; one
    that is absent has no entry.
    """

    revision: int
    keyspaces: tuple[Keyspace, ...]
    keys: Mapping[str, KeyValue]


@dataclass(frozen=True, slots=True)
class Event:
    """One write of a key, named without its prefix.

    `value` is None when the key was deleted, or its lease ended; `created` and `lease` are then 0.
    """

    revision: int
    key: str
    value: str | None
    created: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """What happened below a prefix: from `base` on, `events` in order of revision lead to
    `keyspace`.

    `complete`: it reaches back to the revision that was asked for. Otherwise compaction removed a
    part, and `base` is the oldest state that is left.
    """

    keyspace: Keyspace
    events: tuple[Event, ...]
    complete: bool
    base: Keyspace
