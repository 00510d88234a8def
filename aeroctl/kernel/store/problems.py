"""Why an endpoint of etcd gave no answer: what its caller may conclude, and in which words."""

import re
import ssl

import httpx

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.store.replies import TRANSIENT, ErrorReply, Foreign, parse

CERTIFICATE_REFUSED = re.compile("certificate|unknown ca")
"""In TLS's words after the handshake: the other side does not take our certificate, or wants one.
In TLS 1.3 it says so only then, before it reads anything."""


class Unusable(Exception):
    """An endpoint that can't answer now; another one may."""


class Unsent(Unusable):
    """An endpoint that the request provably never reached."""


class Dropped(Unusable):
    """An endpoint that closed the connection instead of answering, perhaps only that one."""


class NotNow(Unusable):
    """An endpoint that says itself that the store can't answer just now, such as while a leader is
    elected.
    """


class Untrusted(Unsent):
    """An endpoint with which no TLS connection comes about: no trust, or no certificate."""


class Refused(Exception):
    """etcd answered, and refused: nothing was carried out. Its words are the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def transport_problem(error: httpx.HTTPError) -> Unusable:
    """What an HTTP client's error means: TLS, never sent, or perhaps sent."""
    untrusted = tls_problem(error)
    if untrusted and (
        isinstance(error, httpx.ConnectError) or CERTIFICATE_REFUSED.search(untrusted)
    ):
        return Untrusted(
            f"TLS failed: {untrusted} (see the certificates that etcd and the kernel show each "
            "other: --etcd-ca-file, --etcd-cert and --etcd-key)"
        )
    words = str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return Unsent(words)
    return (Unusable if isinstance(error, httpx.TimeoutException) else Dropped)(words)


def tls_problem(error: BaseException | None) -> str | None:
    """TLS's own words, where that is what an error goes back to."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            words = getattr(error, "verify_message", None) or error.reason or error
            return str(words).lower().replace("_", " ")
        error = error.__cause__ or error.__context__
    return None


def refusal(status: int, body: bytes) -> Unusable | Refused:
    """What any HTTP status but 200 means."""
    try:
        error = parse(ErrorReply, body)
    except (Foreign, Failure):
        return foreign(status, body)
    if error.code in TRANSIENT:
        return NotNow(error.message)
    return Refused(error.code, error.message)


def foreign(status: int, body: bytes) -> Unusable:
    """Not the JSON gateway's: a proxy's, another program's, or etcd's own before it gets there."""
    return Unusable(f"HTTP {status}: {body.decode(errors='replace').strip()[:200]!r}")
