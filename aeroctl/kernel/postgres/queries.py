"""Asks every node itself: PostgreSQL by SQL, all nodes at once, each within its own time."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import psycopg
from psycopg import errors

from aeroctl.contract.base import Unavailable
from aeroctl.contract.nodes import Node
from aeroctl.contract.terms import Section
from aeroctl.kernel.patroni import addresses
from aeroctl.kernel.patroni.addresses import Reach
from aeroctl.kernel.patroni.nodes import address_counts
from aeroctl.kernel.postgres.connection import Connection, TooMuch
from aeroctl.kernel.postgres.observations import Answer

CANCEL_SECONDS = 0.5
"""How long a server has to take back a statement that ran out of time."""
MOST_BYTES = 4 * 1024 * 1024
"""That one node may send in one connection. libpq holds several times as much."""
NO_FILE = "/nonexistent/pgpass"
"""Where libpq finds no password."""

WITHHELD = "authentication method requirement"
"""In libpq's words: the server asked for what we do not give."""

# At connection time libpq hands on no SQLSTATE, only the server's words.
NOT_READY = (
    "starting up",
    "shutting down",
    "not yet accepting connections",
    "not accepting connections",
    "in recovery mode",
    "too many clients",
    "remaining connection slots",
)
DENIED = ("FATAL:", "no password supplied", WITHHELD)


@dataclass(slots=True)
class Access:
    """How to log in to every node: a role that has pg_monitor, and nothing else.

    `password` None leaves it to libpq (PGPASSFILE); it is exchanged when the server reads its files
    again. `seconds` bounds each node. `reach`: where nodes may be. `ca_file`: TLS with every node,
    verified by it, name and all. `verified`: libpq's own variables ask for that. `plain`: the
    password may go to other machines without.
    """

    user: str | None
    password: str | None
    database: str
    seconds: float
    reach: Reach = field(default_factory=Reach)
    ca_file: Path | None = None
    verified: bool = False
    plain: bool = False


@dataclass(slots=True)
class Spoken:
    """Who answered at a node's address: which run of which server, and under what name it
    replicates, where it does (Patroni: its member name). None where it did not say.
    """

    server: str | None = None
    name: str | None = None


async def ask(
    nodes: Sequence[Node], sections: Sequence[Section], access: Access, system_id: str | None
) -> Mapping[str, Mapping[Section, Answer]]:
    """The answers of all nodes, by node name and section. Never raises for a node's failure.

    An answer counts for the node alone that it is of: not where the same server answered for two
    (another spelling of one address, a proxy), nor where it replicates under another one's name.
    """
    statements = {section: _statement(section) for section in sections}
    spoken = [Spoken() for _ in nodes]
    answers = await asyncio.gather(
        *(
            _ask_node(node, statements, access, system_id, who)
            for node, who in zip(nodes, spoken, strict=True)
        )
    )
    strangers = impostors(nodes, spoken)
    return {
        node.name: dict.fromkeys(statements, strangers[node.name])
        if node.name in strangers
        else answer
        for node, answer in zip(nodes, answers, strict=True)
    }


def impostors(nodes: Sequence[Node], spoken: Sequence[Spoken]) -> Mapping[str, Unavailable]:
    """The nodes for which it is not certain that they answered themselves, and why. Pure."""
    names = {node.name for node in nodes}
    there: dict[str, list[Node]] = {}
    for node, who in zip(nodes, spoken, strict=True):
        if who.server is not None:
            there.setdefault(who.server, []).append(node)
    found = {}
    for node, who in zip(nodes, spoken, strict=True):
        beside = there.get(who.server or "", [])
        others = [
            other.name for other in beside if other is not node and address_counts(node, other)
        ]
        if who.name in names - {node.name}:
            message = f"the server at its address replicates under the name {who.name}"
            found[node.name] = Unavailable(code="NODE_IS_ANOTHER", message=message)
        elif others:
            message = f"one server answered for it and for {', '.join(sorted(others))}"
            found[node.name] = Unavailable(code="NODE_ADDRESS_SHARED", message=message)
    return found


async def _ask_node(
    node: Node,
    statements: Mapping[Section, str],
    access: Access,
    system_id: str | None,
    spoken: Spoken,
) -> Mapping[Section, Answer]:
    answers: dict[Section, Answer] = {}
    try:
        # The inner limit cancels the statement, which psycopg first tries to take back on the
        # server; the outer one ends that too, since a frozen server never answers.
        async with asyncio.timeout(access.seconds + CANCEL_SECONDS):
            async with asyncio.timeout(access.seconds):
                await _read(node, statements, access, system_id, answers, spoken)
    except TimeoutError:
        problem = Unavailable(
            code="NODE_TIMEOUT", message=f"no answer within {access.seconds:g} seconds"
        )
    except psycopg.Error as error:
        problem = _unavailable(error)
    except (OSError, ValueError) as error:  # a host name that can't be one
        problem = Unavailable(code="NODE_UNREACHABLE", message=str(error))
    except _Unusable as error:
        problem = error.reason
    except addresses.Outside as error:
        problem = Unavailable(code="NODE_ADDRESS_REFUSED", message=str(error))
    else:
        return answers
    return dict.fromkeys(statements, problem) | answers


async def _read(
    node: Node,
    statements: Mapping[Section, str],
    access: Access,
    system_id: str | None,
    answers: dict[Section, Answer],
    spoken: Spoken,
) -> None:
    """Put each section's answer into `answers` as it comes, and who gives it into `spoken`."""
    connection = await _connect(node, access)
    try:
        await _check(connection, system_id, spoken)
        for section, statement in statements.items():
            try:
                row = await connection.row(statement)
                answers[section] = str(row[0]) if row else _EMPTY
            except psycopg.Error as error:
                if connection.closed or isinstance(error, TooMuch):
                    raise
                answers[section] = _unavailable(error)
    finally:
        connection.close()


async def _connect(node: Node, access: Access) -> Connection:
    if node.shares_address_with:
        others = ", ".join(node.shares_address_with)
        raise _Unusable("NODE_ADDRESS_SHARED", f"its database address is also that of {others}")
    if not node.registered and node.host is None:
        message = "it does not renew its own entry, and no address of it is known"
        raise _Unusable("NODE_NOT_REGISTERED", message)
    if node.host is None or node.port is None:
        raise _Unusable("NODE_ADDRESS_UNKNOWN", "its entry holds no address that can be read")
    hosts = await access.reach.addresses(node.host, node.port)
    verified = access.ca_file is not None or access.verified
    trusted = verified or access.plain or addresses.here(hosts)
    try:
        return await Connection.begin(
            MOST_BYTES,
            host=",".join([node.host] * len(hosts)),
            hostaddr=",".join(hosts),
            port=node.port,
            user=access.user,
            dbname=access.database,
            application_name="aerokernel",
            options=f"-c search_path=pg_catalog -c statement_timeout={int(access.seconds * 1000)}",
            client_encoding="UTF8",
            **_credentials(access, trusted=trusted),
            **_tls(access),
        )
    except psycopg.Error as error:
        if not trusted and WITHHELD in str(error):
            message = (
                f"it asks for a password, which goes to no other machine ({', '.join(hosts)}) "
                "without TLS that is verified: give aerokernel serve --pg-ca-file, or "
                "--allow-plain-pg-password"
            )
            raise _Unusable("NODE_PASSWORD_WITHHELD", message) from error
        raise


def _credentials(access: Access, *, trusted: bool) -> dict[str, str | None]:
    """The password, and how it may be proved. Pure.

    A member key names whom we talk to: whoever that is learns no password from us. SCRAM does not
    tell it, but lets it be guessed at leisure, so that it is not for everybody either. A server
    that asks for none is no danger to one. Where only libpq knows it (PGPASSFILE, PGPASSWORD), the
    same holds.
    """
    if not trusted:
        return {"password": "", "passfile": NO_FILE, "require_auth": "none"}
    required = "!password" if access.plain else "scram-sha-256,none"
    return {"password": access.password, "require_auth": required}


def _tls(access: Access) -> dict[str, str | None]:
    """Without a CA of our own it is libpq's variables that say. Pure."""
    if access.ca_file is None:
        return {"sslmode": "verify-full"} if access.verified else {}
    return {"sslmode": "verify-full", "sslrootcert": str(access.ca_file)}


async def _check(connection: Connection, system_id: str | None, spoken: Spoken) -> None:
    """Refuse a node that belongs elsewhere, and a role that is shown only a part."""
    row = await connection.row(_statement("session"))
    found, sees_all, role, spoken.server, spoken.name = row or (None, False, None, None, None)
    if system_id is not None and found != system_id:
        message = f"its system id is {found}, the cluster's is {system_id}"
        raise _Unusable("NODE_WRONG_CLUSTER", message)
    if not sees_all:
        message = f"role {role} lacks pg_monitor: it would see only a part"
        raise _Unusable("NODE_ACCESS_DENIED", message)


class _Unusable(Exception):
    """A node that can't be asked, or must not be believed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reason = Unavailable(code=code, message=message)


_EMPTY = Unavailable(code="NODE_ANSWER_UNREADABLE", message="the statement returned no row")


def _unavailable(error: psycopg.Error) -> Unavailable:
    return Unavailable(code=_code(error), message=str(error).strip())


def _code(error: psycopg.Error) -> str:
    if isinstance(error, TooMuch):
        return "NODE_ANSWER_TOO_LARGE"
    if isinstance(error, errors.InsufficientPrivilege):
        return "NODE_ACCESS_DENIED"
    if isinstance(error, errors.QueryCanceled | errors.ConnectionTimeout):
        return "NODE_TIMEOUT"
    if isinstance(error, errors.AdminShutdown | errors.CrashShutdown | errors.CannotConnectNow):
        return "NODE_NOT_READY"
    if error.sqlstate is not None:
        return "NODE_QUERY_FAILED"
    words = str(error)
    if any(phrase in words for phrase in NOT_READY):
        return "NODE_NOT_READY"
    return "NODE_ACCESS_DENIED" if any(phrase in words for phrase in DENIED) else "NODE_UNREACHABLE"


_STATEMENTS = {
    file.name: file.read_text(encoding="utf-8")
    for file in files("aeroctl.kernel.postgres").joinpath("sql").iterdir()
    if file.name.endswith(".sql")
}
"""Read when the server starts: later it may have no descriptor left for that."""


def _statement(name: str) -> str:
    return _STATEMENTS[f"{name}.sql"]
