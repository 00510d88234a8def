"""A PostgreSQL server, which is nobody's child: Patroni starts it so that it outlives Patroni."""

import contextlib
import signal
from pathlib import Path

import psutil


class Postgres:
    """One node's PostgreSQL: a postmaster, which Patroni starts, and its children."""

    def __init__(self, data: Path) -> None:
        self._data = data

    @property
    def running(self) -> bool:
        """Also true while it is frozen."""
        return self._postmaster() is not None

    def freeze(self) -> None:
        """Stop every process in its tracks, the postmaster first so that no new one appears."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    def freeze_worker(self, name: str) -> None:
        """Stop one process in its tracks, such as the `checkpointer` or a `walreceiver`."""
        self._worker(name).suspend()

    def thaw_worker(self, name: str) -> None:
        """Let it go on."""
        self._worker(name).resume()

    def kill(self) -> None:
        """SIGKILL for all of them: a crash."""
        self._signal_all(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask for a fast shutdown. A Patroni that is alive starts it again."""
        if postmaster := self._postmaster():
            postmaster.send_signal(signal.SIGINT)

    def _signal_all(self, signum: int) -> None:
        if postmaster := self._postmaster():
            for process in [postmaster, *postmaster.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signum)

    def _worker(self, name: str) -> psutil.Process:
        """The postmaster's child that goes by that name in the process list."""
        postmaster = self._postmaster()
        for process in postmaster.children() if postmaster else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                if name in " ".join(process.cmdline()).split():  # postgres: demo: checkpointer
                    return process
        raise LookupError(f"PostgreSQL in {self._data} has no process {name}")

    def _postmaster(self) -> psutil.Process | None:
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            # A file that was left behind may name a process that has nothing to do with it.
            ours = str(self._data) in process.cmdline()
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None
        return process if ours else None
