"""What events report of Patroni's keys, key by key. Pure.

A value that can't be parsed is unknown here, with the reason beside it: one such value in history
must not hide all the others.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from aeroctl.contract.events import NodeStanding, Standing
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import keys, sections
from aeroctl.kernel.patroni.keys import MEMBERS, Member, TimelineEnd, leader_of
from aeroctl.kernel.patroni.settings import flag
from aeroctl.kernel.store.keyspace import Keyspace, KeyValue

UNREADABLE = "(unreadable)"

Pair = KeyValue | None
Value = TypeVar("Value", bound=BaseModel)


def standing(keyspace: Keyspace) -> Standing:
    """The cluster in the state `keyspace`, as events report it; what can't be parsed is unknown."""
    at = keyspace.keys.get
    names = sorted(key for key in keyspace.keys if is_member(key))
    return Standing(
        revision=keyspace.revision,
        leader=leader_of(at("leader")),
        nodes=[entry for key in names if (entry := node(key, keyspace.keys[key])[0])],
        paused=flag(settings(at("config"))[0].get("pause")),
        pending=pending(at("failover"))[0],
        synchronous=synchronous(at("sync"))[0],
        system_id=system_id(at("initialize")),
    )


def node(key: str, pair: Pair) -> tuple[NodeStanding | None, str | None]:
    """A node's own entry, None if it has none; and why the entry can't be parsed."""
    if pair is None:
        return None, None
    member, problem = _read(key, pair, Member)
    member = member or Member()
    return NodeStanding(
        name=key.removeprefix(MEMBERS),
        role=member.role,
        state=member.state,
        replication_state=member.replication_state,
        timeline=member.timeline,
    ), problem


def pending(pair: Pair) -> tuple[str | None, str | None, str | None]:
    """The requested switchover or failover in words, its candidate, and why it can't be parsed.

    One that can't be parsed is still reported, although Patroni ignores it (P7-F1).
    """
    failover, problem = _read("failover", pair, keys.Failover)
    if problem:
        return UNREADABLE, None, problem
    if failover is None or not failover.pending:
        return None, None, None
    text = f"{failover.leader or 'any'} to {failover.member or 'any'}"
    if failover.scheduled_at is not None:
        text += f" at {sections.utc(failover.scheduled_at)}"
    return text, failover.member or None, None


def synchronous(pair: Pair) -> tuple[str | None, str | None]:
    """The synchronous set in words, and why it can't be parsed."""
    sync, problem = _read("sync", pair, keys.Sync)
    if problem:
        return UNREADABLE, problem
    if sync is None or not sync.leader:
        return None, None
    quorum = f" (quorum {sync.quorum})" if sync.quorum else ""
    return f"{sync.leader}: {','.join(sync.standbys)}{quorum}", None


def system_id(pair: Pair) -> str | None:
    """PostgreSQL's system identifier; None until the cluster is initialised."""
    return pair.value or None if pair else None


def settings(pair: Pair) -> tuple[dict[str, Any], str | None]:
    """The configuration as one level of dotted names, and why it can't be parsed.

    Patroni reads null as not set.
    """
    config, problem = _read("config", pair, keys.Config)
    return dict(_flat(config.root)) if config else {}, problem


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield above + name, value


def ends(pair: Pair) -> tuple[list[TimelineEnd], str | None]:
    """The rows of Patroni's history, and why they can't be parsed."""
    history, problem = _read("history", pair, keys.History)
    return history.root if history else [], problem


def is_member(key: str) -> bool:
    """Whether it is a node's own entry."""
    return key.startswith(MEMBERS) and key.count("/") == 1


def _read(key: str, pair: Pair, model: type[Value]) -> tuple[Value | None, str | None]:
    """The value of a key, or the reason why it can't be parsed."""
    try:
        return (None if pair is None else keys.value(key, pair.value, model)), None
    except Failure as failure:
        return None, failure.error.message
