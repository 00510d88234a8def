"""`aerokernel serve` refuses what would be unsafe, before it listens."""

import ssl
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from patroni.dcs import AbstractDCS
from patroni.dcs.etcd3 import Etcd3
from patroni.postgresql.mpp import get_mpp
from starlette.applications import Starlette

from aeroctl.kernel.cli import aerokernel
from aeroctl.kernel.postgres.queries import Access
from aeroctl.kernel.server import listening
from aeroctl.kernel.server.serve import serve
from aeroctl.kernel.server.settings import Settings
from aeroctl.kernel.source import Source

NEEDED = ["serve", "--scope", "demo", "--etcd", "http://127.0.0.1:2379"]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would be listened on; nothing is."""
    calls: list[dict[str, Any]] = []

    def run(app: Starlette, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        calls.append({"app": app, "host": host, "port": port, "tls": tls})

    monkeypatch.setattr(listening, "run", run)
    return calls


def run(*options: str) -> Result:
    return CliRunner().invoke(aerokernel, [*NEEDED, *options])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_needs_no_token_file(served: list[dict[str, Any]], host: str) -> None:
    assert run("--host", host).exit_code == 0
    assert served[0]["host"] == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "localhost.example.org", ""])
def test_anything_else_does(served: list[dict[str, Any]], host: str) -> None:
    result = run("--host", host)
    assert (result.exit_code, served) == (2, [])
    assert "--token-file" in result.stderr


def test_with_a_token_file_it_may_listen_anywhere(
    served: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ann operator sha256:{'0' * 64}\n", encoding="ascii")
    with_tokens = ("--host", "0.0.0.0", "--token-file", str(file))
    refused = run(*with_tokens)
    assert (refused.exit_code, served) == (2, [])
    assert "--allow-plain-http" in refused.stderr
    assert run(*with_tokens, "--allow-plain-http").exit_code == 0
    assert len(served) == 1


def test_a_malformed_token_file(served: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("ann\n", encoding="ascii")
    result = run("--token-file", str(file))
    assert (result.exit_code, served) == (2, [])
    assert "line 1" in result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--etcd", "ftp://etcd"], "HOST:PORT"),
        (["--etcd", "http://root:secret@etcd:2379"], "HOST:PORT"),
        (["--etcd", "http://etcd:2379/v3"], "HOST:PORT"),
        (["--tls-cert", __file__], "must be given together"),
        (["--etcd-key", __file__], "must be given together"),
        (["--patroni-cert", __file__], "must be given together"),
        (["--patroni-user", "ann"], "--patroni-password-file"),
        (["--patroni-ca-file", __file__], "Patroni's certificates"),
        (["--client-ca", __file__], "--tls-cert"),
        (["--etcd-ca-file", __file__], "certificates"),
        (["--deadline", "3"], "--node-timeout"),
        (["--expect-member", "n1", "--expect-members", "3"], "can't be combined"),
        (["--expect-member", "a/b"], "can't contain a /"),
        (["--retired-member", ""], "can't contain a /"),
        (
            ["--expect-member", "n1", "--retired-member", "n1"],
            "n1: a member can't be both expected and retired",
        ),
        (["--scope", "a/b"], "cluster's name"),
        (["--scope", ""], "cluster's name"),
    ],
)
def test_options_that_do_not_fit(
    served: list[dict[str, Any]], options: list[str], says: str
) -> None:
    result = run(*options)
    assert (result.exit_code, served) == (2, [])
    assert says in result.stderr


def test_one_address_for_every_node(
    served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    assert (run().exit_code, served) == (2, [])


def test_a_running_command_may_end() -> None:
    """Longer than the longest deadline of Patroni's defaults and of slower loops (40 s)."""
    assert listening.GRACE_SECONDS >= 2 * 40 + 10 + 10


@pytest.mark.parametrize(
    "namespace", ["/service", "service", "/service/", "//service//", "/", "", "//", "a//b", "/a/b/"]
)
def test_a_namespace_is_read_as_patroni_reads_it(namespace: str) -> None:
    """Held to Patroni's own code."""
    patroni = Etcd3.__new__(Etcd3)
    AbstractDCS.__init__(
        patroni, {"namespace": namespace, "scope": "demo", "name": "n1"}, get_mpp({})
    )
    source = Source(
        store=None,  # type: ignore[arg-type]
        namespace=namespace,
        scope="demo",
        access=Access(None, None, "postgres", 1),
        seconds=1,
    )
    assert source.prefix == patroni.client_path("")


def test_help_names_what_the_engine_asks_for() -> None:
    shown = run("--help").output
    for option in ("user", "password-file", "ca-file", "cert", "key"):
        assert f"--patroni-{option}" in shown


@pytest.mark.process
def test_help_loads_no_server() -> None:
    script = (
        "import sys; from aeroctl.kernel.cli import aerokernel\n"
        "aerokernel(['--help'], standalone_mode=False)\n"
        "sys.exit(bool({'httpx', 'uvicorn', 'psycopg', 'pydantic'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("words", [["-h"], ["serve", "-h"], ["token", "-h"]])
def test_a_short_option_shows_help(words: list[str]) -> None:
    done = CliRunner().invoke(aerokernel, words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: ")


def test_every_option_is_a_setting() -> None:
    names = {parameter.name for parameter in serve.params}
    assert names == {field.name for field in fields(Settings)}


def test_a_variable_is_read_and_an_option_wins(
    served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEROKERNEL_PORT", "7001")
    monkeypatch.setenv("AEROKERNEL_EXPECT_MEMBER", "n1 n2")
    assert run().exit_code == 0
    assert run("--port", "7002").exit_code == 0
    assert [call["port"] for call in served] == [7001, 7002]
    refused = run("--expect-members", "2")
    assert "--expect-member (names) and --expect-members (a number)" in refused.stderr
    monkeypatch.setenv("AEROKERNEL_PORT", "none")
    assert "--port" in run().stderr
