"""A man in the middle of two parties that speak HTTP, who can lose, hold back or spoil a message.

For the wire only: what goes through is what the two real parties say.
"""

import contextlib
import http.client
import http.server
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

HOST = "127.0.0.1"
PATIENCE = 120

Fault = Literal[
    "cut before",  # the request is lost, and the connection reset
    "hold request",  # the request stays here until `release`
    "cut at once",  # the request goes through, and the connection is reset without waiting
    "cut reply",  # the request goes through, and the connection is reset once there is a reply
    "hold reply",  # the reply stays here until `release`
    "swallow reply",  # the reply never comes, the connection stays
    "garble reply",  # the status is right, the body is not
    "truncate reply",  # the first half of the body
]


@dataclass
class Relay:
    """A relay under way: where it listens, and what it saw (`POST /path`, in order)."""

    url: str
    port: int
    seen: list[str] = field(default_factory=list)
    connections: int = 0
    _spoiled: tuple[str, bytes, Fault] | None = None
    _released: threading.Event = field(default_factory=threading.Event)
    _closing: threading.Event = field(default_factory=threading.Event)

    def count(self, line: str) -> int:
        """How many requests so far start with `line`, whatever became of them."""
        return sum(seen.startswith(line) for seen in self.seen)

    @contextlib.contextmanager
    def spoiling(self, line: str, fault: Fault, body: str = "") -> Iterator[None]:
        """Have every request go wrong that starts with `line`, and whose body contains `body`."""
        self._released.clear()
        self._spoiled = line, body.encode(), fault
        try:
            yield
        finally:
            self._spoiled = None
            self._released.set()

    def release(self) -> None:
        """Let the replies go that were held back."""
        self._released.set()

    def fault(self, line: str, content: bytes) -> Fault | None:
        """What shall happen to this request."""
        if self._spoiled is None:
            return None
        start, part, fault = self._spoiled
        return fault if line.startswith(start) and part in content else None


@contextlib.contextmanager
def relaying(to: int, port: int = 0) -> Iterator[Relay]:
    """Relay from `port` (0: a free one) to the port `to`, both on loopback."""

    class Requests(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            line = f"{self.command} {self.path}"
            relay.seen.append(line)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                self._relay(body, relay.fault(line, body))

        do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class wants it so

        def setup(self) -> None:
            super().setup()
            relay.connections += 1

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def _relay(self, body: bytes, fault: Fault | None) -> None:
            if fault == "cut before":
                return self._reset()
            if fault == "hold request":
                relay._released.wait(PATIENCE)
                fault = None
            onward = http.client.HTTPConnection(HOST, to, timeout=PATIENCE)
            try:
                onward.request(self.command, self.path, body or None, dict(self.headers.items()))
                if fault == "cut at once":
                    self._reset()
                reply = onward.getresponse()
                if fault is None:
                    return self._pass_on(reply)
                content = reply.read()
            except (OSError, http.client.HTTPException):
                return self._reset()
            finally:
                onward.close()
            if fault in ("cut at once", "cut reply"):
                return self._reset()
            if fault == "hold reply":
                relay._released.wait(PATIENCE)
            if fault == "swallow reply":
                relay._closing.wait(PATIENCE)
            return self._answer(reply, content, fault)

        def _pass_on(self, reply: http.client.HTTPResponse) -> None:
            """As it comes: some replies are streams that end only with the connection."""
            self._head(reply, reply.getheader("content-length"))
            while part := reply.read1():
                self.wfile.write(part)

        def _answer(self, reply: http.client.HTTPResponse, content: bytes, fault: Fault) -> None:
            length = len(content)
            if fault == "garble reply":
                content = bytes(byte ^ 0x55 for byte in content)
            if fault == "truncate reply":
                content = content[: length // 2]
            self._head(reply, str(length))
            self.wfile.write(content)

        def _head(self, reply: http.client.HTTPResponse, length: str | None) -> None:
            self.send_response_only(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in {"connection", "content-length", "transfer-encoding"}:
                    self.send_header(name, value)
            if length is not None:
                self.send_header("content-length", length)
            self.end_headers()

        def _reset(self) -> None:
            """RST rather than an orderly end, and now, whoever else holds the socket."""
            self.close_connection = True
            no_linger = struct.pack("ii", 1, 0)
            with contextlib.suppress(OSError):  # it was done before
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
                os.close(self.connection.detach())

    server = http.server.ThreadingHTTPServer((HOST, port), Requests)
    server.daemon_threads = True
    relay = Relay(f"http://{HOST}:{server.server_port}", server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield relay
    finally:
        relay._closing.set()
        relay._released.set()
        server.shutdown()
        server.server_close()
        thread.join()
