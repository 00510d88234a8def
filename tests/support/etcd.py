"""A real etcd, for whatever rests on what etcd really does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from aeroctl.kernel.sandbox import settings
from aeroctl.kernel.sandbox.daemon import Daemon
from aeroctl.kernel.sandbox.ports import HOST, PortBlock
from aeroctl.kernel.sandbox.programs import find_programs
from aeroctl.kernel.sandbox.waiting import answers, wait_until


@dataclass(frozen=True)
class Store:
    """An etcd process, and a way around the kernel to it."""

    url: str
    port: int
    daemon: Daemon

    def ask(self, path: str, **query: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.url}/v3/{path}", json=query, trust_env=False, timeout=10)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def start(self) -> None:
        self.daemon.start()
        wait_until("etcd answers", lambda: answers(self.port, "/health"))


@contextmanager
def etcd(directory: Path) -> Iterator[Store]:
    """One etcd with its data in `directory`, until the end of the block."""
    ports = PortBlock()
    port, peer = ports.take(), ports.take()
    command = [str(find_programs().etcd), *settings.etcd(port, peer)]
    store = Store(f"http://{HOST}:{port}", port, Daemon("etcd", command, directory, None))
    try:
        store.start()
        yield store
    finally:
        if store.daemon.running:
            store.daemon.kill()
        ports.close()
