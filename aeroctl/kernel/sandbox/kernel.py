"""An aerokernel of the sandbox."""

import contextlib
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from aeroctl.kernel.sandbox.account import Account
from aeroctl.kernel.sandbox.daemon import Daemon
from aeroctl.kernel.sandbox.ports import HOST
from aeroctl.kernel.sandbox.waiting import answers


class Kernel(Daemon):
    """`aerokernel serve`, and where it answers."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        directory: Path,
        account: Account | None,
        *,
        port: int,
        tls: bool,
    ) -> None:
        command = [sys.executable, "-m", "aeroctl.kernel", *arguments]
        super().__init__(name, command, directory, account)
        self.url = f"{'https' if tls else 'http'}://{HOST}:{port}"
        self.port = port
        self._tls = tls

    def answers(self) -> bool:
        """Whether it serves; with TLS, whether it accepts connections: it may want certificates."""
        if not self._tls:
            return answers(self.port, "/v1/health")
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=2):
            return True
        return False
