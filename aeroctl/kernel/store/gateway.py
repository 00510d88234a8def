"""The way to etcd: endpoints, its session token, and JSON over HTTP. Knows no key.

Reads may be asked of every endpoint, for they change nothing. A write is sent once: another
endpoint is tried only where the request provably never left (P7-F1, P7-F3).

No call is ever cancelled on its way. Who waits for it may go away; the call ends by itself, by its
own limits of time. A cancelled call would take a place in the HTTP client's pool with it for good
(httpcore issue 1093), and etcd before 3.5.5 panics when a transaction that only reads is broken off
(etcd issue 14110).
"""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.store import pipeline
from aeroctl.kernel.timing import uptime

HEDGE_SECONDS = 0.3
"""Without an answer for so long, a read is asked of the next endpoint too."""
PAUSE_SECONDS = 0.1
"""Before an endpoint is asked again that could not answer just then."""
AVOID_SECONDS = 15.0
"""For how long an endpoint that did not answer is tried last."""
VERSION_SECONDS = 60.0
"""For how long an endpoint's version is remembered."""
SAFE_VERSIONS = ((3, 4, 23), (3, 5, 0), (3, 5, 7))
"""etcd survives a reading transaction that is broken off from 3.4.23 on, of 3.5 from 3.5.7 on
(3.5.5 mends issue 14110, 3.5.7 issue 14891, which came with that)."""

REFUSED = re.compile("certificate|unknown ca")
"""In TLS's words after the handshake: the other side does not take our certificate, or wants one.
In TLS 1.3 it says so only then, before it reads anything."""

# gRPC status codes of etcd's own errors
DEADLINE_EXCEEDED, UNAVAILABLE, UNAUTHENTICATED = 4, 14, 16
AUTH_CHANGED = "etcdserver: revision of auth store is old"

Result = TypeVar("Result")
Json = Mapping[str, Any]


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
    """etcd answered, and said no: nothing was carried out. Its words are the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Gateway:
    """One etcd cluster's JSON gateways, in the order in which they are tried.

    `client` carries TLS, `tls` is its context; `seconds` bounds a whole call, at however many
    endpoints. What is kept between calls is only for speed: etcd's session token, which is asked
    for again when etcd no longer takes it; which endpoints did not answer lately, and are tried
    last; their versions.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        endpoints: Sequence[str],
        *,
        seconds: float,
        user: str | None,
        password: str | None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.client = client
        self.tls = tls
        self.seconds = seconds
        self.user = user
        self.password = password
        self.token: str | None = None
        self.versions: dict[str, tuple[float, str]] = {}
        self.endpoints = [Endpoint(self, url) for url in endpoints]
        self.heard: dict[Endpoint, float] = {}
        self._avoided: dict[Endpoint, float] = {}
        self._calls: set[asyncio.Task[Any]] = set()

    async def anywhere(self, read: "Callable[[Endpoint], Coroutine[Any, Any, Result]]") -> Result:
        """What the first endpoint says that answers. For reads only.

        The next one is asked as well when one lets wait for long, or can't answer. Raises Refused,
        Failure STORE_UNAVAILABLE, STORE_TLS_FAILED; KERNEL_BUSY where it is silent in this, while
        it answers others.
        """
        problems: dict[Endpoint, Exception | None] = {}
        calls: dict[asyncio.Task[Result], Endpoint] = {}
        waiting, again = self._in_order(), list[Endpoint]()
        hedge = min(HEDGE_SECONDS, self.seconds / (2 * len(waiting)))
        began = uptime()
        ends = began + self.seconds
        while (waiting or calls or again) and (left := ends - uptime()) > 0:
            if not waiting and again:
                await asyncio.sleep(min(left, PAUSE_SECONDS))
                waiting, again = again, []
            # one that has just answered a part of the read is at work
            if waiting and not any(self._heard(endpoint, hedge) for endpoint in calls.values()):
                endpoint = waiting.pop(0)
                calls[self._begun(read(endpoint))] = endpoint
            done, _ = await asyncio.wait(
                calls,
                timeout=min(left, hedge) if waiting else left,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for call in done:
                endpoint = calls.pop(call)
                try:
                    result = call.result()
                except Unusable as problem:
                    dropped = isinstance(problem, Dropped) and endpoint not in problems
                    problems[endpoint] = problem
                    if dropped or isinstance(problem, NotNow):
                        again.append(endpoint)
                    if not isinstance(problem, NotNow):
                        self._avoid(endpoint)
                else:
                    self._avoided.pop(endpoint, None)
                    self._avoid(*(slow for slow in calls.values() if not self._heard(slow, hedge)))
                    return result
        late = (httpx.TimeoutException, TimeoutError)
        silent = {*calls.values(), *(e for e, p in problems.items() if _cause(p, late))}
        if any(self.heard.get(endpoint, 0.0) > began + hedge for endpoint in silent):
            message = f"the consensus store answers others, but not this: {self._silence}"
            raise Failure("KERNEL_BUSY", message)
        self._avoid(*silent)
        problems |= dict.fromkeys(calls.values())
        raise self._failure("the consensus store can't be read", problems)

    async def once(self, path: str, query: Json) -> dict[str, Any]:
        """Send a write, at most once.

        Raises Refused, Failure STORE_UNAVAILABLE, STORE_TLS_FAILED; its words tell whether it may
        have been written.
        """
        problems: dict[Endpoint, Exception | None] = {}
        ends = uptime() + self.seconds
        for endpoint in self._in_order():
            call = self._begun(endpoint.post(path, query))
            await asyncio.wait({call}, timeout=max(0, ends - uptime()))
            if not call.done():
                self._avoid(endpoint)
                raise _unknown(f"{endpoint.url}: {self._silence}")
            try:
                return call.result()
            except Unsent as problem:
                problems[endpoint] = problem
                self._avoid(endpoint)
            except Unusable as problem:
                self._avoid(endpoint)
                raise _unknown(f"{endpoint.url}: {problem}") from problem
        raise self._failure("the consensus store can't be written, and nothing was", problems)

    def _begun(self, call: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        """A call that goes on to its own end, whether somebody waits for it or not."""
        task = asyncio.create_task(call)
        self._calls.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._calls.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be there any more who asks for it

    def _avoid(self, *endpoints: "Endpoint") -> None:
        self._avoided |= dict.fromkeys(endpoints, uptime() + AVOID_SECONDS)

    def _heard(self, endpoint: "Endpoint", seconds: float) -> bool:
        """Whether it has answered anything within the last `seconds`."""
        return uptime() - self.heard.get(endpoint, float("-inf")) < seconds

    def _in_order(self) -> "list[Endpoint]":
        """As they were given, but first those that did not fail lately."""
        now = uptime()
        return sorted(self.endpoints, key=lambda endpoint: self._avoided.get(endpoint, 0.0) > now)

    def _failure(self, what: str, problems: "Mapping[Endpoint, Exception | None]") -> Failure:
        """All of them, in the order in which they were given."""
        told = "; ".join(
            f"{endpoint.url}: {problems[endpoint] or self._silence}"
            for endpoint in self.endpoints
            if endpoint in problems
        )
        untrusted = any(isinstance(problem, Untrusted) for problem in problems.values())
        return _unavailable(
            f"{what}: {told or self._silence}",
            "STORE_TLS_FAILED" if untrusted else "STORE_UNAVAILABLE",
        )

    @property
    def _silence(self) -> str:
        return f"no answer within {self.seconds:g} seconds"


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One etcd member's JSON gateway."""

    gateway: Gateway
    url: str

    async def post(self, path: str, query: Json) -> dict[str, Any]:
        """One call. Raises Unusable, Unsent, Refused.

        It is sent again only where etcd refused its session token, which it does before it carries
        anything out.
        """
        if self.gateway.user is None:
            return await self._post(path, query, None)
        if self.gateway.token is not None:
            try:
                return await self._post(path, query, self.gateway.token)
            except Refused as refusal:
                if refusal.code != UNAUTHENTICATED and str(refusal) != AUTH_CHANGED:
                    raise
        return await self._post(path, query, await self._authenticate())

    @asynccontextmanager
    async def stream(self, path: str, query: Json) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """A call that is answered by a stream of results. Raises as `post` does, except that a
        stream is opened with the token there is: post something before.
        """
        try:
            async with self.gateway.client.stream(
                "POST",
                self.url + path,
                json=query,
                headers=_headers(self.gateway.token),
                timeout=self._limits,
            ) as response:
                if response.status_code != HTTPStatus.OK:
                    await response.aread()
                    raise _refusal(response)
                yield _results(response)
        except httpx.HTTPError as error:
            raise _problem(error) from error

    async def post_all(self, path: str, queries: Sequence[Json]) -> list[dict[str, Any]]:
        """Several reads, sent together (pipeline.py), or one after the other where whatever stands
        in between does not take them so. Raises as `post` does, and as `stream` is it sent with the
        token there is.
        """
        gateway = self.gateway
        bodies = [json.dumps(query).encode() for query in queries]
        try:
            answers = await pipeline.post(
                httpx.URL(self.url + path),
                gateway.tls,
                _headers(gateway.token),
                bodies,
                gateway.seconds,
            )
        except pipeline.Broken:
            return [await self.post(path, query) for query in queries]
        except OSError as error:
            raise Dropped(_tls(error) or str(error)) from error
        gateway.heard[self] = uptime()
        responses = [httpx.Response(status, content=body) for status, body in answers]
        for response in responses:
            if response.status_code != HTTPStatus.OK:
                raise _refusal(response)
        return [_object(response, response.text) for response in responses]

    async def version(self) -> str | None:
        """Which etcd it is, as it says itself; None where it doesn't. Raises nothing."""
        url, now = self.url, uptime()
        read, known = self.gateway.versions.get(url, (0.0, ""))
        if known and now - read < VERSION_SECONDS:
            return known
        try:
            response = await self.gateway.client.get(f"{url}/version", timeout=self._limits)
            version = _object(response, response.text).get("etcdserver")
        except (httpx.HTTPError, Unusable):
            return None
        if not isinstance(version, str):
            return None
        self.gateway.versions[url] = now, version[:64]
        return version[:64]

    async def _authenticate(self) -> str:
        """Raises Unsent instead of Unusable: without a token the call itself is not sent."""
        gateway = self.gateway
        query = {"name": gateway.user, "password": gateway.password or ""}
        try:
            answer = await self._post("/v3/auth/authenticate", query, None, gateway.seconds / 2)
        except Untrusted:
            raise
        except httpx.TimeoutException as error:
            raise Unsent("it does not answer who may ask") from error
        except Unusable as problem:
            raise Unsent(str(problem)) from problem
        if not isinstance(token := answer.get("token"), str):
            raise Unsent("it answered who may ask, but without a token")
        gateway.token = token
        return token

    async def _post(
        self, path: str, query: Json, token: str | None, seconds: float | None = None
    ) -> dict[str, Any]:
        limits = self._limits if seconds is None else httpx.Timeout(seconds)
        try:
            response = await self.gateway.client.post(
                self.url + path, json=query, headers=_headers(token), timeout=limits
            )
        except httpx.HTTPError as error:
            raise _problem(error) from error
        self.gateway.heard[self] = uptime()
        if response.status_code != HTTPStatus.OK:
            raise _refusal(response)
        return _object(response, response.text)

    @property
    def _limits(self) -> httpx.Timeout:
        """Connecting ends in time to be told from an answer that does not come."""
        seconds = self.gateway.seconds
        return httpx.Timeout(seconds, connect=seconds / 2, pool=seconds / 2)


def safe(version: str | None) -> bool:
    """Whether such an etcd survives a reading transaction that is broken off half-way. Pure.

    One whose version can't be told may be an old one.
    """
    match = re.match(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})", version or "")
    if match is None:
        return False
    found = tuple(int(part) for part in match.groups())
    first, broken, mended = SAFE_VERSIONS
    return first <= found < broken or found >= mended


def _problem(error: httpx.HTTPError) -> Unusable:
    """What an HTTP client's error means: TLS, never sent, or perhaps sent."""
    untrusted = _tls(error)
    if untrusted and (isinstance(error, httpx.ConnectError) or REFUSED.search(untrusted)):
        return Untrusted(
            f"TLS failed: {untrusted} (see the certificates that etcd and the kernel show each "
            "other: --etcd-ca-file, --etcd-cert and --etcd-key)"
        )
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return Unsent(_words(error))
    kind = Unusable if isinstance(error, httpx.TimeoutException) else Dropped
    return kind(_words(error))


def _tls(error: BaseException | None) -> str | None:
    """TLS's own words, where that is what an error goes back to."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            words = getattr(error, "verify_message", None) or error.reason or error
            return str(words).lower().replace("_", " ")
        error = error.__cause__ or error.__context__
    return None


async def _results(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if not line:
            continue
        message = _object(response, line)
        if "error" in message:
            error = message["error"]
            raise Refused(int(error.get("grpc_code", 0)), str(error.get("message", error)))
        yield message["result"]


def _object(response: httpx.Response, text: str) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError as error:
        raise _foreign(response.status_code, text) from error
    if not isinstance(answer, dict):
        raise _foreign(response.status_code, text)
    return answer


def _refusal(response: httpx.Response) -> Unusable | Refused:
    answer = _object(response, response.text)
    if not isinstance(code := answer.get("code"), int):
        return _foreign(response.status_code, response.text)
    message = str(answer.get("message", ""))
    if code in (DEADLINE_EXCEEDED, UNAVAILABLE):
        return NotNow(message)
    return Refused(code, message)


def _foreign(status: int, text: str) -> Unusable:
    """Not the JSON gateway's: a proxy's, another program's, or etcd's own before it gets there."""
    return Unusable(f"HTTP {status}: {text.strip()[:200]!r}")


def _words(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": token}


def _cause(problem: Exception | None, kinds: tuple[type[Exception], ...]) -> bool:
    return problem is not None and isinstance(problem.__cause__, kinds)


def _unavailable(message: str, code: str = "STORE_UNAVAILABLE") -> Failure:
    return Failure(code, message)


def _unknown(problem: str) -> Failure:
    return _unavailable(
        f"it is not known whether the consensus store has written the records: {problem}"
    )
