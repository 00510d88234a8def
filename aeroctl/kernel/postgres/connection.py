"""A connection to PostgreSQL that receives a limited number of bytes.

libpq buffers what a server sends until a message is complete, and reads on as long as more arrives,
while no other task runs. So its socket is replaced by one end of a socket pair, and a relay copies
what arrives from the network to the other end, and counts it. TLS is libpq's own, end to end. In a
login without TLS the relay reads the number of SCRAM iterations that the server requires: libpq
computes them all at once, however many they are.
"""

import asyncio
import contextlib
import os
import re
import socket
import struct
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.conninfo import make_conninfo

CHUNK = 64 * 1024
ROUNDS = 100_000
"""SCRAM iterations that a server may require (PostgreSQL: scram_iterations, 4096). They take less
than 0.1 s, in which no other task runs."""


class Connection:
    """A connection on which every statement is a transaction with one result. It ends when the
    server has sent too many bytes.
    """

    def __init__(self, connection: pq.abc.PGconn, relay: "Relay") -> None:
        self._connection = connection
        self._relay = relay

    @classmethod
    async def begin(cls, most: int, **parameters: str | int | None) -> "Connection":
        """Connect. Raises psycopg.Error, TooMuch among others."""
        relay = Relay(most)
        try:
            return cls(await _connected(make_conninfo("", **parameters), relay), relay)
        except BaseException as error:
            relay.close()
            if isinstance(error, psycopg.Error):
                relay.check()
            raise

    @property
    def closed(self) -> bool:
        """Whether the server has disconnected, or has sent too much."""
        return self._connection.status == pq.ConnStatus.BAD

    async def row(self, statement: str) -> tuple[Any, ...] | None:
        """The first row of a statement's result. Raises psycopg.Error, TooMuch among others.

        A statement that takes too long is ended by the server (statement_timeout).
        """
        connection = self._connection
        try:
            connection.send_query_params(statement.encode(), None)
            while connection.flush():
                await _ready(connection.socket, writing=True)
            result = await self._result()
            if await self._result() is not None:
                connection.finish()
                raise TooMuch("it sent more than one result")
        except psycopg.Error:
            self._relay.check()
            raise
        if result is None or result.status != pq.ExecStatus.TUPLES_OK:
            self._relay.check()
            if result is None:
                raise psycopg.OperationalError("it sent no result")
            raise psycopg.errors.error_from_result(result)
        if not result.ntuples:
            return None
        transformer = Transformer()
        transformer.set_pgresult(result)
        return transformer.load_row(0, tuple)

    def close(self) -> None:
        """Close the connection and the relay."""
        self._connection.finish()
        self._relay.close()

    async def _result(self) -> pq.abc.PGresult | None:
        connection = self._connection
        while connection.is_busy():
            await _ready(connection.socket, writing=False)
            connection.consume_input()
        return connection.get_result()


class TooMuch(psycopg.OperationalError):
    """The server sent more, or required more SCRAM iterations, than the limit."""


class Login:
    """The messages of a server during a login, as long as they are not encrypted."""

    def __init__(self) -> None:
        self._data = b""
        self._begun = False
        self._over = False

    def rounds(self, data: bytes) -> int:
        """The SCRAM iterations that the server requires, by the messages complete with `data`."""
        if self._over:
            return 0
        self._data += data
        while not self._begun and self._data[:1] == b"N":  # no encryption, as libpq asked for
            self._data = self._data[1:]
        most = 0
        while len(self._data) >= 5 or self._data[:1] not in (b"", b"R", b"v"):
            kind, length = self._data[:1], int.from_bytes(self._data[1:5], "big", signed=True)
            self._begun = True
            if kind not in (b"R", b"v") or length < 4:
                self._over, self._data = True, b""  # encrypted, or the login is over
                break
            if len(self._data) <= length:
                break
            body, self._data = self._data[5 : length + 1], self._data[length + 1 :]
            if kind == b"R" and body[:4] == SASL_CONTINUE:
                numbers = (number.lstrip(b"0")[:12] for number in ITERATIONS.findall(body[4:]))
                most = max([most, *(int(number or b"0") for number in numbers)])
        return most


SASL_CONTINUE = struct.pack("!i", 11)
ITERATIONS = re.compile(rb"(?:^|,)i=\s*\+?([0-9]+)")


class Relay:
    """Stands between libpq and the network, and counts."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.received = 0
        self._sockets: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._inode: int | None = None
        self._rounds = 0

    def check(self) -> None:
        """Raises TooMuch if that is why the connection ended."""
        if self.received > self.most:
            raise TooMuch(f"it sent more than {self.most >> 10} kB")
        if self._rounds > ROUNDS:
            raise TooMuch(
                f"its scram_iterations is {self._rounds}, and aerokernel hashes a password "
                f"{ROUNDS} times at most"
            )

    def take(self, descriptor: int) -> None:
        """Replace libpq's socket, once it is connected. libpq may connect again with another."""
        if os.fstat(descriptor).st_ino == self._inode:
            return
        network = socket.socket(fileno=os.dup(descriptor))
        try:
            network.getpeername()
        except OSError:  # not connected yet, or no longer: libpq reports it
            network.close()
            return
        self.close()
        ours, theirs = socket.socketpair()
        os.dup2(theirs.fileno(), descriptor, inheritable=False)
        os.set_blocking(descriptor, False)
        theirs.close()
        self._inode = os.fstat(descriptor).st_ino
        for end in (network, ours):
            end.setblocking(False)
        self._sockets = [network, ours]
        self._tasks = [
            asyncio.create_task(self._hand_on(network, ours, counted=True)),
            asyncio.create_task(self._hand_on(ours, network, counted=False)),
        ]

    def close(self) -> None:
        """Both sides at once."""
        for task in self._tasks:
            task.cancel()
        for end in self._sockets:
            end.close()
        self._tasks, self._sockets = [], []

    async def _hand_on(self, source: socket.socket, to: socket.socket, *, counted: bool) -> None:
        loop, login = asyncio.get_running_loop(), Login()
        with contextlib.suppress(OSError, TooMuch):
            while data := await loop.sock_recv(source, CHUNK):
                if counted:
                    self.received += len(data)
                    self._rounds = login.rounds(data)
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
    """Wait until the socket can be written to, or read from."""
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
