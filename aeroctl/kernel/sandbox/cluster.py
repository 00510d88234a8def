"""The sandbox: a cluster that exists inside a `with` block."""

import contextlib
import http.client
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aeroctl.kernel.sandbox import settings
from aeroctl.kernel.sandbox.account import environment, give, unprivileged_account
from aeroctl.kernel.sandbox.daemon import Daemon
from aeroctl.kernel.sandbox.errors import SandboxError
from aeroctl.kernel.sandbox.guardian import Guardian
from aeroctl.kernel.sandbox.kernel import Kernel
from aeroctl.kernel.sandbox.node import NodeHandle
from aeroctl.kernel.sandbox.ports import HOST, PortBlock
from aeroctl.kernel.sandbox.programs import find_programs
from aeroctl.kernel.sandbox.site import Site
from aeroctl.kernel.sandbox.store import missing, read_keys
from aeroctl.kernel.sandbox.tokens import Authority, make_tokens
from aeroctl.kernel.sandbox.waiting import answers, wait_until

DEADLINE = 90


class Sandbox:
    """N nodes on loopback, in a directory that is removed with them when the block is left.

    `tags` are Patroni's, by node; `config` is laid over the cluster's dynamic configuration.
    `relayed`: every Patroni is known to the others by a port of its own on which it does not
    listen (`NodeHandle.advertised_port`), so that a relay can stand between them. `patroni`:
    another one than the installed one, or a Python that has it.
    """

    scope = settings.SCOPE
    directory: Path
    etcd_url: str
    etcd: Daemon
    kernel: Kernel
    nodes: dict[str, NodeHandle]

    def __init__(
        self,
        nodes: int = 3,
        tags: Mapping[str, settings.Settings] | None = None,
        config: settings.Settings | None = None,
        progress: Callable[[str], None] = lambda _: None,
        *,
        relayed: bool = False,
        patroni: Path | None = None,
    ) -> None:
        self._names = [f"n{number}" for number in range(1, nodes + 1)]
        self._tags = tags or {}
        self._config = config or {}
        self._relayed = relayed
        self._progress = progress
        if strangers := sorted(self._tags.keys() - self._names):
            raise SandboxError(f"no node to tag is named {', '.join(strangers)}")
        self._programs = find_programs(patroni)
        self._account = unprivileged_account()
        self._daemons: list[Daemon] = []

    def __enter__(self) -> Self:
        """Start everything; ready when every node runs, every replica streams, the kernel answers.

        Raises SandboxError, with the end of the log that tells why.
        """
        with contextlib.ExitStack() as closing:
            self._begin(closing)
            self._lay_out()
            self._start()
            self._closing = closing.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every process and remove the directory."""
        self._closing.close()

    @property
    def kernel_url(self) -> str:
        """Where aerokernel answers."""
        return self.kernel.url

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to work with this cluster."""
        return {
            "AEROCTL_KERNEL": self.kernel_url,
            "AEROCTL_TOKEN_FILE": str(self.token_file("operator")),
            "AEROKERNEL_SANDBOX_DIR": str(self.directory),
        }

    @property
    def leader(self) -> NodeHandle | None:
        """The node that the leader key names."""
        return self.nodes.get(self.stored().get("leader", ""))

    def token_file(self, authority: Authority) -> Path:
        """The file that holds the token of that authority."""
        return self.directory / "tokens" / authority

    def stored(self) -> dict[str, str]:
        """The cluster's keys in etcd as they are now, without their common prefix."""
        return read_keys(self._etcd_port)

    def missing(self) -> list[str]:
        """What is missing until every node runs and every replica streams, in words."""
        try:
            return missing(self.stored(), self.nodes)
        except (OSError, http.client.HTTPException) as error:
            return [f"etcd does not answer: {error}"]

    def wait_until_ready(self, deadline: float = DEADLINE) -> None:
        """Wait until every node runs and every replica streams."""
        try:
            wait_until("every node runs and every replica streams", self._ready, deadline)
        except TimeoutError as error:
            raise TimeoutError(f"{error} ({', '.join(self.missing())})") from None

    def start_kernel(
        self, *options: str, tokens: bool = True, tls: bool = False, etcd_port: int | None = None
    ) -> Kernel:
        """One more aerokernel on a port of its own; `options` are those of `aerokernel serve`.

        `etcd_port`: where it is told that etcd answers, for a relay that stands between them.
        """
        name = f"aerokernel-{len(self._daemons)}"
        store = etcd_port or self._etcd_port
        kernel = self._site.kernel(name, store, *options, tokens=tokens, tls=tls)
        self._run(kernel)
        self._wait("aerokernel answers", kernel.answers, kernel)
        return kernel

    def patronictl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run patronictl against this cluster."""
        file = self.directory / "nodes" / self._names[0] / "patroni.yml"
        return subprocess.run(
            [self._programs.patronictl, "-c", file, *arguments],
            env=environment(None),
            capture_output=True,
            text=True,
            check=False,
        )

    def watch(self, pid: int) -> None:
        """Have this process and its children ended with the sandbox, even if we are killed."""
        self._guardian.watch(pid)

    def _begin(self, closing: contextlib.ExitStack) -> None:
        """Take what has to be given back."""
        ports = PortBlock()
        closing.callback(ports.close)
        self.directory = Path(tempfile.mkdtemp(prefix="aerokernel-")).resolve()
        give(self.directory, self._account)
        self._guardian = Guardian(self.directory, self._account)
        closing.callback(self._reap)
        closing.callback(self._guardian.close)
        self._site = Site(self.directory, ports, self._programs, self._account)
        self._etcd_port = ports.take()
        self.etcd_url = f"http://{HOST}:{self._etcd_port}"

    def _lay_out(self) -> None:
        """Write every file, and have a handle for every part."""
        self._site.tokens(make_tokens())
        self.etcd = self._site.etcd(self._etcd_port)
        self.nodes = {
            name: self._site.node(
                name,
                self._etcd_port,
                self._config,
                self._tags.get(name, {}),
                relayed=self._relayed,
            )
            for name in self._names
        }
        self.kernel = self._site.kernel("aerokernel", self._etcd_port, tokens=True, tls=False)

    def _start(self) -> None:
        began = time.monotonic()
        first, *others = self.nodes.values()
        daemons = [node.patroni for node in others] + [self.kernel]

        self._progress("starting etcd")
        self._run(self.etcd)
        self._wait("etcd answers", lambda: answers(self._etcd_port, "/health"), self.etcd)

        self._progress(f"creating the cluster on {first.name}")
        self._run(first.patroni)
        self._wait(
            "Patroni has initialized the cluster",
            lambda: "initialize" in self.stored(),
            self.etcd,
            first.patroni,
        )

        # While the first node is at work, the others load their programs and wait for it.
        self._progress(f"starting {', '.join(daemon.name for daemon in daemons)}")
        for daemon in daemons:
            self._run(daemon)
        self._wait("every replica streams", self._ready, *self._daemons)
        self._wait("aerokernel answers", self.kernel.answers, self.kernel)
        self._progress(f"ready after {time.monotonic() - began:.1f} s")

    def _run(self, daemon: Daemon) -> None:
        self._daemons.append(daemon)
        daemon.start()

    def _ready(self) -> bool:
        return not self.missing() and all(node.streams for node in self.nodes.values())

    def _wait(self, what: str, predicate: Callable[[], bool], *daemons: Daemon) -> None:
        """Wait until it is so, while those daemons run; if it fails, show what they said."""

        def settled() -> bool:
            if ended := [daemon for daemon in daemons if not daemon.running]:
                raise _failure(f"{what}: {ended[0].name} ended", ended)
            return predicate()

        try:
            wait_until(what, settled, DEADLINE)
        except OSError as error:
            raise _failure(f"{error} ({', '.join(self.missing())})", daemons) from None

    def _reap(self) -> None:
        for daemon in self._daemons:
            daemon.reap()


def _failure(problem: str, daemons: Iterable[Daemon]) -> SandboxError:
    logs = [f"{daemon.name}: {line}" for daemon in daemons for line in daemon.tail()]
    return SandboxError("\n".join([f"waiting until {problem}", *logs]))
