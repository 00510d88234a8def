"""Readers in hundreds, some of whom hang up or never ask; the kernel and its store stay well."""

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.kernel import Kernel
from aeroctl.kernel.sandbox.ports import HOST
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live import load

ANSWERS = {"200", "503 KERNEL_BUSY", "409 TIME_NOT_PINNED", "hung up"}
pytestmark = pytest.mark.live


@pytest.fixture
def served(sandbox: Sandbox) -> Iterator[Kernel]:
    """A kernel of its own, so that what it remembers of other tests is nothing."""
    sandbox.wait_until_ready()
    kernel = sandbox.start_kernel()
    yield kernel
    if kernel.running:
        kernel.terminate()


@pytest.fixture
def token(sandbox: Sandbox) -> str:
    return sandbox.token_file("observer").read_text().strip()


def quiet(served: Kernel, token: str) -> float:
    """Seconds that one reader waits for an answer that must come."""
    began = time.monotonic()
    assert asyncio.run(load.ask(served.url, token, load.QUIET)) == "200"
    return time.monotonic() - began


@pytest.mark.parametrize(("readers", "hanging_up"), [(350, 0.0), (350, 0.5), (1000, 0.3)])
def test_a_burst(
    sandbox: Sandbox, served: Kernel, token: str, readers: int, hanging_up: float
) -> None:
    """Everybody is answered, or refused at once; and then all is as it was."""
    store = sandbox.etcd.pid
    for seed in range(2):
        found = load.burst(served.url, token, readers, hanging_up=hanging_up, seed=seed)
        assert found.lost == 0, found.line()
        assert set(found.answers) <= ANSWERS, found.line()
        assert found.answers["200"] > 0
        assert found.recovery < 10, found.line()
        quiet(served, token)
    assert sandbox.etcd.pid == store
    assert sandbox.etcd.running
    assert served.running


def test_those_who_hang_up_on_history_leave_the_store_alone(
    sandbox: Sandbox, served: Kernel, token: str
) -> None:
    """etcd issue 14110: it panics when a reading transaction is broken off half-way."""
    paths = ("/v1/events", "/v1/events?window=20000", "/v1/revisions?ago=0", "/v1/snapshot")
    for seed in range(3):
        load.burst(served.url, token, 200, hanging_up=0.95, paths=paths, seed=seed)
        assert sandbox.etcd.running
    quiet(served, token)


def test_a_kernel_that_is_killed_while_it_reads_leaves_the_store_alone(
    sandbox: Sandbox, token: str
) -> None:
    """Which is what hanging up on etcd itself looks like."""
    for _ in range(3):
        served = sandbox.start_kernel()

        async def read(served: Kernel = served) -> None:
            paths = ("/v1/events?window=20000", "/v1/revisions?ago=0")
            asking = [
                asyncio.create_task(load.ask(served.url, token, paths[number % 2]))
                for number in range(40)
            ]
            await asyncio.sleep(0.3)
            served.kill()
            await asyncio.gather(*asking)

        asyncio.run(read())
        assert sandbox.etcd.running
    sandbox.wait_until_ready()


class TestConnections:
    @pytest.mark.parametrize("sent", [b"", b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Slow: "])
    def test_unfinished_requests(self, served: Kernel, token: str, sent: bytes) -> None:
        """1,500 of them: health is answered meanwhile, and the log says little."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2048)), hard))
        log = served.log.stat().st_size
        with contextlib.ExitStack() as open_:
            for _ in range(1500):
                with contextlib.suppress(OSError):
                    connection = open_.enter_context(
                        socket.create_connection((HOST, served.port), timeout=10)
                    )
                    connection.sendall(sent)
            began = time.monotonic()
            assert httpx.get(f"{served.url}/v1/health", trust_env=False).status_code == 200
            assert time.monotonic() - began < 5
            quiet(served, token)
        assert served.log.stat().st_size - log < 1_000_000
        process = psutil.Process(served.pid)
        wait_until("its connections are closed", lambda: process.num_fds() < 200, 30)

    @pytest.mark.parametrize(
        "head",
        [
            "GET /v1/health HTTP/1.1\r\n",
            (
                "POST /v1/explain/request_promotion HTTP/1.1\r\nHost: x\r\n"
                "Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                "Content-Length: 50000\r\n\r\n"
            ),
        ],
    )
    def test_a_request_that_never_ends_is_cut_off(
        self, served: Kernel, token: str, head: str
    ) -> None:
        """Though a little more of it comes all the time."""
        with socket.create_connection((HOST, served.port), timeout=5) as connection:
            connection.sendall(head.format(token=token).encode())
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - began < 30:
                    connection.sendall(b"a")
                    connection.settimeout(0.5)
                    with contextlib.suppress(TimeoutError):
                        if not connection.recv(65536):
                            break
            assert time.monotonic() - began < 15

    def test_health_is_answered_while_readers_wait(self, served: Kernel, token: str) -> None:
        async def work() -> None:
            readers = [
                asyncio.create_task(load.ask(served.url, token, "/v1/snapshot")) for _ in range(200)
            ]
            for _ in range(5):
                began = time.monotonic()
                assert await load.ask(served.url, None, "/v1/health") == "200"
                assert time.monotonic() - began < 3
            await asyncio.gather(*readers)

        asyncio.run(work())

    def test_many_at_the_document_of_the_interface(self, served: Kernel, token: str) -> None:
        async def work() -> None:
            began = time.monotonic()
            asked = [load.ask(served.url, None, "/v1/openapi.json") for _ in range(200)]
            assert set(await asyncio.gather(*asked)) == {"200"}
            assert time.monotonic() - began < 10

        asyncio.run(work())


class TestLog:
    def test_nobody_says_who_he_is(self, served: Kernel) -> None:
        """X-Forwarded-For is believed of nobody, and what anybody sends forges no entry."""
        headers = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
        httpx.get(
            f"{served.url}/v1/%0a2026-11-24%20INFO%20forged%1b[2J", headers=headers, trust_env=False
        )
        wait_until("it is in the log", lambda: "forged" in served.log.read_text())
        log = served.log.read_text()
        assert "203.0.113.7" not in log
        assert "\x1b" not in log
        assert not any(line.startswith("2026-11-24 INFO forged") for line in log.splitlines())


def test_ready(sandbox: Sandbox, served: Kernel) -> None:
    """Anybody may ask; the sandbox's etcd is an old one."""
    answer = httpx.get(f"{served.url}/v1/ready", trust_env=False)
    assert answer.status_code == 200
    found = answer.json()
    assert found["status"] == "ready"
    assert found["store_version"]
    old = found["store_version"].startswith("3.5.1")
    assert [note["code"] for note in found["notes"]] == (["STORE_OUTDATED"] if old else [])
    sandbox.etcd.freeze()
    try:
        answer = httpx.get(f"{served.url}/v1/ready", trust_env=False, timeout=30)
    finally:
        sandbox.etcd.thaw()
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "STORE_UNAVAILABLE"
    assert sandbox.etcd_url not in answer.text
    sandbox.wait_until_ready()


def test_changes_wait_for_no_readers(sandbox: Sandbox, served: Kernel, token: str) -> None:
    """With a node that answers nobody, each reader takes as long as a node may take."""
    holder = sandbox.leader
    assert holder is not None
    frozen, other = (node for node in sandbox.nodes.values() if node is not holder)
    operator = sandbox.token_file("operator").read_text().strip()
    frozen.postgres.freeze()
    try:

        async def work() -> None:
            done = asyncio.Event()

            async def reader() -> None:
                while not done.is_set():
                    await load.ask(served.url, token, "/v1/snapshot")

            readers = [asyncio.create_task(reader()) for _ in range(20)]
            await asyncio.sleep(1)
            async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                for bearer in (operator, token):
                    for _ in range(2):
                        explained = await client.post(
                            f"{served.url}/v1/explain/request_promotion",
                            json={"target": other.name},
                            headers={"Authorization": f"Bearer {bearer}"},
                        )
                        assert explained.status_code == 200, explained.text
            done.set()
            await asyncio.gather(*readers)

        asyncio.run(work())
    finally:
        frozen.postgres.thaw()
    sandbox.wait_until_ready()


def test_a_promotion_while_the_first_endpoint_is_frozen(sandbox: Sandbox) -> None:
    """It takes connections and answers nothing, as a member that was stopped does."""
    sandbox.wait_until_ready()
    target = next(node for node in sandbox.nodes.values() if node is not sandbox.leader)
    with socket.create_server((HOST, 0), backlog=200) as frozen:
        port = frozen.getsockname()[1]
        served = sandbox.start_kernel(f"--etcd={sandbox.etcd_url}", etcd_port=port)
        try:
            environment = sandbox.environment | {"AEROCTL_KERNEL": served.url}
            run = subprocess.run(
                [sys.executable, "-m", "aeroctl", "promote", target.name, "--yes"],
                env=os.environ | environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        finally:
            served.terminate()
    assert run.returncode == 0, run.stderr
    sandbox.wait_until_ready()
    assert sandbox.leader is target
