"""GET /v1/audit: who asked for what, and what came of it (P7-O3)."""

from collections.abc import Sequence

from aeroctl.contract.audit import AuditEnvelope
from aeroctl.contract.base import API_VERSION
from aeroctl.kernel.audit import trail
from aeroctl.kernel.callers import Caller
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.server import parameters
from aeroctl.kernel.source import Source, observed

READERS = ("operator", "auditor")


async def audit(source: Source, caller: Caller, pairs: Sequence[tuple[str, str]]) -> AuditEnvelope:
    """A page of the trail. Raises Failure NOT_AUTHORIZED, BAD_PARAMETER, and those of a read."""
    if caller.authority not in READERS:
        message = f"{caller.identity} is an {caller.authority}: it does not read the audit trail"
        raise Failure("NOT_AUTHORIZED", message)
    given = parameters.query(pairs, ["after", "limit", "at", "since"])
    after = parameters.number(given, "after", 0, 2**53 - 1) or 0
    limit = parameters.number(given, "limit", 1, trail.PAGE) or trail.PAGE
    at = parameters.number(given, "at", 1, 2**53 - 1)
    since = parameters.number(given, "since", 1, 2**53 - 1)
    async with source.in_time():
        revision, page = await trail.page(
            source.store, source.scope, after, limit, at, prefix=source.prefix, since=since
        )
        keys = await source.keys(revision)
    return AuditEnvelope(
        api_version=API_VERSION, observed_at=observed(keys, at), data=page, notes=[]
    )
