"""The process that ends everything once the sandbox is gone, however that came about.

It holds the read end of a pipe whose write end only the sandbox has: end of file means that the
sandbox was closed, or crashed, or was killed. It has a session of its own, so that neither Ctrl-C
nor a closed terminal reaches it.
"""

import contextlib
import ctypes
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from aeroctl.kernel.sandbox.account import Account, drop_to, environment
from aeroctl.kernel.sandbox.errors import SandboxError

PATIENCE = 30


class Guardian:
    """The sandbox's end of the pipe."""

    def __init__(self, directory: Path, account: Account | None) -> None:
        self._directory = directory
        # Under the account of what it has to end, because /proc shows a process's directory to its
        # equals only (root in a container isn't one); and with the right to end our command.
        self._process = subprocess.Popen(
            [*drop_to(account, also="+kill"), sys.executable, "-m", __name__, str(directory)],
            cwd="/",
            env=environment(account),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def watch(self, pid: int) -> None:
        """Have this process and its children ended as well."""
        if self._process.stdin:
            self._process.stdin.write(f"{pid}\n".encode())

    def close(self) -> None:
        """Have everything ended now, and wait until it is done."""
        if self._process.stdin:
            self._process.stdin.close()
        if self._process.wait(2 * PATIENCE) != 0:
            raise SandboxError(f"not everything could be removed: {self._directory}")


def guard(directory: Path) -> None:
    """Wait for the sandbox to be gone, then end what is left of it."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    watched = []
    for line in sys.stdin:
        with contextlib.suppress(psutil.NoSuchProcess):
            watched.append(psutil.Process(int(line)))
    end_processes(directory, watched)
    remove_shared_memory(directory)
    shutil.rmtree(directory)


def end_processes(directory: Path, watched: list[psutil.Process]) -> None:
    """SIGKILL, which also ends what is frozen, until no process is left or patience is.

    In passes, because a process that is about to be killed may just be starting another one.
    """
    trees = [process for root in watched for process in _tree(root)]
    end = time.monotonic() + PATIENCE
    while processes := [*filter(_alive, trees), *_inside(directory)]:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if time.monotonic() > end:
            raise TimeoutError(f"these processes can't be ended: {processes}")
        time.sleep(0.02)


def remove_shared_memory(directory: Path) -> None:
    """Remove the System V segments of postmasters that could not do it themselves."""
    libc = ctypes.CDLL(None)
    ipc_rmid = 0
    for file in directory.glob("nodes/*/*/postmaster.pid"):
        for line in file.read_text().splitlines()[6:7]:  # the segment's key and id
            libc.shmctl(int(line.split()[1]), ipc_rmid, None)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _inside(directory: Path) -> Iterator[psutil.Process]:
    """Processes that work in the directory: all of the cluster's, whoever started them."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            # One with a terminal is somebody who looks around in there.
            if Path(process.cwd()).is_relative_to(directory) and process.terminal() is None:
                yield process


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
