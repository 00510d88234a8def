"""The settings of `aerokernel serve`, and which of them go together."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from aeroctl.kernel import callers
from aeroctl.kernel.patroni.addresses import Network
from aeroctl.kernel.patroni.keys import Expected
from aeroctl.kernel.postgres.queries import CANCEL_SECONDS

DECIDING_VARIABLES = ("PGHOSTADDR", "PGSERVICE", "PGTARGETSESSIONATTRS")
"""Variables of libpq that would decide which node is read."""


class SettingsError(Exception):
    """Settings that do not go together, or a file that can't be used. Its words name the option."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One field for each option of `aerokernel serve` (options.py), of the same name."""

    host: str
    port: int
    scope: str
    namespace: str
    etcd: tuple[str, ...]
    etcd_user: str | None
    etcd_password_file: Path | None
    etcd_ca_file: Path | None
    etcd_cert: Path | None
    etcd_key: Path | None
    pg_user: str | None
    pg_password_file: Path | None
    pg_ca_file: Path | None
    allow_plain_pg_password: bool
    pg_dbname: str
    patroni_user: str | None
    patroni_password_file: Path | None
    patroni_ca_file: Path | None
    patroni_cert: Path | None
    patroni_key: Path | None
    allow_plain_patroni_password: bool
    node_network: tuple[Network, ...]
    token_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    allow_plain_http: bool
    client_ca: Path | None
    expect_member: tuple[str, ...]
    expect_members: int | None
    retired_member: tuple[str, ...]
    deadline: float
    node_timeout: float
    confirmation_term: int
    clock_interval: float

    @property
    def store_seconds(self) -> float:
        """What the deadline leaves for etcd."""
        return self.deadline - self.node_timeout - CANCEL_SECONDS

    @property
    def expected(self) -> Expected:
        """What the operator says of the cluster's members."""
        return Expected(
            tuple(sorted(set(self.expect_member))),
            self.expect_members,
            tuple(sorted(set(self.retired_member))),
        )

    def check(self) -> None:
        """Raises SettingsError where they do not go together, or would be unsafe."""
        self._check_text()
        self._check_access()
        self._check_pairs()
        self._check_times()
        self._check_members()

    def _check_text(self) -> None:
        """A command line may hold any bytes; keys and passwords are text."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            for part in value if isinstance(value, tuple) else (value,):
                try:
                    str(part).encode()
                except UnicodeEncodeError as error:
                    raise SettingsError(f"{_option(name)} is not UTF-8 text") from error

    def _check_access(self) -> None:
        """Other machines need a token, and TLS unless it is waived."""
        if not _loopback(self.host):
            reason = f"--host {self.host} is not a loopback address"
            if self.token_file is None:
                raise SettingsError(f"{reason}: give --token-file")
            if self.tls_cert is None and not self.allow_plain_http:
                raise SettingsError(
                    f"{reason}, and without TLS tokens are sent unencrypted: give --tls-cert and "
                    "--tls-key, or --allow-plain-http"
                )
        if self.token_file is not None:
            try:
                callers.load(self.token_file)
            except callers.TokenFileError as error:
                raise SettingsError(str(error)) from error

    def _check_pairs(self) -> None:
        for certificate, key in (
            ("tls_cert", "tls_key"),
            ("etcd_cert", "etcd_key"),
            ("patroni_cert", "patroni_key"),
        ):
            self._check_together(certificate, key)
        if self.client_ca is not None and self.tls_cert is None:
            raise SettingsError("--client-ca needs --tls-cert and --tls-key")
        for variable in DECIDING_VARIABLES:
            if variable in os.environ:
                raise SettingsError(
                    f"{variable} must not be set: libpq could connect to another node"
                )
        self._check_together("etcd_user", "etcd_password_file")
        self._check_together("patroni_user", "patroni_password_file")

    def _check_together(self, one: str, other: str) -> None:
        if (getattr(self, one) is None) != (getattr(self, other) is None):
            raise SettingsError(f"{_option(one)} and {_option(other)} must be given together")

    def _check_times(self) -> None:
        if 0 < self.clock_interval < 1:
            raise SettingsError("--clock-interval must be 0, or at least 1 second")
        if self.store_seconds <= 0:
            raise SettingsError("--deadline must leave time beyond --node-timeout")

    def _check_members(self) -> None:
        if self.expect_member and self.expect_members is not None:
            raise SettingsError(
                "--expect-member (names) and --expect-members (a number) can't be combined"
            )
        for name in ("expect_member", "retired_member"):
            if any(not node or "/" in node for node in getattr(self, name)):
                raise SettingsError(
                    f"{_option(name)} takes the name of a node, which can't contain a /"
                )
        if both := sorted(set(self.expect_member) & set(self.retired_member)):
            raise SettingsError(f"{', '.join(both)}: a member can't be both expected and retired")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
