"""Client of the consensus store: etcd's v3 JSON gateway, linearizable reads only."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx

from aeroctl.kernel.failures import Failure, unreadable
from aeroctl.kernel.keyspace import Keyspace, KeyValue

# gRPC status codes of etcd's own errors
DEADLINE_EXCEEDED, UNAVAILABLE, UNAUTHENTICATED = 4, 14, 16
AUTH_CHANGED = "etcdserver: revision of auth store is old"


class _Unusable(Exception):
    """An endpoint that can't answer now; another one may."""


class _Refused(Exception):
    """etcd answered, and said no. Its words are the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Etcd:
    """One etcd cluster. Endpoints are tried in order; reads may be, they change nothing.

    `client` carries TLS; `seconds` bounds each endpoint. The only thing kept between calls is
    etcd's session token; it is asked for again when etcd no longer takes it.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        endpoints: Sequence[str],
        *,
        seconds: float,
        user: str | None = None,
        password: str | None = None,
    ) -> None:
        self._client = client
        self._endpoints = endpoints
        self._seconds = seconds
        self._user = user
        self._password = password
        self._token: str | None = None

    async def read(self, prefix: str, at: int | None = None) -> Keyspace:
        """Every key below `prefix` in one linearizable range read, now or as of commit `at`.

        Raises Failure: STORE_UNAVAILABLE, STORE_REFUSED, COMMIT_COMPACTED, FUTURE_COMMIT,
        KERNEL_STATE_UNREADABLE.
        """
        start = prefix.encode()
        query = {"key": _encode(start), "range_end": _encode(start[:-1] + bytes([start[-1] + 1]))}
        if at is not None:
            query["revision"] = str(at)
        try:
            answer = await self._ask("/v3/kv/range", query)
        except _Refused as refusal:
            raise _failure(str(refusal)) from refusal
        return _keyspace(prefix, answer, at)

    async def _ask(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        problems = []
        for endpoint in self._endpoints:
            try:
                async with asyncio.timeout(self._seconds):
                    return await self._ask_one(endpoint, path, query)
            except _Unusable as problem:
                problems.append(f"{endpoint}: {problem}")
            except TimeoutError:
                problems.append(f"{endpoint}: no answer within {self._seconds:g} seconds")
        raise Failure(
            503,
            "transport",
            "STORE_UNAVAILABLE",
            f"the consensus store can't be read: {'; '.join(problems)}",
            invariants=["P7-F1"],
        )

    async def _ask_one(self, endpoint: str, path: str, query: dict[str, str]) -> dict[str, Any]:
        if self._user is None:
            return await self._post(endpoint, path, query, None)
        if self._token is not None:
            try:
                return await self._post(endpoint, path, query, self._token)
            except _Refused as refusal:
                if refusal.code != UNAUTHENTICATED and str(refusal) != AUTH_CHANGED:
                    raise
        credentials = {"name": self._user, "password": self._password or ""}
        answer = await self._post(endpoint, "/v3/auth/authenticate", credentials, None)
        self._token = str(answer["token"])
        return await self._post(endpoint, path, query, self._token)

    async def _post(
        self, endpoint: str, path: str, query: dict[str, str], token: str | None
    ) -> dict[str, Any]:
        headers = {} if token is None else {"Authorization": token}
        try:
            response = await self._client.post(endpoint + path, json=query, headers=headers)
        except httpx.HTTPError as error:
            raise _Unusable(str(error) or type(error).__name__) from error
        try:
            answer = response.json()
        except ValueError as error:
            raise _foreign(response) from error
        if response.status_code == HTTPStatus.OK and isinstance(answer, dict):
            return answer
        if not isinstance(answer, dict) or "code" not in answer:
            raise _foreign(response)
        message = str(answer.get("message", ""))
        if answer["code"] in (DEADLINE_EXCEEDED, UNAVAILABLE):
            raise _Unusable(message)
        raise _Refused(answer["code"], message)


def _foreign(response: httpx.Response) -> _Unusable:
    """Not the JSON gateway's: a proxy's, another program's, or etcd's own before it gets there."""
    return _Unusable(f"HTTP {response.status_code}: {response.text.strip()[:200]!r}")


def _failure(message: str) -> Failure:
    """What etcd's refusal means; etcd gives a past and a future revision the same code."""
    if "has been compacted" in message:
        return Failure(410, "kernel_rejection", "COMMIT_COMPACTED", message)
    if "is a future revision" in message:
        return Failure(400, "operator_input", "FUTURE_COMMIT", message)
    return Failure(502, "kernel_rejection", "STORE_REFUSED", message, invariants=["P7-F1"])


def _keyspace(prefix: str, answer: dict[str, Any], at: int | None) -> Keyspace:
    try:
        keys = {}
        for pair in answer.get("kvs", []):  # the gateway leaves empty fields out
            name = base64.b64decode(pair["key"]).decode(errors="backslashreplace")
            keys[name.removeprefix(prefix)] = KeyValue(
                value=_text(name, base64.b64decode(pair.get("value", ""))),
                created=int(pair["create_revision"]),
                modified=int(pair["mod_revision"]),
            )
        newest = int(answer["header"]["revision"])
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise unreadable(prefix, f"not etcd's answer to a range read: {error!r}") from error
    return Keyspace(prefix=prefix, commit_id=newest if at is None else at, keys=keys)


def _text(key: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise unreadable(key, "not UTF-8") from error


def _encode(value: bytes) -> str:
    return base64.b64encode(value).decode()
