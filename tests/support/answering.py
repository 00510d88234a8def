"""An HTTP server that answers what a test tells it to: for the wire, never for kernel decisions."""

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class Received(http.server.BaseHTTPRequestHandler):
    """A request, and the body that it came with."""

    body = b""


Handler = Callable[[Received], None]


@dataclass
class Answering:
    """A server under way: its address, and the requests it got (path with query, headers)."""

    url: str
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    posted: list[tuple[str, bytes]] = field(default_factory=list)
    """Path and body of every POST."""


def answer(body: bytes, status: int = 200, **headers: str) -> Handler:
    """A handler that sends this answer."""

    def handle(request: Received) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return handle


@contextmanager
def answering(handler: Handler, port: int = 0) -> Iterator[Answering]:
    """Answer every request with `handler` on this loopback port, or on a free one."""

    class Requests(Received):
        def do_GET(self) -> None:
            served.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            try:
                handler(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            self.body = self.rfile.read(length)
            served.posted.append((self.path, self.body))
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Requests)
    served = Answering(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
