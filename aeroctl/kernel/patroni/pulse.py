"""Whether an agent's loop is running: how often it renews the lease of its leader key.

Patroni renews it in every HA loop (`update_lock`), also while it does something else. Nothing of
that is in the store's history: it is seen by asking how long the lease lasts, again and again.
"""

import asyncio
from dataclasses import dataclass, replace

from aeroctl.kernel.prove.judge import Renewals
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.kernel.timing import uptime

POLL_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Sample:
    """A lease that had `seconds` left, rounded down, at a time between `asked` and `answered`."""

    lease: int
    seconds: int
    term: int
    asked: float
    answered: float


@dataclass(frozen=True, slots=True)
class Pulse:
    """`count` renewals of a lease, certainly, after revision `since`; it ended before `ends` until
    the last one of them.
    """

    lease: int
    term: int
    since: int
    ends: float
    count: int = 0

    @property
    def renewals(self) -> Renewals:
        """As evidence."""
        return Renewals(self.since, self.count)


def felt(pulse: Pulse | None, sample: Sample, revision: int) -> Pulse:
    """With one more sample, taken after that `revision` was there. Pure.

    A change of the store's own leader makes leases last longer: then it is counted from nothing.
    """
    ends = sample.answered + sample.seconds + 1
    if pulse is None or (pulse.lease, pulse.term) != (sample.lease, sample.term):
        return Pulse(sample.lease, sample.term, revision, ends)
    if sample.asked + sample.seconds >= pulse.ends:
        return replace(pulse, ends=ends, count=pulse.count + 1)
    return replace(pulse, ends=min(pulse.ends, ends))


async def feel(store: Etcd, lease: int, pulse: Pulse | None, revision: int) -> Pulse | None:
    """Take a sample; None: the lease has ended. Raises Failure as `Etcd.remaining`."""
    asked = uptime()
    seconds, term = await store.remaining(lease)
    if seconds < 0:
        return None
    return felt(pulse, Sample(lease, seconds, term, asked, uptime()), revision)


async def observe(
    store: Etcd, lease: int, count: int, revision: int, seconds: float
) -> Renewals | None:
    """So many renewals after `revision`, or as many as there were within `seconds`.

    A loop that takes long renews the lease once more just before it writes its entry, so that what
    is read after the last one is read a little later. Raises Failure as `Etcd.remaining`.
    """
    ends = uptime() + seconds
    pulse: Pulse | None = None
    while uptime() < ends:
        pulse = await feel(store, lease, pulse, revision)
        if pulse is None:
            return None
        await asyncio.sleep(POLL_SECONDS)
        if pulse.count >= count:
            break
    return pulse.renewals if pulse else None
