"""One HTTP exchange with the kernel: where to, how trusted, how large, and how it can fail.

It retries nothing (P7-F3), follows no redirect and reads no proxy variable.
"""

import ssl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from aeroctl import __version__
from aeroctl.adapter.steps import Departure, Line
from aeroctl.errors import Failure, failure

# httpx takes its own fallback for a missing command line: importing it would pull in rich and
# click, a third of its start-up time.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
Reply = tuple[int, str | None, bytearray]
"""Status, Location and body."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a kernel. `timeout` bounds a whole call, in seconds."""

    url: str
    token: str | None = None
    timeout: float = 10.0
    proxy: str | None = None
    ca_file: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `departure` knows whether it has left; `line` can be cut."""

    method: str
    path: str
    query: Mapping[str, str]
    content: bytes | None
    departure: Departure
    line: Line

    def trace(self, event: str, details: Mapping[str, Any]) -> None:
        """What httpx reports of its steps, as it takes them."""
        self.line.watch(event, details)
        self.departure.watch(event, details)


def exchange(connection: Connection, request: Request, trace: Callable[[str], None]) -> Reply:
    """Send one request and read its answer whole. Raises Failure."""
    url = _checked_url(connection)
    target = url.join(request.path).copy_merge_params(request.query)
    trace(f"{request.method} {target}")
    started = time.monotonic()
    try:
        with (
            httpx.Client(
                verify=_tls(connection, url.scheme),
                trust_env=False,  # a proxy variable must not divert the token
                proxy=connection.proxy,
                timeout=connection.timeout,
            ) as client,
            client.stream(
                request.method,
                target,
                content=request.content,
                headers=_headers(connection, request),
                follow_redirects=False,
                extensions={"trace": request.trace},
            ) as response,
        ):
            body = _bounded(response)
    except httpx.UnsupportedProtocol as error:
        raise failure("BAD_KERNEL_URL", f"{connection.url}: {error}") from error
    except httpx.HTTPError as error:
        raise _failure_of(error, connection, request.line.tls_refused) from error
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        # A name that can't be looked up (IDNA), a proxy that is not an address.
        raise failure("BAD_KERNEL_URL", f"{connection.url}: {error}") from error
    trace(f"{response.status_code}, {len(body)} B in {time.monotonic() - started:.3f} s")
    return response.status_code, response.headers.get("location"), body


def _headers(connection: Connection, request: Request) -> dict[str, str]:
    headers = {"accept": "application/json", "accept-encoding": "identity"}
    headers["user-agent"] = f"aeroctl/{__version__}"
    if request.content is not None:
        headers["content-type"] = "application/json"
    if connection.token is not None:
        headers["authorization"] = f"Bearer {connection.token}"
    return headers


def _bounded(response: httpx.Response) -> bytearray:
    """The body, if it is not larger than an answer may be. Raises ANSWER_TOO_LARGE."""
    largest = MAX_ANSWER_BYTES if response.status_code == 200 else MAX_ERROR_BYTES
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > largest:
            raise failure("ANSWER_TOO_LARGE", f"the answer is larger than {largest} B")
    return body


def _checked_url(connection: Connection) -> httpx.URL:
    """The kernel's address. A token is never sent unencrypted over a network (P7-F1)."""
    if "@" in connection.url:  # not shown again: it may hold a password
        raise failure(
            "BAD_KERNEL_URL", "give only scheme, host and port; a token goes into --token-file"
        )
    try:
        url = httpx.URL(connection.url)
        host = url.host  # decoded only here, where an `xn--` name can turn out to be invalid
    except (httpx.InvalidURL, ValueError) as error:
        raise failure("BAD_KERNEL_URL", f"{connection.url}: {error}") from error
    if url.scheme not in ("http", "https") or not host:
        raise failure("BAD_KERNEL_URL", f"not an http or https address: {connection.url}")
    if url.query or url.fragment or url.path not in ("", "/"):
        raise failure(
            "BAD_KERNEL_URL", f"give only scheme, host and port, without a path: {connection.url}"
        )
    if url.port is not None and not 0 < url.port < 65536:
        raise failure("BAD_KERNEL_URL", f"not a TCP port: {url.port}")
    exposed = url.scheme == "http" and (connection.proxy or not _is_loopback(host))
    if connection.token is not None and exposed:
        raise failure(
            "TOKEN_OVER_PLAINTEXT", f"will not send a token unencrypted to {connection.url}"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(connection: Connection, scheme: str) -> ssl.SSLContext:
    if scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used; a real one costs 30 ms
    if connection.key is not None and connection.cert is None:
        raise failure("BAD_TLS_FILE", "--key needs --cert: the certificate of that key")
    try:
        # The system's trust store: the one that an operator's own authority is installed in.
        context = ssl.create_default_context(cafile=_path("--ca-file", connection.ca_file))
        if connection.cert is not None:
            key = _path("--key", connection.key)
            context.load_cert_chain(str(_path("--cert", connection.cert)), key)
    except (OSError, ssl.SSLError) as error:
        raise failure("BAD_TLS_FILE", f"{error}") from error
    return context


def _path(option: str, path: str | None) -> str | None:
    """The path given with an option, or None. To ssl an empty path would mean the default."""
    if path == "":
        raise failure("BAD_TLS_FILE", f"{option}: the path is empty")
    return path


def _failure_of(error: httpx.HTTPError, connection: Connection, tls_refused: bool) -> Failure:
    """Which failure an httpx error is."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    words = str(error).rstrip(".") or type(error).__name__
    if cause is not None:
        code = "TLS_FAILED"
    elif isinstance(error, httpx.TimeoutException):
        connecting = isinstance(error, httpx.ConnectTimeout)
        code = "KERNEL_UNREACHABLE" if connecting else "KERNEL_TIMEOUT"
    elif tls_refused:
        code = "TLS_FAILED"
        words += "; the kernel closed the connection during the TLS handshake: it may require"
        words += " a client certificate (--cert, --key), or a different one"
    elif isinstance(error, httpx.ConnectError):
        code = "KERNEL_UNREACHABLE"
    else:
        code = "CONNECTION_LOST"
    return failure(code, f"{connection.url}: {words}")
