"""Routes, authentication and errors. The store is answered as etcd would, nothing is decided."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from aeroctl import __version__
from aeroctl.contract.envelope import SnapshotEnvelope
from aeroctl.contract.errors import Error, ErrorBody
from aeroctl.kernel import callers
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.postgres.queries import Access
from aeroctl.kernel.server.routes import application
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.etcd import Etcd
from tests.support.keyspaces import COMPACTED, FUTURE, etcd_answer, refusal, stored


class Store:
    """What etcd answers; a test may change it."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = stored()
        self.requests = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/version":
            return httpx.Response(200, json={"etcdserver": "3.5.21"})
        self.requests += 1
        if request.url.path.endswith("/txn"):  # how many entries there were in the past
            asked = [each["request_range"] for each in json.loads(request.content)["success"]]
            entries = sum(name.startswith("members/") for name in self.keys)
            counts = [entries if int(each["revision"]) >= 12 else 0 for each in asked]
            found = [{"response_range": {"count": str(count)}} for count in counts]
            return httpx.Response(200, json={"header": {"revision": "57"}, "responses": found})
        revision = int(json.loads(request.content).get("revision", 57))
        if revision < 10:
            return refusal(400, 11, COMPACTED)
        if revision > 57:
            return refusal(400, 11, FUTURE)
        return httpx.Response(200, json=etcd_answer(self.keys))


class Client:
    """A caller of the application; nothing goes over a network."""

    def __init__(self, store: Store, token_file: Path | None, token: str | None) -> None:
        self._store = store
        self._token_file = token_file
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self._store)) as transport:
                source = Source(
                    store=Etcd(transport, ["http://etcd:2379"], seconds=1),
                    namespace="service",
                    scope="demo",
                    access=Access(None, None, "postgres", 1),
                    seconds=5,
                )
                app = httpx.ASGITransport(
                    application(source, Engine(transport), self._token_file),
                    raise_app_exceptions=False,
                )
                async with httpx.AsyncClient(
                    transport=app, base_url="http://kernel", headers=self._headers
                ) as client:
                    return await client.request(method, path, **options)

        return asyncio.run(call())


Connect = Callable[..., Client]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def client(store: Store) -> Connect:
    def make(token_file: Path | None = None, token: str | None = None) -> Client:
        return Client(store, token_file, token)

    return make


def error(response: httpx.Response) -> Error:
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    found = ErrorBody.model_validate_json(response.text).error
    assert found.outcome == "not_executed"
    return found


def test_a_live_snapshot(client: Connect, store: Store) -> None:
    response = client().get("/v1/snapshot?include=nodes,cluster")
    assert (response.status_code, store.requests) == (200, 2)
    assert response.headers["cache-control"] == "no-store"
    envelope = SnapshotEnvelope.model_validate_json(response.text)
    assert (envelope.observed_at.kind, envelope.observed_at.revision) == ("live", 57)
    assert envelope.observed_at.time is not None
    assert str(envelope.observed_at.clock).startswith("aerokernel on ")
    assert envelope.data.promotion is None
    assert envelope.data.wal is None
    assert [node.name for node in envelope.data.nodes or []] == ["n1", "n2", "n3"]


def test_every_key_is_present(client: Connect) -> None:
    data = client().get("/v1/snapshot?include=promotion").json()["data"]
    assert [name for name, value in data.items() if value is not None] == ["promotion"]
    assert len(data) == 8


def test_an_explicit_snapshot(client: Connect) -> None:
    envelope = client().get("/v1/snapshot?at=41").json()
    assert envelope["observed_at"] | {"state_digest": ""} == {
        "kind": "historical",
        "revision": 41,
        "state_digest": "",
        "time": None,
        "clock": None,
    }
    present = [name for name, value in envelope["data"].items() if value is not None]
    assert present == ["cluster", "nodes", "promotion"]


def test_the_same_state_is_the_same_bytes(client: Connect) -> None:
    """P7-D1."""
    assert client().get("/v1/snapshot?at=41").content == client().get("/v1/snapshot?at=41").content


@pytest.mark.parametrize(
    ("query", "status", "code", "domain"),
    [
        ("include=nodes,gossip", 400, "BAD_PARAMETER", "operator_input"),
        ("include=", 400, "BAD_PARAMETER", "operator_input"),
        ("include=nodes&include=wal", 400, "BAD_PARAMETER", "operator_input"),
        ("include=nodes&inculde=wal", 400, "BAD_PARAMETER", "operator_input"),
        ("at=", 400, "BAD_PARAMETER", "operator_input"),
        ("at=0", 400, "BAD_PARAMETER", "operator_input"),
        ("at=-1", 400, "BAD_PARAMETER", "operator_input"),
        ("at=1.5", 400, "BAD_PARAMETER", "operator_input"),
        ("at=%D9%A3", 400, "BAD_PARAMETER", "operator_input"),
        (f"at={'9' * 5000}", 400, "BAD_PARAMETER", "operator_input"),
        ("at=41&include=nodes,wal", 409, "SECTION_NOT_IN_HISTORY", "kernel_rejection"),
        ("at=9", 410, "REVISION_COMPACTED", "kernel_rejection"),
        ("at=58", 400, "FUTURE_REVISION", "operator_input"),
    ],
)
def test_refusals(client: Connect, query: str, status: int, code: str, domain: str) -> None:
    response = client().get(f"/v1/snapshot?{query}")
    found = error(response)
    assert (response.status_code, found.code, found.domain) == (status, code, domain)


def test_the_missing_section_is_named(client: Connect) -> None:
    assert "'wal'" in error(client().get("/v1/snapshot?at=41&include=nodes,wal")).message


def test_a_cluster_that_is_not_there(client: Connect, store: Store) -> None:
    store.keys = {}
    response = client().get("/v1/snapshot?include=nodes")
    assert (response.status_code, error(response).code) == (404, "CLUSTER_NOT_FOUND")


def test_a_key_that_cannot_be_read_fails_the_whole(client: Connect, store: Store) -> None:
    store.keys["members/n2"] = "{"
    response = client().get("/v1/snapshot?include=cluster")
    assert (response.status_code, error(response).code) == (502, "KERNEL_STATE_UNREADABLE")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/explain/request_promotion"),
        ("POST", "/v1/commands/request_promotion"),
        ("GET", "/v1/requests/6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b"),
        ("GET", "/v1/health"),
        ("GET", "/v1/openapi.json"),
    ],
)
def test_what_takes_no_parameter_takes_none(
    client: Connect, store: Store, method: str, path: str
) -> None:
    """What is not known is not passed over: whoever asks for a dry run must not get a wet one."""
    response = client().request(method, f"{path}?dry_run=true")
    assert (response.status_code, error(response).code) == (400, "BAD_PARAMETER")
    assert "dry_run" in error(response).message
    assert store.requests == 0


@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_what_is_nested_deeply_is_a_bad_request(client: Connect, store: Store, opened: str) -> None:
    for path in ("explain", "commands"):
        response = client().request(
            "POST",
            f"/v1/{path}/request_promotion",
            content=opened * 10_000,
            headers={"Content-Type": "application/json"},
        )
        assert (response.status_code, error(response).code) == (400, "BAD_REQUEST")
    assert store.requests == 0


def test_a_bug_leaves_no_trace(client: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("hunter2")

    monkeypatch.setattr("aeroctl.kernel.endpoints.snapshot.snapshot", broken)
    response = client().get("/v1/snapshot")
    assert (response.status_code, error(response).code) == (500, "INTERNAL")
    assert "hunter2" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/v1/snapshot/", 404, "NOT_FOUND"),
        ("GET", "/v2/snapshot", 404, "NOT_FOUND"),
        ("POST", "/v1/snapshot", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/explain/request_promotion", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/commands/request_promotion", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/explain/", 404, "NOT_FOUND"),
        ("DELETE", "/v1/requests/1", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/audit", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/events", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/v1/revisions", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "/v1/health", 405, "METHOD_NOT_ALLOWED"),
    ],
)
def test_paths(client: Connect, method: str, path: str, status: int, code: str) -> None:
    response = client().request(method, path)
    assert (response.status_code, error(response).code) == (status, code)


class TestAuthentication:
    """P7-A1."""

    @pytest.fixture
    def token_file(self, tmp_path: Path) -> Path:
        path = tmp_path / "tokens"
        lines = [callers.line_of(f"the-{name}", name, name) for name in callers.AUTHORITIES]
        path.write_text("\n".join(lines), encoding="ascii")
        return path

    @pytest.mark.parametrize("authority", callers.AUTHORITIES)
    def test_every_authority_reads(self, client: Connect, token_file: Path, authority: str) -> None:
        response = client(token_file, authority).get("/v1/snapshot?include=nodes")
        assert response.status_code == 200

    @pytest.mark.parametrize(
        "header", [None, "Bearer", "Bearer nobody", "Basic observer", "observer", "Bearer a b"]
    )
    def test_others_do_not(
        self, client: Connect, store: Store, token_file: Path, header: str | None
    ) -> None:
        headers = {"Authorization": header} if header else {}
        response = client(token_file).get("/v1/snapshot?bad=1", headers=headers)
        found = error(response)
        assert (response.status_code, found.code) == (401, "UNAUTHENTICATED")
        assert (found.domain, found.invariants) == ("control_plane_validation", ["P7-A1"])
        assert response.headers["www-authenticate"] == "Bearer"
        assert store.requests == 0

    @pytest.mark.parametrize("path", ["events", "revisions?ago=1", "audit"])
    def test_nor_do_they_read_the_past(
        self, client: Connect, store: Store, token_file: Path, path: str
    ) -> None:
        response = client(token_file).get(f"/v1/{path}")
        assert (response.status_code, error(response).code) == (401, "UNAUTHENTICATED")
        assert store.requests == 0

    @pytest.mark.parametrize("order", [("observer", "operator"), ("observer", "observer")])
    def test_two_headers_name_nobody(
        self, client: Connect, store: Store, token_file: Path, order: tuple[str, str]
    ) -> None:
        headers = [("Authorization", f"Bearer {token}") for token in order]
        response = client(token_file).get("/v1/snapshot?include=nodes", headers=headers)
        assert (response.status_code, error(response).code) == (401, "UNAUTHENTICATED")
        assert "more than one" in error(response).message
        assert store.requests == 0

    def test_a_revoked_token_is_refused_at_once(self, client: Connect, token_file: Path) -> None:
        caller = client(token_file, "observer")
        assert caller.get("/v1/snapshot?include=nodes").status_code == 200
        token_file.write_text("", encoding="ascii")
        assert caller.get("/v1/snapshot?include=nodes").status_code == 401

    @pytest.mark.parametrize("text", ["garbage", None])
    def test_a_broken_file_lets_nobody_in(
        self, client: Connect, token_file: Path, text: str | None
    ) -> None:
        if text is None:
            token_file.unlink()
        else:
            token_file.write_text(text, encoding="ascii")
        response = client(token_file, "observer").get("/v1/snapshot?include=nodes")
        assert (response.status_code, error(response).code) == (503, "TOKEN_FILE_UNREADABLE")
        assert str(token_file) not in response.text

    def test_health_and_openapi_ask_for_none(self, client: Connect, token_file: Path) -> None:
        health = client(token_file).get("/v1/health")
        assert health.json() == {"status": "ok", "version": __version__}
        assert client(token_file).get("/v1/openapi.json").json()["openapi"] == "3.1.0"
