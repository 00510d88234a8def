"""POST /v1/commands/{command}: decide, record, ask the engine once, prove the outcome.

Everything before the dispatch record may be decided again: nothing has happened. After it there is
one request to the engine and no second one, whatever happens (P7-F1, P7-F3).
"""

import logging
from collections.abc import Awaitable, Callable

from aeroctl.contract.audit import Confirmed
from aeroctl.contract.requests import RequestEnvelope
from aeroctl.kernel.audit import records, trail
from aeroctl.kernel.audit.ledger import Ledger
from aeroctl.kernel.audit.records import Asked, Dispatched, Plan, Transaction
from aeroctl.kernel.change import diagnose, throttle, transfer
from aeroctl.kernel.decide import commands, decision
from aeroctl.kernel.decide.confirmation import AHEAD_SECONDS, LONGEST_TERM
from aeroctl.kernel.decide.rules import State
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.agent import Account
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.source import Source
from aeroctl.kernel.timing import Attempts, uptime

RECORD_SECONDS = 4.0
"""For how long a decision is made again because the store moved on while it was recorded; most
often it was only that another record came before."""
ASKS = 3
"""How often the agent may be asked who it is: once, unless it moves meanwhile."""
FRESH_SECONDS = 5.0
"""For how long what it answered stands: then it is asked again. A server may be frozen."""
LEASE_SLACK_SECONDS = 5
"""How much longer than the deadline a request is in flight: what sending may take (engine.py)."""

SPENT_SECONDS = LONGEST_TERM + AHEAD_SECONDS
"""How long a confirmation stays used up that no record tells of. It could confirm no longer."""

LOGGER = logging.getLogger("aerokernel")

Gone = Callable[[], Awaitable[bool]]


async def command(source: Source, engine: Engine, asked: Asked, gone: Gone) -> RequestEnvelope:
    """Carry out one request. `gone`: whether whoever asked has gone away.

    Raises Failure for every refusal, which is recorded where the store allows it, and for what the
    engine rejects. Once dispatched, a Failure says that nothing was executed only where the engine
    or the state says so (P7-E2).
    """
    dispatched: Dispatched | None = None
    try:
        await _authorise(source, asked)
        dispatched, plan = await _dispatch(source, engine, asked, gone)
        if plan is None:
            return await diagnose.run(source, engine, dispatched)
        return await transfer.carry_out(source, engine, dispatched, plan)
    except Failure as failure:
        failure.about(asked.request_id)
        raise
    except Exception as error:
        LOGGER.exception("request %s failed", asked.request_id)
        known = dispatched is None  # what is not known to be recorded is not asked of the engine
        raise Failure(
            "INTERNAL",
            f"the kernel server failed {'before' if known else 'after'} the request was "
            "dispatched; its log says why",
            invariants=["P7-F1" if known else "P7-E2"],
            outcome="not_executed" if known else "unknown",
            request_id=asked.request_id,
        ) from error


async def _authorise(source: Source, asked: Asked) -> None:
    """Before anything is read: who may not ask is refused in any state (P7-A1)."""
    try:
        decision.authorise(asked)
    except Failure as refusal:
        await throttle.record(source, asked, refusal)
        raise


async def _dispatch(
    source: Source, engine: Engine, asked: Asked, gone: Gone
) -> tuple[Dispatched, Plan | None]:
    """The dispatch record, bound to the state that was decided over, and what is to be done.

    Raises Failure: the refusal, once it is recorded; KERNEL_BUSY when the store never held still.
    """
    for _ in range(ASKS):
        account = await _account(source, engine, asked)
        found = await _dispatched(source, asked, gone, account)
        if found is not None:
            return found
    raise _busy("the address of the agent that was to be asked")


async def _account(source: Source, engine: Engine, asked: Asked) -> Account | None:
    """Who answers where the request would be sent; None where it would not be sent anyway.

    Before anything is recorded, and in nobody's way: an agent may take its time.
    """
    keys, kept = await source.keys_and_ledger(asked.request_id, asked.request.confirmation.token)
    state = State(keys, kept.in_flight)
    refusal, _ = decision.decide(asked, state, kept, source.clock())
    plan = None if refusal else decision.plan(asked, state)
    if plan is None:
        return None
    return await engine.identify(plan.receiver, plan.base, source.access.seconds)


async def _dispatched(
    source: Source, asked: Asked, gone: Gone, account: Account | None
) -> tuple[Dispatched, Plan | None] | None:
    """The same, once it is known who answers; None where it is not known of this state's agent."""
    refusal: Failure | None = None
    attempts = Attempts(RECORD_SECONDS)
    while await attempts.another():
        async with source.append_lock:
            keys, kept = await source.keys_and_ledger(
                asked.request_id, asked.request.confirmation.token
            )
            state = State(keys, kept.in_flight, agent=account)
            refusal, confirmed = decision.decide(asked, state, kept, source.clock())
            plan = None if refusal else decision.plan(asked, state)
            if plan is not None:
                if account is None or not _current(account, plan):
                    return None
                refusal = decision.unidentified(plan, state)
            if refusal is None:
                # A server that is frozen from here on is too late when it wakes up (engine.py): its
                # lease is younger than that.
                began = uptime()
                seconds = commands.deadline(asked.command, keys, source.seconds)
                lease = await source.store.lease(seconds + LEASE_SLACK_SECONDS) if plan else None
                # The last thing before the record: intent must still be there (P7-A2). It is what
                # makes a request harmless that waited in the socket of a frozen server.
                if not await gone():
                    planned = records.planned(plan, keys, seconds)
                    written = records.dispatch(asked, source.prefix, keys, kept, planned, lease)
                    revision = await _write(source, written)
                    if revision is not None:
                        return Dispatched(asked, keys, revision, seconds, began), plan
                    continue
                refusal = decision.caller_gone()
            if await _recorded(source, asked, keys, kept, refusal, confirmed):
                raise refusal
    if refusal is not None:
        LOGGER.error("request %s: refused and not recorded: %s", asked.request_id, refusal)
        raise refusal
    await trail.check_room(source.store, source.scope, prefix=source.prefix)
    raise _busy("state that decides who leads, or the audit trail,")


def _current(account: Account, plan: Plan) -> bool:
    """Whether it is the account of the very agent that would be asked, and of now."""
    age = uptime() - account.asked_at
    return (account.node, account.base) == (plan.receiver, plan.base) and age <= FRESH_SECONDS


def _busy(what: str) -> Failure:
    message = f"{what} kept changing; nothing was dispatched"
    return Failure("KERNEL_BUSY", message)


async def _write(source: Source, written: Transaction) -> int | None:
    """Write the dispatch record. One that may not be there is followed by no dispatch (P7-O3)."""
    try:
        return await source.store.transact(written.compares, written.changes)
    except Failure as failure:
        if failure.error.code == "STORE_UNAVAILABLE":
            words = f"nothing was dispatched: {failure.error.message}"
            failure.error = failure.error.model_copy(update={"message": words})
        raise


async def _recorded(
    source: Source,
    asked: Asked,
    keys: ClusterKeys,
    kept: Ledger,
    refusal: Failure,
    confirmed: Confirmed | None,
) -> bool:
    """Record a refusal. False: the store moved on, so it has to be decided again.

    A store that can't be written undoes no refusal: that is said in the log only; as is a refusal
    too many (throttle.py), which uses up its confirmation all the same (P7-A2).
    """
    try:
        free = await throttle.room(source, asked.caller)
        if free is None:
            if kept.unspent is not None and decision.genuine(asked, keys):
                lease = await source.store.lease(SPENT_SECONDS)
                spent = records.spent(asked, kept, lease)
                if await source.store.transact(spent.compares, spent.changes) is None:
                    return False
            LOGGER.warning("request %s: %s; not recorded", asked.request_id, refusal)
            return True
        error = free.told(refusal.error)
        written = records.refusal(asked, keys, kept, error, confirmed)
        done = await throttle.write(source, asked, written, free)
    except Failure as failure:
        LOGGER.error("request %s: %s; not recorded: %s", asked.request_id, refusal, failure)  # noqa: TRY400 - the words say all
        return True
    if done:
        refusal.error = error
    return done
