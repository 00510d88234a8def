"""What the live tests share: one cluster for all of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from aeroctl.kernel.sandbox.cluster import Sandbox
from tests.live import store
from tests.live.operator import Operator
from tests.support.relay import Relay, relaying


@pytest.fixture
def allowed_hosts() -> list[str]:
    """Replaces pytest-recording's fixture: a live test talks to its own machine only."""
    return ["127.0.0.1", "localhost"]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Three nodes. A test that disturbs them waits until they are ready again."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def certificates(sandbox: Sandbox) -> Path:
    """An authority, a server's and a client's certificate, and one of a client that has expired,
    where the kernel can read them.
    """
    directory = sandbox.directory / "certificates"
    directory.mkdir()
    leader = trustme.CA()
    leader.cert_pem.write_to_path(directory / "ca.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for name in ("server", "client", "expired"):
        end = yesterday if name == "expired" else None
        begin = None if end is None else end - timedelta(days=1)
        issued = leader.issue_cert("127.0.0.1", common_name=name, not_before=begin, not_after=end)
        issued.private_key_pem.write_to_path(directory / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
    return directory


@pytest.fixture
def operator(sandbox: Sandbox, tmp_path: Path) -> Iterator[Operator]:
    """On a cluster that is at rest. Afterwards everything is checked that always holds."""
    yield from operating(sandbox, tmp_path)


@pytest.fixture
def operator_alone(tmp_path: Path) -> Iterator[Operator]:
    """On a cluster of one node, which goes with the test."""
    with Sandbox(nodes=1) as sandbox:
        yield from operating(sandbox, tmp_path)


def operating(sandbox: Sandbox, home: Path) -> Iterator[Operator]:
    sandbox.wait_until_ready()
    # What the tests before this one left to run out. Only so many refusals of one caller are
    # recorded within a minute, and a race between requests is refused often.
    store.expire(sandbox, store.IN_FLIGHT)
    for caller in store.read(sandbox, store.REFUSALS).keys:
        store.expire(sandbox, store.REFUSALS + caller)
    operator = Operator(sandbox, home)
    try:
        yield operator
        operator.check()
    finally:
        operator.leave()


@pytest.fixture
def relay(sandbox: Sandbox) -> Iterator[Relay]:
    """Between aeroctl and aerokernel."""
    with relaying(sandbox.kernel.port) as relay:
        yield relay
