"""run_diagnostics: the store's, the database's and the agent's account of every node, compared.

It reads, and asks the engine for nothing; still it is confirmed and recorded, for it costs the
nodes something (P7-S2). What does not agree is shown and not explained (P7-A3).

The three accounts of a node are of different moments: an agent describes its node in the store once
in a while (Patroni: loop_wait). So what does not agree is looked at again when that time is over,
and only what still disagrees, in the same words, is called a disagreement.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from aeroctl.contract.base import Observation
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.nodes import Node
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.requests import RequestEnvelope, RequestStatus, Revisions
from aeroctl.contract.rules import Rule, evaluated, facts, rule
from aeroctl.kernel.audit.records import Dispatched
from aeroctl.kernel.change import outcome_record
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.members import agent_url
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.patroni.settings import settling_seconds, ttl
from aeroctl.kernel.postgres import observations, queries
from aeroctl.kernel.source import Source
from aeroctl.kernel.timing import uptime

Raw = str | bool | int | float | None
OK = 200
DIFFERING = frozenset({"role_agrees", "timeline_agrees", "system_id_agrees"})
"""Rules that compare accounts which were taken at different moments."""


class _Software(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str | None = None
    scope: str | None = None


class Account(BaseModel):
    """GET /patroni, as far as it is compared; None where the agent doesn't say (api.py)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: str | None = None
    state: str | None = None
    timeline: int | None = None
    database_system_identifier: str | None = None
    dcs_last_seen: int | None = None
    patroni: _Software = _Software()


async def run(source: Source, engine: Engine, dispatched: Dispatched) -> RequestEnvelope:
    """Ask every node and its agent once, all at the same time, and record that it was done.

    Where the others who read the nodes leave no time for it before the deadline, none is asked.
    """
    keys, asked = dispatched.keys, dispatched.asked
    diagnostics: list[Rule] | None = None
    message: str | None = "the nodes were not asked: others were reading them all the time"
    look = source.access.seconds + queries.CANCEL_SECONDS
    needed = 2 * look + settling_seconds(keys)
    latest = dispatched.began + dispatched.deadline_seconds - needed
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(latest - uptime()) as waiting, source.change_readers:
            waiting.reschedule(None)  # from here on each node has its own time
            diagnostics, message = await _compared(source, engine, keys), None
    held = sections.leader(keys)
    found = RequestStatus(
        request_id=asked.request_id,
        recorded=True,
        command=asked.command.name,
        target=None,
        outcome="not_executed" if diagnostics is None else "executed",
        final=True,
        code=None,
        message=message,
        engine_reply=None,
        leader_before=held,
        leader_after=held,
        revisions=Revisions(
            requested=dispatched.revision, dispatched=dispatched.revision, outcome=None
        ),
        evidence=[],
        diagnostics=diagnostics,
    )
    found, missing = await outcome_record.record(source, dispatched, found)
    return await outcome_record.envelope(source, keys, found, missing)


async def _compared(source: Source, engine: Engine, keys: ClusterKeys) -> list[Rule]:
    """Every node's rules; where accounts differ, what is left of that after a second look."""
    first = await _read(source, engine, keys, None)
    suspects = {str(_subject(rule)) for rule in first if _differs(rule)}
    if not suspects:
        return first
    await asyncio.sleep(settling_seconds(keys))
    second: list[Rule] = []
    with contextlib.suppress(Failure):  # a store that can't be read again settles nothing
        second = await _read(source, engine, await source.keys(), suspects)
    return settled(first, second)


def settled(first: Sequence[Rule], second: Sequence[Rule]) -> list[Rule]:
    """`first`, where a disagreement stands only if `second` has the very same one. Pure.

    One that is gone has been settled: the newer rule is shown. One that changed, or could not be
    looked at again, is undetermined: its accounts were taken in the midst of a change.
    """
    newer = {(rule.rule_id, _subject(rule)): rule for rule in second}

    def settle(rule: Rule) -> Rule:
        if not _differs(rule):
            return rule
        again = newer.get((rule.rule_id, _subject(rule)))
        if again is None:
            return rule.model_copy(update={"evaluation": "undetermined"})
        if _differs(again) and again.evidence != rule.evidence:
            return again.model_copy(update={"evaluation": "undetermined"})
        return again

    return [settle(rule) for rule in first]


def _differs(rule: Rule) -> bool:
    return rule.rule_id in DIFFERING and rule.evaluation == "does_not_hold"


def _subject(rule: Rule) -> object:
    return rule.evidence[0].value


async def _read(
    source: Source, engine: Engine, keys: ClusterKeys, names: Collection[str] | None
) -> list[Rule]:
    """Every node's own account and its agent's, or those of `names` only, compared."""
    nodes = [node for node in sections.nodes(keys) if names is None or node.name in names]
    accounts = [_account(engine, keys, node.name, source.access.seconds) for node in nodes]
    answers, replies = await asyncio.gather(
        queries.ask(nodes, ["replication"], source.access, keys.system_id),
        asyncio.gather(*accounts),
    )
    kind = Observation[NodeReplication]
    said = [
        observations.observation(kind, NodeReplication, node, answers[node.name]["replication"])
        for node in nodes
    ]
    return [
        rule
        for node, seen, (reply, date) in zip(nodes, said, replies, strict=True)
        for rule in rules(keys, node, seen, reply, date)
    ]


def account(reply: EngineReply) -> Account | None:
    """What the agent said; None where it did not answer, or not in the words that are known."""
    if reply.status != OK:
        return None
    try:
        return Account.model_validate_json(reply.body)
    except ValidationError:
        return None


def rules(
    keys: ClusterKeys,
    node: Node,
    said: Observation[NodeReplication],
    reply: EngineReply,
    date: datetime | None,
) -> list[Rule]:
    """The same for every node. `reply`: its agent's, at `date` by that agent's clock. Pure."""
    told, sql = account(reply), said.value
    agent = told or Account()
    return [
        _rule(
            node,
            "agent_answers",
            "the node's agent answers",
            told is not None,
            {"status": reply.status, "words": None if told else reply.body[:200]},
        ),
        _rule(
            node,
            "database_answers",
            "the node's database answers",
            sql is not None,
            {"unavailable": said.unavailable.code if said.unavailable else None},
        ),
        _rule(
            node,
            "agent_is_the_nodes",
            "the agent at the node's address says that it is this node's, of this cluster",
            _same([agent.patroni.name, node.name]) and _same([agent.patroni.scope, keys.scope])
            if told
            else None,
            {"name": agent.patroni.name, "scope": agent.patroni.scope},
        ),
        _rule(
            node,
            "role_agrees",
            "store, database and agent agree on whether the node is a primary",
            _same([_writes(node.role), sql and not sql.in_recovery, _writes(agent.role)]),
            {
                "store": node.role if node.registered else None,
                "database_in_recovery": sql.in_recovery if sql else None,
                "agent": agent.role,
            },
        ),
        _rule(
            node,
            "timeline_agrees",
            "store, database and agent agree on the node's timeline",
            _same([node.timeline, sql.timeline if sql else None, agent.timeline]),
            {
                "store": node.timeline,
                "database": sql.timeline if sql else None,
                "agent": agent.timeline,
            },
        ),
        _rule(
            node,
            "system_id_agrees",
            "store, database and agent agree on the system identifier",
            _same(
                [
                    keys.system_id,
                    sql.system_id if sql else None,
                    agent.database_system_identifier,
                ]
            ),
            {
                "store": keys.system_id,
                "database": sql.system_id if sql else None,
                "agent": agent.database_system_identifier,
            },
        ),
        _sees_store(keys, node, agent, date),
    ]


def _sees_store(keys: ClusterKeys, node: Node, agent: Account, date: datetime | None) -> Rule:
    """Both times are of the agent's clock. Within the lease's time a living agent reads the store,
    or it loses its lease.
    """
    seen, now = agent.dcs_last_seen, None if date is None else int(date.timestamp())
    ago = None if not seen or now is None else now - seen
    limit = ttl(keys)
    return _rule(
        node,
        "agent_sees_store",
        "the agent has read the store within the time of its lease",
        None if ago is None else ago <= limit,
        {"dcs_last_seen": agent.dcs_last_seen, "seconds_ago": ago, "ttl_seconds": limit},
    )


def _writes(role: str | None) -> bool | None:
    if role in ("primary", "master"):
        return True
    return False if role in ("replica", "standby_leader") else None


def _same(accounts: Sequence[object]) -> bool | None:
    """Whether all agree; None where one is missing and those that are there don't disagree."""
    known = {each for each in accounts if each is not None}
    if len(known) > 1:
        return False
    return None if None in accounts else True


def _rule(
    node: Node, rule_id: str, description: str, holds: bool | None, evidence: Mapping[str, Raw]
) -> Rule:
    shown = facts({"node": node.name, **evidence})
    return rule(rule_id, description, evaluated(holds), "none", shown)


async def _account(
    engine: Engine, keys: ClusterKeys, name: str, seconds: float
) -> tuple[EngineReply, datetime | None]:
    member = keys.members.get(name)
    base = agent_url(member.api_url) if member else None
    if base is None:
        return EngineReply(status=None, body="the store holds no address of its agent"), None
    return await engine.account(base, seconds)
