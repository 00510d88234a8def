"""How often the agent of the leader renewed the lease of the leader key. Pure.

Patroni renews it in every HA loop (patroni/ha.py, `update_lock`), also while something else is
under way. etcd's history does not show that: it is seen by asking again and again how long the
lease lasts (pulse.py).
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Renewals:
    """The lease of the leader key was renewed at least `count` times after revision `since`."""

    since: int
    count: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A lease had `seconds` left, rounded down, at some time between `asked` and `answered`.

    `term`: etcd's Raft term, which is new when etcd's own leader changes.
    """

    lease: int
    seconds: int
    term: int
    asked: float
    answered: float


@dataclass(frozen=True, slots=True)
class Pulse:
    """The renewals of a lease that are certain so far: `count` of them after revision `since`.

    Until the last one of them, the lease was to end before the time `ends`.
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


def add_sample(pulse: Pulse | None, sample: Sample, revision: int) -> Pulse:
    """The pulse with one more sample, taken when `revision` was already in the store.

    A new leader of etcd makes leases last longer, so that the count begins again.
    """
    ends = sample.answered + sample.seconds + 1
    if pulse is None or (pulse.lease, pulse.term) != (sample.lease, sample.term):
        return Pulse(sample.lease, sample.term, revision, ends)
    if sample.asked + sample.seconds >= pulse.ends:
        return replace(pulse, ends=ends, count=pulse.count + 1)
    return replace(pulse, ends=min(pulse.ends, ends))
