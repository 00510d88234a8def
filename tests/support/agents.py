"""Agents for tests: they listen on loopback, do as they are told, and note what they were asked."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Act = Callable[[Any], Awaitable[tuple[int, str] | bytes | None]]
"""What to do about a request's body: a status and a text, raw bytes, or None to hang up."""


@dataclass
class Agent:
    """Where it listens, and what it was asked: method and path, with the body."""

    base: str
    asked: list[tuple[str, Any]] = field(default_factory=list)
    connections: int = 0
    server: asyncio.Server | None = None

    def leave(self) -> None:
        """From now on nobody listens there."""
        assert self.server
        self.server.close()

    @property
    def posts(self) -> list[tuple[str, Any]]:
        return [request for request in self.asked if request[0].startswith("POST")]


@asynccontextmanager
async def listening(
    act: Act, reads: Mapping[str, Act] | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Agent]:
    """`reads`: what it does when it is asked to GET a path; else `act` does that, too."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        agent.connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            asked = json.loads(body) if body else None
            agent.asked.append((head[0].removesuffix(" HTTP/1.1"), asked))
            method, path, _ = head[0].split(" ")
            does = (reads or {}).get(path, act) if method == "GET" else act
            reply = await does(asked)
            if isinstance(reply, tuple):
                status, text = reply
                content = text.encode()
                reply = b"HTTP/1.0 %d X\r\nContent-Type: text/html\r\n\r\n%b" % (status, content)
            if reply is not None:
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        agent = Agent(f"{'https' if tls else 'http'}://127.0.0.1:{port}", server=server)
        yield agent
