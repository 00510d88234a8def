"""What the live tests share: one cluster for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from aeroctl.kernel.sandbox.cluster import Sandbox


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
    """An authority, and a server's and a client's certificate, where the kernel can read them."""
    directory = sandbox.directory / "certificates"
    directory.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    for name in ("server", "client"):
        issued = authority.issue_cert("127.0.0.1", common_name=name)
        issued.private_key_pem.write_to_path(directory / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
    return directory
