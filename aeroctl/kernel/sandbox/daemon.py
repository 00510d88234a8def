"""A program that the sandbox runs: to start, freeze, thaw and end it."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from aeroctl.kernel.sandbox.account import Account, drop_to, environment


class Daemon:
    """One program of the sandbox. It runs in its own directory; what it says goes to `log`."""

    def __init__(
        self, name: str, command: Sequence[str], directory: Path, account: Account | None
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self._command = [*drop_to(account), *command]
        self._directory = directory
        self._environment = environment(account)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        return self._started.pid

    @property
    def running(self) -> bool:
        """Also true while it is frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, again if need be: same ports, same data."""
        if self.running:
            raise RuntimeError(f"{self.name} is already running")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the sandbox and its command
            )

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP): it keeps its connections and answers nothing."""
        self._started.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._started.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, also when it is frozen."""
        self._started.kill()
        self._started.wait()

    def terminate(self, deadline: float = 30) -> None:
        """SIGTERM, and wait for it to end in good order."""
        self._started.terminate()
        self._started.wait(deadline)

    def tail(self, lines: int = 20) -> list[str]:
        """The end of its log, without the indented lines: they are the frames of tracebacks."""
        log = self.log.read_text(errors="replace").splitlines()
        return [line for line in log if line and not line[0].isspace()][-lines:]

    def reap(self) -> None:
        """Take note of an end that someone else brought about."""
        if self._process:
            self._process.wait(10)

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process
