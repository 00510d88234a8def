"""Turns: nobody waits for long, and none is lost."""

import asyncio
import time

import pytest

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.server.gates import Gate


async def pass_through(gate: Gate, until: asyncio.Event) -> None:
    async with gate.turn():
        await until.wait()


def test_the_queue_is_full() -> None:
    async def run() -> None:
        gate, done = Gate(2, 3, seconds=30), asyncio.Event()
        inside = [asyncio.create_task(pass_through(gate, done)) for _ in range(5)]
        await asyncio.sleep(0)
        began = time.monotonic()
        with pytest.raises(Failure) as caught:
            await pass_through(gate, done)
        assert time.monotonic() - began < 1
        error = caught.value.error
        assert (error.code, error.outcome, caught.value.status) == (
            "KERNEL_BUSY",
            "not_executed",
            503,
        )
        done.set()
        await asyncio.gather(*inside)
        await pass_through(gate, done)

    asyncio.run(run())


def test_who_waits_too_long() -> None:
    async def run() -> None:
        gate, done = Gate(1, 1, seconds=0.05), asyncio.Event()
        inside = asyncio.create_task(pass_through(gate, done))
        await asyncio.sleep(0)
        for _ in range(3):  # each leaves its place in the queue
            with pytest.raises(Failure, match="was not started within"):
                await pass_through(gate, done)
        done.set()
        await inside
        await pass_through(gate, done)

    asyncio.run(run())


@pytest.mark.parametrize("waited", [0, 1, 3])
def test_who_goes_away_takes_no_turn_along(waited: int) -> None:
    async def run() -> None:
        gate, done = Gate(2, 10, seconds=5), asyncio.Event()
        for _ in range(20):
            tasks = [asyncio.create_task(pass_through(gate, done)) for _ in range(8)]
            for _ in range(waited):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        done.set()
        await asyncio.gather(*(pass_through(gate, done) for _ in range(6)))

    asyncio.run(run())
