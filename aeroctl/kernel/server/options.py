"""The command line options of `aerokernel serve`, and the parsing of their values.

An option given on the command line wins over its variable, and that over the default. Click reads
both, and names the option in every error; a settings library would bring its own command line.
"""

import math
import re
from collections.abc import Callable
from functools import reduce
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import click
import httpx

from aeroctl.kernel.audit import clock_pins
from aeroctl.kernel.decide.confirmation import LONGEST_TERM, SHORTEST_TERM, TERM_SECONDS
from aeroctl.kernel.patroni.addresses import Network

VARIABLES = {"auto_envvar_prefix": "AEROKERNEL"}
"""Context settings: --node-timeout is also read from AEROKERNEL_NODE_TIMEOUT."""

# Whether it can be read is for opening it to say: access() ignores ambient capabilities.
FILE = click.Path(exists=True, dir_okay=False, readable=False, path_type=Path)

LAST_PORT = 65535


class Seconds(click.FloatRange):
    """A number of seconds within a range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Refuses NaN, which compares as within every range."""
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
            raise click.BadParameter(f"{url!r} has a host or a port that is not valid")
    return tuple(url.rstrip("/") for url in urls)


def _scope(_: click.Context, __: click.Parameter, name: str) -> str:
    """A cluster's name is one part of a key, in Patroni and here."""
    if not name or "/" in name:
        raise click.BadParameter(f"{name!r} is not a cluster's name: it is empty or has a /")
    return name


def _networks(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(network) for network in given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


OPTIONS = (
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    click.option("--port", default=9191, show_default=True, type=click.IntRange(0, 65535)),
    click.option(
        "--scope", required=True, callback=_scope, help="The cluster's name (Patroni: scope)."
    ),
    click.option("--namespace", default="/service", show_default=True, help="Patroni's namespace."),
    click.option(
        "--etcd",
        multiple=True,
        required=True,
        callback=_endpoints,
        metavar="URL",
        help="An etcd endpoint; repeat it for more, they are tried in order.",
    ),
    click.option("--etcd-user", help="etcd user, where etcd requires one."),
    click.option("--etcd-password-file", type=FILE),
    click.option("--etcd-ca-file", type=FILE, help="CA of etcd's certificate."),
    click.option("--etcd-cert", type=FILE, help="Client certificate for etcd."),
    click.option("--etcd-key", type=FILE),
    click.option("--pg-user", help="A PostgreSQL role with pg_monitor, the same on every node."),
    click.option("--pg-password-file", type=FILE, help="Without it: libpq's PGPASSFILE."),
    click.option(
        "--pg-ca-file",
        type=FILE,
        help="Require TLS with every node's PostgreSQL, verified by this CA.",
    ),
    click.option(
        "--allow-plain-pg-password",
        is_flag=True,
        help="Log in to PostgreSQL on other machines without verified TLS.",
    ),
    click.option("--pg-dbname", default="postgres", show_default=True),
    click.option("--patroni-user", help="User for Patroni's REST API, where it requires one."),
    click.option("--patroni-password-file", type=FILE),
    click.option(
        "--patroni-ca-file", type=FILE, help="CA of the certificates of Patroni's REST API."
    ),
    click.option("--patroni-cert", type=FILE, help="Client certificate for Patroni's REST API."),
    click.option("--patroni-key", type=FILE),
    click.option(
        "--allow-plain-patroni-password",
        is_flag=True,
        help="Send Patroni's password to other machines without TLS.",
    ),
    click.option(
        "--node-network",
        multiple=True,
        callback=_networks,
        metavar="CIDR",
        help="Connect to nodes in this network only; repeat it for more. Without it: anywhere.",
    ),
    click.option(
        "--token-file",
        type=FILE,
        help="The callers and their tokens' digests; see `aerokernel token`.",
    ),
    click.option("--tls-cert", type=FILE, help="The server's certificate chain."),
    click.option("--tls-key", type=FILE),
    click.option(
        "--allow-plain-http",
        is_flag=True,
        help="Listen to other machines without TLS: tokens are sent unencrypted.",
    ),
    click.option("--client-ca", type=FILE, help="Require client certificates signed by this CA."),
    click.option(
        "--expect-member",
        metavar="NAME",
        multiple=True,
        help="A member that the cluster must have; repeat it for more. health checks it.",
    ),
    click.option(
        "--expect-members",
        metavar="N",
        type=click.IntRange(1, 10_000),
        help="How many members the cluster must have, where their names don't matter.",
    ),
    click.option(
        "--retired-member",
        metavar="NAME",
        multiple=True,
        help="A node that is gone for good; you vouch that it accepts no writes. Repeat it for "
        "more.",
    ),
    click.option(
        "--deadline",
        default=8.0,
        show_default=True,
        type=Seconds(1, 600),
        help="Seconds for a whole answer.",
    ),
    click.option(
        "--node-timeout",
        default=3.0,
        show_default=True,
        type=Seconds(0.1, 600),
        help="Seconds for each node's SQL.",
    ),
    click.option(
        "--confirmation-term",
        default=TERM_SECONDS,
        show_default=True,
        type=click.IntRange(SHORTEST_TERM, LONGEST_TERM),
        help="Seconds for which an explanation can be confirmed, by this server's clock.",
    ),
    click.option(
        "--clock-interval",
        default=clock_pins.INTERVAL,
        show_default=True,
        type=Seconds(0, 86400),
        help="At least so many seconds between two clock pins. A clock pin is a small key below "
        "/aerodb/SCOPE/ that ties a revision to a time. 0: this server writes none.",
    ),
)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorates a function with all of them, in the order of the table."""
    return reduce(lambda decorated, option: option(decorated), reversed(OPTIONS), command)
