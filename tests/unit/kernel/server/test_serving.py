"""A server in a process of its own: how it starts or doesn't, and what it reads again."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography import x509

from aeroctl.kernel.sandbox.daemon import Daemon
from aeroctl.kernel.sandbox.ports import HOST, PortBlock
from aeroctl.kernel.sandbox.waiting import wait_until

pytestmark = [
    pytest.mark.block_network(allowed_hosts=["127.0.0.1", "localhost"]),
    pytest.mark.process,
]
SERVE = [
    sys.executable,
    "-m",
    "aeroctl.kernel",
    "serve",
    "--scope=demo",
    "--etcd=http://127.0.0.1:1",
]


@pytest.fixture
def port() -> Iterator[int]:
    ports = PortBlock()
    yield ports.take()
    ports.close()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def write(directory: Path, issued: trustme.LeafCert, name: str = "server") -> tuple[Path, Path]:
    """Its certificate and its key, as files."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key


def refused(*options: str) -> str:
    """What it says when it does not start."""
    run = subprocess.run(
        [*SERVE, *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode not in (0, -signal.SIGKILL)
    assert "Traceback" not in run.stderr
    error = run.stderr.strip().splitlines()[-1]
    assert error.startswith("Error: ")
    return error


class TestStart:
    def test_a_port_in_use(self) -> None:
        with socket.create_server((HOST, 0)) as taken:
            port = taken.getsockname()[1]
            error = refused(f"--port={port}")
        assert f"{HOST} port {port}" in error
        assert "in use" in error

    def test_a_host_that_is_none(self, tmp_path: Path) -> None:
        tokens = tmp_path / "tokens"
        tokens.write_text("")
        options = ["--allow-plain-http", f"--token-file={tokens}"]
        assert "no.such.host.invalid" in refused("--host=no.such.host.invalid", *options)
        assert "192.0.2.1" in refused("--host=192.0.2.1", *options)
        assert "a..b" in refused("--host=a..b", *options)

    def test_certificates(self, tmp_path: Path, authority: trustme.CA) -> None:
        certificate, key = write(tmp_path, authority.issue_cert("localhost"))
        _, other = write(tmp_path, authority.issue_cert("localhost"), "other")
        nonsense = tmp_path / "nonsense"
        nonsense.write_text("nonsense")
        for options in (
            [f"--tls-cert={certificate}", f"--tls-key={other}"],
            [f"--tls-cert={nonsense}", f"--tls-key={key}"],
            [f"--tls-cert={certificate}", f"--tls-key={nonsense}"],
            [f"--tls-cert={certificate}", f"--tls-key={key}", f"--client-ca={nonsense}"],
            [f"--etcd-cert={certificate}", f"--etcd-key={other}"],
            [f"--etcd-ca-file={nonsense}"],
            [f"--patroni-ca-file={nonsense}"],
            [f"--pg-ca-file={nonsense}"],
        ):
            assert "certificates can't be used" in refused(*options)

    @pytest.mark.parametrize(
        "options",
        [
            ["--token-file"],
            ["--pg-password-file"],
            ["--etcd-user=root", "--etcd-password-file"],
            ["--patroni-user=root", "--patroni-password-file"],
        ],
    )
    def test_files_that_others_may_write_or_read(self, tmp_path: Path, options: list[str]) -> None:
        file = tmp_path / "file"
        file.write_text("" if options == ["--token-file"] else "x\n")
        for mode in (0o666, 0o644, 0o620):
            file.chmod(mode)
            assert "chmod 600" in refused(*options[:-1], f"{options[-1]}={file}")

    @pytest.mark.parametrize("network", ["10.0.0.0/33", "10.0.0.1/8", "nowhere"])
    def test_networks(self, network: str) -> None:
        assert network in refused(f"--node-network={network}")

    @pytest.mark.parametrize("option", ["--deadline", "--node-timeout", "--clock-interval"])
    def test_seconds_that_are_no_number(self, option: str) -> None:
        assert "'nan' is not a number" in refused(f"{option}=nan")

    @pytest.mark.parametrize("url", ["http://127.0.0.1:65536", "http://xn--a:1", "http://xn--:1"])
    def test_endpoints_that_there_can_not_be(self, url: str) -> None:
        assert url in refused(f"--etcd={url}")

    @pytest.mark.parametrize("option", ["--scope", "--namespace", "--pg-user", "--expect-member"])
    def test_what_is_not_utf_8(self, option: str) -> None:
        assert f"{option} is not UTF-8 text" in refused(f"{option}=\udcff")

    def test_a_user_that_is_not_utf_8(self, tmp_path: Path) -> None:
        password = tmp_path / "password"
        password.write_text("x\n")
        options = ("--patroni-user=\udcff", f"--patroni-password-file={password}")
        assert "--patroni-user is not UTF-8 text" in refused(*options)


class TestAgain:
    """SIGHUP."""

    @staticmethod
    @contextlib.contextmanager
    def serving(directory: Path, port: int, *options: str) -> Iterator[Daemon]:
        daemon = Daemon("kernel", [*SERVE, f"--port={port}", *options], directory, None)
        daemon.start()

        def listens() -> bool:
            assert daemon.running, daemon.tail()
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 2):
                return True
            return False

        try:
            wait_until("it listens", listens, 60)
            yield daemon
        finally:
            daemon.terminate()

    @staticmethod
    def again(daemon: Daemon) -> str:
        """What it says of reading its files again."""
        before = daemon.log.stat().st_size
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until("it has", lambda: "read again" in daemon.log.read_text()[before:], 30)
        return daemon.log.read_text()[before:]

    @staticmethod
    def serial(port: int, authority: trustme.CA) -> int:
        """Of the certificate that it shows."""
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with (
            socket.create_connection((HOST, port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as secure,
        ):
            shown = secure.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown).serial_number

    def test_certificates(self, tmp_path: Path, port: int, authority: trustme.CA) -> None:
        certificate, key = write(tmp_path, authority.issue_cert("localhost"))
        options = [f"--tls-cert={certificate}", f"--tls-key={key}"]
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        url = f"https://localhost:{port}/v1/health"
        with self.serving(tmp_path, port, *options) as daemon:
            first = self.serial(port, authority)
            with httpx.Client(verify=trusting, trust_env=False) as client:
                assert client.get(url).is_success
                write(tmp_path, authority.issue_cert("localhost"))
                assert "all are in force" in self.again(daemon)
                assert client.get(url).is_success  # on the connection that there was
            second = self.serial(port, authority)
            assert second != first
            certificate.write_text("nonsense")
            said = self.again(daemon)
            assert "the server's certificates can't be used" in said
            assert self.serial(port, authority) == second
            write(tmp_path, authority.issue_cert("localhost"))
            _, wrong = write(tmp_path, authority.issue_cert("localhost"), "other")
            key.write_bytes(wrong.read_bytes())
            assert "can't be used" in self.again(daemon)
            assert self.serial(port, authority) == second

    def test_an_authority_that_is_trusted_no_longer(
        self, tmp_path: Path, port: int, authority: trustme.CA
    ) -> None:
        certificate, key = write(tmp_path, authority.issue_cert("localhost"))
        ca, authorities = tmp_path / "ca.pem", (trustme.CA(), trustme.CA())
        authorities[0].cert_pem.write_to_path(ca)
        options = [f"--tls-cert={certificate}", f"--tls-key={key}", f"--client-ca={ca}"]

        def taken(whose: trustme.CA) -> bool:
            context = ssl.create_default_context()
            authority.configure_trust(context)
            whose.issue_cert("ann").configure_cert(context)
            url = f"https://localhost:{port}/v1/health"
            try:
                return httpx.get(url, verify=context, trust_env=False).is_success
            except httpx.TransportError:
                return False

        with self.serving(tmp_path, port, *options) as daemon:
            assert [taken(each) for each in authorities] == [True, False]
            authorities[1].cert_pem.write_to_path(ca)
            assert "all are in force" in self.again(daemon)
            assert [taken(each) for each in authorities] == [False, True]
            ca.write_text("nonsense")
            assert "can't be used" in self.again(daemon)
            assert [taken(each) for each in authorities] == [False, True]

    def test_passwords_and_tokens(self, tmp_path: Path, port: int) -> None:
        password, tokens = tmp_path / "password", tmp_path / "tokens"
        password.write_text("one\n")
        tokens.write_text("")
        options = [f"--pg-password-file={password}", f"--token-file={tokens}"]
        with self.serving(tmp_path, port, *options) as daemon:
            password.write_text("two\n")
            assert "all are in force" in self.again(daemon)
            password.chmod(0o644)
            tokens.write_text("nonsense\n")
            said = self.again(daemon)
            assert f"{password}: other users may read or write it" in said
            assert f"{tokens}: line 1" in said
            assert "two" not in daemon.log.read_text()
            password.chmod(0o600)
            tokens.write_text("")
            assert "all are in force" in self.again(daemon)

    def test_a_client_whose_certificate_is_missing_or_expired(
        self, tmp_path: Path, port: int, authority: trustme.CA
    ) -> None:
        certificate, key = write(tmp_path, authority.issue_cert("localhost"))
        ca = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(ca)
        options = [f"--tls-cert={certificate}", f"--tls-key={key}", f"--client-ca={ca}"]
        past = datetime(2020, 1, 1, tzinfo=UTC)
        with self.serving(tmp_path, port, *options):
            for shown, taken in (
                (authority.issue_cert("ann"), True),
                (authority.issue_cert("ann", not_after=past), False),
                (trustme.CA().issue_cert("ann"), False),
                (None, False),
            ):
                context = ssl.create_default_context()
                authority.configure_trust(context)
                if shown is not None:
                    shown.configure_cert(context)
                url = f"https://localhost:{port}/v1/health"
                if taken:
                    assert httpx.get(url, verify=context, trust_env=False).is_success
                else:
                    with pytest.raises(httpx.TransportError):
                        httpx.get(url, verify=context, trust_env=False)
