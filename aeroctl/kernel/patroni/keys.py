"""What Patroni wrote into the consensus store, parsed as Patroni itself parses it. Pure.

A value that doesn't have its documented shape is a Failure that names the key (P7-F1): Patroni
reads such a key as empty, which here would be a lie by omission.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from aeroctl.contract.cluster import Leader
from aeroctl.kernel.failures import Failure, unreadable
from aeroctl.kernel.store.keyspace import Keyspace, KeyValue

MEMBERS = "members/"
DECISIVE_KEYS = ("config", "failover", "sync")
"""Beside the leader key, what decides who may take the leader key: a change of it undoes a
decision.
"""

Position = Annotated[int, Field(ge=0, lt=2**64)]
"""A WAL position in bytes; Patroni writes integers where PostgreSQL writes `0/404C800`."""
Timeline = Annotated[int, Field(ge=0, lt=2**32)]


class StoredValue(BaseModel):
    """A JSON value of the store; keys that are not used here are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Member(StoredValue):
    """`members/<name>`: a node as it last described itself (patroni ha.py, touch_member)."""

    conn_url: str | None = None
    api_url: str | None = None
    state: str | None = None
    role: str | None = None
    version: str | None = None
    timeline: Timeline | None = None
    xlog_location: Position | None = None
    receive_lsn: Position | None = None
    replay_lsn: Position | None = None
    replication_state: str | None = None
    tags: dict[str, Any] = {}
    pending_restart: bool = False
    pause: bool = False


class Status(StoredValue):
    """`status`: what the leader last recorded of itself.

    `slots` has the permanent slots of the configuration, and in some versions those of members;
    `retain_slots` those of members that are gone (Patroni 4.1; with member_slots_ttl 0 none).
    """

    optime: Position | None = None
    slots: dict[str, Any] = {}
    retain_slots: list[str] = []

    @field_validator("slots", "retain_slots", mode="before")
    @classmethod
    def _absent(cls, value: object, info: ValidationInfo) -> object:
        return ([] if info.field_name == "retain_slots" else {}) if value is None else value


class Sync(StoredValue):
    """`sync`: present in synchronous mode only."""

    leader: str | None = None
    sync_standby: str | None = None
    quorum: Annotated[int, Field(ge=0, lt=2**53)] | None = None

    @property
    def standbys(self) -> list[str]:
        """Sorted; none where no leader is named, as Patroni reads it."""
        names = (self.sync_standby or "").split(",") if self.leader else []
        return sorted(name.strip() for name in names if name.strip())


class Failover(StoredValue):
    """`failover`: written by a request, cleared by writing `{}`."""

    leader: str | None = None
    member: str | None = None
    scheduled_at: AwareDatetime | None = None

    @property
    def pending(self) -> bool:
        """Patroni acts on a key that names somebody."""
        return bool(self.leader or self.member)


class TimelineEnd(StoredValue):
    """A row of `history`: a list of three to five values."""

    timeline: Timeline
    position: Position
    reason: str
    time: AwareDatetime | None = None
    new_leader: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, row: object) -> object:
        return dict(zip(cls.model_fields, row, strict=False)) if isinstance(row, list) else row


class History(RootModel[list[TimelineEnd]]):
    """`history`: in the order in which the timelines ended."""


class Failsafe(RootModel[dict[str, Any]]):
    """`failsafe`: the members that must answer a leader that can't reach the store, by name."""


class Config(RootModel[dict[str, Any]]):
    """`config`: the dynamic configuration, whatever an operator wrote there."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the operator of this kernel says of the cluster's members, beside what the store says.

    `count` where no names are given. `retired`: gone for good, for which the operator vouches.
    """

    names: tuple[str, ...] = ()
    count: int | None = None
    retired: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Departed:
    """The last entry that is known of a node that has none now, and a revision at which it was."""

    member: Member
    revision: int


@dataclass(frozen=True, slots=True)
class ClusterKeys:
    """The cluster's keys as of one revision; None where a key is absent.

    `revisions`: the last revision of each of DECISIVE_KEYS, and of each member's entry, that is
    there.
    `since`: the revision at which the name in the leader key took it; Patroni before 4 writes
    another name over it in place, which creates no key. `entries`: when each key below `members/`
    was created. `failsafe`: names.

    Not in the keys of that revision: `expected`, of this kernel's configuration, and `departed`, of
    the store's history.
    """

    scope: str
    revision: int
    system_id: str | None
    leader: KeyValue | None
    members: dict[str, Member]
    config: dict[str, Any] | None
    status: Status
    sync: Sync | None
    failover: Failover
    failover_revision: int
    history: list[TimelineEnd]
    revisions: Mapping[str, int]
    since: int = 0
    entries: Mapping[str, int] = field(default_factory=dict, compare=False)
    failsafe: tuple[str, ...] = ()
    expected: Expected = Expected()
    departed: Mapping[str, Departed] = field(default_factory=dict)

    def revision_of(self, key: str) -> int:
        """The last revision of one of DECISIVE_KEYS, or of a member's entry; 0: it is absent."""
        return self.revisions.get(key, 0)


def parse(scope: str, keyspace: Keyspace) -> ClusterKeys:
    """The kernel's state in `keyspace`. Raises Failure KERNEL_STATE_UNREADABLE naming the key."""
    keys = keyspace.keys
    config = _value(keyspace, "config", Config)
    history = _value(keyspace, "history", History)
    leader = keys.get("leader")
    if leader is not None and not leader.value:
        raise unreadable(f"{keyspace.prefix}leader", "it names no node")
    if groups := _citus_groups(keyspace):
        raise _citus(keyspace.prefix, groups)
    failsafe = _value(keyspace, "failsafe", Failsafe)
    return ClusterKeys(
        scope=scope,
        revision=keyspace.revision,
        system_id=keys["initialize"].value or None if "initialize" in keys else None,
        leader=leader,
        members={
            key.removeprefix(MEMBERS): member
            for key in sorted(keys)
            if _is_member(key) and (member := _value(keyspace, key, Member))
        },
        config=config.root if config else None,
        status=_value(keyspace, "status", Status) or Status(),
        sync=_value(keyspace, "sync", Sync),
        failover=_value(keyspace, "failover", Failover) or Failover(),
        failover_revision=keys["failover"].modified if "failover" in keys else 0,
        history=history.root if history else [],
        revisions={
            key: pair.modified
            for key, pair in keys.items()
            if key in DECISIVE_KEYS or _is_member(key)
        },
        since=0 if leader is None else _taken_at(leader),
        entries={key: pair.created for key, pair in keys.items() if key.startswith(MEMBERS)},
        failsafe=tuple(sorted(failsafe.root)) if failsafe else (),
    )


def leader_of(key: KeyValue | None) -> Leader | None:
    """Who holds the leader key, and since which revision, by the key alone (P6-A1)."""
    return None if key is None else Leader(node=key.value, since=_taken_at(key))


def _taken_at(leader: KeyValue) -> int:
    """The revision at which the name took the leader key. Where the key was written again in place,
    it is that of the last write, which is the latest that it can be.
    """
    return leader.created if leader.version == 1 else leader.modified


def _is_member(key: str) -> bool:
    return key.startswith(MEMBERS) and key.count("/") == 1


def _citus_groups(keyspace: Keyspace) -> list[int]:
    """The groups of a Citus cluster, where nothing else uses the prefix: Patroni keeps each group's
    keys one level deeper, below its number.
    """
    if any(key == "leader" or key.startswith(MEMBERS) for key in keyspace.keys):
        return []
    found = (
        re.match(r"([0-9]{1,9})/(?:members/|leader$|initialize$)", key) for key in keyspace.keys
    )
    return sorted({int(match[1]) for match in found if match})


def _citus(prefix: str, groups: list[int]) -> Failure:
    numbers = ", ".join(map(str, groups))
    message = (
        f"{prefix} holds a Citus cluster: Patroni keeps its groups ({numbers}) below it, each a"
        " PostgreSQL cluster with a leader of its own. This version reads single clusters only"
    )
    return Failure("CLUSTER_IS_CITUS", message)


Value = TypeVar("Value", bound=BaseModel)


def _value(keyspace: Keyspace, key: str, model: type[Value]) -> Value | None:
    found = keyspace.keys.get(key)
    return None if found is None else value(keyspace.prefix + key, found.value, model)


def value(key: str, text: str, model: type[Value]) -> Value:
    """What a key holds. Raises Failure KERNEL_STATE_UNREADABLE naming it."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        # where and what, never the input: a connection URL may hold a password
        problems = [
            f"{'.'.join(map(str, problem['loc'])) or 'value'}: {problem['msg']}"
            for problem in error.errors(
                include_url=False, include_context=False, include_input=False
            )
        ]
        raise unreadable(key, "; ".join(problems)) from None
