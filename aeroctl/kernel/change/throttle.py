"""Refusals are recorded, but only a limited number for each caller within a minute.

A caller whose requests are refused must neither fill the store nor delay a change: neither a caller
without the authority for changes, nor an operator's script that loops. The number of recent records
is stored in etcd, so that the limit holds for all servers together, and it is written in the same
transaction as the record, so that it can't be passed.
"""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aeroctl.contract.errors import Error
from aeroctl.contract.requests import Client
from aeroctl.kernel.audit import records
from aeroctl.kernel.audit.ledger import ROOT
from aeroctl.kernel.audit.records import Submission, Transaction
from aeroctl.kernel.callers import Caller
from aeroctl.kernel.failures import Failure, unreadable
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.keyspace import KeyValue
from aeroctl.kernel.store.requests import Compare, Put
from aeroctl.kernel.timing import Attempts

MOST, MOST_OF_OPERATORS = 10, 60
"""Refusals of one caller that are recorded within WINDOW_SECONDS."""
WINDOW_SECONDS = 60
TRY_SECONDS = 3.0
"""For how long the kernel tries to record one refusal."""
GAP = f"; further refusals of this caller are not recorded for up to {WINDOW_SECONDS} seconds"
"""Added to the last refusal that is recorded: a gap in the trail is explicit."""

LOGGER = logging.getLogger("aerokernel")


class _RecentRefusals(BaseModel):
    """The value of a caller's key. The key lives on the lease that it names."""

    model_config = ConfigDict(extra="ignore", strict=True)

    count: Annotated[int, Field(ge=0)]
    lease: int


def key(scope: str, identity: str) -> str:
    """The key that counts the recent recorded refusals of a caller."""
    return f"{ROOT}{scope}/refusals/{identity}"


@dataclass(frozen=True, slots=True)
class Room:
    """Room for one more recorded refusal: what its transaction compares and writes beside the
    record, and what is added to the record's message.
    """

    compares: Sequence[Compare]
    changes: Sequence[Put]
    words: str

    def add_words(self, error: Error) -> Error:
        """The refusal as it is recorded and answered."""
        return error.model_copy(update={"message": error.message + self.words})


async def room(source: Source, caller: Caller) -> Room | None:
    """Room for one more refusal of this caller; None: the limit is reached. Raises Failure."""
    most = MOST_OF_OPERATORS if caller.authority == "operator" else MOST
    name = key(source.scope, caller.identity)
    stored, recent = await _recent_refusals(source, name)
    if recent is not None and recent.count >= most:
        source.unrecorded_refusals[caller.identity] = (
            source.unrecorded_refusals.get(caller.identity, 0) + 1
        )
        return None
    if recent is None:
        recent = _RecentRefusals(count=0, lease=await source.store.lease(WINDOW_SECONDS))
    recent = recent.model_copy(update={"count": recent.count + 1})
    missed = source.unrecorded_refusals.get(caller.identity, 0)
    words = (
        f"; before it, {missed} refusals of this caller were not recorded here" if missed else ""
    )
    return Room(
        [Compare(name, "modified", stored.modified if stored else 0)],
        [Put(name, recent.model_dump_json(), recent.lease)],
        words + (GAP if recent.count == most else ""),
    )


async def record(source: Source, submission: Submission, refusal: Failure) -> None:
    """Record `refusal` and use up the request id, below the caller's limit; else only log it.

    What the caller says of itself and its reason stay out of the trail. Never raises: a refusal
    stays a refusal if it can't be recorded.
    """
    try:
        recorded = await _recorded(source, submission, refusal)
    except Failure as failure:
        LOGGER.error("request %s: %s; not recorded: %s", submission.request_id, refusal, failure)  # noqa: TRY400 - the words say all
    else:
        if not recorded:
            LOGGER.warning("request %s: %s; not recorded", submission.request_id, refusal)


async def _recorded(source: Source, submission: Submission, refusal: Failure) -> bool:
    attempts = Attempts(TRY_SECONDS)
    while await attempts.another():
        # before the lock is taken: a caller that is refused again and again must not hold it
        _, recent = await _recent_refusals(source, key(source.scope, submission.caller.identity))
        async with AsyncExitStack() as locks:
            if recent is None or recent.count < MOST:
                await locks.enter_async_context(source.append_lock)
            free = await room(source, submission.caller)
            if free is None:
                return False
            keys, ledger = await source.keys_and_ledger(submission.request_id)
            error = free.add_words(refusal.error)
            written = records.refusal(_without_words(submission), keys, ledger, error, None)
            if await write(source, submission, written, free):
                refusal.error = error
                return True
    return False


async def write(source: Source, submission: Submission, written: Transaction, free: Room) -> bool:
    """Write the record of a refusal in its room. False: the store has moved on meanwhile."""
    revision = await source.store.transact(
        [*written.compares, *free.compares], [*written.changes, *free.changes]
    )
    if revision is not None:
        source.unrecorded_refusals.pop(submission.caller.identity, None)
    return revision is not None


async def _recent_refusals(
    source: Source, name: str
) -> tuple[KeyValue | None, _RecentRefusals | None]:
    stored = (await source.store.read_together([], [name])).keys.get(name)
    return stored, _parsed(name, stored)


def _parsed(name: str, stored: KeyValue | None) -> _RecentRefusals | None:
    try:
        return None if stored is None else _RecentRefusals.model_validate_json(stored.value)
    except ValidationError as error:
        raise unreadable(name, "not a count of refusals") from error


def _without_words(submission: Submission) -> Submission:
    """Without what the caller wrote: its reason, and what it says of its machine."""
    unknown = Client(user=None, host=None, version=None)
    return replace(
        submission,
        request=submission.request.model_copy(update={"reason": None, "client": unknown}),
    )
