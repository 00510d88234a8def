"""Trying again: at once, then a little later each time, and not for ever."""

import asyncio

from aeroctl.kernel.timing import LONGEST_PAUSE, Attempts, uptime


def tries(seconds: float) -> int:
    async def run() -> int:
        attempts, count = Attempts(seconds), 0
        while await attempts.another():
            count += 1
        return count

    return asyncio.run(run())


def test_one_is_always_made() -> None:
    assert tries(0) == 1


def test_it_ends() -> None:
    began = uptime()
    assert tries(0.3) > 2
    assert uptime() - began < 0.3 + 5 * LONGEST_PAUSE
