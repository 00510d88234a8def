"""The listening side: how many connections there may be, and how long a request may take to come.

Nobody who connects can take more than his share: a connection whose request does not arrive in time
is closed, and when all places are taken the oldest one of those that owe a request makes room.
Uvicorn does the rest.
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
"""From connecting, or from the answer before, until the whole request is here."""
SEND_SECONDS = 30.0
"""For how long nothing of an answer may be taken."""
IDLE_SECONDS = 5
"""For how long a connection is kept for a next request."""
HEAD_BYTES = 16 * 1024
MOST, DESCRIPTORS = 2000, 4096
"""Connections at a time, and descriptors asked of the system; half of those are for the store and
the nodes."""
GRACE_SECONDS = 120
"""How long a command that is running when the server is told to end has for its end. Idle, the
server ends at once; a command that is cut off is judged by whoever asks for its outcome later."""

LOGGER = logging.getLogger("aerokernel")


class Crowd:
    """Every connection that is open, by its descriptor."""

    def __init__(self, most: int, seconds: float = RECEIVE_SECONDS) -> None:
        self.most = most
        self.seconds = seconds
        self.open: dict[int, Connection] = {}
        self.owing: dict[int, Connection] = {}
        """Those whose request is not here yet, the oldest one first."""

    def admit(self, connection: "Connection") -> None:
        """One more; it owes a request."""
        self.open[connection.number] = connection
        self.owes(connection)

    def owes(self, connection: "Connection") -> None:
        """From now on its request has its time, unless it has that already."""
        if connection.number in self.open and connection.number not in self.owing:
            self.owing[connection.number] = connection
            loop = asyncio.get_running_loop()
            connection.timer = loop.call_later(self.seconds, connection.end)

    def served(self, connection: "Connection") -> None:
        """Its request is here."""
        self.owing.pop(connection.number, None)
        if connection.timer is not None:
            connection.timer.cancel()

    def gone(self, connection: "Connection") -> None:
        """It is closed."""
        self.served(connection)
        self.open.pop(connection.number, None)

    def make_room(self) -> bool:
        """Whether the oldest of those that owe a request could be told to end."""
        for connection in list(self.owing.values())[:16]:
            self.served(connection)
            connection.end()
        return any(connection.ending for connection in self.open.values())


class Connection(socket.socket):
    """One that was accepted. asyncio closes it when it is done with it."""

    def __init__(self, crowd: Crowd, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self.number = fileno
        self.crowd = crowd
        self.timer: asyncio.TimerHandle | None = None
        self.ending = False

    def end(self) -> None:
        """Have it closed: to asyncio it looks as if the other side had gone."""
        self.ending = True
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, and make room for another one."""
        self.crowd.gone(self)
        super().close()


class Listener(socket.socket):
    """Accepts while there is room."""

    crowd: Crowd

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection; BlockingIOError: not now."""
        full = len(self.crowd.open) >= self.crowd.most
        if full and self.crowd.make_room():
            raise BlockingIOError  # they are closed in the event loop's next turns
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                LOGGER.error("no connection can be accepted: %s", error.strerror)  # noqa: TRY400
                self.crowd.make_room()
                raise BlockingIOError from error
            raise
        if full:
            connection.close()
            LOGGER.warning("a connection was refused: %d are open already", self.crowd.most)
            raise ConnectionAbortedError
        accepted = Connection(self.crowd, connection.detach())
        self.crowd.admit(accepted)
        return accepted, address


class Limited(H11Protocol):
    """Uvicorn's HTTP/1.1, with limits of time for what is sent and what is taken."""

    def __init__(self, crowd: Crowd, **options: Any) -> None:
        super().__init__(**options)
        self._crowd = crowd
        self._connection: Connection | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It comes after the TLS handshake."""
        self._connection = self._crowd.open.get(transport.get_extra_info("socket").fileno())
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more to wait for."""
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """The next request may come."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """The other side doesn't take its answer as fast as it could."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken some."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _look(self) -> None:
        if self._connection is None:
            return
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._crowd.owes(self._connection)
        else:
            self._crowd.served(self._connection)


def room() -> int:
    """How many connections there may be, so that descriptors remain for everything else."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    wanted = DESCRIPTORS if unlimited else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(8, min(MOST, (DESCRIPTORS if soft == resource.RLIM_INFINITY else soft) // 2))


def listeners(host: str, port: int, crowd: Crowd) -> list[Listener]:
    """A listening socket for each address of `host`. Raises OSError."""
    found = []
    addresses = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    for family, kind, proto, _, address in dict.fromkeys(addresses):
        try:
            listener = Listener(family, kind, proto)
        except OSError:  # the name has an address of a kind that this machine doesn't speak
            continue
        listener.crowd = crowd
        found.append(listener)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        except OSError:
            for each in found:
                each.close()
            raise
    return found


def run(
    app: Starlette,
    host: str,
    port: int,
    tls: ssl.SSLContext | None,
    said: Callable[[str], None] = LOGGER.info,
) -> None:
    """Serve until a signal. Raises OSError where it can't listen there."""
    crowd = Crowd(room())
    config = uvicorn.Config(
        app,
        http=partial(Limited, crowd),  # type: ignore[arg-type]
        ws="none",
        log_config=logs.CONFIG,
        # whoever connects is whom the log names
        proxy_headers=False,
        server_header=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    sockets = listeners(host, port, crowd)
    config.load()
    config.ssl = tls
    for each in sockets:
        shown, number, *_ = each.getsockname()
        address = f"[{shown}]" if ":" in shown else shown
        said(f"listening on {'https' if tls else 'http'}://{address}:{number}")
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=list(sockets))
