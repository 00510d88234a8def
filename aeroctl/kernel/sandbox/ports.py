"""Ports that several sandboxes can't fight over."""

import secrets
import socket

from aeroctl.kernel.sandbox.errors import SandboxError

HOST = "127.0.0.1"
SIZE = 64
# Below the ephemeral range of every common system, so no outgoing connection sits on one.
BASES = range(20_000, 32_000 - SIZE, SIZE)


class PortBlock:
    """A block of ports on loopback that is ours for as long as its first port is listened on."""

    def __init__(self) -> None:
        self._guard, free = _reserve()
        self._free = iter(free)

    def take(self) -> int:
        """One more port of the block."""
        port = next(self._free, None)
        if port is None:
            raise SandboxError(f"a sandbox has {SIZE - 1} ports, and all are taken")
        return port

    def close(self) -> None:
        """Let others have the block."""
        self._guard.close()


def _reserve() -> tuple[socket.socket, range]:
    for base in secrets.SystemRandom().sample(BASES, k=len(BASES)):
        guard = socket.socket()
        try:
            guard.bind((HOST, base))
            guard.listen()
            free = range(base + 1, base + SIZE)
            for port in free:
                with socket.socket() as probe:
                    probe.bind((HOST, port))
        except OSError:
            guard.close()
        else:
            return guard, free
    raise SandboxError(f"no {SIZE} ports in a row are free between {BASES[0]} and {BASES[-1]}")
