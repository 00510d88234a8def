"""The end of a change: its outcome is recorded in the audit trail, and answered."""

import contextlib
import logging
from collections.abc import Sequence

from aeroctl.contract.base import API_VERSION
from aeroctl.contract.envelope import Note
from aeroctl.contract.requests import RequestEnvelope, RequestStatus
from aeroctl.kernel.audit import records
from aeroctl.kernel.audit.records import Dispatched
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.source import Source, notes, observed
from aeroctl.kernel.timing import Attempts

RECORD_SECONDS = 3.0
"""For how long it is tried to record an outcome: while other records come before it, and while it
is not known whether it was written."""

LOGGER = logging.getLogger("aerokernel")


async def record(
    source: Source, dispatched: Dispatched, status: RequestStatus
) -> tuple[RequestStatus, list[Note]]:
    """Append the outcome to the audit trail, once.

    Where that fails, the outcome is known all the same. It is answered, with a note.
    """
    problem, may_be_written = "other records were written before it, again and again", False
    attempts = Attempts(RECORD_SECONDS)
    while await attempts.another():
        writing = False
        try:
            async with source.append_lock:
                _, ledger = await source.keys_and_ledger(status.request_id)
                revision: int | None = ledger.request_revision
                # An earlier attempt may have written it, although its answer was lost.
                if len(ledger.request or ()) <= len(records.DISPATCHED):
                    transaction = records.outcome(dispatched, ledger, status)
                    writing = True
                    revision = await source.store.transact(
                        transaction.compares, transaction.changes
                    )
        except Failure as failure:
            problem = failure.error.message
            if failure.error.code != "STORE_UNAVAILABLE":
                break
            may_be_written = may_be_written or writing
        else:
            if revision is not None:
                revisions = status.revisions.model_copy(update={"outcome": revision})
                return status.model_copy(update={"revisions": revisions}), []
    return status, [_not_recorded(status.request_id, problem, may_be_written=may_be_written)]


def _not_recorded(request_id: str, problem: str, *, may_be_written: bool) -> Note:
    verb = "may not be" if may_be_written else "is not"
    LOGGER.error("request %s: its outcome %s recorded: %s", request_id, verb, problem)
    message = f"the outcome {verb} in the audit trail: {problem}"
    return Note(code="OUTCOME_NOT_RECORDED", subject=None, message=message)


async def envelope(
    source: Source, proved_from: ClusterKeys, status: RequestStatus, more: Sequence[Note]
) -> RequestEnvelope:
    """The answer, as of a revision that holds the outcome's own record.

    Where the store can't be read again, it is as of the state that the outcome was `proved_from`.
    """
    keys = proved_from
    with contextlib.suppress(Failure):
        keys = await source.keys()
    return RequestEnvelope(
        api_version=API_VERSION,
        observed_at=observed(keys, None),
        data=status,
        notes=[*notes(keys, {}), *more],
    )
