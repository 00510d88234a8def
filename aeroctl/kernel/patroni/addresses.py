"""Which addresses of nodes aerokernel connects to, and where a password may go.

The addresses of a node are those in its member key, which every process that may write to the store
can change. So a host name is resolved once, and its addresses are checked and connected to: an
address outside of the networks that nodes may be in is not connected to at all, and a password goes
only where TLS has verified the server, or to this machine itself.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
MOST = 4
"""Addresses of one host name that are tried, at most."""


class Outside(Exception):
    """A node's address is in none of the networks that nodes may be in."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The networks that nodes may be in; without any, they may be anywhere."""

    networks: tuple[Network, ...] = ()

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of `host` that may be connected to. Raises OSError, Outside."""
        resolved = await _resolved(host, port)
        allowed = [address for address in resolved if self.allows(address)]
        if not allowed:
            networks = ", ".join(map(str, self.networks))
            raise Outside(
                f"its address {', '.join(resolved)} is in none of the networks that nodes may be "
                f"in (--node-network {networks}): it is not connected to"
            )
        return allowed[:MOST]

    def allows(self, address: str) -> bool:
        """Whether an address may be connected to. Pure."""
        plain = _plain(address)
        return not self.networks or any(
            plain.version == network.version and plain in network for network in self.networks
        )


def here(addresses: Sequence[str]) -> bool:
    """Whether all addresses are loopback addresses of this machine. Pure."""
    return bool(addresses) and all(_plain(address).is_loopback for address in addresses)


async def _resolved(host: str, port: int) -> list[str]:
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # IDNA can't encode it
        raise OSError(f"{host!r} is not a valid host name") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in answers))


def _plain(address: str) -> IPv4Address | IPv6Address:
    """Without the zone, and as IPv4 if it is an IPv4 address mapped to IPv6."""
    plain = ip_address(address.partition("%")[0])
    return getattr(plain, "ipv4_mapped", None) or plain
