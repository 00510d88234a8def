"""GET /v1/audit: who asked for what, and what came of it (P7-O3)."""

from aeroctl.contract.audit import AuditEnvelope
from aeroctl.contract.base import API_VERSION
from aeroctl.contract.queries import AuditQuery
from aeroctl.kernel.audit import trail
from aeroctl.kernel.callers import Caller
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.source import Source, observed

READERS = ("operator", "auditor")


async def audit(source: Source, caller: Caller, query: AuditQuery) -> AuditEnvelope:
    """A page of the trail. Raises Failure NOT_AUTHORIZED, and those of a read."""
    if caller.authority not in READERS:
        who = f"{caller.identity} is an {caller.authority}"
        raise Failure("NOT_AUTHORIZED", f"{who}; the audit trail is for operators and auditors")
    async with source.in_time():
        revision, page = await trail.page(
            source.store,
            source.scope,
            query.after,
            query.limit,
            query.at,
            prefix=source.prefix,
            since=query.since,
        )
        keys = await source.keys(revision)
    return AuditEnvelope(
        api_version=API_VERSION, observed_at=observed(keys, query.at), data=page, notes=[]
    )
