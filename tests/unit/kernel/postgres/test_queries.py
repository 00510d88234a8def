"""Why a node did not answer: a code from what PostgreSQL or the driver said of it."""

import asyncio
import errno
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from psycopg import errors

from aeroctl.contract.terms import NODE_SECTIONS
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.postgres import queries
from tests.support.keyspaces import cluster_keys, member

SERVER = 'connection failed: connection to server at "127.0.0.1", port 5501 failed: '


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SERVER + "Connection refused", "NODE_UNREACHABLE"),
        (SERVER + "server closed the connection unexpectedly", "NODE_UNREACHABLE"),
        (SERVER + "FATAL:  the database system is starting up", "NODE_NOT_READY"),
        (SERVER + "FATAL:  the database system is shutting down", "NODE_NOT_READY"),
        (SERVER + "FATAL:  the database system is in recovery mode", "NODE_NOT_READY"),
        (
            SERVER + "FATAL:  the database system is not yet accepting connections",
            "NODE_NOT_READY",
        ),
        (SERVER + "FATAL:  sorry, too many clients already", "NODE_NOT_READY"),
        (
            SERVER + "FATAL:  remaining connection slots are reserved for roles with the"
            " SUPERUSER attribute",
            "NODE_NOT_READY",
        ),
        (SERVER + 'FATAL:  password authentication failed for user "mon"', "NODE_ACCESS_DENIED"),
        (SERVER + 'FATAL:  role "mon" does not exist', "NODE_ACCESS_DENIED"),
        (SERVER + 'FATAL:  no pg_hba.conf entry for host "127.0.0.1"', "NODE_ACCESS_DENIED"),
        (SERVER + "fe_sendauth: no password supplied", "NODE_ACCESS_DENIED"),
        (errors.ConnectionTimeout("connection timeout expired"), "NODE_TIMEOUT"),
        (errors.QueryCanceled("canceling statement due to statement timeout"), "NODE_TIMEOUT"),
        (errors.InsufficientPrivilege("permission denied for function"), "NODE_ACCESS_DENIED"),
        (errors.AdminShutdown("terminating connection"), "NODE_NOT_READY"),
        (errors.ObjectNotInPrerequisiteState("recovery is in progress"), "NODE_QUERY_FAILED"),
    ],
)
def test_codes(error: str | psycopg.Error, code: str) -> None:
    problem = psycopg.OperationalError(error) if isinstance(error, str) else error
    assert queries._unavailable(problem).code == code


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (None, "NODE_ADDRESS_UNKNOWN"),
        ("postgres://a..b:1/x", "NODE_UNREACHABLE"),
        (f"postgres://{'x' * 70}:1/x", "NODE_UNREACHABLE"),
        ("postgres://127.0.0.1:0/x", "NODE_UNREACHABLE"),
    ],
)
def test_an_address_that_leads_nowhere_takes_down_nobody_else(url: str | None, code: str) -> None:
    state = cluster_keys(members__n1=member("n1", conn_url=url), members__n2=None, members__n3=None)
    access = queries.Access("mon", None, "postgres", 1)
    answers = asyncio.run(queries.ask(sections.nodes(state), ["wal", "mvcc"], access, None))
    assert list(answers) == ["n1", "n2", "n3"]
    for section in ("wal", "mvcc"):
        problem = answers["n1"][section]
        assert not isinstance(problem, str)
        assert problem.code == code
        assert answers["n3"][section].code == "NODE_NOT_REGISTERED"  # type: ignore[union-attr]


def test_no_file_is_read_while_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have no descriptor left for that."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "open", fail)
    access = queries.Access("mon", None, "postgres", 1)
    assert asyncio.run(queries.ask([], list(NODE_SECTIONS), access, None)) == {}
