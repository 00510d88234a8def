"""One node: a Patroni and the PostgreSQL it looks after."""

from dataclasses import dataclass
from typing import Any

import psycopg

from aeroctl.kernel.sandbox.daemon import Daemon
from aeroctl.kernel.sandbox.ports import HOST
from aeroctl.kernel.sandbox.postgres import Postgres
from aeroctl.kernel.sandbox.waiting import wait_until


@dataclass(frozen=True)
class NodeHandle:
    """A node as a whole, and its two parts.

    Patroni answers at `rest_port`, and tells the others `advertised_port`.
    """

    name: str
    patroni: Daemon
    postgres: Postgres
    postgres_port: int
    rest_port: int
    advertised_port: int

    @property
    def streams(self) -> bool:
        """Its PostgreSQL receives a stream, or is no replica."""
        receiving = "SELECT status = 'streaming' FROM pg_stat_wal_receiver"
        statement = f"SELECT coalesce(({receiving}), NOT pg_is_in_recovery())"
        try:
            return bool(self.sql(statement)[0][0])
        except psycopg.Error:
            return False

    def start(self) -> None:
        """Start Patroni, which starts PostgreSQL."""
        self.patroni.start()

    def stop(self) -> None:
        """Shut both down in good order; the leader key is released first."""
        self.patroni.terminate()

    def kill(self) -> None:
        """Both crash. Patroni first, or it would start PostgreSQL again."""
        self.patroni.kill()
        self.postgres.kill()
        wait_until(f"{self.name} is gone", lambda: not self.postgres.running)

    def freeze(self) -> None:
        """Stop every process of the node in its tracks, as when a machine hangs."""
        self.patroni.freeze()
        self.postgres.freeze()

    def thaw(self) -> None:
        """Let the node go on."""
        self.postgres.thaw()
        self.patroni.thaw()

    def sql(self, statement: str, *parameters: object, user: str = "postgres") -> list[Any]:
        """Run one statement in a transaction of its own, and return its rows, if it has any."""
        with (
            psycopg.connect(
                host=HOST,
                port=self.postgres_port,
                user=user,
                dbname="postgres",
                sslmode="disable",
                connect_timeout=5,
                autocommit=True,
            ) as connection,
            connection.execute(statement.encode(), parameters or None) as cursor,
        ):
            return cursor.fetchall() if cursor.description else []
