"""What httpx reports of a request's steps: whether the request has left, and what to cut."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aeroctl.errors import failure


class Departure:
    """Whether a request has left this process. Until then it can be held back for good.

    It has left from the moment at which httpx is about to write its first byte.
    """

    def __init__(self) -> None:
        """Not left, not held back."""
        self._lock = threading.RLock()  # a signal handler may want it while it is locked
        self._left = self._stopped = False

    def watch(self, event: str, details: Mapping[str, Any]) -> None:
        """A trace for httpx: called before it writes the first byte of a request."""
        if event.endswith(".send_request_headers.started"):
            if details["request"].method == b"CONNECT":
                return  # to a proxy: of the request itself nothing has left yet
            with self._lock:
                if self._stopped:
                    raise failure("KERNEL_TIMEOUT", "the request was held back")
                self._left = True

    def hold_back(self) -> bool:
        """Never let it leave. False: it has left already."""
        with self._lock:
            self._stopped = not self._left
            return self._stopped


class Line:
    """The connection of one exchange, which another thread can cut at any moment.

    httpx bounds each read, not the whole: a peer that sends slowly would keep a thread for ever.
    """

    def __init__(self) -> None:
        """Nothing is connected, nothing is cut."""
        self._lock = threading.RLock()  # a signal handler may want it while it is locked
        self._stream: Any = None
        self._handshake: Any = None
        self._cut = False
        self.tls_refused = False
        """It ended before the TLS handshake did, on our side or on the peer's."""

    def watch(self, event: str, details: Mapping[str, Any]) -> None:
        """A trace for httpx: what was connected last, bare or in TLS, and how it ended."""
        *_, act, step = event.split(".")
        if hasattr(details.get("return_value"), "get_extra_info"):
            with self._lock:
                self._stream = details["return_value"]
                if self._cut:
                    self.cut()
            tls = self._stream.get_extra_info("ssl_object")
            self._handshake = tls if tls is not None and tls.version() == "TLSv1.3" else None
        if step == "failed" and act == "start_tls":
            self.tls_refused = True
        if step == "failed" and act == "receive_response_headers" and self._handshake is not None:
            # In TLS 1.3 the client's side of the handshake ends first. That the server refuses its
            # certificate, or wants one, comes only with the first read; many servers just close
            # the connection. A server that accepts a client sends it a session ticket first.
            session = self._handshake.session
            self.tls_refused = session is None or not session.has_ticket

    def cut(self) -> None:
        """End what is under way, and whatever would follow."""
        with self._lock:
            self._cut = True
            peer = self._stream and self._stream.get_extra_info("socket")
            if peer is not None:
                with suppress(OSError):  # it is closed already
                    # Not the method of ssl, which forgets the encryption under a reader's hands.
                    socket.socket.shutdown(peer, socket.SHUT_RDWR)
