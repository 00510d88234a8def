"""run_diagnostics: the store's, the database's and the agent's account of every node, compared.

It only reads; still it is confirmed and recorded, because it costs the nodes something (P7-S2).

The three accounts of a node are of different moments: an agent describes its node in the store once
in a while (Patroni: loop_wait). So where they differ they are read again when that time is over,
and only what still differs, with the same values, is called a disagreement.
"""

import asyncio
import contextlib
from collections.abc import Collection
from datetime import datetime

from aeroctl.contract.base import Observation
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.requests import RequestEnvelope, RequestStatus, Revisions
from aeroctl.contract.rules import Rule
from aeroctl.kernel.audit.records import Dispatched
from aeroctl.kernel.change import outcome_record
from aeroctl.kernel.change.account_rules import Accounts, disagrees, node_of, rules, settled
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.members import agent_url
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.patroni.settings import settling_seconds
from aeroctl.kernel.postgres import observations, queries
from aeroctl.kernel.source import Source
from aeroctl.kernel.timing import uptime


async def run(source: Source, engine: Engine, dispatched: Dispatched) -> RequestEnvelope:
    """Query every node and its agent once, all at the same time, and record that it was done.

    Where other readers of the nodes leave no time for it before the deadline, none is queried.
    """
    keys = dispatched.keys
    diagnostics: list[Rule] | None = None
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(_latest_start(source, dispatched) - uptime()) as waiting,
            source.change_readers,
        ):
            waiting.reschedule(None)  # from here on each node has its own timeout
            diagnostics = await _compare(source, engine, keys)
    status, missing = await outcome_record.record(
        source, dispatched, _status(dispatched, diagnostics)
    )
    return await outcome_record.envelope(source, keys, status, missing)


def _latest_start(source: Source, dispatched: Dispatched) -> float:
    """Until when (uptime) the nodes may be queried, so that both rounds end before the deadline."""
    seconds = source.access.seconds + queries.CANCEL_SECONDS
    needed = 2 * seconds + settling_seconds(dispatched.keys)
    return dispatched.began + dispatched.deadline_seconds - needed


def _status(dispatched: Dispatched, diagnostics: list[Rule] | None) -> RequestStatus:
    """The outcome; `diagnostics` None: the nodes were not queried."""
    submission, leader = dispatched.submission, sections.leader(dispatched.keys)
    queried = diagnostics is not None
    busy = "the nodes were not read: other requests were reading them all the time"
    return RequestStatus(
        request_id=submission.request_id,
        recorded=True,
        command=submission.command.name,
        target=None,
        outcome="executed" if queried else "not_executed",
        final=True,
        code=None,
        message=None if queried else busy,
        engine_reply=None,
        leader_before=leader,
        leader_after=leader,
        revisions=Revisions(
            requested=dispatched.revision, dispatched=dispatched.revision, outcome=None
        ),
        evidence=[],
        diagnostics=diagnostics,
    )


async def _compare(source: Source, engine: Engine, keys: ClusterKeys) -> list[Rule]:
    """The rules about every node; where accounts differ, as they stand after a second round."""
    first = await _read(source, engine, keys, None)
    suspects = {node_of(rule) for rule in first if disagrees(rule)}
    if not suspects:
        return first
    await asyncio.sleep(settling_seconds(keys))
    second: list[Rule] = []
    with contextlib.suppress(Failure):  # a store that can't be read again settles nothing
        second = await _read(source, engine, await source.keys(), suspects)
    return settled(first, second)


async def _read(
    source: Source, engine: Engine, keys: ClusterKeys, names: Collection[str] | None
) -> list[Rule]:
    """Query every node and its agent, or those of `names` only, and compare the accounts."""
    nodes = [node for node in sections.nodes(keys) if names is None or node.name in names]
    answers, replies = await asyncio.gather(
        queries.ask(nodes, ["replication"], source.access, keys.system_id),
        asyncio.gather(
            *(_agent_reply(engine, keys, node.name, source.access.seconds) for node in nodes)
        ),
    )
    kind = Observation[NodeReplication]
    return [
        rule
        for node, (reply, date) in zip(nodes, replies, strict=True)
        for rule in rules(
            Accounts(
                keys,
                node,
                observations.observation(
                    kind, NodeReplication, node, answers[node.name]["replication"]
                ),
                reply,
                date,
            )
        )
    ]


async def _agent_reply(
    engine: Engine, keys: ClusterKeys, name: str, seconds: float
) -> tuple[EngineReply, datetime | None]:
    """What a node's agent answers about itself, and when by the agent's clock."""
    member = keys.members.get(name)
    url = agent_url(member.api_url) if member else None
    if url is None:
        return EngineReply(status=None, body="the store holds no address of its agent"), None
    return await engine.account(url, seconds)
