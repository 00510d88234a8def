"""`aerokernel serve` refuses what would be unsafe, before it listens."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner, Result

from aeroctl.kernel.cli import aerokernel

NEEDED = ["serve", "--scope", "demo", "--etcd", "http://127.0.0.1:2379"]


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would be listened on; nothing is."""
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: calls.append(options))
    return calls


def run(*options: str) -> Result:
    return CliRunner().invoke(aerokernel, [*NEEDED, *options])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_token_file(listening: list[dict[str, Any]], host: str) -> None:
    assert run("--host", host).exit_code == 0
    assert listening[0]["host"] == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost.example.org", ""])
def test_anything_else_does(listening: list[dict[str, Any]], host: str) -> None:
    result = run("--host", host)
    assert (result.exit_code, listening) == (2, [])
    assert "--token-file" in result.stderr


def test_with_a_token_file_it_may_listen_anywhere(
    listening: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ann operator sha256:{'0' * 64}\n", encoding="ascii")
    assert run("--host", "0.0.0.0", "--token-file", str(file)).exit_code == 0
    assert len(listening) == 1


def test_a_malformed_token_file(listening: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("ann\n", encoding="ascii")
    result = run("--token-file", str(file))
    assert (result.exit_code, listening) == (2, [])
    assert "line 1" in result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--etcd", "ftp://etcd"], "HOST:PORT"),
        (["--etcd", "http://root:secret@etcd:2379"], "HOST:PORT"),
        (["--etcd", "http://etcd:2379/v3"], "HOST:PORT"),
        (["--tls-cert", __file__], "go together"),
        (["--etcd-key", __file__], "go together"),
        (["--patroni-cert", __file__], "go together"),
        (["--patroni-user", "ann"], "--patroni-password-file"),
        (["--patroni-ca-file", __file__], "Patroni's certificates"),
        (["--client-ca", __file__], "--tls-cert"),
        (["--etcd-ca-file", __file__], "certificates"),
        (["--deadline", "3"], "--node-timeout"),
        (["--expect-member", "n1", "--expect-members", "3"], "--expect-members counts them"),
        (["--expect-member", "a/b"], "it has no /"),
        (["--retired-member", ""], "it has no /"),
        (["--expect-member", "n1", "--retired-member", "n1"], "expected, and retired"),
        (["--scope", "a/b"], "cluster's name"),
        (["--scope", ""], "cluster's name"),
    ],
)
def test_options_that_do_not_fit(
    listening: list[dict[str, Any]], options: list[str], says: str
) -> None:
    result = run(*options)
    assert (result.exit_code, listening) == (2, [])
    assert says in result.stderr


def test_one_address_for_every_node(
    listening: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    assert (run().exit_code, listening) == (2, [])


def test_a_running_command_may_end(listening: list[dict[str, Any]]) -> None:
    """Longer than the longest deadline of Patroni's defaults and of slower loops (40 s)."""
    assert run().exit_code == 0
    assert listening[0]["timeout_graceful_shutdown"] >= 2 * 40 + 10 + 10


def test_help_names_what_the_engine_asks_for() -> None:
    shown = run("--help").output
    for option in ("user", "password-file", "ca-file", "cert", "key"):
        assert f"--patroni-{option}" in shown


def test_help_loads_no_server() -> None:
    script = (
        "import sys; from aeroctl.kernel.cli import aerokernel\n"
        "aerokernel(['--help'], standalone_mode=False)\n"
        "sys.exit(bool({'httpx', 'uvicorn', 'psycopg', 'pydantic'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)
