"""Limits on the requests that run at a time, and on those that wait for their turn.

Each kind of request has a gate of its own, so that commands and explanations never wait behind
reads. A request that finds the queue full is refused at once, because a long queue helps no client.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aeroctl.kernel.failures import busy

WAIT_SECONDS = 4.0
"""How long a request waits for its turn."""


class Gate:
    """`turns` requests at a time; `queue` more may wait, first come first served."""

    def __init__(self, turns: int, queue: int, seconds: float = WAIT_SECONDS) -> None:
        self._turns = asyncio.Semaphore(turns)
        self._free = queue
        self._seconds = seconds

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Run in turn. Raises Failure KERNEL_BUSY: the queue is full, or the wait too long."""
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

    `store_reads`: reads of the store's present state, which take milliseconds. `node_reads`: those
    that also query the nodes, any of which may be slow. `history_reads`: reads of earlier
    revisions, which take long. `operators`: explanations and outcomes for operators.
    `explanations`: the same for other callers, and commands of callers that may not run them.
    """

    store_reads: Gate = field(default_factory=lambda: Gate(16, 256))
    node_reads: Gate = field(default_factory=lambda: Gate(8, 64))
    history_reads: Gate = field(default_factory=lambda: Gate(4, 28))
    explanations: Gate = field(default_factory=lambda: Gate(16, 32))
    operators: Gate = field(default_factory=lambda: Gate(16, 32))
    commands: Gate = field(default_factory=lambda: Gate(16, 32))
    probes: Gate = field(default_factory=lambda: Gate(2, 14))
