"""Which addresses of nodes are connected to, and where a password may go.

A member key names a node's addresses, and whoever may write it names them. So a name is resolved
once and what it stands for is judged, and connected to: an address outside of the networks that
nodes may be in is not connected to at all, and a password goes only where TLS has proved who is
there, or where nobody else is: to this machine itself.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

Network = IPv4Network | IPv6Network
MOST = 4
"""Addresses of one name that are tried."""


class Outside(Exception):
    """A node's address is in none of the networks that nodes may be in."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The networks that nodes may be in; without any, they may be anywhere."""

    networks: tuple[Network, ...] = ()

    async def addresses(self, host: str, port: int) -> list[str]:
        """What `host` stands for, as far as it may be connected to. Raises OSError, Outside."""
        found = await _resolved(host, port)
        allowed = [each for each in found if self.allows(each)]
        if not allowed:
            networks = ", ".join(map(str, self.networks))
            raise Outside(
                f"its address {', '.join(found)} is in none of the networks that nodes may be in "
                f"(--node-network {networks}): it is not connected to"
            )
        return allowed[:MOST]

    def allows(self, address: str) -> bool:
        """Whether an address may be connected to. Pure."""
        plain = _plain(address)
        return not self.networks or any(
            plain.version == network.version and plain in network for network in self.networks
        )


def here(addresses: Sequence[str]) -> bool:
    """Whether all of them are this machine's own. Pure."""
    return bool(addresses) and all(_plain(address).is_loopback for address in addresses)


class Transport(httpx.AsyncBaseTransport):
    """To the agents of nodes: only where `reach` allows it, and with the password only where it may
    go. `plain`: it may go everywhere.

    A question (GET) that may not carry it goes without it; what asks for a change does not go.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, reach: Reach, *, plain: bool) -> None:
        self._inner = inner
        self._reach = reach
        self._plain = plain

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Of several addresses the next one is tried only where no connection came about. Raises
        httpx.ConnectError, httpx.ConnectTimeout where nothing is sent.
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
        """As it goes there. Raises httpx.ConnectError where it may not."""
        url = request.url
        headers = request.headers.copy()
        proved = url.scheme == "https" or self._plain or here([address])
        if "Authorization" in headers and not proved:
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
        """Close what is below."""
        await self._inner.aclose()


async def _resolved(host: str, port: int) -> list[str]:
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a name that can't be one
        raise OSError(f"{host!r} is not a valid host name") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _plain(address: str) -> IPv4Address | IPv6Address:
    """Without the zone, and an IPv4 address in IPv6's clothes as what it is."""
    found = ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
