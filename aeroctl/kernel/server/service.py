"""What `aerokernel serve` serves with: clients for etcd, the nodes and Patroni, from settings."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
from starlette.applications import Starlette

from aeroctl.kernel import files
from aeroctl.kernel.audit import clock_pins
from aeroctl.kernel.patroni.addresses import Reach
from aeroctl.kernel.patroni.rest_api import Engine, Transport
from aeroctl.kernel.postgres.queries import Access
from aeroctl.kernel.server import certificates
from aeroctl.kernel.server.reload import Reload
from aeroctl.kernel.server.routes import application
from aeroctl.kernel.server.settings import Settings, SettingsError
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.etcd import Etcd


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that a server works with while it runs."""

    settings: Settings
    etcd: httpx.AsyncClient
    patroni: httpx.AsyncClient
    source: Source
    tls: ssl.SSLContext | None
    """Of the listening side; None: plain HTTP."""
    reload: Reload

    def application(self) -> Starlette:
        """The HTTP application, which opens and closes all of this."""
        return application(
            self.source, Engine(self.patroni), self.settings.token_file, self._lifespan
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.reload.run, self._renew_passwords)
        source = self.source
        pins = clock_pins.pinning(
            source.store, source.scope, source.prefix, self.settings.clock_interval
        )
        async with self.etcd, self.patroni, pins:
            yield

    def _renew_passwords(self) -> None:
        """All are read before one is exchanged. Raises FileError."""
        settings = self.settings
        etcd = files.secret(settings.etcd_password_file)
        database = files.secret(settings.pg_password_file)
        patroni = files.secret(settings.patroni_password_file)
        self.source.store.renew(etcd)
        self.source.access.password = database
        if settings.patroni_user:
            self.patroni.auth = (settings.patroni_user, patroni or "")


def service(settings: Settings) -> Service:
    """Read every file, and make the clients; nothing is connected yet. Raises SettingsError."""
    reload = Reload(settings.token_file)
    reach = Reach(settings.node_network)
    if settings.pg_ca_file is not None:  # only checked: libpq reads it for each connection
        _trust(reload, "PostgreSQL", settings.pg_ca_file, None, None)
    etcd_tls = _trust(reload, "etcd", settings.etcd_ca_file, settings.etcd_cert, settings.etcd_key)
    etcd = _etcd_client(settings, etcd_tls)
    source = Source(
        store=Etcd(
            etcd,
            settings.etcd,
            seconds=settings.store_seconds,
            user=settings.etcd_user,
            password=_secret(settings.etcd_password_file),
            tls=etcd_tls,
        ),
        namespace=settings.namespace,
        scope=settings.scope,
        access=_database_access(settings, reach),
        seconds=settings.deadline,
        term_seconds=settings.confirmation_term,
        expected=settings.expected,
    )
    patroni_tls = _trust(
        reload, "Patroni", settings.patroni_ca_file, settings.patroni_cert, settings.patroni_key
    )
    patroni = _patroni_client(settings, reach, patroni_tls)
    return Service(settings, etcd, patroni, source, _server_tls(reload, settings), reload)


def _etcd_client(settings: Settings, tls: ssl.SSLContext) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=tls,
        timeout=settings.deadline,
        # How many calls there are at a time is bounded in front of it (gates.py).
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
        trust_env=False,
        follow_redirects=False,
    )


def _patroni_client(settings: Settings, reach: Reach, tls: ssl.SSLContext) -> httpx.AsyncClient:
    user, password = settings.patroni_user, _secret(settings.patroni_password_file)
    transport = httpx.AsyncHTTPTransport(
        verify=tls,
        # A kept connection may be closed by the other side just when it is used again.
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
    )
    return httpx.AsyncClient(
        transport=Transport(transport, reach, plain=settings.allow_plain_patroni_password),
        auth=(user, password or "") if user else None,
        trust_env=False,
        follow_redirects=False,
    )


def _database_access(settings: Settings, reach: Reach) -> Access:
    return Access(
        settings.pg_user,
        _secret(settings.pg_password_file),
        settings.pg_dbname,
        settings.node_timeout,
        reach,
        settings.pg_ca_file,
        verified=os.environ.get("PGSSLMODE") == "verify-full",
        plain=settings.allow_plain_pg_password,
    )


def _server_tls(reload: Reload, settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None:
        return None
    return _context(
        reload,
        "the server",
        partial(certificates.for_server, settings.tls_cert, settings.tls_key, settings.client_ca),
    )


def _trust(
    reload: Reload, whose: str, ca: Path | None, certificate: Path | None, key: Path | None
) -> ssl.SSLContext:
    return _context(reload, whose, partial(certificates.for_client, ca, certificate, key))


def _context(reload: Reload, whose: str, load: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    try:
        return reload.context(whose, load)
    except OSError as error:
        raise SettingsError(certificates.problem(whose, error)) from error


def _secret(path: Path | None) -> str | None:
    try:
        return files.secret(path)
    except files.FileError as error:
        raise SettingsError(str(error)) from error
