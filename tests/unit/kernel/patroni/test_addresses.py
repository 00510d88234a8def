"""Where nodes may be, and where Patroni's password may go."""

import asyncio
from ipaddress import ip_network

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.kernel.patroni.addresses import Outside, Reach, here
from aeroctl.kernel.patroni.rest_api import Transport

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1", "localhost"])


@given(st.ip_addresses(), st.ip_addresses(v=4), st.integers(0, 32))
def test_a_network_holds_what_is_in_it(address: object, base: object, bits: int) -> None:
    network = ip_network(f"{base}/{bits}", strict=False)
    reach = Reach((network,))
    assert reach.allows(str(address)) == (address in network if address.version == 4 else False)  # type: ignore[attr-defined]
    assert Reach().allows(str(address))


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("fe80::1%lo", False),
    ],
)
def test_what_is_this_machine(address: str, ours: bool) -> None:
    assert here([address]) is ours
    assert not here([address, "10.0.0.1"])
    assert not here([])


def test_a_mapped_address_is_what_it_stands_for() -> None:
    reach = Reach((ip_network("10.0.0.0/8"),))
    assert reach.allows("::ffff:10.1.2.3")
    assert not reach.allows("::ffff:192.0.2.1")


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "127.0.0.1", "localhost"])
def test_names_that_are_none_and_addresses_outside(host: str) -> None:
    reach = Reach((ip_network("10.0.0.0/8"),))
    with pytest.raises((OSError, Outside)):
        asyncio.run(reach.addresses(host, 5432))


def ask(
    url: str, method: str, *, reach: Reach | None = None, plain: bool = False
) -> list[httpx.Request]:
    """What reaches the network of one request with a password."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200)

    async def run() -> None:
        inner = httpx.MockTransport(answer)
        transport = Transport(inner, reach or Reach(), plain=plain)
        async with httpx.AsyncClient(transport=transport, auth=("ann", "hunter2")) as client:
            await client.request(method, url)

    asyncio.run(run())
    return sent


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8008/x", "http://[::1]:8008/x", "https://10.0.0.1:8008/x"]
)
def test_the_password_goes_where_it_may(url: str) -> None:
    for method in ("GET", "POST"):
        (sent,) = ask(url, method)
        assert sent.headers["authorization"].startswith("Basic ")


@pytest.mark.parametrize("url", ["http://10.0.0.1:8008/x", "http://0.0.0.0:8008/x"])
def test_and_nowhere_else(url: str) -> None:
    (sent,) = ask(url, "GET")
    assert "authorization" not in sent.headers
    with pytest.raises(httpx.ConnectError, match="--allow-plain-patroni-password"):
        ask(url, "POST")
    (sent,) = ask(url, "POST", plain=True)
    assert "authorization" in sent.headers


def test_a_name_is_resolved_once_and_still_proves_itself() -> None:
    (sent,) = ask("https://localhost:8008/x", "GET")
    assert sent.url.host in ("127.0.0.1", "::1")
    assert sent.extensions["sni_hostname"] == "localhost"
    assert sent.headers["host"] == "localhost:8008"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_goes_outside(method: str) -> None:
    with pytest.raises(httpx.ConnectError, match="--node-network"):
        ask("https://localhost:8008/x", method, reach=Reach((ip_network("10.0.0.0/8"),)))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("problem", [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError])
def test_a_name_with_several_addresses(
    method: str, problem: type[httpx.TransportError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As localhost has, with Patroni on one of them; what may have left goes nowhere else."""
    asked = []

    async def resolved(*_: object) -> list[str]:
        return ["::1", "127.0.0.1"]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host == "::1":
            raise problem("no")
        return httpx.Response(200)

    async def run() -> httpx.Response:
        transport = Transport(httpx.MockTransport(answer), Reach(), plain=False)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(method, "http://localhost:8008/x", content=b"x")

    monkeypatch.setattr("aeroctl.kernel.patroni.addresses._resolved", resolved)
    if problem is httpx.ReadError:
        with pytest.raises(problem):
            asyncio.run(run())
        assert asked == ["::1"]
    else:
        assert asyncio.run(run()).status_code == 200
        assert asked == ["::1", "127.0.0.1"]
