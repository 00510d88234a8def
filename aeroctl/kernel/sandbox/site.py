"""The ground a cluster stands on, and how each of its parts is laid out there."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from aeroctl.kernel.sandbox import settings
from aeroctl.kernel.sandbox.account import Account, give
from aeroctl.kernel.sandbox.daemon import Daemon
from aeroctl.kernel.sandbox.kernel import Kernel
from aeroctl.kernel.sandbox.node import NodeHandle
from aeroctl.kernel.sandbox.ports import PortBlock
from aeroctl.kernel.sandbox.postgres import Postgres
from aeroctl.kernel.sandbox.programs import Programs
from aeroctl.kernel.sandbox.tokens import Authority, hash_lines

HASHES = "tokens"


@dataclass(frozen=True)
class Site:
    """A directory, a block of ports, the programs, and the account they run under."""

    directory: Path
    ports: PortBlock
    programs: Programs
    account: Account | None

    def etcd(self, port: int) -> Daemon:
        """The consensus store, on that port."""
        arguments = settings.etcd(port, self.ports.take())
        command = [str(self.programs.etcd), *arguments]
        return Daemon("etcd", command, self._folder("etcd"), self.account)

    def node(
        self,
        name: str,
        etcd_port: int,
        dynamic: settings.Settings,
        tags: settings.Settings,
        *,
        relayed: bool,
    ) -> NodeHandle:
        """A node, with the patroni.yml that it and patronictl read.

        `relayed`: it tells the others a port on which somebody else is to listen in its place.
        """
        folder = self._folder(f"nodes/{name}")
        rest_port, postgres_port = self.ports.take(), self.ports.take()
        advertised_port = self.ports.take() if relayed else rest_port
        document = settings.patroni(
            name,
            folder,
            rest_port=rest_port,
            advertised_port=advertised_port,
            postgres_port=postgres_port,
            etcd_port=etcd_port,
            programs=self.programs.postgres,
            dynamic=dynamic,
            tags=tags,
        )
        file = self._file(folder / "patroni.yml", yaml.safe_dump(document, sort_keys=False))
        return NodeHandle(
            name=name,
            patroni=Daemon(name, [*self.programs.patroni, str(file)], folder, self.account),
            postgres=Postgres(folder / "data"),
            postgres_port=postgres_port,
            rest_port=rest_port,
            advertised_port=advertised_port,
        )

    def kernel(self, name: str, etcd_port: int, *options: str, tokens: bool, tls: bool) -> Kernel:
        """An aerokernel, with or without the tokens."""
        port = self.ports.take()
        arguments = [*settings.serve(port, etcd_port, HASHES if tokens else None), *options]
        folder = self._folder("kernel")
        return Kernel(name, arguments, folder, self.account, port=port, tls=tls)

    def tokens(self, tokens: dict[Authority, str]) -> None:
        """A file for each token, which stay ours, and the kernel's file with their hashes."""
        folder = self.directory / "tokens"
        folder.mkdir(mode=0o700)
        for authority, token in tokens.items():
            _write(folder / authority, token + "\n")
        self._file(self._folder("kernel") / HASHES, hash_lines(tokens))

    def _folder(self, name: str) -> Path:
        """A folder that belongs to the cluster."""
        folder = self.directory / name
        for missing in [folder.parent, folder]:
            missing.mkdir(mode=0o700, exist_ok=True)
            give(missing, self.account)
        return folder

    def _file(self, path: Path, text: str) -> Path:
        """A file that belongs to the cluster."""
        _write(path, text)
        give(path, self.account)
        return path


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
