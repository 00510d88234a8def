"""The way to etcd: endpoints, its session token, and JSON over HTTP. Knows no key.

Reads may be tried at every endpoint, for they change nothing. A write is sent once: another
endpoint is tried only where the request provably never left (P7-F1, P7-F3).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from aeroctl.kernel.failures import Failure

# gRPC status codes of etcd's own errors
DEADLINE_EXCEEDED, UNAVAILABLE, UNAUTHENTICATED = 4, 14, 16
AUTH_CHANGED = "etcdserver: revision of auth store is old"

Result = TypeVar("Result")
Json = Mapping[str, Any]


class Unusable(Exception):
    """An endpoint that can't answer now; another one may."""


class Unsent(Unusable):
    """An endpoint that the request provably never reached."""


class Refused(Exception):
    """etcd answered, and said no: nothing was carried out. Its words are the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Gateway:
    """One etcd cluster's JSON gateways, in the order in which they are tried.

    `client` carries TLS; `seconds` bounds each endpoint. The only thing kept between calls is
    etcd's session token; it is asked for again when etcd no longer takes it.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        endpoints: Sequence[str],
        *,
        seconds: float,
        user: str | None,
        password: str | None,
    ) -> None:
        self.client = client
        self.seconds = seconds
        self.credentials = None if user is None else {"name": user, "password": password or ""}
        self.token: str | None = None
        self._endpoints = [Endpoint(self, url) for url in endpoints]

    async def anywhere(self, read: "Callable[[Endpoint], Awaitable[Result]]") -> Result:
        """What the first endpoint that can answer says. For reads only.

        Raises Refused, Failure STORE_UNAVAILABLE.
        """
        problems = []
        for endpoint in self._endpoints:
            try:
                async with asyncio.timeout(self.seconds):
                    return await read(endpoint)
            except Unusable as problem:
                problems.append(f"{endpoint.url}: {problem}")
            except TimeoutError:
                problems.append(f"{endpoint.url}: {self._silence}")
        raise _unavailable(f"the consensus store can't be read: {'; '.join(problems)}")

    async def once(self, path: str, query: Json) -> dict[str, Any]:
        """Send a write, at most once.

        Raises Refused, Failure STORE_UNAVAILABLE; its words tell whether it may have been written.
        """
        problems = []
        for endpoint in self._endpoints:
            try:
                async with asyncio.timeout(self.seconds):
                    return await endpoint.post(path, query)
            except Unsent as problem:
                problems.append(f"{endpoint.url}: {problem}")
            except Unusable as problem:
                raise _unknown(f"{endpoint.url}: {problem}") from problem
            except TimeoutError as error:
                raise _unknown(f"{endpoint.url}: {self._silence}") from error
        raise _unavailable(
            f"the consensus store can't be written, and nothing was: {'; '.join(problems)}"
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
        if self.gateway.credentials is None:
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
                "POST", self.url + path, json=query, headers=_headers(self.gateway.token)
            ) as response:
                if response.status_code != HTTPStatus.OK:
                    await response.aread()
                    raise _refusal(response)
                yield _results(response)
        except httpx.HTTPError as error:
            raise Unusable(_words(error)) from error

    async def _authenticate(self) -> str:
        """Raises Unsent instead of Unusable: without a token the call itself is not sent."""
        gateway = self.gateway
        try:
            async with asyncio.timeout(gateway.seconds / 2):
                answer = await self._post("/v3/auth/authenticate", gateway.credentials or {}, None)
        except TimeoutError as error:
            raise Unsent("it does not answer who may ask") from error
        except Unusable as problem:
            raise Unsent(str(problem)) from problem
        if not isinstance(token := answer.get("token"), str):
            raise Unsent("it answered who may ask, but without a token")
        gateway.token = token
        return token

    async def _post(self, path: str, query: Json, token: str | None) -> dict[str, Any]:
        seconds = self.gateway.seconds
        try:
            response = await self.gateway.client.post(
                self.url + path,
                json=query,
                headers=_headers(token),
                # connecting ends in time to be told from an answer that does not come
                timeout=httpx.Timeout(seconds, connect=seconds / 2, pool=seconds / 2),
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Unsent(_words(error)) from error
        except httpx.HTTPError as error:
            raise Unusable(_words(error)) from error
        if response.status_code != HTTPStatus.OK:
            raise _refusal(response)
        return _object(response, response.text)


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
        return Unusable(message)
    return Refused(code, message)


def _foreign(status: int, text: str) -> Unusable:
    """Not the JSON gateway's: a proxy's, another program's, or etcd's own before it gets there."""
    return Unusable(f"HTTP {status}: {text.strip()[:200]!r}")


def _words(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": token}


def _unavailable(message: str) -> Failure:
    return Failure(503, "transport", "STORE_UNAVAILABLE", message, invariants=["P7-F1"])


def _unknown(problem: str) -> Failure:
    return _unavailable(
        f"it is not known whether the consensus store has written the records: {problem}"
    )
