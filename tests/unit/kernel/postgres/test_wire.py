"""Nodes that send without end, and what a node may learn of a password: nothing.

Each is asked in a process of its own, which tells how much memory it took.
"""

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import psutil
import pytest
import trustme

from aeroctl.kernel.postgres.connection import Login
from tests.support.rogue import Mode, message, rogue

pytestmark = [
    pytest.mark.block_network(allowed_hosts=["127.0.0.1", "localhost"]),
    pytest.mark.process,
]

SCRIPT = """
import asyncio, json, resource, sys
from ipaddress import ip_network
from pathlib import Path
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.postgres import queries
from aeroctl.kernel.patroni.addresses import Reach
from tests.support.keyspaces import cluster_keys, member
given = json.loads(sys.argv[1])
networks = tuple(ip_network(each) for each in given.pop("networks", []))
url = given.pop("url")
state = cluster_keys(members__n1=member("n1", conn_url=url))
nodes = [node for node in sections.nodes(state) if node.name == "n1"]
password = given.pop("password", None)
if "ca_file" in given:
    given["ca_file"] = Path(given["ca_file"])
access = queries.Access("mon", password, "postgres", 4, Reach(networks), **given)
answers = asyncio.run(queries.ask(nodes * 3, ["wal"], access, None))
print(json.dumps({
    "code": answers["n1"]["wal"].code,
    "message": answers["n1"]["wal"].message,
    "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""
LOGINS = ("password", "md5", "scram", "rounds")
ENDLESS = [mode for mode in get_args(Mode) if mode not in (*LOGINS, "nothing")]


def asked(url: str, environment: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps({"url": url, **options})],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def usual() -> float:
    """Megabytes that asking takes where nothing comes back."""
    taken: float = asked("postgres://127.0.0.1:1/x")["megabytes"]
    return taken


@pytest.mark.parametrize("mode", ENDLESS)
def test_a_node_that_sends_without_end(mode: Mode, usual: float) -> None:
    with rogue(mode) as server:
        began = time.monotonic()
        found = asked(f"postgres://127.0.0.1:{server.port}/x")
        assert time.monotonic() - began < 30
    assert found["code"] in (
        {"NODE_ACCESS_DENIED", "NODE_QUERY_FAILED", "NODE_ANSWER_TOO_LARGE"}
        if mode in ("authentication", "errors")  # libpq refuses those itself
        else {"NODE_ANSWER_TOO_LARGE"}
    )
    assert found["megabytes"] - usual < 100  # three at a time


@pytest.fixture
def elsewhere() -> str:
    """An address of this machine that is not loopback, as any other machine's."""
    found = [
        each.address
        for addresses in psutil.net_if_addrs().values()
        for each in addresses
        if each.family == socket.AF_INET and not each.address.startswith("127.")
    ]
    if not found:
        pytest.skip("this machine has no address but loopback")
    return found[0]


class TestPassword:
    @pytest.mark.parametrize("mode", ["password", "md5"])
    @pytest.mark.parametrize("from_file", [True, False])
    def test_it_is_never_told(self, mode: Mode, from_file: bool, tmp_path: Any) -> None:
        """Not even to this machine: only SCRAM proves it without telling."""
        passwords = tmp_path / "pgpass"
        passwords.write_text("*:*:*:*:hunter2\n")
        passwords.chmod(0o600)
        with rogue(mode) as server:
            found = asked(
                f"postgres://127.0.0.1:{server.port}/x",
                {"PGPASSFILE": str(passwords)} if from_file else None,
                password=None if from_file else "hunter2",
            )
            assert not server.heard
        assert found["code"] == "NODE_ACCESS_DENIED"

    def test_to_this_machine_by_scram(self) -> None:
        with rogue("scram") as server:
            asked(f"postgres://127.0.0.1:{server.port}/x", password="hunter2")
            assert b"SCRAM-SHA-256" in b"".join(server.heard)
            assert b"hunter2" not in b"".join(server.heard)

    def test_a_login_that_would_take_hours(self) -> None:
        """libpq hashes as often as it is told to, and nobody else runs meanwhile."""
        with rogue("rounds") as server:
            began = time.monotonic()
            found = asked(f"postgres://127.0.0.1:{server.port}/x", password="hunter2")
            assert time.monotonic() - began < 20
        assert "2147483647" in found["message"]

    @pytest.mark.parametrize("from_file", [True, False])
    def test_elsewhere_only_over_tls(self, from_file: bool, tmp_path: Any, elsewhere: str) -> None:
        passwords = tmp_path / "pgpass"
        passwords.write_text("*:*:*:*:hunter2\n")
        passwords.chmod(0o600)
        environment = {"PGPASSFILE": str(passwords)} if from_file else {"PGPASSWORD": "hunter2"}
        with rogue("scram") as server:
            url = f"postgres://{elsewhere}:{server.port}/x"
            found = asked(url, environment, password=None if from_file else "hunter2")
            assert found["code"] == "NODE_PASSWORD_WITHHELD"
            assert "--allow-plain-pg-password" in found["message"]
            assert not server.heard
            asked(url, environment, password=None if from_file else "hunter2", plain=True)
            assert server.heard

    def test_tls_that_is_verified_is_asked_for_and_not_only_wished(self) -> None:
        with rogue("scram") as server:
            found = asked(f"postgres://127.0.0.1:{server.port}/x", password="x", verified=True)
            assert found["code"] == "NODE_UNREACHABLE"
            assert not server.heard


class TestTls:
    """`elsewhere` and `localhost` are one server; only the name differs."""

    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def ca_file(self, authority: trustme.CA, tmp_path: Path) -> str:
        path = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(path)
        return str(path)

    @staticmethod
    def context(issued: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        return context

    def test_a_server_that_is_who_it_should_be(
        self, authority: trustme.CA, ca_file: str, elsewhere: str
    ) -> None:
        for name in ("localhost", elsewhere):
            with rogue("scram", self.context(authority.issue_cert(name))) as server:
                url = f"postgres://{name}:{server.port}/x"
                asked(url, password="hunter2", ca_file=ca_file)
                assert b"SCRAM-SHA-256" in b"".join(server.heard), name

    def test_another_ones_name(self, authority: trustme.CA, ca_file: str) -> None:
        with rogue("scram", self.context(authority.issue_cert("n1.example.org"))) as server:
            found = asked(
                f"postgres://localhost:{server.port}/x", password="hunter2", ca_file=ca_file
            )
            assert (found["code"], server.heard) == ("NODE_UNREACHABLE", [])
            assert "does not match host name" in found["message"]

    @pytest.mark.parametrize("trusted", [True, False])
    def test_who_is_not_trusted_or_expired(
        self, authority: trustme.CA, ca_file: str, trusted: bool
    ) -> None:
        issued = (authority if trusted else trustme.CA()).issue_cert(
            "localhost", not_after=datetime(2020, 1, 1, tzinfo=UTC) if trusted else None
        )
        with rogue("scram", self.context(issued)) as server:
            found = asked(
                f"postgres://localhost:{server.port}/x", password="hunter2", ca_file=ca_file
            )
            assert (found["code"], server.heard) == ("NODE_UNREACHABLE", [])
            assert "certificate" in found["message"]

    def test_it_sends_no_more_than_others(
        self, authority: trustme.CA, ca_file: str, usual: float
    ) -> None:
        with rogue("one row", self.context(authority.issue_cert("localhost"))) as server:
            found = asked(f"postgres://localhost:{server.port}/x", ca_file=ca_file)
        assert found["code"] == "NODE_ANSWER_TOO_LARGE"
        assert found["megabytes"] - usual < 100


class TestNetworks:
    def test_an_address_outside_is_not_connected_to(self) -> None:
        with rogue("nothing") as server:
            url = f"postgres://localhost:{server.port}/x"
            found = asked(url, networks=["10.0.0.0/8", "fd00::/8"])
            assert found["code"] == "NODE_ADDRESS_REFUSED"
            assert "10.0.0.0/8" in found["message"]
            assert server.connections == 0

    def test_one_inside_is(self) -> None:
        with rogue("nothing") as server:
            found = asked(f"postgres://127.0.0.1:{server.port}/x", networks=["127.0.0.0/8"])
            assert found["code"] == "NODE_TIMEOUT"
            assert server.connections == 3  # which is as often as it was asked


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("sent", "rounds"),
    [
        (b"", 4096),
        (b"N", 4096),
        (b"NN", 4096),
        (message(b"v", b"\0" * 8), 4096),
        (b"S", 0),
        (b"G", 0),
        (message(b"R", b"\0\0\0\0"), 4096),
        (message(b"E", b"x\0"), 0),
        (b"R\0\0\0\0", 0),
    ],
)
def test_how_often_a_login_wants_the_password_hashed(sent: bytes, rounds: int, size: int) -> None:
    login = Login()
    data = sent + message(b"R", b"\0\0\0\x0br=a,s=b,i=04096")
    parts = [data[place : place + size] for place in range(0, len(data), size)]
    assert max(login.rounds(part) for part in parts) == rounds
