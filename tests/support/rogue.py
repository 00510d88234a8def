"""A server that speaks PostgreSQL's protocol as far as it likes, and then sends without end."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from typing import Literal

Mode = Literal[
    "rows",
    "one row",
    "columns",
    "results",
    "notices",
    "settings",
    "settings at login",
    "authentication",
    "errors",
    "nothing",
    "password",
    "md5",
    "scram",
    "rounds",
]
BLOCK = 1 << 20
TLS, GSSAPI = 80877103, 80877104


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


READY = (
    message(b"R", struct.pack("!i", 0))
    + message(b"S", b"client_encoding\0UTF8\0")
    + message(b"S", b"server_version\x00160000\0")
    + message(b"K", struct.pack("!ii", 1, 1))
    + message(b"Z", b"I")
)
COLUMN = b"x\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
BEGUN = message(b"1", b"") + message(b"2", b"") + message(b"T", struct.pack("!h", 1) + COLUMN)
NOTICE = message(b"N", b"SNOTICE\0C00000\0M" + b"x" * 1000 + b"\0\0")
WANTED: dict[str, bytes] = {
    "password": struct.pack("!i", 3),
    "md5": struct.pack("!i", 5) + b"salt",
    "scram": struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0",
}


class Rogue:
    """Listening on loopback. `heard`: what a client sent after its login began."""

    def __init__(self, mode: Mode, tls: ssl.SSLContext | None) -> None:
        self.mode = mode
        self.tls = tls
        self.heard: list[bytes] = []
        self.connections = 0
        self._socket = socket.create_server(("", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error), contextlib.ExitStack() as open_:
            open_.enter_context(client)
            while True:
                (length,) = struct.unpack("!i", _exactly(client, 4))
                body = _exactly(client, length - 4)
                asked = struct.unpack("!i", body[:4])[0]
                if asked not in (TLS, GSSAPI):
                    break
                taken = asked == TLS and self.tls is not None
                client.sendall(b"S" if taken else b"N")
                if taken:
                    assert self.tls is not None
                    client = open_.enter_context(self.tls.wrap_socket(client, server_side=True))
            self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        if self.mode in WANTED:
            client.sendall(message(b"R", WANTED[self.mode]))
            while data := client.recv(65536):
                self.heard.append(data)
            return
        if self.mode == "rounds":
            client.sendall(message(b"R", WANTED["scram"]))
            nonce = client.recv(65536).rpartition(b"r=")[2]
            wanted = b"r=" + nonce + b"x,s=c2FsdHNhbHRzYWx0,i=2147483647"
            whole = message(b"R", struct.pack("!i", 11) + wanted)
            for place in range(len(whole)):
                client.sendall(whole[place : place + 1])
        if self.mode == "authentication":
            self._forever(client, message(b"R", struct.pack("!i", 8) + b"x" * 1900))
        if self.mode == "settings at login":
            client.sendall(READY[:9])
            self._settings(client)
        client.sendall(READY)
        client.recv(65536)
        if self.mode == "rows":
            client.sendall(BEGUN)
            row = struct.pack("!hi", 1, 1000) + b"x" * 1000
            self._forever(client, message(b"D", row) * 1000)
        if self.mode == "one row":
            client.sendall(BEGUN + b"D" + struct.pack("!ihi", 1 << 30, 1, (1 << 30) - 10))
            self._forever(client, b"x" * BLOCK)
        if self.mode == "columns":
            client.sendall(message(b"1", b"") + message(b"2", b""))
            columns = struct.pack("!h", 1600) + COLUMN * 1600
            nulls = struct.pack("!h", 1600) + b"\xff" * 4 * 1600
            client.sendall(message(b"T", columns))
            self._forever(client, message(b"D", nulls) * 100)
        if self.mode == "results":
            row = message(b"D", struct.pack("!hi", 1, 1) + b"x")
            self._forever(client, (BEGUN + row + message(b"C", b"SELECT 1\0")) * 1000)
        if self.mode == "notices":
            self._forever(client, NOTICE * 1000)
        if self.mode == "settings":
            self._settings(client)
        if self.mode == "errors":
            words = b"SERROR\0C42000\0M" + b"x" * 29000 + b"\0\0"
            self._forever(client, message(b"E", words) * 30)
        while client.recv(65536):  # "nothing" is answered
            pass

    def _settings(self, client: socket.socket) -> None:
        number = 0
        while True:
            names = range(number, number + 1000)
            client.sendall(
                b"".join(message(b"S", b"a%d\0" % n + b"x" * 900 + b"\0") for n in names)
            )
            number += 1000

    def _forever(self, client: socket.socket, block: bytes) -> None:
        while True:
            client.sendall(block)


def _exactly(client: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += client.recv(count - len(found)) or b"\0" * count
    return found


@contextlib.contextmanager
def rogue(mode: Mode, tls: ssl.SSLContext | None = None) -> Iterator[Rogue]:
    server = Rogue(mode, tls)
    try:
        yield server
    finally:
        server.close()
