"""Who the agent is that would be asked for a change, by its own account of itself. Pure.

A node's entry in the store names an address, and whoever copies a configuration copies it too. What
answers there is asked for a change only if it says that it is that node's, of this cluster: its
name, its scope, and the system identifier of its database (Patroni: GET /patroni). A cluster that
was made from a copy of the data may have all three in common with this one; but its store is
another one, and has its members at other addresses (GET /cluster).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from aeroctl.contract.errors import EngineReply

OK = 200
DENIED = (401, 403)
"""Patroni says what it misses. Nobody else's words are shown: it may be anything that answers."""
NAMED_SINCE = (3, 2)
"""From that version on Patroni tells its name. A nameless one of before is proved by the rest to be
of this cluster, where any member hands the request to the holder it names."""
WORDS = 200
"""Characters of what it said that are shown."""

Answer = TypeVar("Answer", bound=BaseModel)
Raw = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Account:
    """What the agent of `node` answered at `base`: of itself (`reply`), and of the `members` that
    its store names. `asked_at`: at what uptime (timing.py) it was asked.
    """

    node: str
    base: str
    reply: EngineReply
    members: EngineReply
    asked_at: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who it must be; the system id is None where the store has none. `members`: what the store
    names, each with the address of its agent.
    """

    node: str
    scope: str
    system_id: str | None
    members: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who it is: `proved` True, somebody else: False, not known: None, for `problem`.

    `same_members`: whether its store names the same ones; None where that was not looked at.
    """

    proved: bool | None
    problem: str | None
    name: str | None = None
    scope: str | None = None
    system_id: str | None = None
    version: str | None = None
    same_members: bool | None = None


class _Software(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    name: str | None = None
    scope: str | None = None
    version: str | None = None


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    database_system_identifier: str | None = None
    patroni: _Software


class _Member(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    name: str
    api_url: str | None = None


class _Cluster(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    members: list[_Member]


def identity(wanted: Wanted, reply: EngineReply, members: EngineReply) -> Identity:
    """Whether who answered so is who is wanted. What is not said proves nothing (P7-F1)."""
    told = _parsed(reply, "/patroni", _Told)
    if isinstance(told, str):
        return Identity(None, told)
    said = told.patroni
    found = (said.name, said.scope, told.database_system_identifier)
    proved, problem = _compared(wanted, found, _tells_its_name(said.version))
    if not proved:
        return Identity(proved, problem, *found, said.version)
    same, problem = _same_members(wanted, members)
    return Identity(same, problem, *found, said.version, same)


def evidence(wanted: Wanted, found: Identity) -> Mapping[str, Raw]:
    """Who it must be, and who it says that it is."""
    return {
        "node": wanted.node,
        "agent_name": found.name,
        "cluster": wanted.scope,
        "agent_scope": found.scope,
        "system_id": wanted.system_id,
        "agent_system_id": found.system_id,
        "agent_version": found.version,
        "same_members": found.same_members,
        "problem": found.problem,
    }


def _parsed(reply: EngineReply, path: str, model: type[Answer]) -> Answer | str:
    """What was answered, or why that is nothing."""
    if reply.status is None:
        return reply.body[:WORDS] or "it did not answer"
    if reply.status != OK:
        words = f": {reply.body[:WORDS]}" if reply.status in DENIED and reply.body else ""
        return f"it answered {reply.status} to GET {path}{words}"
    try:
        return model.model_validate_json(reply.body)
    except ValidationError:
        return f"what it answered to GET {path} is not what Patroni answers"


def _same_members(wanted: Wanted, reply: EngineReply) -> tuple[bool | None, str | None]:
    """A member may come or go while both stores are read; none is at two addresses in one store."""
    told = _parsed(reply, "/cluster", _Cluster)
    if isinstance(told, str):
        return None, told
    named = {member.name: member.api_url for member in told.members}
    for name in sorted(named.keys() & wanted.members.keys()):
        if named[name] != wanted.members[name]:
            return (
                False,
                f"it works with another store, in which {json.dumps(name)} has another address",
            )
    if other := sorted(named.keys() ^ wanted.members.keys()):
        return None, f"its store and the kernel's differ in the member {json.dumps(other[0])}"
    return True, None


def _compared(
    wanted: Wanted, found: tuple[str | None, str | None, str | None], named: bool
) -> tuple[bool | None, str | None]:
    needed = {"name": wanted.node, "scope": wanted.scope, "system id": wanted.system_id}
    said = dict(zip(needed, found, strict=True))
    other = [each for each, value in said.items() if None not in (value, needed[each])]
    if any(said[each] != needed[each] for each in other):
        return False, "it is the agent of another node or cluster"
    if wanted.system_id is None:
        return None, "the store holds no system id to compare with"
    missing = [each for each in needed if said[each] is None and (each != "name" or named)]
    if missing:
        return None, f"it does not report its {' and '.join(missing)}"
    return True, None


def _tells_its_name(version: str | None) -> bool:
    """Also one that hides its version does."""
    match = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(\.|$)", version or "")
    return match is None or (int(match[1]), int(match[2])) >= NAMED_SINCE
