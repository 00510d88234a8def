"""Elapsed time, for deadlines and retries. It never orders events (P7-D1)."""

import asyncio
import random
import sys
import time

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.2
"""Seconds; a pause is a random part of them, so that two processes don't collide repeatedly."""


def uptime() -> float:
    """Seconds of a monotonic clock. On Linux it also runs while the machine is suspended, as the
    time of a lease in etcd does.
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
        """Whether there is time for another attempt; pauses before each but the first."""
        if self._pause:
            await asyncio.sleep(random.uniform(0, self._pause))  # noqa: S311 - no secret
            if uptime() >= self._ends:
                return False
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LONGEST_PAUSE)
        return True
