"""A real etcd, for whatever rests on what etcd really does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

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


@pytest.fixture(scope="session", autouse=True)
def private() -> Iterator[None]:
    """Files of a test are its own: the server believes no other ones that hold secrets."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def etcd_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with etcd(tmp_path_factory.mktemp("etcd")) as store:
        yield store


@pytest.fixture
def etcd_store(etcd_process: Store) -> Iterator[Store]:
    """Shared by all tests: each keeps to keys of its own, and leaves no lease behind that would end
    in the middle of another one.
    """
    yield etcd_process
    if etcd_process.daemon.running:
        for lease in etcd_process.ask("lease/leases").get("leases", []):
            etcd_process.ask("lease/revoke", ID=lease["ID"])
