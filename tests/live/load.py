"""Many readers at once, some of whom hang up: what they were answered, and when all is quiet again.

Bounded in count and in time. Each reader is one connection and one request.
"""

import asyncio
import json
import random
import resource
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PATIENCE = 60.0
QUIET = "/v1/snapshot?include=cluster,nodes"
PATHS = (
    QUIET,
    "/v1/snapshot",
    "/v1/events",
    "/v1/events?window=200",
    "/v1/revisions?ago=1",
    "/v1/openapi.json",
    "/v1/snapshot?include=promotion",
)


@dataclass
class Figures:
    """What came of a burst: answers by status and code, seconds of each, and until it was over."""

    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    recovery: float = 0.0

    @property
    def lost(self) -> int:
        """Readers that stayed, and got no answer at all."""
        return self.answers["lost"]

    def line(self) -> str:
        """In one line."""
        took = sorted(self.seconds) or [0.0]
        worst = took[int(len(took) * 0.99)]
        told = ", ".join(f"{count} {answer}" for answer, count in sorted(self.answers.items()))
        return (
            f"{sum(self.answers.values())} readers: {told}; median "
            f"{statistics.median(took) * 1000:.0f} ms, 99 % {worst * 1000:.0f} ms, slowest "
            f"{took[-1] * 1000:.0f} ms; quiet again after {self.recovery * 1000:.0f} ms"
        )


def burst(
    url: str,
    token: str | None,
    readers: int,
    *,
    hanging_up: float = 0.0,
    paths: Sequence[str] = PATHS,
    seed: int = 1,
) -> Figures:
    """All readers at once. `hanging_up`: which part of them goes away without an answer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = readers + 200
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    return asyncio.run(_burst(url, token, readers, hanging_up, paths, random.Random(seed)))


async def _burst(
    url: str,
    token: str | None,
    readers: int,
    hanging_up: float,
    paths: Sequence[str],
    chance: random.Random,
) -> Figures:
    figures = Figures()

    async def reader(path: str, leaves: float | None) -> None:
        began = time.monotonic()
        answer = await ask(url, token, path, leaves)
        figures.answers[answer] += 1
        if answer != "hung up":
            figures.seconds.append(time.monotonic() - began)

    await asyncio.gather(
        *(
            reader(
                paths[number % len(paths)],
                chance.uniform(0, 0.3) if chance.random() < hanging_up else None,
            )
            for number in range(readers)
        )
    )
    began = time.monotonic()
    while await ask(url, token, QUIET) != "200":
        if time.monotonic() - began > PATIENCE:
            raise TimeoutError("it is not quiet again")
        await asyncio.sleep(0.05)
    figures.recovery = time.monotonic() - began
    return figures


async def ask(url: str, token: str | None, path: str, leaves: float | None = None) -> str:
    """The answer's status, and its code if it is an error. `leaves`: hang up after so long."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(PATIENCE):
            stream, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                bearer = f"Authorization: Bearer {token}\r\n" if token else ""
                head = f"GET {path} HTTP/1.1\r\nHost: kernel\r\n{bearer}Connection: close\r\n\r\n"
                writer.write(head.encode())
                if leaves is not None:
                    await asyncio.sleep(leaves)
                    return "hung up"
                return _told(await stream.read())
            finally:
                writer.transport.abort() if leaves is not None else writer.close()
    except (OSError, TimeoutError):
        return "hung up" if leaves is not None else "lost"


def _told(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        return "lost"
    status = head.split(b" ")[1].decode()
    if status == "200":
        return status
    try:
        return f"{status} {json.loads(body)['error']['code']}"
    except ValueError:
        return f"{status} {body[:40]!r}"
