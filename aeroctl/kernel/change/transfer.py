"""After the dispatch record: Patroni is asked once, and what came of it is proved and recorded."""

import asyncio

from aeroctl.contract.errors import EngineReply
from aeroctl.contract.requests import RequestEnvelope, RequestStatus, Revisions
from aeroctl.kernel.audit.records import Dispatched, Plan
from aeroctl.kernel.change.outcome_record import envelope, record
from aeroctl.kernel.change.watch import (
    Watch,
    certainly_not_done,
    judge_now,
    sent_so_far,
    until_settled,
)
from aeroctl.kernel.endpoints.writable import writable
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys, parse
from aeroctl.kernel.patroni.rest_api import Engine, Sent
from aeroctl.kernel.prove.writable import weighed
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.keyspace import History
from aeroctl.kernel.timing import uptime

PROOF_SECONDS = 5.0
"""The last part of the deadline, in which the outcome is proved and recorded."""


async def carry_out(
    source: Source, engine: Engine, dispatched: Dispatched, plan: Plan
) -> RequestEnvelope:
    """Ask Patroni once, watch what it does, and answer what the store's history proves.

    Raises Failure ENGINE_REJECTED with Patroni's own words; STORE_UNAVAILABLE and such with outcome
    `unknown` where nothing can be proved.
    """
    ends = dispatched.began + dispatched.deadline_seconds - PROOF_SECONDS
    call = asyncio.create_task(_ask(source, engine, dispatched, plan, ends))
    try:
        watch = await until_settled(source, dispatched, call, ends)
        sent = sent_so_far(call)
    finally:
        call.cancel()  # the reply is not waited for any more; a request that has left has left
        await asyncio.wait({call})
    keys, status = await _prove(source, dispatched, sent, watch)
    status, notes = await record(source, dispatched, status)
    if status.outcome == "rejected" and status.final:
        raise _rejected(status)
    return await envelope(source, keys, status, notes)


async def _ask(
    source: Source, engine: Engine, dispatched: Dispatched, plan: Plan, ends: float
) -> Sent:
    """The one request to Patroni, which has until the time `ends`.

    A forced promotion names no leader that Patroni could check (POST /failover). So it is not sent
    once another leader holds the leader key than the one that it was confirmed for (P7-D2).
    """
    if dispatched.submission.command.name == "force_promotion":
        try:
            leader = sections.leader(await source.keys())
        except Failure as failure:
            return _not_sent(f"the leader key can't be read again: {failure.error.message}")
        if leader != sections.leader(dispatched.keys):
            return _not_sent("the leader has changed since the request was confirmed")
    seconds = max(1.0, ends - uptime())
    return await engine.ask(plan.base, plan.path, plan.body, seconds, dispatched.began)


def _not_sent(why: str) -> Sent:
    return Sent(False, EngineReply(status=None, body=f"not sent: {why}"))


async def _prove(
    source: Source, dispatched: Dispatched, sent: Sent, watch: Watch
) -> tuple[ClusterKeys, RequestStatus]:
    """What the store's history since the dispatch proves, and what the leader itself answers."""
    history, keys = await _history(source, dispatched, sent)
    judgement = judge_now(dispatched, history, sent, watch)
    outcome, final, evidence = judgement.outcome, judgement.final, judgement.evidence
    if judgement.leader_after == sections.leader(keys):  # else another leader would be asked
        rule = await writable(source, keys)
        outcome, final = weighed(outcome, final, rule)
        evidence = [*evidence, rule]
    return keys, RequestStatus(
        request_id=dispatched.submission.request_id,
        recorded=True,
        command=dispatched.submission.command.name,
        target=dispatched.submission.request.target,
        outcome=outcome,
        final=final,
        code=None,
        message=judgement.message,
        engine_reply=sent.reply,
        leader_before=sections.leader(dispatched.keys),
        leader_after=judgement.leader_after,
        revisions=Revisions(
            requested=dispatched.revision, dispatched=dispatched.revision, outcome=None
        ),
        evidence=evidence,
        diagnostics=None,
    )


async def _history(
    source: Source, dispatched: Dispatched, sent: Sent
) -> tuple[History, ClusterKeys]:
    """The history since the dispatch, and the state that it leads to.

    Raises Failure, which tells that the outcome is unknown unless nothing can have been done.
    """
    try:
        history = await source.store.history(source.prefix, dispatched.revision)
        return history, parse(source.scope, history.keyspace)
    except Failure as failure:
        error = failure.error
        raise Failure(
            error.code,
            f"the request was dispatched, and its outcome can't be proved now: {error.message}",
            invariants=["P7-E2"],
            outcome="not_executed" if certainly_not_done(sent) else "unknown",
            engine_reply=sent.reply,
        ) from failure


def _rejected(status: RequestStatus) -> Failure:
    """Patroni rejected the request: in its own words, where it has answered."""
    reply = status.engine_reply
    answered = reply is not None and reply.status is not None
    words = reply.body if reply is not None and answered else status.message or ""
    return Failure("ENGINE_REJECTED", words, engine_reply=reply)
