"""A connection to PostgreSQL that holds no more than so many bytes.

libpq keeps whatever a server sends until a message is complete, and reads on as long as more comes,
with nobody else running meanwhile. So it is given one end of a socket pair in place of its own
connection, and what comes from the network is handed on to the other end, and counted. TLS is
libpq's own, end to end.
"""

import asyncio
import contextlib
import os
import socket

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

CHUNK = 64 * 1024


class Connection(psycopg.AsyncConnection):
    """One on which everything runs by itself (autocommit), and that ends after `most` bytes."""

    relay: "Relay"

    @classmethod
    async def begin(cls, most: int, **parameters: str | int | None) -> "Connection":
        """Connect. Raises psycopg.Error."""
        relay = Relay(most)
        try:
            pgconn = await _connected(make_conninfo("", **parameters), relay)
        except BaseException as error:
            relay.close()
            if isinstance(error, psycopg.Error):
                relay.check()
            raise
        connection = cls(pgconn)
        connection.relay = relay
        await connection.set_autocommit(True)
        return connection

    async def close(self) -> None:
        """Close it and what stands between."""
        await super().close()
        self.relay.close()


class TooMuch(psycopg.OperationalError):
    """The server sent more than is taken."""


class Relay:
    """Stands between libpq and the network, and counts."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.received = 0
        self._sockets: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._inode: int | None = None

    def check(self) -> None:
        """Raises TooMuch if that is why the connection ended."""
        if self.received > self.most:
            raise TooMuch(f"it sent more than {self.most >> 10} kB")

    def take(self, descriptor: int) -> None:
        """Step in between, once the connection is there. libpq may begin anew with another one."""
        if os.fstat(descriptor).st_ino == self._inode:
            return
        network = socket.socket(fileno=os.dup(descriptor))
        try:
            network.getpeername()
        except OSError:  # not connected yet, or not any more: that is libpq's to tell
            network.close()
            return
        self.close()
        ours, theirs = socket.socketpair()
        os.dup2(theirs.fileno(), descriptor, inheritable=False)
        os.set_blocking(descriptor, False)
        theirs.close()
        self._inode = os.fstat(descriptor).st_ino
        for each in (network, ours):
            each.setblocking(False)
        self._sockets = [network, ours]
        self._tasks = [
            asyncio.create_task(self._hand_on(network, ours, counted=True)),
            asyncio.create_task(self._hand_on(ours, network, counted=False)),
        ]

    def close(self) -> None:
        """Both sides at once."""
        for task in self._tasks:
            task.cancel()
        for each in self._sockets:
            each.close()
        self._tasks, self._sockets = [], []

    async def _hand_on(self, source: socket.socket, to: socket.socket, *, counted: bool) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError, TooMuch):
            while data := await loop.sock_recv(source, CHUNK):
                if counted:
                    self.received += len(data)
                    self.check()
                await loop.sock_sendall(to, data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)


async def _connected(conninfo: str, relay: Relay) -> pq.abc.PGconn:
    connection = pq.PGconn.connect_start(conninfo.encode())
    try:
        status = pq.PollingStatus.WRITING
        while status is not pq.PollingStatus.OK:
            if connection.status == pq.ConnStatus.BAD or status is pq.PollingStatus.FAILED:
                words = f"connection failed: {connection.get_error_message()}"
                raise psycopg.OperationalError(words)  # noqa: TRY301 - for one clean-up
            await _ready(connection.socket, writing=status is pq.PollingStatus.WRITING)
            relay.take(connection.socket)
            status = pq.PollingStatus(connection.connect_poll())
    except BaseException:
        connection.finish()
        raise
    return connection


async def _ready(descriptor: int, *, writing: bool) -> None:
    """Wait until it can be written to, or read from."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    )
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)
