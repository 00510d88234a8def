"""One member of etcd: JSON over HTTP to its gateway, with etcd's session token."""

import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.store import pipeline
from aeroctl.kernel.store.problems import (
    Dropped,
    Refused,
    Unsent,
    Untrusted,
    Unusable,
    foreign,
    refusal,
    tls_problem,
    transport_problem,
)
from aeroctl.kernel.store.replies import (
    Answer,
    Foreign,
    GrpcCode,
    Token,
    Version,
    WatchLine,
    WatchResult,
    parse,
)
from aeroctl.kernel.timing import uptime

VERSION_SECONDS = 60.0
"""For how long an endpoint's version is remembered."""
SAFE_VERSIONS = ((3, 4, 23), (3, 5, 0), (3, 5, 7))
"""etcd survives a reading transaction that is broken off from 3.4.23 on, of 3.5 from 3.5.7 on
(3.5.5 mends issue 14110, 3.5.7 issue 14891, which came with that)."""
AUTH_CHANGED = "etcdserver: revision of auth store is old"

Body = Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Session:
    """What all endpoints of one etcd share. `client` carries TLS, `tls` is its context; `seconds`
    bounds a call.

    What is remembered between calls is only for speed: etcd's session token, which is asked for
    again when etcd no longer takes it; the endpoints' versions; and when each last answered.
    """

    client: httpx.AsyncClient
    tls: ssl.SSLContext | None
    seconds: float
    user: str | None
    password: str | None
    token: str | None = None
    versions: dict[str, tuple[float, str]] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One etcd member's JSON gateway."""

    session: Session
    url: str

    async def post(self, path: str, body: Body, model: type[Answer]) -> Answer:
        """One call. Raises Unusable, Unsent, Refused; Failure KERNEL_STATE_UNREADABLE for an answer
        that is not etcd's to it.

        It is sent again only where etcd refused its session token, which it does before it carries
        anything out.
        """
        if self.session.user is None:
            return await self._post(path, body, model, None)
        if self.session.token is not None:
            try:
                return await self._post(path, body, model, self.session.token)
            except Refused as refused:
                if refused.code != GrpcCode.UNAUTHENTICATED and str(refused) != AUTH_CHANGED:
                    raise
        return await self._post(path, body, model, await self._authenticate())

    @asynccontextmanager
    async def watch(self, body: Body) -> AsyncIterator[AsyncIterator[WatchResult]]:
        """A watch, which is answered by a stream of results. Raises as `post` does, except that it
        is opened with the token there is: post something before.
        """
        try:
            async with self.session.client.stream(
                "POST",
                f"{self.url}/v3/watch",
                json=body,
                headers=_headers(self.session.token),
                timeout=self._limits,
            ) as response:
                if response.status_code != HTTPStatus.OK:
                    raise refusal(response.status_code, await response.aread())
                yield _results(response)
        except httpx.HTTPError as error:
            raise transport_problem(error) from error

    async def post_all(
        self, path: str, bodies: Sequence[Body], model: type[Answer]
    ) -> list[Answer]:
        """Several reads, sent together (pipeline.py), or one after the other where whatever stands
        in between does not take them so. Raises as `post` does, and as `watch` is it sent with the
        token there is.
        """
        session = self.session
        try:
            answers = await pipeline.post(
                httpx.URL(self.url + path),
                session.tls,
                _headers(session.token),
                [json.dumps(body).encode() for body in bodies],
                session.seconds,
            )
        except pipeline.Broken:
            return [await self.post(path, body, model) for body in bodies]
        except OSError as error:
            raise Dropped(tls_problem(error) or str(error)) from error
        session.answered[self.url] = uptime()
        return [_parsed(status, content, model) for status, content in answers]

    async def version(self) -> str | None:
        """Which etcd it is, as it says itself; None where it doesn't. Raises nothing."""
        session, now = self.session, uptime()
        read, known = session.versions.get(self.url, (0.0, ""))
        if known and now - read < VERSION_SECONDS:
            return known
        try:
            response = await session.client.get(f"{self.url}/version", timeout=self._limits)
            version = parse(Version, response.content).etcdserver
        except (httpx.HTTPError, Foreign, Failure):
            return None
        if version is None:
            return None
        session.versions[self.url] = now, version[:64]
        return version[:64]

    async def _authenticate(self) -> str:
        """Raises Unsent instead of Unusable: without a token the call itself is not sent."""
        session = self.session
        body = {"name": session.user, "password": session.password or ""}
        try:
            answer = await self._post(
                "/v3/auth/authenticate", body, Token, None, session.seconds / 2
            )
        except Untrusted:
            raise
        except httpx.TimeoutException as error:
            raise Unsent("it does not answer the login") from error
        except Unusable as problem:
            raise Unsent(str(problem)) from problem
        if answer.token is None:
            raise Unsent("it answered the login without a token")
        session.token = answer.token
        return answer.token

    async def _post(
        self,
        path: str,
        body: Body,
        model: type[Answer],
        token: str | None,
        seconds: float | None = None,
    ) -> Answer:
        limits = self._limits if seconds is None else httpx.Timeout(seconds)
        try:
            response = await self.session.client.post(
                self.url + path, json=body, headers=_headers(token), timeout=limits
            )
        except httpx.HTTPError as error:
            raise transport_problem(error) from error
        self.session.answered[self.url] = uptime()
        return _parsed(response.status_code, response.content, model)

    @property
    def _limits(self) -> httpx.Timeout:
        """Connecting ends in time to be told from an answer that does not come."""
        seconds = self.session.seconds
        return httpx.Timeout(seconds, connect=seconds / 2, pool=seconds / 2)


def survives_cancelled_reads(version: str | None) -> bool:
    """Whether such an etcd survives a reading transaction that is broken off half-way. Pure.

    One whose version is not known may be an old one.
    """
    match = re.match(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})", version or "")
    if match is None:
        return False
    number = tuple(int(part) for part in match.groups())
    first, broken, mended = SAFE_VERSIONS
    return first <= number < broken or number >= mended


def _parsed(status: int, content: bytes, model: type[Answer]) -> Answer:
    if status != HTTPStatus.OK:
        raise refusal(status, content)
    try:
        return parse(model, content)
    except Foreign as error:
        raise foreign(status, content) from error


async def _results(response: httpx.Response) -> AsyncIterator[WatchResult]:
    async for line in response.aiter_lines():
        if line:
            message = _parsed(response.status_code, line.encode(), WatchLine)
            if message.error is not None:
                raise Refused(message.error.grpc_code, message.error.message)
            yield message.result


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": token}
