"""`aerokernel serve`: from command line options to a listening server."""

import os
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
import httpx
import uvicorn
from starlette.applications import Starlette

from aeroctl.kernel import tokens
from aeroctl.kernel.engine import Engine
from aeroctl.kernel.etcd import Etcd
from aeroctl.kernel.keys import Expected
from aeroctl.kernel.postgres import CANCEL_SECONDS, Access
from aeroctl.kernel.server import application
from aeroctl.kernel.snapshot import Source

# Whether it can be read is for opening it to say: access() ignores ambient capabilities.
FILE = click.Path(exists=True, dir_okay=False, readable=False, path_type=Path)
GRACE_SECONDS = 120
"""How long a command that is running when the server is told to end has for its end. Idle, the
server ends at once; a command that is cut off is judged by whoever asks for its outcome later."""
LOG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"uvicorn": {"level": "INFO"}, "aerokernel": {"level": "INFO"}},
}


def _endpoints(_: click.Context, __: click.Parameter, urls: tuple[str, ...]) -> tuple[str, ...]:
    for url in urls:
        if not re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?/?", url, re.ASCII):
            raise click.BadParameter(f"{url!r} is not http(s)://HOST:PORT, and nothing more")
    return tuple(url.rstrip("/") for url in urls)


def _scope(_: click.Context, __: click.Parameter, name: str) -> str:
    """It is one part of a key's name, here and in Patroni's own."""
    if not name or "/" in name:
        raise click.BadParameter(f"{name!r} is not a cluster's name: it has no /")
    return name


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=9191, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--scope", required=True, callback=_scope, help="The cluster's name (Patroni: scope)."
)
@click.option("--namespace", default="/service", show_default=True, help="Patroni's namespace.")
@click.option(
    "--etcd",
    "endpoints",
    multiple=True,
    required=True,
    callback=_endpoints,
    metavar="URL",
    help="An etcd endpoint; repeat it for more, they are tried in order.",
)
@click.option("--etcd-user", help="etcd user, where etcd asks for one.")
@click.option("--etcd-password-file", type=FILE)
@click.option("--etcd-ca-file", type=FILE, help="CA of etcd's certificate.")
@click.option("--etcd-cert", type=FILE, help="Client certificate for etcd.")
@click.option("--etcd-key", type=FILE)
@click.option("--pg-user", help="A PostgreSQL role with pg_monitor, the same on every node.")
@click.option("--pg-password-file", type=FILE, help="Without it: libpq's PGPASSFILE.")
@click.option("--pg-dbname", default="postgres", show_default=True)
@click.option("--patroni-user", help="User for Patroni's REST API, where it asks for one.")
@click.option("--patroni-password-file", type=FILE)
@click.option("--patroni-ca-file", type=FILE, help="CA of the certificates of Patroni's REST API.")
@click.option("--patroni-cert", type=FILE, help="Client certificate for Patroni's REST API.")
@click.option("--patroni-key", type=FILE)
@click.option("--token-file", type=FILE, help="Who may call; see `aerokernel token`.")
@click.option("--tls-cert", type=FILE, help="The server's certificate chain.")
@click.option("--tls-key", type=FILE)
@click.option("--client-ca", type=FILE, help="Require client certificates signed by this CA.")
@click.option(
    "--expect-member",
    "expected_names",
    metavar="NAME",
    multiple=True,
    help="A member that the cluster must have; repeat it for more. health checks it.",
)
@click.option(
    "--expect-members",
    "expected_count",
    metavar="N",
    type=click.IntRange(1, 10_000),
    help="How many members the cluster must have, where their names don't matter.",
)
@click.option(
    "--retired-member",
    "retired",
    metavar="NAME",
    multiple=True,
    help="A node that is gone for good: you vouch that it accepts no writes. Repeat it for more.",
)
@click.option(
    "--deadline",
    default=8.0,
    show_default=True,
    type=click.FloatRange(1, 600),
    help="Seconds for a whole answer.",
)
@click.option(
    "--node-timeout",
    default=3.0,
    show_default=True,
    type=click.FloatRange(0.1, 600),
    help="Seconds for each node's SQL.",
)
def serve(
    host: str,
    port: int,
    scope: str,
    namespace: str,
    endpoints: tuple[str, ...],
    etcd_user: str | None,
    etcd_password_file: Path | None,
    etcd_ca_file: Path | None,
    etcd_cert: Path | None,
    etcd_key: Path | None,
    pg_user: str | None,
    pg_password_file: Path | None,
    pg_dbname: str,
    patroni_user: str | None,
    patroni_password_file: Path | None,
    patroni_ca_file: Path | None,
    patroni_cert: Path | None,
    patroni_key: Path | None,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    expected_names: tuple[str, ...],
    expected_count: int | None,
    retired: tuple[str, ...],
    deadline: float,
    node_timeout: float,
) -> None:
    """Serve the kernel API of one cluster. Stateless: run as many side by side as you like.

    It reads Patroni's keys in etcd, and keeps the audit trail below /aerodb/SCOPE/ there: a command
    needs write access to it, an explanation read access, a snapshot none.

    Passwords are read from files only. libpq's own variables (PGPASSFILE, PGSSLMODE, ...) apply.
    """
    if token_file is None and not _loopback(host):
        raise click.UsageError(f"--host {host} is not a loopback address: give --token-file")
    if token_file is not None:
        try:
            tokens.load(token_file)
        except tokens.TokenFileError as error:
            raise click.UsageError(str(error)) from error
    pairs = [(tls_cert, tls_key), (etcd_cert, etcd_key), (patroni_cert, patroni_key)]
    if any((certificate is None) != (key is None) for certificate, key in pairs):
        raise click.UsageError("a certificate and its key go together")
    if client_ca is not None and tls_cert is None:
        raise click.UsageError("--client-ca needs --tls-cert and --tls-key")
    for variable in ("PGHOSTADDR", "PGSERVICE", "PGTARGETSESSIONATTRS"):
        if variable in os.environ:
            raise click.UsageError(f"{variable} is set: it would decide which node is read")
    for name, user, file in (
        ("etcd", etcd_user, etcd_password_file),
        ("patroni", patroni_user, patroni_password_file),
    ):
        if (user is None) != (file is None):
            raise click.UsageError(f"--{name}-user and --{name}-password-file go together")
    reads = deadline - node_timeout - CANCEL_SECONDS
    if reads <= 0:
        raise click.UsageError("--deadline must leave time beyond --node-timeout")
    expected = _expected(expected_names, expected_count, retired)
    client = httpx.AsyncClient(
        verify=_trust("etcd", etcd_ca_file, etcd_cert, etcd_key),
        timeout=deadline,
        trust_env=False,
        follow_redirects=False,
    )
    source = Source(
        store=Etcd(
            client,
            endpoints,
            # an answer takes two reads of the store, each of which may have to try every endpoint
            seconds=reads / 2 / len(endpoints),
            user=etcd_user,
            password=_secret(etcd_password_file),
        ),
        namespace=namespace.strip("/"),
        scope=scope,
        access=Access(pg_user, _secret(pg_password_file), pg_dbname, node_timeout),
        seconds=deadline,
        expected=expected,
    )

    agents = httpx.AsyncClient(
        verify=_trust("Patroni", patroni_ca_file, patroni_cert, patroni_key),
        auth=(patroni_user, _secret(patroni_password_file) or "") if patroni_user else None,
        # A connection that was kept may be closed from the other side just when it is used.
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
        follow_redirects=False,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client, agents:
            yield

    uvicorn.run(
        application(source, Engine(agents), token_file, lifespan),
        host=host,
        port=port,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        ssl_ca_certs=client_ca and str(client_ca),
        ssl_cert_reqs=ssl.CERT_REQUIRED if client_ca else ssl.CERT_NONE,
        log_config=LOG,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def _expected(names: tuple[str, ...], count: int | None, retired: tuple[str, ...]) -> Expected:
    if names and count is not None:
        raise click.UsageError("--expect-member names the members, --expect-members counts them")
    for option, given in (("--expect-member", names), ("--retired-member", retired)):
        if any(not name or "/" in name for name in given):
            raise click.UsageError(f"{option} takes the name of a node: it has no /")
    if both := sorted(set(names) & set(retired)):
        raise click.UsageError(f"{', '.join(both)}: expected, and retired")
    return Expected(tuple(sorted(set(names))), count, tuple(sorted(set(retired))))


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(path: Path | None) -> str | None:
    """A password file holds the password and at most one line end."""
    return None if path is None else path.read_text(encoding="utf-8").removesuffix("\n")


def _trust(
    whose: str, ca: Path | None, certificate: Path | None, key: Path | None
) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise click.UsageError(f"{whose}'s certificates: {error}") from error
    return context
