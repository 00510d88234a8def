"""The client of the consensus store, against etcd's own words (copied from etcd 3.5)."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from aeroctl.kernel.etcd import Etcd
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.keyspace import Keyspace
from tests.kernel.keyspaces import COMPACTED, FUTURE, PREFIX, STORED, etcd_answer, refusal

Handler = Callable[[httpx.Request], httpx.Response]


def read(
    handler: Handler,
    *,
    at: int | None = None,
    endpoints: tuple[str, ...] = ("http://a:2379",),
    user: str | None = None,
    times: int = 1,
) -> Keyspace:
    async def run() -> Keyspace:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            store = Etcd(client, endpoints, seconds=0.2, user=user, password="secret")
            for _ in range(times - 1):
                await store.read(PREFIX, at)
            return await store.read(PREFIX, at)

    return asyncio.run(run())


def failure(handler: Handler, **options: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        read(handler, **options)
    return caught.value


def test_one_range_read_of_the_prefix() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json=etcd_answer(STORED))

    keyspace = read(answer)
    assert asked == [
        {
            "key": base64.b64encode(b"/service/demo/").decode(),
            "range_end": base64.b64encode(b"/service/demo0").decode(),
        }
    ]
    assert keyspace.commit_id == 57
    assert keyspace.keys["leader"].value == "n3"
    assert (keyspace.keys["leader"].created, keyspace.keys["leader"].modified) == (12, 40)


def test_history_is_dated_by_the_commit_that_was_asked_for() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["revision"] == "41"
        return httpx.Response(200, json=etcd_answer(STORED))

    assert read(answer, at=41).commit_id == 41


def test_no_keys() -> None:
    assert read(lambda _: httpx.Response(200, json=etcd_answer({}))).keys == {}


@pytest.mark.parametrize(
    ("answer", "status", "code", "domain"),
    [
        (refusal(400, 11, COMPACTED), 410, "COMMIT_COMPACTED", "kernel_rejection"),
        (refusal(400, 11, FUTURE), 400, "FUTURE_COMMIT", "operator_input"),
        (
            refusal(403, 7, "etcdserver: permission denied"),
            502,
            "STORE_REFUSED",
            "kernel_rejection",
        ),
        (
            refusal(400, 3, "etcdserver: user name is empty"),
            502,
            "STORE_REFUSED",
            "kernel_rejection",
        ),
        (refusal(503, 14, "etcdserver: no leader"), 503, "STORE_UNAVAILABLE", "transport"),
        (httpx.Response(502, text="<html>"), 503, "STORE_UNAVAILABLE", "transport"),
        (httpx.Response(200, text="[]"), 503, "STORE_UNAVAILABLE", "transport"),
        (httpx.Response(302, headers={"location": "/"}), 503, "STORE_UNAVAILABLE", "transport"),
        (httpx.Response(200, json={}), 502, "KERNEL_STATE_UNREADABLE", "kernel_rejection"),
    ],
)
def test_refusals(answer: httpx.Response, status: int, code: str, domain: str) -> None:
    refused = failure(lambda _: answer, at=41)
    assert (refused.status, refused.error.code, refused.error.domain) == (status, code, domain)
    assert refused.error.outcome == "not_executed"
    if answer.headers.get("content-type") == "application/json" and status != 502:
        assert answer.json()["message"] in refused.error.message  # verbatim (P7-E3)


def test_a_value_that_is_not_text_is_named() -> None:
    answer = etcd_answer({"members/n1": "x"})
    answer["kvs"][0]["value"] = base64.b64encode(b"\xff").decode()
    refused = failure(lambda _: httpx.Response(200, json=answer))
    assert refused.error.code == "KERNEL_STATE_UNREADABLE"
    assert "/service/demo/members/n1" in refused.error.message


class TestEndpoints:
    @pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError])
    def test_the_next_is_tried(self, kind: type[httpx.TransportError]) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.host == "a":
                raise kind("down", request=request)
            return httpx.Response(200, json=etcd_answer(STORED))

        assert read(answer, endpoints=("http://a:1", "http://b:1")).commit_id == 57

    def test_one_that_hangs_is_left(self) -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            if request.url.host == "a":
                await asyncio.Event().wait()
            return httpx.Response(200, json=etcd_answer(STORED))

        assert read(answer, endpoints=("http://a:1", "http://b:1")).commit_id == 57  # type: ignore[arg-type]

    def test_all_are_told_when_all_fail(self) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused", request=request)

        message = failure(answer, endpoints=("http://a:1", "http://b:1")).error.message
        assert "http://a:1: refused; http://b:1: refused" in message

    def test_a_refusal_is_final(self) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            assert request.url.host == "a"
            return refusal(400, 11, COMPACTED)

        assert failure(answer, endpoints=("http://a:1", "http://b:1")).status == 410


class TestAuthentication:
    def test_the_token_is_kept_until_it_is_refused(self) -> None:
        paths = []

        def answer(request: httpx.Request) -> httpx.Response:
            paths.append(request.url.path)
            if request.url.path == "/v3/auth/authenticate":
                assert json.loads(request.content) == {"name": "root", "password": "secret"}
                return httpx.Response(200, json={"header": {}, "token": f"token{len(paths)}"})
            if len(paths) == 4:
                return refusal(401, 16, "etcdserver: invalid auth token")
            assert request.headers["authorization"] == ("token1" if len(paths) < 5 else "token5")
            return httpx.Response(200, json=etcd_answer(STORED))

        read(answer, user="root", times=3)
        authenticate, ranged = "/v3/auth/authenticate", "/v3/kv/range"
        assert paths == [authenticate, ranged, ranged, ranged, authenticate, ranged]

    def test_wrong_credentials(self) -> None:
        words = "etcdserver: authentication failed, invalid user ID or password"
        refused = failure(lambda _: refusal(400, 3, words), user="root")
        assert (refused.status, refused.error.code) == (502, "STORE_REFUSED")
        assert refused.error.message == words
