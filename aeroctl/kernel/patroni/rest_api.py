"""Patroni's REST API on a node. One request is sent once.

Nothing is sent twice, no redirect is followed and no proxy is taken from the environment: a request
reaches the agent that it is for, once, or no process at all (P7-F1, P7-F3).
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from aeroctl.contract.canonical import canonical_json
from aeroctl.contract.errors import EngineReply
from aeroctl.kernel.patroni.addresses import Outside, Reach, here
from aeroctl.kernel.patroni.agent import Account
from aeroctl.kernel.timing import uptime

LARGEST = 64 * 1024
"""Bytes of a reply that are read, at most; Patroni's replies are far smaller."""
SECURE = "https://"
CONNECT_SECONDS = 3.0
IDENTIFY_SECONDS = 3.0
"""How long an agent may take to identify itself, before a request for a change is sent to it."""
SEND_SECONDS = 5.0
"""From the dispatch record on, how long the request may take to leave. A process that was frozen
for longer must not act when it wakes up: its in-flight lease may have ended (P7-F2)."""

NO_REPLY = (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError, TimeoutError)
"""What ends a request without a reply; a name that can't be a host's is a UnicodeError."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known about a request: whether it may have been sent, and the reply.

    `sent` False is certain. If no reply arrived, `reply` has a null status and the reason as body.
    """

    sent: bool
    reply: EngineReply | None


class TooLate(Exception):
    """The request was not sent within SEND_SECONDS."""


class Transport(httpx.AsyncBaseTransport):
    """Connects to the agents of nodes: only to addresses that `reach` allows, and with the password
    for the REST API only where that may go. `plain`: it may also go elsewhere without TLS.

    Where the password may not go, a GET is sent without it, and a request for a change is not sent.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, reach: Reach, *, plain: bool) -> None:
        self._inner = inner
        self._reach = reach
        self._plain = plain

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Another address is tried only where the connection to the one before failed. Raises
        httpx.ConnectError, httpx.ConnectTimeout: nothing was sent.
        """
        try:
            addresses = await self._reach.addresses(request.url.host, request.url.port or 0)
        except (Outside, OSError) as error:
            raise httpx.ConnectError(str(error), request=request) from error
        *others, last = addresses
        for address in others:
            with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._inner.handle_async_request(self._to(address, request))
        return await self._inner.handle_async_request(self._to(last, request))

    def _to(self, address: str, request: httpx.Request) -> httpx.Request:
        """The request as it is sent to `address`. Raises httpx.ConnectError if it may not be."""
        url = request.url
        headers = request.headers.copy()
        secure = url.scheme == "https" or self._plain or here([address])
        if "Authorization" in headers and not secure:
            if request.method != "GET":
                message = (
                    f"the password for Patroni's REST API goes to no other machine ({address}) "
                    "without TLS, so that nothing was sent: have Patroni use https, or give "
                    "aerokernel serve the option --allow-plain-patroni-password"
                )
                raise httpx.ConnectError(message, request=request)
            del headers["Authorization"]
        return httpx.Request(
            request.method,
            url.copy_with(host=address),
            headers=headers,
            stream=request.stream,
            extensions=request.extensions | {"sni_hostname": url.host},
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class Engine:
    """`client` has the TLS settings and credentials, and reuses no connection."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(
        self, base: str, path: str, body: Mapping[str, str], seconds: float, began: float
    ) -> Sent:
        """ONE POST to the agent at `base`; never raises for the network.

        `began`: the uptime (timing.py) at which the recording of the dispatch began.
        """
        left = False

        async def watch(event: str, _: Mapping[str, Any]) -> None:
            """Called by httpcore before and after each step."""
            nonlocal left
            if event.endswith("send_request_headers.started"):
                if uptime() - began > SEND_SECONDS:
                    raise TooLate(f"not sent within {SEND_SECONDS:g} seconds")
                left = True

        try:
            async with asyncio.timeout(seconds):
                reply, _ = await self._exchange("POST", base + path, body, seconds, watch)
                return Sent(True, reply)
        except (*NO_REPLY, TooLate) as error:
            return Sent(left, EngineReply(status=None, body=_reason(error, base, seconds)))

    async def identify(self, node: str, base: str, seconds: float) -> Account:
        """What the agent of `node` at `base` reports, to be identified by (agent.py). Never raises
        for the network, and takes no longer than `seconds`, nor than IDENTIFY_SECONDS.
        """
        asked_at, seconds = uptime(), min(seconds, IDENTIFY_SECONDS)
        (reply, _), (members, _) = await asyncio.gather(
            self.account(base, seconds), self.account(base, seconds, "/cluster")
        )
        return Account(node, base, reply, members, asked_at)

    async def account(
        self, base: str, seconds: float, path: str = "/patroni"
    ) -> tuple[EngineReply, datetime | None]:
        """What the agent at `base` answers to GET `path`, and when by its own clock (the reply's
        Date). Never raises for the network.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange("GET", base + path, None, seconds, None)
        except NO_REPLY as error:
            return EngineReply(status=None, body=_reason(error, base, seconds)), None

    async def _exchange(
        self, method: str, url: str, body: Mapping[str, str] | None, seconds: float, watch: Any
    ) -> tuple[EngineReply, datetime | None]:
        request = self._client.build_request(
            method,
            url,
            content=None if body is None else canonical_json(body),
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
                "Connection": "close",
            },
            timeout=httpx.Timeout(seconds, connect=_connect_seconds(seconds)),
            extensions={} if watch is None else {"trace": watch},
        )
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            reply = EngineReply(status=response.status_code, body=await _text(response))
            return reply, _date(response.headers.get("date", ""))
        finally:
            await response.aclose()


def _date(header: str) -> datetime | None:
    """None for what is not a date as HTTP has it; the zone is always GMT."""
    try:
        return parsedate_to_datetime(header).replace(tzinfo=UTC)
    except (TypeError, ValueError):
        return None


async def _text(response: httpx.Response) -> str:
    """The reply as it came. Its status is the answer: a body that breaks off doesn't undo it."""
    body = b""
    try:
        async for chunk in response.aiter_raw():  # not decompressed: it may be a bomb
            body += chunk
            if len(body) >= LARGEST:
                break
    except httpx.HTTPError:
        pass
    return body[:LARGEST].decode(errors="replace")


def _connect_seconds(seconds: float) -> float:
    """For each of the two steps to a connection, TCP and TLS, so that they end before all is over:
    what is cancelled in the middle of the second one stays open (httpcore's start_tls).
    """
    return min(CONNECT_SECONDS, 0.4 * seconds)


def _reason(error: BaseException, url: str, seconds: float) -> str:
    """Why there is no reply: the message of the first error in the chain that has one.

    In TLS 1.3 a server that misses a client certificate reports it only after the request was sent,
    and disconnects, so that its report may be lost.
    """
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {_connect_seconds(seconds):g} seconds"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"no answer within {seconds:g} seconds"
    words = ""
    cause: BaseException | None = error
    while not words and cause is not None:
        words, cause = str(cause), cause.__cause__ or cause.__context__
    words = words or type(error).__name__
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and url.startswith(SECURE):
        return (
            f"{words} (a Patroni that requires a client certificate also disconnects like this: "
            "--patroni-cert)"
        )
    return words
