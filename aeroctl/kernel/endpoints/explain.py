"""POST /v1/explain/{command}: the proof. It mutates nothing and grants nothing (P7-A1, P7-O2)."""

import asyncio
import secrets

from aeroctl.contract import rfc3339
from aeroctl.contract.base import API_VERSION
from aeroctl.contract.commands import Command
from aeroctl.contract.consent import CHANCE_BYTES
from aeroctl.contract.explanation import (
    Explanation,
    ExplanationEnvelope,
    Inputs,
    ObservedSnapshot,
)
from aeroctl.kernel.audit.ledger import Ledger
from aeroctl.kernel.decide import commands, effects, rules, successor_rules
from aeroctl.kernel.decide.confirmation import Issue
from aeroctl.kernel.decide.state import State, receiver
from aeroctl.kernel.endpoints import snapshot
from aeroctl.kernel.patroni.agent import Account
from aeroctl.kernel.patroni.digest import state_digest
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.members import agent_url
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.source import Source, notes, observed, read_with_nodes


async def explain(
    source: Source, engine: Engine, command: Command, target: str | None
) -> ExplanationEnvelope:
    """Every rule of the command over one state. Raises Failure, among others UNKNOWN_NODE.

    The agent that would be asked for the change is asked who it is, while the nodes are asked.
    """
    asked: dict[tuple[str, str], asyncio.Task[Account]] = {}

    async def read() -> tuple[ClusterKeys, tuple[Ledger, asyncio.Task[Account] | None]]:
        keys, kept = await source.keys_and_ledger(None)
        state = State(keys, kept.in_flight)
        if target is not None and target not in state.nodes:  # it may be one that is gone
            state = State(await source.with_departed(keys), kept.in_flight)
        commands.check_target(command, target, state)
        whom = _agent(command, target, state)
        if whom is not None and whom not in asked:
            asked[whom] = asyncio.create_task(engine.identify(*whom, source.access.seconds))
        return keys, (kept, None if whom is None else asked[whom])

    try:
        seen = await read_with_nodes(source, read, ["replication"], source.change_readers)
        kept, account = seen.beside
        agent = None if account is None else await account
    finally:  # they end by themselves, and soon
        await asyncio.gather(*asked.values())
    answers = snapshot.replication(seen.keys, seen.answers)
    state = State(
        keys=seen.keys,
        in_flight=kept.in_flight,
        reports={answer.node: answer for answer in answers},
        agent=agent,
    )
    return ExplanationEnvelope(
        api_version=API_VERSION,
        observed_at=observed(seen.keys, None, seen.time),
        data=explanation(
            command,
            target,
            state,
            commands.deadline(command, state.keys, source.seconds),
            Issue(source.clock(), secrets.token_bytes(CHANCE_BYTES)),
        ),
        notes=notes(seen.keys, seen.answers),
    )


def explanation(
    command: Command, target: str | None, state: State, deadline_seconds: int, issue: Issue
) -> Explanation:
    """The proof over `state`, and the token that confirms it. Pure."""
    keys = state.keys
    applied = rules.rules(command.name, target, state)
    return Explanation(
        explanation_type=command.name,
        observed_snapshot=ObservedSnapshot(
            revision=keys.revision,
            state_digest=state_digest(keys),
            failover_revision=keys.failover_revision,
        ),
        inputs=Inputs(
            command=command.name, target=target, cluster=keys.scope, system_id=keys.system_id
        ),
        action=command.action,
        confirmation=command.confirmation,
        leader=state.leader,
        rules_applied=applied,
        conclusion=rules.conclusion(applied),
        affected=effects.affected(command.name, target, state),
        irreversible=effects.irreversible(command.name),
        overrides=effects.overrides(command.name, state),
        successors=successor_rules.successors(state, target)
        if command.name == "request_demotion" and target is not None
        else None,
        cost=effects.cost(command.name, state),
        deadline_seconds=deadline_seconds,
        confirmation_term_seconds=issue.clock.term_seconds,
        confirmation_expires_at=rfc3339.render(issue.expires_at),
        confirmation_token=issue.token(commands.confirmable(command.name, target, keys)),
    )


def _agent(command: Command, target: str | None, state: State) -> tuple[str, str] | None:
    """The node whose agent would be asked, and its address; None where there is none."""
    node = receiver(command.name, target, state)
    member = state.keys.members.get(node or "")
    base = agent_url(member.api_url) if member else None
    return None if node is None or base is None else (node, base)
