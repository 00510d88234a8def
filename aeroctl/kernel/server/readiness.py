"""GET /v1/ready: whether the cluster can be read from etcd."""

import logging

from aeroctl.contract.envelope import Note, Ready
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.endpoint import survives_cancelled_reads

LOGGER = logging.getLogger("aerokernel")
UNREADABLE = "the kernel can't read the cluster's keys in etcd; the kernel's log has the reason"
"""Who asks needs no token, and the reason names addresses: it goes to the log."""


async def ready(source: Source) -> Ready:
    """Whether etcd can be read, and what an operator should know of it. Raises Failure."""
    try:
        async with source.in_time():
            await source.keys()
            version = await source.store.version()
    except Failure as failure:
        LOGGER.warning("not ready: %s", failure)
        failure.error = failure.error.model_copy(update={"message": UNREADABLE})
        raise
    notes = [] if survives_cancelled_reads(version) else [_outdated(version)]
    return Ready(status="ready", store_version=version, notes=notes)


def _outdated(version: str | None) -> Note:
    old = (
        f"etcd {version} can crash when a client breaks off a reading transaction (etcd issues "
        "14110, 14891). The kernel sends none to it, but other clients may. Use 3.5.7 or later"
    )
    unknown = "etcd did not report its version; the kernel treats it as an old one"
    return Note(code="STORE_OUTDATED", subject=None, message=old if version else unknown)
