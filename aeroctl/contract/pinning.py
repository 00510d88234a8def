"""Which revisions may have stood at a time. Pure.

A logged time bounds from two sides: what had happened by then, and what happened after it. Clocks
order nothing, so where those bounds leave no revision the time is refused.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from aeroctl.contract.events import Logged, Pin

NAMED = 8
"""Revisions that a refusal names."""


class NotPinned(LookupError):
    """No revision can stand for that time; the words say why."""


class Pinning:
    """Finding the revisions for the time `asked`, as logged times are shown, in any order."""

    def __init__(self, asked: str, now: str | None) -> None:
        """`now`: by the clock of whoever keeps the log, null where it is not known; what is logged
        as later than that bounds nothing. Raises NotPinned: `asked` is in the future.
        """
        self._asked = asked
        self._instant = datetime.fromisoformat(asked)
        self._now = None if now is None else datetime.fromisoformat(now)
        self._before: Logged | None = None
        self._pins: list[Logged] = []
        self._after: Logged | None = None
        self._earliest: Logged | None = None
        if self._now is not None and self._instant > self._now:
            raise NotPinned(f"{asked} is in the future: it is {now}")

    def see(self, each: Logged) -> None:
        """One more that was logged."""
        time = datetime.fromisoformat(each.time)
        if self._now is not None and time > self._now:
            return
        if self._earliest is None or each.revision < self._earliest.revision:
            self._earliest = each
        if time <= self._instant and each.source == "clock":
            self._pins.append(each)
        elif time <= self._instant and each.reached > (self._before.reached if self._before else 0):
            self._before = each
        if time >= self._instant and (self._after is None or each.revision < self._after.revision):
            self._after = each

    def pinned(self, reached: int, newest: int) -> Pin:
        """What they leave, of the revisions up to `newest`, which is of now or of where the log
        ends.

        `reached`: a revision that was there by now. Raises NotPinned: they contradict each other.
        """
        before, after = self._last_before(), self._after
        first = before.reached if before else 0
        if self._now == self._instant and reached > first:
            before, first = None, reached
        last = newest if after is None else min(after.revision - 1, newest)
        if first > last:
            assert after is not None
            raise NotPinned(
                f"the logged times contradict each other around {self._asked}: by "
                f"{before.time if before else 'now'} revision {first} was there"
                f"{f', by the clock of {before.clock}' if before else ''}, and revision "
                f"{after.revision} came after {after.time}, by the clock of {after.clock}"
            )
        return Pin(
            asked=self._asked, first=first, last=last, before=before, after=after, moved=None
        )

    def _last_before(self) -> Logged | None:
        """What had reached the furthest by the time asked for.

        A pin of a clock that was set back says nothing of when: one of an earlier revision has a
        later time, so that it was written later than it says, by nobody knows how much.
        """
        pins = sorted(self._pins, key=lambda pin: pin.revision)
        revisions = [pin.revision for pin in pins]
        times = [datetime.fromisoformat(pin.time) for pin in pins]
        latest = list(accumulate(times, max))
        found: Logged | None = None
        for each in (*pins, *([self._before] if self._before else [])):
            earlier = bisect_right(revisions, each.reached)
            behind = earlier and latest[earlier - 1] > datetime.fromisoformat(each.time)
            if not behind and each.reached > (found.reached if found else 0):
                found = each
        return found

    def check_bounded(self, pin: Pin, *, ends: bool) -> None:
        """Raise NotPinned where a side of the pin is open, so that no state is known for the time.

        `ends`: the log ends before now.
        """
        if pin.first == 0:
            first = self._earliest
            since = "no time is logged" if first is None else f"the first is {first.time}"
            words = f"no time is logged at or before {pin.asked}, so what stood then is not known"
            raise NotPinned(f"{words}; {since}")
        if ends and pin.after is None:
            raise NotPinned(f"{pin.asked} is later than the last logged time")


def settled(pin: Pin, changes: Sequence[int], moved: int) -> Pin:
    """The pin, for a state: one of `changes` (revisions after its first one) leaves it unknown.

    `moved`: so many other revisions moved WAL positions. Raises NotPinned, naming the revisions.
    """
    if not changes:
        return pin.model_copy(update={"moved": moved})
    named = ", ".join(map(str, changes[:NAMED]))
    more = f" and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
    end = f", and revision {pin.after.revision} after {pin.after.time}" if pin.after else ""
    begin = f" was there by {pin.before.time}" if pin.before else ""
    at = "revisions" if len(changes) > 1 else "revision"
    raise NotPinned(
        f"which state stood at {pin.asked} is not known: revision {pin.first}{begin}{end}, and in "
        f"between the state changed at {at} {named}{more}"
    )
