"""Whether the HA loop of the leader's agent is running: etcd is asked how long its lease lasts."""

import asyncio

from aeroctl.kernel.patroni.renewals import Pulse, Renewals, Sample, add_sample
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.kernel.timing import uptime

POLL_SECONDS = 0.3


async def take_sample(store: Etcd, lease: int, pulse: Pulse | None, revision: int) -> Pulse | None:
    """The pulse with one more sample; None: the lease has ended. Raises Failure as
    `Etcd.remaining`.
    """
    asked = uptime()
    seconds, term = await store.remaining(lease)
    if seconds < 0:
        return None
    return add_sample(pulse, Sample(lease, seconds, term, asked, uptime()), revision)


async def observe(
    store: Etcd, lease: int, count: int, revision: int, seconds: float
) -> Renewals | None:
    """Wait for so many renewals after `revision`, or for as many as come within `seconds`.

    An HA loop that takes long renews the lease once more just before it writes the member entry. So
    a little time is left after the last renewal, before the caller reads the keys.
    Raises Failure as `Etcd.remaining`.
    """
    ends = uptime() + seconds
    pulse: Pulse | None = None
    while uptime() < ends:
        pulse = await take_sample(store, lease, pulse, revision)
        if pulse is None:
            return None
        await asyncio.sleep(POLL_SECONDS)
        if pulse.count >= count:
            break
    return pulse.renewals if pulse else None
