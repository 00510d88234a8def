"""`aerokernel serve`: check the settings, make the service, listen."""

from typing import Any

import click

from aeroctl.kernel.server import listening
from aeroctl.kernel.server.options import VARIABLES, options
from aeroctl.kernel.server.service import service
from aeroctl.kernel.server.settings import Settings, SettingsError


@click.command(context_settings=VARIABLES)
@options
def serve(**given: Any) -> None:
    """Serve the kernel API of one cluster. Stateless: run as many side by side as you like.

    It reads Patroni's keys in etcd, and keeps the audit trail below /aerodb/SCOPE/ there: a command
    needs write access to it, an explanation read access, a snapshot none. Where it may write, it
    also keeps a clock pin there (--clock-interval).

    Passwords are read from files only, and these and the token file belong to this server's user or
    to root alone. They, and the certificates, are read again on SIGHUP: running requests go on, and
    a file that can't be used is reported, and its earlier content stays in force. libpq's own
    variables (PGPASSFILE, PGSSLMODE, ...) apply.

    Each option can also be given by a variable: --node-timeout by AEROKERNEL_NODE_TIMEOUT. One that
    may be repeated takes several values there, separated by spaces.

    A password goes to another machine only over TLS that is verified, unless an option below allows
    more: with PostgreSQL that takes --pg-ca-file (or PGSSLMODE=verify-full), with Patroni https.
    """
    settings = Settings(**given)
    try:
        settings.check()
        served = service(settings)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    host, port = settings.host, settings.port
    try:
        listening.run(served.application(), host, port, served.tls)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise click.ClickException(f"can't listen on {host} port {port}: {words}") from error
