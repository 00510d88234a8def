"""GET /v1/commits: which commit stands for a time, by the times that the kernel's logs pin to one.

Those are the audit records', each written in the commit that it has, and those of the rows of
Patroni's history, whose commits are in the store's own history as far back as it reaches.
"""

import heapq
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import attrgetter

from pydantic import TypeAdapter, ValidationError

from aeroctl.contract.base import API_VERSION, Time
from aeroctl.contract.events import Logged, PinEnvelope
from aeroctl.contract.pinning import NotPinned, Pinning
from aeroctl.kernel import body, patroni, snapshot, trail
from aeroctl.kernel.events import clock, ended
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.snapshot import Source, rfc3339

TIME: TypeAdapter[str] = TypeAdapter(Time)
LONGEST = 2**31
"""Seconds of a duration; it is less than that."""


async def commits(source: Source, parameters: Sequence[tuple[str, str]]) -> PinEnvelope:
    """The last commit that was logged at or before a time, given as such or as so long ago.

    A duration counts from this server's clock, and a time after that is none yet. Raises Failure:
    BAD_PARAMETER, TIME_NOT_PINNED, KERNEL_BUSY, and those of Source.kernel.
    """
    given = body.query(parameters, ["time", "ago", "at"])
    at = body.number(given, "at", 1, 2**53 - 1)
    now = datetime.now(UTC)
    asked = _asked(given, now)
    try:
        async with source.in_time(), source.past:
            kernel = await source.kernel(at)
            pinning = Pinning(asked, rfc3339(now))
            async for each in _logged(source, kernel.commit_id):
                pinning.see(each)
            pin = pinning.pinned()
    except NotPinned as error:
        raise Failure(
            409, "kernel_rejection", "TIME_NOT_PINNED", str(error), invariants=["P7-D1"]
        ) from error
    return PinEnvelope(
        api_version=API_VERSION, observed_at=snapshot.observed(kernel, at, now), data=pin, notes=[]
    )


def _asked(given: dict[str, str], now: datetime) -> str:
    if given.keys().isdisjoint({"time", "ago"}) or {"time", "ago"} <= given.keys():
        raise body.bad_parameter("give a time, or ago, and not both")
    ago = body.number(given, "ago", 0, LONGEST - 1)
    if ago is not None:
        return rfc3339(now - timedelta(seconds=ago))
    try:
        time = TIME.validate_python(given["time"])
        datetime.fromisoformat(time)
    except (ValidationError, ValueError):
        words = f"not a time in UTC such as 2026-11-23T10:15:19Z: {given['time'][:32]!r}"
        raise body.bad_parameter(words) from None
    return time


async def _logged(source: Source, at: int) -> AsyncIterator[Logged]:
    """All of them in order of commit, a page of them at a time."""
    rows = await _history(source, at)
    async for page in trail.times(source.store, source.scope, at, prefix=source.prefix):
        last = page[-1].commit_id if page else 0
        early = [row for row in rows if row.commit_id <= last]
        rows = rows[len(early) :]
        for each in heapq.merge(page, early, key=attrgetter("commit_id")):
            yield each
    for each in rows:
        yield each


async def _history(source: Source, at: int) -> list[Logged]:
    """The rows of Patroni's history whose commit is known: when the row came. Compaction leaves
    only when the key was last written.
    """
    initialize = source.prefix + "initialize"
    begun = (await source.store.read_together([], [initialize], at)).keys.get(initialize)
    found = []
    versions = await source.store.versions(source.prefix + "history", at)
    for old, new in pairwise((None, *versions)):
        if new is None or (old is None and new.created != new.modified):
            continue
        for row, exact in ended(old, new, begun):
            time = patroni.utc(row.time)
            if exact and time is not None:
                found.append(
                    Logged(commit_id=new.modified, time=time, clock=clock(row), source="history")
                )
    return found
