"""How many requests are worked on at a time, and how many may wait for their turn.

Each kind of request has a gate of its own, so that a change and what leads to it never wait behind
readers. Who would have to wait for too long is told so at once: nobody is served by a long queue.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aeroctl.kernel.failures import busy

WAIT_SECONDS = 4.0
"""For how long a request waits for its turn."""


class Gate:
    """`turns` requests at a time; `queue` more may wait, first come first served."""

    def __init__(self, turns: int, queue: int, seconds: float = WAIT_SECONDS) -> None:
        self._turns = asyncio.Semaphore(turns)
        self._free = queue
        self._seconds = seconds

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises Failure KERNEL_BUSY: at once where too many wait, later where it took too long."""
        if self._turns.locked():
            if not self._free:
                raise busy(
                    "the kernel has more requests than it can answer: too many are already waiting"
                )
            self._free -= 1
            try:
                async with asyncio.timeout(self._seconds):
                    await self._turns.acquire()
            except TimeoutError as error:
                message = f"the request was not started within {self._seconds:g} seconds"
                raise busy(f"{message}: the kernel is busy with other requests") from error
            finally:
                self._free += 1
        else:
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()


@dataclass(frozen=True, slots=True)
class Gates:
    """The gates of one server.

    `readers`: of the store as it is now, which takes milliseconds. `askers`: readers for whom the
    nodes are asked too, any of which may let wait. `historians`: readers of the past, who take
    long. `operators`: to have a change explained, or told what became of it; everybody else's way
    to that is `explanations`, where a caller also waits that asks for a change and may not.
    """

    readers: Gate = field(default_factory=lambda: Gate(16, 256))
    askers: Gate = field(default_factory=lambda: Gate(8, 64))
    historians: Gate = field(default_factory=lambda: Gate(4, 28))
    explanations: Gate = field(default_factory=lambda: Gate(16, 32))
    operators: Gate = field(default_factory=lambda: Gate(16, 32))
    commands: Gate = field(default_factory=lambda: Gate(16, 32))
    probes: Gate = field(default_factory=lambda: Gate(2, 14))
