"""POST /v1/commands/{command}: decide, record, send one request to Patroni, prove the outcome.

Everything before the dispatch record may be decided again: nothing has happened. After it there is
one request to Patroni and no second one, whatever happens (P7-F1, P7-F3).
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aeroctl.contract.audit import Confirmed
from aeroctl.contract.requests import RequestEnvelope
from aeroctl.kernel.audit import records, trail
from aeroctl.kernel.audit.ledger import Ledger
from aeroctl.kernel.audit.records import Dispatched, Plan, Submission, Transaction
from aeroctl.kernel.change import diagnose, throttle, transfer
from aeroctl.kernel.decide import commands, decision
from aeroctl.kernel.decide.confirmation import AHEAD_SECONDS, LONGEST_TERM
from aeroctl.kernel.decide.state import State
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.agent import Account
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.source import Source
from aeroctl.kernel.timing import Attempts, uptime

RECORD_SECONDS = 4.0
"""For how long a decision is made again because the store changed while it was recorded; most often
only another audit record was appended before it."""
IDENTITY_QUERIES = 3
"""How often the agent may be asked who it is: once, unless the receiver's address changes."""
FRESH_SECONDS = 5.0
"""How long its answer is used; an older one is asked for again. A server may be frozen."""
LEASE_SLACK_SECONDS = 5
"""How much longer than the deadline a request is in flight: what sending may take (rest_api.py)."""

SPENT_SECONDS = LONGEST_TERM + AHEAD_SECONDS
"""How long a confirmation stays used up that no record names. It has expired by then."""

LOGGER = logging.getLogger("aerokernel")

Disconnected = Callable[[], Awaitable[bool]]
"""Whether the client that sent the request has disconnected."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided in one state: the plan (None: the command only reads), or the refusal.

    `confirmed`: how the request was confirmed, once that was checked.
    """

    state: State
    ledger: Ledger
    plan: Plan | None
    refusal: Failure | None
    confirmed: Confirmed | None


async def command(
    source: Source, engine: Engine, submission: Submission, disconnected: Disconnected
) -> RequestEnvelope:
    """Carry out one request.

    Raises Failure for every refusal, which is recorded where the store allows it, and for what
    Patroni rejects. Once dispatched, a Failure says that nothing was executed only where Patroni or
    the state proves it (P7-E2).
    """
    dispatched: Dispatched | None = None
    try:
        await _authorise(source, submission)
        dispatched, plan = await _dispatch(source, engine, submission, disconnected)
        if plan is None:
            return await diagnose.run(source, engine, dispatched)
        return await transfer.carry_out(source, engine, dispatched, plan)
    except Failure as failure:
        failure.about(submission.request_id)
        raise
    except Exception as error:
        LOGGER.exception("request %s failed", submission.request_id)
        raise _internal(submission, dispatched is not None) from error


def _internal(submission: Submission, dispatched: bool) -> Failure:
    """The kernel itself failed. Without a known dispatch record nothing was sent to Patroni."""
    return Failure(
        "INTERNAL",
        f"the kernel server failed {'after' if dispatched else 'before'} the request was "
        "dispatched; its log has the reason",
        invariants=["P7-E2" if dispatched else "P7-F1"],
        outcome="unknown" if dispatched else "not_executed",
        request_id=submission.request_id,
    )


async def _authorise(source: Source, submission: Submission) -> None:
    """A caller without the authority is refused in any state, before anything is read (P7-A1)."""
    try:
        decision.authorise(submission)
    except Failure as refusal:
        await throttle.record(source, submission, refusal)
        raise


async def _dispatch(
    source: Source, engine: Engine, submission: Submission, disconnected: Disconnected
) -> tuple[Dispatched, Plan | None]:
    """Write the dispatch record, bound to the state that was decided over; and what is to be done.

    Raises Failure: the refusal, once it is recorded; KERNEL_BUSY when the store kept changing.
    """
    for _ in range(IDENTITY_QUERIES):
        account = await _agent_account(source, engine, submission)
        dispatch = await _dispatch_through(source, submission, disconnected, account)
        if dispatch is not None:
            return dispatch
    raise _busy("the address of the agent that the request goes to")


async def _decide(source: Source, submission: Submission, account: Account | None) -> Decision:
    """Decide in the store's state of now."""
    keys, ledger = await source.keys_and_ledger(
        submission.request_id, submission.request.confirmation.token
    )
    state = State(keys, ledger.in_flight, agent=account)
    refusal, confirmed = decision.decide(submission, state, ledger, source.clock())
    plan = None if refusal else decision.plan(submission, state)
    return Decision(state, ledger, plan, refusal, confirmed)


async def _agent_account(source: Source, engine: Engine, submission: Submission) -> Account | None:
    """What the receiver's agent says of itself; None where no request would be sent to it.

    Before anything is recorded, and without the append lock: an agent may take its time.
    """
    plan = (await _decide(source, submission, None)).plan
    if plan is None:
        return None
    return await engine.identify(plan.receiver, plan.base, source.access.seconds)


async def _dispatch_through(
    source: Source, submission: Submission, disconnected: Disconnected, account: Account | None
) -> tuple[Dispatched, Plan | None] | None:
    """As `_dispatch`, to the agent of that account; None where another agent is to be asked now."""
    refusal: Failure | None = None
    attempts = Attempts(RECORD_SECONDS)
    while await attempts.another():
        async with source.append_lock:
            decided = await _decide(source, submission, account)
            refusal, plan = decided.refusal, decided.plan
            if plan is not None:
                if not _is_current(account, plan):
                    return None
                refusal = decision.unidentified(submission, plan, decided.state)
            if refusal is None:
                result = await _record_dispatch(source, submission, decided, disconnected)
                if isinstance(result, Dispatched):
                    return result, plan
                refusal = result
            if refusal is not None and await _record_refusal(source, submission, decided, refusal):
                raise refusal
    if refusal is not None:
        LOGGER.error("request %s: refused and not recorded: %s", submission.request_id, refusal)
        raise refusal
    await trail.check_room(source.store, source.scope, prefix=source.prefix)
    raise _busy("the state that decides which node leads, or the audit trail,")


def _is_current(account: Account | None, plan: Plan) -> bool:
    """Whether it is the account of the very agent that would get the request, and a recent one."""
    if account is None or (account.node, account.base) != (plan.receiver, plan.base):
        return False
    return uptime() - account.asked_at <= FRESH_SECONDS


async def _record_dispatch(
    source: Source, submission: Submission, decided: Decision, disconnected: Disconnected
) -> Dispatched | Failure | None:
    """Write the dispatch record. A Failure: the client has gone. None: the store has changed."""
    # A server that is frozen from here on is too late when it wakes up (rest_api.py): its lease is
    # younger than that.
    began = uptime()
    keys, plan = decided.state.keys, decided.plan
    seconds = commands.deadline(submission.command, keys, source.seconds)
    lease = await source.store.lease(seconds + LEASE_SLACK_SECONDS) if plan else None
    # The last thing before the record: intent must still be there (P7-A2). It is what makes a
    # request harmless that waited in the socket of a frozen server.
    if await disconnected():
        return decision.caller_gone()
    facts = records.dispatch_facts(plan, keys, seconds)
    transaction = records.dispatch(submission, source.prefix, keys, decided.ledger, facts, lease)
    revision = await _write(source, transaction)
    return None if revision is None else Dispatched(submission, keys, revision, seconds, began)


async def _write(source: Source, transaction: Transaction) -> int | None:
    """Write the dispatch record. One that may not be there is followed by no request (P7-O3)."""
    try:
        return await source.store.transact(transaction.compares, transaction.changes)
    except Failure as failure:
        if failure.error.code == "STORE_UNAVAILABLE":
            words = f"nothing was dispatched: {failure.error.message}"
            failure.error = failure.error.model_copy(update={"message": words})
        raise


async def _record_refusal(
    source: Source, submission: Submission, decided: Decision, refusal: Failure
) -> bool:
    """Record a refusal. False: the store has changed, so it has to be decided again.

    A refusal stays one if the store can't be written: then it is only logged. So is one above the
    caller's limit (throttle.py), which uses up its confirmation all the same (P7-A2).
    """
    keys, ledger = decided.state.keys, decided.ledger
    try:
        room = await throttle.room(source, submission.caller)
        if room is None:
            return await _log_refusal(source, submission, decided, refusal)
        error = room.add_words(refusal.error)
        transaction = records.refusal(submission, keys, ledger, error, decided.confirmed)
        written = await throttle.write(source, submission, transaction, room)
    except Failure as failure:
        LOGGER.error("request %s: %s; not recorded: %s", submission.request_id, refusal, failure)  # noqa: TRY400 - the words say all
        return True
    if written:
        refusal.error = error
    return written


async def _log_refusal(
    source: Source, submission: Submission, decided: Decision, refusal: Failure
) -> bool:
    """Log a refusal above the caller's limit, and use up its confirmation. False: decide again."""
    ledger = decided.ledger
    if ledger.unspent is not None and decision.genuine(submission, decided.state.keys):
        lease = await source.store.lease(SPENT_SECONDS)
        transaction = records.spend_confirmation(submission, ledger, lease)
        if await source.store.transact(transaction.compares, transaction.changes) is None:
            return False
    LOGGER.warning("request %s: %s; not recorded", submission.request_id, refusal)
    return True


def _busy(subject: str) -> Failure:
    message = f"{subject} kept changing; nothing was dispatched"
    return Failure("KERNEL_BUSY", message)
