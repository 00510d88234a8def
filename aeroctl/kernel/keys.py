"""What Patroni wrote into the consensus store, parsed as Patroni itself parses it. Pure.

A value that doesn't have its documented shape is a Failure that names the key (P7-F1): Patroni
reads such a key as empty, which here would be a lie by omission.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    model_validator,
)

from aeroctl.kernel.failures import unreadable
from aeroctl.kernel.keyspace import Keyspace, KeyValue

MEMBERS = "members/"
GUARDS = ("config", "failover", "sync")
"""Beside the leader key, what decides who may take authority: a change of it undoes a decision."""

Position = Annotated[int, Field(ge=0, lt=2**64)]
"""A WAL position in bytes; Patroni writes integers where PostgreSQL writes `0/404C800`."""
Timeline = Annotated[int, Field(ge=0, lt=2**32)]


class Wire(BaseModel):
    """A JSON value of the store; keys that are not used here are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Member(Wire):
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


class Status(Wire):
    """`status`: what the leader last recorded of itself."""

    optime: Position | None = None
    retain_slots: list[str] = []


class Sync(Wire):
    """`sync`: present in synchronous mode only."""

    leader: str | None = None
    sync_standby: str | None = None
    quorum: Annotated[int, Field(ge=0, lt=2**53)] | None = None

    @property
    def standbys(self) -> list[str]:
        """Sorted; none where no leader is named, as Patroni reads it."""
        names = (self.sync_standby or "").split(",") if self.leader else []
        return sorted(name.strip() for name in names if name.strip())


class Failover(Wire):
    """`failover`: written by a request, cleared by writing `{}`."""

    leader: str | None = None
    member: str | None = None
    scheduled_at: AwareDatetime | None = None

    @property
    def pending(self) -> bool:
        """Patroni acts on a key that names somebody."""
        return bool(self.leader or self.member)


class TimelineEnd(Wire):
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


class Config(RootModel[dict[str, Any]]):
    """`config`: the dynamic configuration, whatever an operator wrote there."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The cluster's keys as of one commit; None where a key is absent.

    `commits`: the last commit of each of GUARDS, and of each member's entry, that is there.
    """

    scope: str
    commit_id: int
    system_id: str | None
    leader: KeyValue | None
    members: dict[str, Member]
    config: dict[str, Any] | None
    status: Status
    sync: Sync | None
    failover: Failover
    failover_commit: int
    history: list[TimelineEnd]
    commits: Mapping[str, int]

    def commit_of(self, key: str) -> int:
        """The last commit of one of GUARDS, or of a member's entry; 0: it is absent."""
        return self.commits.get(key, 0)


def parse(scope: str, keyspace: Keyspace) -> Kernel:
    """The kernel's state in `keyspace`. Raises Failure KERNEL_STATE_UNREADABLE naming the key."""
    keys = keyspace.keys
    config = _value(keyspace, "config", Config)
    history = _value(keyspace, "history", History)
    leader = keys.get("leader")
    if leader is not None and not leader.value:
        raise unreadable(f"{keyspace.prefix}leader", "it names nobody")
    return Kernel(
        scope=scope,
        commit_id=keyspace.commit_id,
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
        failover_commit=keys["failover"].modified if "failover" in keys else 0,
        history=history.root if history else [],
        commits={
            key: pair.modified for key, pair in keys.items() if key in GUARDS or _is_member(key)
        },
    )


def _is_member(key: str) -> bool:
    return key.startswith(MEMBERS) and key.count("/") == 1


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
