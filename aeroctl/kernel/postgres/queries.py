"""Queries PostgreSQL on every node by SQL, all nodes at once, each within the same time."""

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
"""How long a server may take to cancel a statement that has timed out."""
MOST_BYTES = 4 * 1024 * 1024
"""Bytes that one node may send on one connection. libpq needs several times as much memory."""
NO_FILE = "/nonexistent/pgpass"
"""A password file that does not exist."""

WITHHELD = "authentication method requirement"
"""In libpq's error message: the server requires an authentication method that is not allowed."""

# For a connection that failed libpq has no SQLSTATE, only the server's message.
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
    """How to log in to every node: as a role that has pg_monitor, and nothing else.

    `password` None leaves it to libpq (PGPASSFILE); it changes when aerokernel reads its files
    again. `seconds`: the limit for every node. `reach`: the networks that nodes may be in.
    `ca_file`: TLS with every node, verified by it (verify-full). `verified`: libpq's own variables
    require that. `plain`: the password may go to other machines without TLS.
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
class ServerIdentity:
    """The server that answered at a node's address: which one, and started when (`server`); and the
    `name` under which it replicates, if it does (Patroni: its member name). None if not known.
    """

    server: str | None = None
    name: str | None = None


async def ask(
    nodes: Sequence[Node], sections: Sequence[Section], access: Access, system_id: str | None
) -> Mapping[str, Mapping[Section, Answer]]:
    """The answers of all nodes, by node name and section. Never raises for a node's failure.

    An answer is used only for the node that it is from: not if one server answered for two nodes
    (one address in two spellings, a proxy), nor if it replicates under the name of another node.
    """
    statements = {section: _statement(section) for section in sections}
    servers = [ServerIdentity() for _ in nodes]
    answers = await asyncio.gather(
        *(
            _ask_node(node, statements, access, system_id, server)
            for node, server in zip(nodes, servers, strict=True)
        )
    )
    strangers = impostors(nodes, servers)
    return {
        node.name: dict.fromkeys(statements, strangers[node.name])
        if node.name in strangers
        else answer
        for node, answer in zip(nodes, answers, strict=True)
    }


def impostors(
    nodes: Sequence[Node], servers: Sequence[ServerIdentity]
) -> Mapping[str, Unavailable]:
    """The nodes whose answers may be those of another server, and the reason. Pure."""
    names = {node.name for node in nodes}
    by_server: dict[str, list[Node]] = {}
    for node, server in zip(nodes, servers, strict=True):
        if server.server is not None:
            by_server.setdefault(server.server, []).append(node)
    reasons = {}
    for node, server in zip(nodes, servers, strict=True):
        same_server = by_server.get(server.server or "", [])
        others = [
            other.name for other in same_server if other is not node and address_counts(node, other)
        ]
        if server.name in names - {node.name}:
            message = f"the server at its address replicates under the name {server.name}"
            reasons[node.name] = Unavailable(code="NODE_IS_ANOTHER", message=message)
        elif others:
            message = f"one server answered for it and for {', '.join(sorted(others))}"
            reasons[node.name] = Unavailable(code="NODE_ADDRESS_SHARED", message=message)
    return reasons


async def _ask_node(
    node: Node,
    statements: Mapping[Section, str],
    access: Access,
    system_id: str | None,
    server: ServerIdentity,
) -> Mapping[Section, Answer]:
    answers: dict[Section, Answer] = {}
    try:
        # The inner limit cancels the statement, which the server is first asked to do; the outer
        # one ends that too, since a frozen server never answers.
        async with asyncio.timeout(access.seconds + CANCEL_SECONDS):
            async with asyncio.timeout(access.seconds):
                await _read(node, statements, access, system_id, answers, server)
    except TimeoutError:
        problem = Unavailable(
            code="NODE_TIMEOUT", message=f"no answer within {access.seconds:g} seconds"
        )
    except psycopg.Error as error:
        problem = _unavailable(error)
    except (OSError, ValueError) as error:  # also a host name that is not valid
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
    server: ServerIdentity,
) -> None:
    """Add the answer of every section to `answers` as it arrives, and the identity to `server`."""
    connection = await _connect(node, access)
    try:
        await _check(connection, system_id, server)
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
    """The password, and the authentication methods that are allowed. Pure.

    The address comes from a member key, and a server there that is not trusted must not learn the
    password. SCRAM does not send it, but lets such a server guess it offline, so it is not allowed
    there either; a server that requires no password is. The same holds for a password that only
    libpq has (PGPASSFILE, PGPASSWORD).
    """
    if not trusted:
        return {"password": "", "passfile": NO_FILE, "require_auth": "none"}
    required = "!password" if access.plain else "scram-sha-256,none"
    return {"password": access.password, "require_auth": required}


def _tls(access: Access) -> dict[str, str | None]:
    """How TLS is used; without `ca_file` libpq's own variables decide. Pure."""
    if access.ca_file is None:
        return {"sslmode": "verify-full"} if access.verified else {}
    return {"sslmode": "verify-full", "sslrootcert": str(access.ca_file)}


async def _check(connection: Connection, system_id: str | None, server: ServerIdentity) -> None:
    """Refuse a node of another cluster, and a role that would see only a part."""
    row = await connection.row(_statement("session"))
    reported, sees_all, role, server.server, server.name = row or (None, False, None, None, None)
    if system_id is not None and reported != system_id:
        message = f"its system id is {reported}, the cluster's is {system_id}"
        raise _Unusable("NODE_WRONG_CLUSTER", message)
    if not sees_all:
        message = f"role {role} lacks pg_monitor: it would see only a part"
        raise _Unusable("NODE_ACCESS_DENIED", message)


class _Unusable(Exception):
    """A node that can't be queried, or whose answers can't be used."""

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
    text = str(error)
    if any(phrase in text for phrase in NOT_READY):
        return "NODE_NOT_READY"
    return "NODE_ACCESS_DENIED" if any(phrase in text for phrase in DENIED) else "NODE_UNREACHABLE"


_STATEMENTS = {
    file.name: file.read_text(encoding="utf-8")
    for file in files("aeroctl.kernel.postgres").joinpath("sql").iterdir()
    if file.name.endswith(".sql")
}
"""Read when aerokernel starts: later it may have no file descriptor left."""


def _statement(name: str) -> str:
    return _STATEMENTS[f"{name}.sql"]
