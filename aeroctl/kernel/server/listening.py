"""Listening sockets, with limits on the number of connections and on the time of a request.

A connection whose request does not arrive in time is closed. When the maximum of connections is
open, those that have waited longest for their request are closed, so that no client can occupy the
server. Uvicorn does the rest.
"""

import asyncio
import contextlib
import errno
import logging
import resource
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from aeroctl.kernel.server import logs

RECEIVE_SECONDS = 10.0
"""From the connection, or from its last response, until the next request is complete."""
SEND_SECONDS = 30.0
"""How long a client may read nothing of a response before its connection is closed."""
IDLE_SECONDS = 5
"""How long a connection stays open without a next request."""
HEAD_BYTES = 16 * 1024
MAX_CONNECTIONS, DESCRIPTORS = 2000, 4096
"""Connections at a time, and file descriptors that the server sets as its own limit; half of these
are for the store and the nodes."""
GRACE_SECONDS = 120
"""How long a server that is to stop waits for running commands. Without any it stops at once; the
outcome of a command that was cut off is derived when it is next requested."""

LOGGER = logging.getLogger("aerokernel")


class Connections:
    """The open connections, by file descriptor."""

    def __init__(self, maximum: int, seconds: float = RECEIVE_SECONDS) -> None:
        self.maximum = maximum
        self.seconds = seconds
        self.open: dict[int, Connection] = {}
        self.awaiting_request: dict[int, Connection] = {}
        """Connections whose request is not complete, the oldest first."""

    def admit(self, connection: "Connection") -> None:
        """Add a new connection and await its request."""
        self.open[connection.number] = connection
        self.await_request(connection)

    def await_request(self, connection: "Connection") -> None:
        """Start the time limit of the connection's next request, unless it is running."""
        if connection.number in self.open and connection.number not in self.awaiting_request:
            self.awaiting_request[connection.number] = connection
            loop = asyncio.get_running_loop()
            connection.timer = loop.call_later(self.seconds, connection.end)

    def request_arrived(self, connection: "Connection") -> None:
        """Stop the time limit of a connection whose request is complete."""
        self.awaiting_request.pop(connection.number, None)
        if connection.timer is not None:
            connection.timer.cancel()

    def remove(self, connection: "Connection") -> None:
        """Remove a closed connection."""
        self.request_arrived(connection)
        self.open.pop(connection.number, None)

    def make_room(self) -> bool:
        """Close the connections that have waited longest for a request; whether any is closing."""
        for connection in list(self.awaiting_request.values())[:16]:
            self.request_arrived(connection)
            connection.end()
        return any(connection.ending for connection in self.open.values())


class Connection(socket.socket):
    """An accepted connection. asyncio closes it in the end."""

    def __init__(self, connections: Connections, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.number = fileno
        self.connections = connections
        self.timer: asyncio.TimerHandle | None = None
        self.ending = False

    def end(self) -> None:
        """Shut it down, upon which asyncio closes it as if the client had disconnected."""
        self.ending = True
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, and remove it from the open connections."""
        self.connections.remove(self)
        super().close()


class Listener(socket.socket):
    """A listening socket that accepts connections up to the maximum."""

    connections: Connections

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises BlockingIOError where none can be accepted now."""
        full = len(self.connections.open) >= self.connections.maximum
        if full and self.connections.make_room():
            raise BlockingIOError  # the event loop closes them in its next iterations
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                LOGGER.error("no connection can be accepted: %s", error.strerror)  # noqa: TRY400
                self.connections.make_room()
                raise BlockingIOError from error
            raise
        if full:
            connection.close()
            LOGGER.warning(
                "a connection was refused: %d are open already", self.connections.maximum
            )
            raise ConnectionAbortedError
        accepted = Connection(self.connections, connection.detach())
        self.connections.admit(accepted)
        return accepted, address


class LimitedProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1, with time limits for receiving requests and sending responses."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._connections = connections
        self._connection: Connection | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Find the connection; asyncio calls this after the TLS handshake."""
        self._connection = self._connections.open.get(transport.get_extra_info("socket").fileno())
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time limit of the response."""
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request."""
        super().data_received(data)
        self._limit_receiving()

    def on_response_complete(self) -> None:
        """Await the next request."""
        super().on_response_complete()
        self._limit_receiving()

    def pause_writing(self) -> None:
        """Start the time limit of the response: the client reads it too slowly."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the time limit of the response: the client has read some of it."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _limit_receiving(self) -> None:
        if self._connection is None:
            return
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._connections.await_request(self._connection)
        else:
            self._connections.request_arrived(self._connection)


def connection_limit() -> int:
    """The maximum of connections, which leaves file descriptors for everything else."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    wanted = DESCRIPTORS if unlimited else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(
        8, min(MAX_CONNECTIONS, (DESCRIPTORS if soft == resource.RLIM_INFINITY else soft) // 2)
    )


def listeners(host: str, port: int, connections: Connections) -> list[Listener]:
    """A listening socket for each address of `host`. Raises OSError."""
    sockets = []
    addresses = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, kind, proto, _, address in dict.fromkeys(addresses):
        try:
            listener = Listener(family, kind, proto)
        except OSError:  # this machine doesn't support the address's family
            continue
        listener.connections = connections
        sockets.append(listener)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except OSError:
            for opened in sockets:
                opened.close()
            raise
    return sockets


def run(
    app: Starlette,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    report: Callable[[str], None] = LOGGER.info,
) -> None:
    """Serve until a signal. Raises OSError where the server can't listen at the address."""
    connections = Connections(connection_limit())
    config = uvicorn.Config(
        app,
        http=partial(LimitedProtocol, connections),  # type: ignore[arg-type]
        ws="none",
        log_config=logs.CONFIG,
        # the log names the address that connects, whatever a header states
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    sockets = listeners(host, port, connections)
    config.load()
    config.ssl = tls
    for listener in sockets:
        bound, number, *_ = listener.getsockname()
        address = f"[{bound}]" if ":" in bound else bound
        report(f"listening on {'https' if tls else 'http'}://{address}:{number}")
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=list(sockets))
