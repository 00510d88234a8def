"""Whether the agent at a node's address is the agent of that node, by what it reports. Pure.

A node's entry in the store has an address, and a copied configuration has it too. A request for a
change is sent to it only if the agent there reports this node and this cluster: its name, its
scope, and the system identifier of its database (Patroni: GET /patroni). A cluster made from a copy
of the data may have all three in common with this one; but it has another store, in which members
have other addresses (GET /cluster).
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
"""Patroni answers what is missing, which is shown. Other replies may come from any program, and are
not."""
NAMED_SINCE = (3, 2)
"""The version from which Patroni reports its name. An older one is proved by the rest to be of this
cluster, in which any member passes the request on to the leader that it names."""
REPLY_CHARACTERS = 200
"""Of a reply, so many characters are shown."""

Answer = TypeVar("Answer", bound=BaseModel)
Raw = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Account:
    """What the agent of `node` answered at `base`: about itself (`reply`), and about the `members`
    in its store. `asked_at`: the uptime (timing.py) at which the request was sent.
    """

    node: str
    base: str
    reply: EngineReply
    members: EngineReply
    asked_at: float


@dataclass(frozen=True, slots=True)
class ExpectedAgent:
    """The identity that an agent must prove; the system id is None where the store has none.
    `members`: the members in the store, and the address of the agent of each.
    """

    node: str
    scope: str
    system_id: str | None
    members: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Identity:
    """What an agent reported. `proved`: True if it is the expected agent, False if it is another,
    None if that is not known, because of `problem`.

    `same_members`: whether its store has the same members; None if that was not compared.
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


class _Status(BaseModel):
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


def identity(expected: ExpectedAgent, reply: EngineReply, members: EngineReply) -> Identity:
    """Whether these are replies of the expected agent. What is missing proves nothing (P7-F1)."""
    status = _parsed(reply, "/patroni", _Status)
    if isinstance(status, str):
        return Identity(None, status)
    software = status.patroni
    reported = (software.name, software.scope, status.database_system_identifier)
    proved, problem = _compared(expected, reported, _reports_its_name(software.version))
    if not proved:
        return Identity(proved, problem, *reported, software.version)
    same, problem = _same_members(expected, members)
    return Identity(same, problem, *reported, software.version, same)


def evidence(expected: ExpectedAgent, reported: Identity) -> Mapping[str, Raw]:
    """The expected identity, and the reported one."""
    return {
        "node": expected.node,
        "agent_name": reported.name,
        "cluster": expected.scope,
        "agent_scope": reported.scope,
        "system_id": expected.system_id,
        "agent_system_id": reported.system_id,
        "agent_version": reported.version,
        "same_members": reported.same_members,
        "problem": reported.problem,
    }


def _parsed(reply: EngineReply, path: str, model: type[Answer]) -> Answer | str:
    """The body of a reply, or the reason why it has none that can be used."""
    if reply.status is None:
        return reply.body[:REPLY_CHARACTERS] or "it did not answer"
    if reply.status != OK:
        words = (
            f": {reply.body[:REPLY_CHARACTERS]}" if reply.status in DENIED and reply.body else ""
        )
        return f"it answered {reply.status} to GET {path}{words}"
    try:
        return model.model_validate_json(reply.body)
    except ValidationError:
        return f"what it answered to GET {path} is not what Patroni answers"


def _same_members(expected: ExpectedAgent, reply: EngineReply) -> tuple[bool | None, str | None]:
    """A member may come or go while both stores are read; none is at two addresses in one store."""
    cluster = _parsed(reply, "/cluster", _Cluster)
    if isinstance(cluster, str):
        return None, cluster
    named = {member.name: member.api_url for member in cluster.members}
    for name in sorted(named.keys() & expected.members.keys()):
        if named[name] != expected.members[name]:
            return (
                False,
                f"it works with another store, in which {json.dumps(name)} has another address",
            )
    if other := sorted(named.keys() ^ expected.members.keys()):
        return None, f"its store and the kernel's differ in the member {json.dumps(other[0])}"
    return True, None


def _compared(
    expected: ExpectedAgent, reported: tuple[str | None, str | None, str | None], named: bool
) -> tuple[bool | None, str | None]:
    needed = {"name": expected.node, "scope": expected.scope, "system id": expected.system_id}
    values = dict(zip(needed, reported, strict=True))
    if any(
        None not in (value, needed[key]) and value != needed[key] for key, value in values.items()
    ):
        return False, "it is the agent of another node or cluster"
    if expected.system_id is None:
        return None, "the store holds no system id to compare with"
    missing = [key for key in needed if values[key] is None and (key != "name" or named)]
    if missing:
        return None, f"it does not report its {' and '.join(missing)}"
    return True, None


def _reports_its_name(version: str | None) -> bool:
    """Whether that version does; one that reports no version is taken to do so."""
    match = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(\.|$)", version or "")
    return match is None or (int(match[1]), int(match[2])) >= NAMED_SINCE
