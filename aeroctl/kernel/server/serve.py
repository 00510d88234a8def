"""`aerokernel serve`: from command line options to a listening server."""

import asyncio
import logging
import math
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Self

import click
import httpx
from starlette.applications import Starlette

from aeroctl.kernel import callers, files
from aeroctl.kernel.audit import clock_pins
from aeroctl.kernel.decide.confirmation import LONGEST_TERM, SHORTEST_TERM, TERM_SECONDS
from aeroctl.kernel.patroni.keys import Expected
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.postgres.addresses import Network, Reach, Transport
from aeroctl.kernel.postgres.queries import CANCEL_SECONDS, Access
from aeroctl.kernel.server import listening
from aeroctl.kernel.server.routes import application
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.etcd import Etcd

LOGGER = logging.getLogger("aerokernel")

# Whether it can be read is for opening it to say: access() ignores ambient capabilities.
FILE = click.Path(exists=True, dir_okay=False, readable=False, path_type=Path)

LAST_PORT = 65535


class Seconds(click.FloatRange):
    """A number; what is none is in no range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Refuses NaN, which is not below a minimum either."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return seconds


def _endpoints(_: click.Context, __: click.Parameter, urls: tuple[str, ...]) -> tuple[str, ...]:
    for url in urls:
        if not re.fullmatch(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?/?", url, re.ASCII):
            raise click.BadParameter(f"{url!r} is not http(s)://HOST:PORT, and nothing more")
        try:
            known = bool(httpx.URL(url).host) and (httpx.URL(url).port or 1) <= LAST_PORT
        except (httpx.InvalidURL, UnicodeError):
            known = False
        if not known:
            raise click.BadParameter(f"{url!r} names no host, or no port, that there can be")
    return tuple(url.rstrip("/") for url in urls)


def _scope(_: click.Context, __: click.Parameter, name: str) -> str:
    """It is one part of a key's name, here and in Patroni's own."""
    if not name or "/" in name:
        raise click.BadParameter(f"{name!r} is not a cluster's name: it has no /")
    return name


def _networks(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(each) for each in given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


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
@click.option("--pg-ca-file", type=FILE, help="TLS with every node, verified by this CA.")
@click.option(
    "--allow-plain-pg-password",
    is_flag=True,
    help="Log in to PostgreSQL on other machines without verified TLS.",
)
@click.option("--pg-dbname", default="postgres", show_default=True)
@click.option("--patroni-user", help="User for Patroni's REST API, where it asks for one.")
@click.option("--patroni-password-file", type=FILE)
@click.option("--patroni-ca-file", type=FILE, help="CA of the certificates of Patroni's REST API.")
@click.option("--patroni-cert", type=FILE, help="Client certificate for Patroni's REST API.")
@click.option("--patroni-key", type=FILE)
@click.option(
    "--allow-plain-patroni-password",
    is_flag=True,
    help="Send Patroni's password to other machines without TLS.",
)
@click.option(
    "--node-network",
    "networks",
    multiple=True,
    callback=_networks,
    metavar="CIDR",
    help="Connect to nodes in this network only; repeat it for more. Without it: anywhere.",
)
@click.option("--token-file", type=FILE, help="Who may call; see `aerokernel token`.")
@click.option("--tls-cert", type=FILE, help="The server's certificate chain.")
@click.option("--tls-key", type=FILE)
@click.option(
    "--allow-plain-http",
    is_flag=True,
    help="Listen to other machines without TLS: tokens travel as they are.",
)
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
    type=Seconds(1, 600),
    help="Seconds for a whole answer.",
)
@click.option(
    "--node-timeout",
    default=3.0,
    show_default=True,
    type=Seconds(0.1, 600),
    help="Seconds for each node's SQL.",
)
@click.option(
    "--confirmation-term",
    default=TERM_SECONDS,
    show_default=True,
    type=click.IntRange(SHORTEST_TERM, LONGEST_TERM),
    help="Seconds for which an explanation can be confirmed, by this server's clock.",
)
@click.option(
    "--clock-interval",
    default=clock_pins.INTERVAL,
    show_default=True,
    type=Seconds(0, 86400),
    help="Seconds between two clock pins, at least: one small key below /aerodb/SCOPE/ that says "
    "which state stood when. 0: this server writes none.",
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
    pg_ca_file: Path | None,
    allow_plain_pg_password: bool,
    pg_dbname: str,
    patroni_user: str | None,
    patroni_password_file: Path | None,
    patroni_ca_file: Path | None,
    patroni_cert: Path | None,
    patroni_key: Path | None,
    allow_plain_patroni_password: bool,
    networks: tuple[Network, ...],
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    allow_plain_http: bool,
    client_ca: Path | None,
    expected_names: tuple[str, ...],
    expected_count: int | None,
    retired: tuple[str, ...],
    deadline: float,
    node_timeout: float,
    confirmation_term: int,
    clock_interval: float,
) -> None:
    """Serve the kernel API of one cluster. Stateless: run as many side by side as you like.

    It reads Patroni's keys in etcd, and keeps the audit trail below /aerodb/SCOPE/ there: a command
    needs write access to it, an explanation read access, a snapshot none. Where it may write, it
    also keeps a clock pin there (--clock-interval).

    Passwords are read from files only, and these and the token file belong to this server's user or
    to root alone. They, and the certificates, are read again on SIGHUP: what is under way goes on,
    and a file that can't be used leaves in force what was. libpq's own variables (PGPASSFILE,
    PGSSLMODE, ...) apply.

    A password goes to another machine only over TLS that is verified, unless an option below allows
    more: with PostgreSQL that takes --pg-ca-file (or PGSSLMODE=verify-full), with Patroni https.
    """
    _check_text(click.get_current_context())
    if not _loopback(host):
        if token_file is None:
            raise click.UsageError(f"--host {host} is not a loopback address: give --token-file")
        if tls_cert is None and not allow_plain_http:
            raise click.UsageError(
                f"--host {host} is not a loopback address, and without TLS tokens can be read on "
                "their way: give --tls-cert and --tls-key, or --allow-plain-http"
            )
    if token_file is not None:
        try:
            callers.load(token_file)
        except callers.TokenFileError as error:
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
    if 0 < clock_interval < 1:
        raise click.UsageError("--clock-interval is 0, or a second or more")
    reads = deadline - node_timeout - CANCEL_SECONDS
    if reads <= 0:
        raise click.UsageError("--deadline must leave time beyond --node-timeout")
    expected = _expected(expected_names, expected_count, retired)
    again = Again()
    if token_file is not None:
        again.check(token_file)
    if pg_ca_file is not None:
        again.trust("PostgreSQL", pg_ca_file, None, None)  # libpq reads it itself, each time
    reach = Reach(networks)
    etcd_tls = again.trust("etcd", etcd_ca_file, etcd_cert, etcd_key)
    client = httpx.AsyncClient(
        verify=etcd_tls,
        timeout=deadline,
        # How many calls there are at a time is bounded in front of it (gates.py).
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
        trust_env=False,
        follow_redirects=False,
    )
    source = Source(
        store=Etcd(
            client,
            endpoints,
            seconds=reads,
            user=etcd_user,
            password=_secret(etcd_password_file),
            tls=etcd_tls,
        ),
        namespace=namespace,
        scope=scope,
        access=Access(
            pg_user,
            _secret(pg_password_file),
            pg_dbname,
            node_timeout,
            reach,
            pg_ca_file,
            verified=os.environ.get("PGSSLMODE") == "verify-full",
            plain=allow_plain_pg_password,
        ),
        seconds=deadline,
        term_seconds=confirmation_term,
        expected=expected,
    )
    agents = httpx.AsyncClient(
        transport=Transport(
            httpx.AsyncHTTPTransport(
                verify=again.trust("Patroni", patroni_ca_file, patroni_cert, patroni_key),
                # One that was kept may be closed from the other side just when it is used.
                limits=httpx.Limits(max_keepalive_connections=0),
                trust_env=False,
            ),
            reach,
            plain=allow_plain_patroni_password,
        ),
        auth=(patroni_user, _secret(patroni_password_file) or "") if patroni_user else None,
        trust_env=False,
        follow_redirects=False,
    )
    tls = None
    if tls_cert is not None:
        tls = again.serving(tls_cert, tls_key, client_ca)

    def renew() -> None:
        """The passwords: all are read before one is exchanged."""
        etcd, database, engine = map(
            files.secret, (etcd_password_file, pg_password_file, patroni_password_file)
        )
        source.store.renew(etcd)
        source.access.password = database
        if patroni_user:
            agents.auth = (patroni_user, engine or "")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again.read, renew)
        async with (
            client,
            agents,
            clock_pins.pinning(source.store, scope, source.prefix, clock_interval),
        ):
            yield

    try:
        listening.run(application(source, Engine(agents), token_file, lifespan), host, port, tls)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise click.ClickException(f"can't listen on {host} port {port}: {words}") from error


@dataclass
class Again:
    """What is read again when the server is told to: each file on its own, and what can't be used
    leaves in force what was.
    """

    _contexts: list[tuple[str, "Renewed", Callable[[], ssl.SSLContext]]] = field(
        default_factory=list
    )
    _token_files: list[Path] = field(default_factory=list)

    def trust(
        self, whose: str, ca: Path | None, certificate: Path | None, key: Path | None
    ) -> ssl.SSLContext:
        """How somebody is trusted that we call, and what we show them."""
        return self._kept(whose, lambda: _trusting(ca, certificate, key))

    def serving(
        self, certificate: Path, key: Path | None, client_ca: Path | None
    ) -> ssl.SSLContext:
        """What is shown to callers, and whose certificates they must show."""
        return self._kept("the server", lambda: _showing(certificate, key, client_ca))

    def check(self, token_file: Path) -> None:
        """Read for every request anyway; whoever changed it learns here whether it is well."""
        self._token_files.append(token_file)

    def read(self, renew: Callable[[], None]) -> None:
        """Read all again. Never raises."""
        problems: list[str] = []
        for whose, context, made in self._contexts:
            try:
                context.current = made()
            except OSError as error:
                problems.append(_certificates(whose, error))
        try:
            renew()
        except files.FileError as error:
            problems.append(str(error))
        for token_file in self._token_files:
            try:
                callers.load(token_file)
            except callers.TokenFileError as error:
                problems.append(f"{error}: until that is mended nobody is let in")
        for problem in problems:
            LOGGER.error("SIGHUP: %s", problem)
        LOGGER.info(
            "SIGHUP: files were read again; %s",
            "what is named above is as it was before" if problems else "all are in force",
        )

    def _kept(self, whose: str, made: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        try:
            context = Renewed(made())
        except OSError as error:
            raise click.UsageError(_certificates(whose, error)) from error
        self._contexts.append((whose, context, made))
        return context


class Renewed(ssl.SSLContext):
    """One that is exchanged as a whole, for whoever holds it: a certificate and its key go
    together, and no context forgets an authority that it has once trusted.
    """

    current: ssl.SSLContext

    def __new__(cls, current: ssl.SSLContext) -> Self:
        """What stands behind it at first."""
        made = super().__new__(cls, current.protocol)
        made.current = current
        return made

    def wrap_bio(self, *options: Any, **more: Any) -> ssl.SSLObject:
        """All that asyncio and HTTP clients begin TLS with."""
        return self.current.wrap_bio(*options, **more)

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """HTTP clients say it before each connection."""
        self.current.set_alpn_protocols(alpn_protocols)


def _trusting(ca: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Raises OSError, of which ssl.SSLError is one."""
    context = ssl.create_default_context(cafile=ca)
    if certificate is not None:
        _show(context, certificate, key)
    return context


def _showing(certificate: Path, key: Path | None, client_ca: Path | None) -> ssl.SSLContext:
    """Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    _show(context, certificate, key)
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Nobody is asked for a key's password."""
    context.load_cert_chain(certificate, key, password=lambda: "")


def _certificates(whose: str, error: OSError) -> str:
    words = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return f"{whose}'s certificates can't be used: {words or error}"


def _expected(names: tuple[str, ...], count: int | None, retired: tuple[str, ...]) -> Expected:
    if names and count is not None:
        raise click.UsageError("--expect-member names the members, --expect-members counts them")
    for option, given in (("--expect-member", names), ("--retired-member", retired)):
        if any(not name or "/" in name for name in given):
            raise click.UsageError(f"{option} takes the name of a node: it has no /")
    if both := sorted(set(names) & set(retired)):
        raise click.UsageError(f"{', '.join(both)}: expected, and retired")
    return Expected(tuple(sorted(set(names))), count, tuple(sorted(set(retired))))


def _check_text(context: click.Context) -> None:
    """The command line may hold any bytes; keys and passwords are text."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        for each in value if isinstance(value, tuple) else (value,):
            try:
                str(each).encode()
            except UnicodeEncodeError as error:
                raise click.UsageError(f"{parameter.opts[0]} is not UTF-8 text") from error


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(path: Path | None) -> str | None:
    try:
        return files.secret(path)
    except files.FileError as error:
        raise click.UsageError(str(error)) from error
