"""A real etcd, shared by all tests that need one."""

from collections.abc import Iterator

import pytest

from tests.support.etcd import Store, etcd


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
