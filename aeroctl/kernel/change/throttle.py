"""Refusals are recorded, but only so many of one caller's within a minute.

Nobody whose requests are refused may fill the store with them, nor hold up a change: not who may
ask for none, and not an operator's script that goes wild. How many were recorded lately is kept in
the store, so that it holds for every server together, and in the same transaction as the record, so
that it holds at all.
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
from aeroctl.kernel.audit.records import Asked, Transaction
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
"""For how long one is tried to be recorded."""
GAP = f"; further refusals of this caller are not recorded for up to {WINDOW_SECONDS} seconds"
"""The last recorded one says it: a gap is explicit."""

LOGGER = logging.getLogger("aerokernel")


class _Lately(BaseModel):
    """What the caller's key holds. It lives on the lease that it names."""

    model_config = ConfigDict(extra="ignore", strict=True)

    count: Annotated[int, Field(ge=0)]
    lease: int


def key(scope: str, identity: str) -> str:
    """How many of that caller's refusals have been recorded lately."""
    return f"{ROOT}{scope}/refusals/{identity}"


@dataclass(frozen=True, slots=True)
class Room:
    """For one more recorded refusal: what its transaction compares and writes beside the record,
    and what the record's message says beside its own words.
    """

    compares: Sequence[Compare]
    changes: Sequence[Put]
    words: str

    def told(self, error: Error) -> Error:
        """The refusal as it is recorded and answered."""
        return error.model_copy(update={"message": error.message + self.words})


async def room(source: Source, caller: Caller) -> Room | None:
    """None: this caller's refusals have filled theirs. Raises Failure."""
    most = MOST_OF_OPERATORS if caller.authority == "operator" else MOST
    name = key(source.scope, caller.identity)
    found, lately = await _lately(source, name)
    if lately is not None and lately.count >= most:
        source.unrecorded_refusals[caller.identity] = (
            source.unrecorded_refusals.get(caller.identity, 0) + 1
        )
        return None
    if lately is None:
        lately = _Lately(count=0, lease=await source.store.lease(WINDOW_SECONDS))
    lately = lately.model_copy(update={"count": lately.count + 1})
    missed = source.unrecorded_refusals.get(caller.identity, 0)
    words = (
        f"; before it, {missed} refusals of this caller were not recorded here" if missed else ""
    )
    return Room(
        [Compare(name, "modified", found.modified if found else 0)],
        [Put(name, lately.model_dump_json(), lately.lease)],
        words + (GAP if lately.count == most else ""),
    )


async def record(source: Source, asked: Asked, refusal: Failure) -> None:
    """Record `refusal`, and take the id, if few of this caller's were; else it is only logged.

    What the caller says of itself and its reason stay out of the trail. Never raises: a refusal
    that can't be recorded is one all the same.
    """
    try:
        recorded = await _recorded(source, asked, refusal)
    except Failure as failure:
        LOGGER.error("request %s: %s; not recorded: %s", asked.request_id, refusal, failure)  # noqa: TRY400 - the words say all
    else:
        if not recorded:
            LOGGER.warning("request %s: %s; not recorded", asked.request_id, refusal)


async def _recorded(source: Source, asked: Asked, refusal: Failure) -> bool:
    attempts = Attempts(TRY_SECONDS)
    while await attempts.another():
        # before the pen is taken: whoever is refused again and again must not hold it
        _, lately = await _lately(source, key(source.scope, asked.caller.identity))
        async with AsyncExitStack() as held:
            if lately is None or lately.count < MOST:
                await held.enter_async_context(source.append_lock)
            free = await room(source, asked.caller)
            if free is None:
                return False
            keys, kept = await source.keys_and_ledger(asked.request_id)
            error = free.told(refusal.error)
            written = records.refusal(_unheard(asked), keys, kept, error, None)
            if await write(source, asked, written, free):
                refusal.error = error
                return True
    return False


async def write(source: Source, asked: Asked, written: Transaction, free: Room) -> bool:
    """Write the record of a refusal in its room. False: the store has moved on meanwhile."""
    revision = await source.store.transact(
        [*written.compares, *free.compares], [*written.changes, *free.changes]
    )
    if revision is not None:
        source.unrecorded_refusals.pop(asked.caller.identity, None)
    return revision is not None


async def _lately(source: Source, name: str) -> tuple[KeyValue | None, _Lately | None]:
    found = (await source.store.read_together([], [name])).keys.get(name)
    return found, _parsed(name, found)


def _parsed(name: str, found: KeyValue | None) -> _Lately | None:
    try:
        return None if found is None else _Lately.model_validate_json(found.value)
    except ValidationError as error:
        raise unreadable(name, "not a count of refusals") from error


def _unheard(asked: Asked) -> Asked:
    """Without the words of somebody whom nobody vouches for."""
    nobody = Client(user=None, host=None, version=None)
    return replace(
        asked, request=asked.request.model_copy(update={"reason": None, "client": nobody})
    )
