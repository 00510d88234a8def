"""Several endpoints, of which some are frozen; callers who go away; certificates."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import httpx
import pytest
import trustme

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.sandbox import settings
from aeroctl.kernel.sandbox.daemon import Daemon
from aeroctl.kernel.sandbox.ports import HOST, PortBlock
from aeroctl.kernel.sandbox.programs import find_programs
from aeroctl.kernel.sandbox.waiting import answers, wait_until
from aeroctl.kernel.store import gateway
from aeroctl.kernel.store.etcd import Etcd, Put
from tests.support.etcd import Store
from tests.support.relay import relaying

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1", "localhost"])
Result = TypeVar("Result")
SLOW = {"key": "slow"}


@dataclass
class Members:
    """Three etcd processes that are one store."""

    urls: list[str]
    daemons: list[Daemon]

    def leader(self) -> int:
        """Which of them leads; waits until one does."""
        found: list[int] = []

        def led() -> bool:
            found.clear()
            for number, url in enumerate(self.urls):
                with contextlib.suppress(httpx.HTTPError):
                    status = httpx.post(
                        f"{url}/v3/maintenance/status", json={}, trust_env=False, timeout=1
                    ).json()
                    if status.get("leader") == status["header"]["member_id"]:
                        found.append(number)
            return len(found) == 1

        wait_until("one member leads", led, 60)
        return found[0]


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    ports = PortBlock()
    clients, peers = [ports.take() for _ in range(3)], [ports.take() for _ in range(3)]
    whole = ",".join(f"m{number}=http://{HOST}:{peer}" for number, peer in enumerate(peers))
    daemons = []
    for number, (client, peer) in enumerate(zip(clients, peers, strict=True)):
        options = dict(each.split("=", 1) for each in settings.etcd(client, peer) if "=" in each)
        options |= {"--name": f"m{number}", "--initial-cluster": whole}
        command = [
            str(find_programs().etcd),
            *(f"{name}={value}" for name, value in options.items()),
            "--unsafe-no-fsync",
        ]
        daemons.append(Daemon(f"m{number}", command, tmp_path_factory.mktemp("etcd"), None))
    try:
        for daemon in daemons:
            daemon.start()
        for client in clients:
            wait_until("it answers", lambda port=client: answers(port, "/health"), 60)  # type: ignore[misc]
        yield Members([f"http://{HOST}:{client}" for client in clients], daemons)
    finally:
        for daemon in daemons:
            if daemon.running:
                daemon.kill()
        ports.close()


@contextlib.contextmanager
def frozen(daemon: Daemon) -> Iterator[None]:
    daemon.freeze()
    try:
        yield
    finally:
        daemon.thaw()


def on(urls: list[str], work: Callable[[Etcd], Awaitable[Result]], seconds: float = 4.5) -> Result:
    async def run() -> Result:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await work(Etcd(client, urls, seconds=seconds))

    return asyncio.run(run())


async def timed(call: Awaitable[object]) -> float:
    began = time.monotonic()
    await call
    return time.monotonic() - began


class TestFrozen:
    def test_the_first_one(self, members: Members) -> None:
        """The first read goes around it, and what follows, writes too, does not wait for it."""
        first = (members.leader() + 1) % 3  # a follower; the others are two of three
        urls = members.urls[first:] + members.urls[:first]

        async def work(etcd: Etcd) -> None:
            assert await timed(etcd.read("/a/")) < 2
            assert await etcd.transact([], [Put("/a/1", "x")])
            assert await timed(etcd.read_together(["/a/"], ["/b"])) < 1
            assert await etcd.lease(5)

        with frozen(members.daemons[first]):
            on(urls, work)

    def test_the_leader(self, members: Members) -> None:
        """Until another one leads nobody can answer; that takes a second or two."""

        async def work(etcd: Etcd) -> None:
            await etcd.read("/a/")
            assert await etcd.transact([], [Put("/a/1", "y")])

        for turn in range(2):
            leads = members.leader()
            first = (leads + turn) % 3
            with frozen(members.daemons[leads]):
                on(members.urls[first:] + members.urls[:first], work)
            url = members.urls[leads]
            wait_until("it is one of them again", lambda url=url: _serves(url), 60)  # type: ignore[misc]

    def test_all_of_them(self, members: Members) -> None:
        async def work(etcd: Etcd) -> None:
            began = time.monotonic()
            with pytest.raises(Failure, match="STORE_UNAVAILABLE") as caught:
                await etcd.read("/a/")
            assert time.monotonic() - began < 2.5
            assert all(url in caught.value.error.message for url in members.urls)

        with contextlib.ExitStack() as all_:
            for daemon in members.daemons:
                all_.enter_context(frozen(daemon))
            on(members.urls, work, seconds=1.5)
        for url in members.urls:
            wait_until("it serves again", lambda url=url: _serves(url), 60)  # type: ignore[misc]

    def test_it_is_tried_again_later(
        self, members: Members, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(gateway, "AVOID_SECONDS", 0.5)
        first = (members.leader() + 1) % 3
        urls = members.urls[first:] + members.urls[:first]

        async def work(etcd: Etcd) -> None:
            members.daemons[first].freeze()
            try:
                await etcd.read("/a/")
                assert [each.url for each in etcd._gateway._in_order()][-1] == urls[0]
            finally:
                members.daemons[first].thaw()
            await asyncio.sleep(0.6)
            assert [each.url for each in etcd._gateway._in_order()] == urls

        on(urls, work)


def _serves(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        asked = {"key": "YQ=="}
        return httpx.post(f"{url}/v3/kv/range", json=asked, trust_env=False, timeout=2).is_success
    return False


class TestGoneCallers:
    def test_no_place_in_the_pool_is_lost(self, etcd_store: Store) -> None:
        """httpcore issue 1093."""

        async def run() -> None:
            limits = httpx.Limits(max_connections=4)
            async with httpx.AsyncClient(trust_env=False, limits=limits, timeout=2) as client:
                etcd = Etcd(client, [etcd_store.url], seconds=2)
                for _ in range(20):
                    reads = [asyncio.create_task(etcd.read("/gone/")) for _ in range(40)]
                    await asyncio.sleep(0.005)
                    for number, read in enumerate(reads):
                        if number % 3:
                            read.cancel()
                    await asyncio.gather(*reads, return_exceptions=True)
                for _ in range(5):
                    await asyncio.gather(*(etcd.read("/gone/") for _ in range(4)))

        asyncio.run(run())

    def test_the_store_survives_those_who_hang_up(self, etcd_store: Store) -> None:
        """etcd issue 14110, where not even the process that reads is there any more."""

        async def work(etcd: Etcd) -> None:
            for number in range(40):
                await etcd.transact([], [Put(f"/survives/{number}", "x" * 1000)])
            newest = (await etcd.read("/survives/")).revision
            for _ in range(30):
                async with httpx.AsyncClient(trust_env=False) as client:
                    other = Etcd(client, [etcd_store.url], seconds=2)
                    reads = [
                        asyncio.create_task(other.replay("/survives/", 1, newest, window=2000)),
                        asyncio.create_task(other.read_together(["/survives/"], ["/a", "/b"])),
                    ]
                    await asyncio.sleep(0.01)
                    for call in list(other._gateway._calls):
                        call.cancel()  # as the end of the process does
                    await asyncio.gather(*reads, return_exceptions=True)
            await etcd.read("/survives/")

        on([etcd_store.url], work)
        assert etcd_store.daemon.running


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("3.5.1", False),
        ("3.5.6", False),
        ("3.5.7", True),
        ("3.5.21", True),
        ("3.6.0", True),
        ("3.6.0-rc.1", True),
        ("3.4.22", False),
        ("3.4.23", True),
        ("3.3.27", False),
        ("4.0.0", True),
        ("", False),
        ("next", False),
        (None, False),
    ],
)
def test_which_etcd_survives(version: str | None, safe: bool) -> None:
    assert gateway.safe(version) is safe


@pytest.mark.parametrize("safe", [True, False])
def test_both_ways_show_the_same(
    etcd_store: Store, safe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a transaction, or by single reads of one revision while others write on."""
    monkeypatch.setattr("aeroctl.kernel.store.etcd.safe", lambda _: safe)
    root = f"/both{safe}/"

    async def work(etcd: Etcd) -> None:
        done = asyncio.Event()

        async def write() -> None:
            number = 0
            while not done.is_set():
                number += 1
                keys = [f"{root}a/1", f"{root}b/1", f"{root}c"]
                await etcd.transact([], [Put(key, str(number)) for key in keys])

        writing = asyncio.create_task(write())
        seen = await etcd.read_together([root], [])
        for _ in range(40):
            seen = await etcd.read_together([f"{root}a/", f"{root}b/"], [f"{root}c"])
            values = {pair.value for space in seen.keyspaces for pair in space.keys.values()}
            values |= {pair.value for pair in seen.keys.values()}
            assert len(values) <= 1
            assert {space.revision for space in seen.keyspaces} == {seen.revision}
        done.set()
        await writing
        with pytest.raises(Failure, match="FUTURE_REVISION"):
            await etcd.read_together([root], [f"{root}c"], seen.revision + 10_000)

    on([etcd_store.url], work)


def showing(trusted: trustme.CA, shown: trustme.LeafCert | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    trusted.configure_trust(context)
    if shown is not None:
        shown.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_url(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An etcd that wants to see certificates."""
    home = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(home / "key")
    issued.cert_chain_pems[0].write_to_path(home / "cert")
    authority.cert_pem.write_to_path(home / "ca")
    ports = PortBlock()
    client, peer = ports.take(), ports.take()
    arguments = [
        each.replace("client-urls=http:", "client-urls=https:")
        for each in settings.etcd(client, peer)
    ]
    command = [
        str(find_programs().etcd),
        *arguments,
        f"--cert-file={home / 'cert'}",
        f"--key-file={home / 'key'}",
        f"--trusted-ca-file={home / 'ca'}",
        "--client-cert-auth",
    ]
    daemon = Daemon("etcd", command, home, None)
    daemon.start()
    try:
        trusting = showing(authority, authority.issue_cert("kernel"))

        def serves() -> bool:
            with contextlib.suppress(httpx.HTTPError):
                address = f"https://localhost:{client}/health"
                return httpx.get(address, verify=trusting, trust_env=False).is_success
            return False

        wait_until("it answers", serves, 60)
        yield f"https://localhost:{client}"
    finally:
        daemon.kill()
        ports.close()


class TestTls:
    @staticmethod
    def read(url: str, context: ssl.SSLContext) -> None:
        async def run() -> None:
            async with httpx.AsyncClient(trust_env=False, verify=context) as client:
                etcd = Etcd(client, [url], seconds=3, tls=context)
                await etcd.read_together(["/a/"], ["/b", "/c"])
                await etcd.transact([], [Put("/a/1", "x")])

        asyncio.run(run())

    def test_with_a_certificate(self, tls_url: str, authority: trustme.CA) -> None:
        self.read(tls_url, showing(authority, authority.issue_cert("kernel")))

    @pytest.mark.parametrize("kind", ["none", "expired", "a stranger's", "a stranger is asked"])
    def test_without_one_that_is_taken(
        self, tls_url: str, authority: trustme.CA, kind: str
    ) -> None:
        past = datetime(2020, 1, 1, tzinfo=UTC)
        shown = {
            "none": None,
            "expired": authority.issue_cert("kernel", not_after=past),
            "a stranger's": trustme.CA().issue_cert("kernel"),
            "a stranger is asked": authority.issue_cert("kernel"),
        }[kind]
        trusted = trustme.CA() if kind == "a stranger is asked" else authority
        for _ in range(5):  # whatever comes first: TLS's own words, or the end of the connection
            with pytest.raises(Failure) as caught:
                self.read(tls_url, showing(trusted, shown))
            error = caught.value.error
            assert error.code == "STORE_TLS_FAILED", error.message
            assert "--etcd-cert" in error.message
            assert "certificate" in error.message


def test_whatever_takes_one_request_a_connection_in_between(etcd_store: Store) -> None:
    """A proxy of HTTP/1.0, say: what an old etcd is asked together is asked one by one."""

    async def run(url: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            etcd = Etcd(client, [url], seconds=20)
            revision = await etcd.transact([], [Put("/between/a", "1"), Put("/between/b", "2")])
            assert revision is not None
            found = await etcd.read_together([], ["/between/a", "/between/b"])
            assert {key: pair.value for key, pair in found.keys.items()} == {
                "/between/a": "1", "/between/b": "2",
            }  # fmt: skip
            assert await etcd.counts("/between/", [revision - 1, revision]) == [0, 2]

    with relaying(etcd_store.port) as between:
        asyncio.run(run(between.url))


@pytest.mark.parametrize("code", ["KERNEL_BUSY", "STORE_UNAVAILABLE"])
def test_a_store_that_answers_others_is_not_called_unavailable(code: str) -> None:
    """Silence in one read, while others are answered, is load; without that it is the store's."""

    async def run() -> str:
        async def answer(request: httpx.Request) -> httpx.Response:
            if b"slow" in request.content:
                await asyncio.Event().wait()
            return httpx.Response(200, json={"header": {"revision": "7"}})

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            etcd = gateway.Gateway(
                client, ["http://etcd:2379"], seconds=0.5, user=None, password=None
            )
            slow = asyncio.create_task(etcd.anywhere(lambda one: one.post("/v3/kv/range", SLOW)))
            while not slow.done():
                if code == "KERNEL_BUSY":
                    await etcd.anywhere(lambda one: one.post("/v3/kv/range", {}))
                await asyncio.wait({slow}, timeout=0.01)
            with pytest.raises(Failure) as caught:
                slow.result()
            return caught.value.error.code

    assert asyncio.run(run()) == code
