"""Which commit stands for a time. Pure; clocks order nothing, so a time that they don't place
without contradiction is refused.
"""

from collections.abc import Iterable
from datetime import datetime

from aeroctl.contract.events import Logged, Pin


class NotPinned(LookupError):
    """No commit can stand for that time; the words say why."""


class Pinning:
    """Finding the commit for the time `asked`, as logged times are shown in order of commit."""

    def __init__(self, asked: str, now: str | None) -> None:
        self._asked = asked
        self._instant = datetime.fromisoformat(asked)
        self._now = now
        self._taken: Logged | None = None
        self._following: Logged | None = None
        if now is not None and self._instant > datetime.fromisoformat(now):
            raise NotPinned(f"{asked} is in the future: it is {now}")

    def see(self, each: Logged) -> None:
        """The next one that was logged. Raises NotPinned: it contradicts one before it."""
        if datetime.fromisoformat(each.time) > self._instant:
            self._following = self._following or each
            return
        following = self._following
        if following is not None and following.commit_id < each.commit_id:
            raise NotPinned(
                f"the logged times contradict each other around {self._asked}: commit "
                f"{following.commit_id} was logged at {following.time} by {following.clock}, "
                f"the later commit {each.commit_id} at {each.time} by {each.clock}"
            )
        self._taken = each

    def pinned(self) -> Pin:
        """The last of them at or before that time. Raises NotPinned: there is none, or later."""
        asked, taken, following = self._asked, self._taken, self._following
        if taken is None:
            first = "no time is logged" if following is None else f"the first is {following.time}"
            raise NotPinned(f"no commit is logged at or before {asked}; {first}")
        if self._now is None and following is None:
            raise NotPinned(f"{asked} is later than the last logged time, {taken.time}")
        return Pin(asked=asked, taken=taken, following=following)


def pin(asked: str, logged: Iterable[Logged], now: str | None) -> Pin:
    """The last of `logged`, in order of commit, at or before the time `asked`.

    `now`: by the clock of whoever keeps the log, null where it is not known. Times as in the
    contract. In constant memory. Raises NotPinned: before the first logged time, in the future, or
    logged times that contradict each other around it.
    """
    pinning = Pinning(asked, now)
    for each in logged:
        pinning.see(each)
    return pinning.pinned()
