"""Who the agent is that would be asked for a change, by its own account of itself. Pure.

A node's entry in the store names an address, and whoever copies a configuration copies it too. What
answers there is asked for a change only if it says that it is that node's, of this cluster: its
name, its scope, and the system identifier of its database (Patroni: GET /patroni).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

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

Raw = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Account:
    """What the agent of `node` answered at `base`, and at what uptime (timing.py) it was asked."""

    node: str
    base: str
    reply: EngineReply
    asked_at: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """Who it must be; the system id is None where the store has none."""

    node: str
    scope: str
    system_id: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who it is: `proved` True, somebody else: False, not known: None, for `problem`."""

    proved: bool | None
    problem: str | None
    name: str | None = None
    scope: str | None = None
    system_id: str | None = None
    version: str | None = None


class _Software(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    name: str | None = None
    scope: str | None = None
    version: str | None = None


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    database_system_identifier: str | None = None
    patroni: _Software


def identity(wanted: Wanted, reply: EngineReply) -> Identity:
    """Whether who answered so is who is wanted. What is not said proves nothing (P7-F1)."""
    if reply.status is None:
        return Identity(None, reply.body[:WORDS] or "it did not answer")
    if reply.status != OK:
        words = f": {reply.body[:WORDS]}" if reply.status in DENIED and reply.body else ""
        return Identity(None, f"it answered {reply.status} to GET /patroni{words}")
    try:
        told = _Told.model_validate_json(reply.body)
    except ValidationError:
        return Identity(None, "what it answered to GET /patroni is not what Patroni answers")
    said = told.patroni
    found = (said.name, said.scope, told.database_system_identifier)
    proved, problem = _compared(wanted, found, _tells_its_name(said.version))
    return Identity(proved, problem, *found, said.version)


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
        "problem": found.problem,
    }


def _compared(
    wanted: Wanted, found: tuple[str | None, str | None, str | None], named: bool
) -> tuple[bool | None, str | None]:
    needed = {"name": wanted.node, "scope": wanted.scope, "system id": wanted.system_id}
    said = dict(zip(needed, found, strict=True))
    other = [each for each, value in said.items() if None not in (value, needed[each])]
    if any(said[each] != needed[each] for each in other):
        return False, "it is another one's agent"
    if wanted.system_id is None:
        return None, "the store holds no system id to compare with"
    missing = [each for each in needed if said[each] is None and (each != "name" or named)]
    if missing:
        return None, f"it does not tell its {' and '.join(missing)}"
    return True, None


def _tells_its_name(version: str | None) -> bool:
    """Also one that hides its version does."""
    match = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(\.|$)", version or "")
    return match is None or (int(match[1]), int(match[2])) >= NAMED_SINCE
