"""run_diagnostics: the store's, the database's and the agent's account of every node, compared.

It reads, and asks the engine for nothing; still it is confirmed and recorded, for it costs the
nodes something (P7-S2). What does not agree is shown and not explained (P7-A3).
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from aeroctl.contract.base import Observation
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.nodes import Node
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.requests import Commits, RequestEnvelope, RequestStatus
from aeroctl.contract.rules import Fact, Rule, evaluated
from aeroctl.kernel import patroni, postgres, snapshot, transfer
from aeroctl.kernel.engine import Engine
from aeroctl.kernel.keys import Kernel
from aeroctl.kernel.recording import Dispatched
from aeroctl.kernel.snapshot import Source
from aeroctl.kernel.timing import uptime

Raw = str | bool | int | float | None
OK = 200


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
    kernel, asked = dispatched.kernel, dispatched.asked
    diagnostics: list[Rule] | None = None
    message: str | None = "the nodes were not asked: others were reading them all the time"
    needed = source.access.seconds + postgres.CANCEL_SECONDS
    latest = dispatched.began + dispatched.deadline_seconds - needed
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(latest - uptime()) as waiting, source.own:
            waiting.reschedule(None)  # from here on each node has its own time
            diagnostics, message = await _read(source, engine, kernel), None
    held = patroni.authority(kernel)
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
        authority_before=held,
        authority_after=held,
        commits=Commits(
            requested=dispatched.commit_id, dispatched=dispatched.commit_id, outcome=None
        ),
        evidence=[],
        diagnostics=diagnostics,
    )
    found, missing = await transfer.record(source, dispatched, found)
    return await transfer.envelope(source, kernel, found, missing)


async def _read(source: Source, engine: Engine, kernel: Kernel) -> list[Rule]:
    """Every node's own account and its agent's, compared."""
    nodes = patroni.nodes(kernel)
    accounts = [_account(engine, kernel, node.name, source.access.seconds) for node in nodes]
    answers, replies = await asyncio.gather(
        postgres.ask(nodes, ["replication"], source.access, kernel.system_id),
        asyncio.gather(*accounts),
    )
    said = {seen.node: seen for seen in snapshot.replication(kernel, answers)}
    agents = {node.name: reply for node, reply in zip(nodes, replies, strict=True)}
    return rules(kernel, said, agents)


def rules(
    kernel: Kernel,
    said: Mapping[str, Observation[NodeReplication]],
    agents: Mapping[str, EngineReply],
) -> list[Rule]:
    """The same rules for every node, by node name. Pure."""
    return [
        rule
        for node in patroni.nodes(kernel)
        for rule in _node(kernel, node, said[node.name], agents[node.name])
    ]


def account(reply: EngineReply) -> Account | None:
    """What the agent said; None where it did not answer, or not in the words that are known."""
    if reply.status != OK:
        return None
    try:
        return Account.model_validate_json(reply.body)
    except ValidationError:
        return None


def _node(
    kernel: Kernel, node: Node, said: Observation[NodeReplication], reply: EngineReply
) -> list[Rule]:
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
            _same([agent.patroni.name, node.name]) and _same([agent.patroni.scope, kernel.scope])
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
                    kernel.system_id,
                    sql.system_id if sql else None,
                    agent.database_system_identifier,
                ]
            ),
            {
                "store": kernel.system_id,
                "database": sql.system_id if sql else None,
                "agent": agent.database_system_identifier,
            },
        ),
        _rule(
            node,
            "agent_sees_store",
            "the agent has read the store lately",
            None,  # by the clock of the agent's machine, with which no other can be compared
            {"dcs_last_seen": agent.dcs_last_seen},
        ),
    ]


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
    return Rule(
        rule_id=rule_id,
        description=description,
        evaluation=evaluated(holds),
        enforced_by="nobody",
        evidence=[
            Fact(name="node", value=node.name),
            *(Fact(name=name, value=value) for name, value in evidence.items()),
        ],
    )


async def _account(engine: Engine, kernel: Kernel, name: str, seconds: float) -> EngineReply:
    member = kernel.members.get(name)
    base = patroni.agent(member.api_url) if member else None
    if base is None:
        return EngineReply(status=None, body="the store holds no address of its agent")
    return await engine.account(base, seconds)
