"""Refusals of callers without authority: each is recorded, but only so many of them.

Whoever may not ask for a change must not hold one up, nor fill the store. How many were recorded
lately is kept in the store, so that it holds for every server together, and in the same transaction
as the record, so that it holds at all.
"""

import logging
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aeroctl.contract.requests import Client
from aeroctl.kernel import recording
from aeroctl.kernel.etcd import Compare, Put
from aeroctl.kernel.failures import Failure, unreadable
from aeroctl.kernel.keyspace import KeyValue
from aeroctl.kernel.ledger import ROOT
from aeroctl.kernel.recording import Asked
from aeroctl.kernel.snapshot import Source
from aeroctl.kernel.timing import Attempts

MOST = 10
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
    name = key(source.scope, asked.caller.identity)
    while await attempts.another():
        found = (await source.store.read_together([], [name])).keys.get(name)
        lately = _parsed(name, found)
        if lately is not None and lately.count >= MOST:
            return False
        async with source.pen:
            kernel, kept = await source.kernel_and_ledger(asked.request_id)
            if lately is None:
                lately = _Lately(count=0, lease=await source.store.lease(WINDOW_SECONDS))
            lately = lately.model_copy(update={"count": lately.count + 1})
            last = GAP if lately.count == MOST else ""
            error = refusal.error.model_copy(update={"message": refusal.error.message + last})
            written = recording.refusal(_unheard(asked), kernel, kept, error, None)
            commit = await source.store.transact(
                [*written.compares, Compare(name, "modified", found.modified if found else 0)],
                [*written.changes, Put(name, lately.model_dump_json(), lately.lease)],
            )
        if commit is not None:
            refusal.error = error
            return True
    return False


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
