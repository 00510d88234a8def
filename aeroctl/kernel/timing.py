"""Time as it is spent, for deadlines and for trying again. It orders nothing (P7-D1)."""

import asyncio
import random
import sys
import time

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.2
"""Seconds; a pause is a random part of it, so that two who collided don't do so again."""


def uptime() -> float:
    """Seconds that only grow. They also count while the machine sleeps, where the system can tell:
    a lease in the store does not wait for it.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Attempts:
    """`while await attempts.another():` at once, and then again until `seconds` have passed."""

    def __init__(self, seconds: float) -> None:
        self._ends = uptime() + seconds
        self._pause = 0.0

    async def another(self) -> bool:
        """Whether there is time for one more; waits a little before every one but the first."""
        if self._pause:
            await asyncio.sleep(random.uniform(0, self._pause))  # noqa: S311 - no secret
            if uptime() >= self._ends:
                return False
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        return True
