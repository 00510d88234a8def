"""A program at a terminal of its own: what it shows, what is typed, and how the terminal ends.

By hand and not with pexpect, which makes stdout the terminal too, and types before a prompt reads.
"""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aeroctl.kernel.sandbox.waiting import wait_until

INTERRUPT = "\x03"  # Ctrl-C
END_OF_FILE = "\x04"  # Ctrl-D


class Terminal:
    """A program whose stdin and stderr are a terminal, and whose stdout is a pipe, or (`whole`) the
    terminal too.

    It is the leader of the terminal's session, so that Ctrl-C is a SIGINT for it and a closed
    terminal a SIGHUP, as for a program that a login shell runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        whole: bool = False,
    ) -> None:
        self._keyboard, inside = pty.openpty()
        self._seen = b""
        self._read_to = 0
        self._stopping, self._stop = os.pipe()
        self._open = True
        self.process = subprocess.Popen(
            command,
            env={"TERM": "xterm-256color", "COLUMNS": "160", **environment},
            cwd=directory,
            stdin=inside,
            stdout=inside if whole else subprocess.PIPE,
            stderr=inside,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inside)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def shown(self) -> str:
        """Everything that the terminal showed so far, its own line ends as `\\n`."""
        return self._seen.decode(errors="replace").replace("\r\n", "\n")

    def expect(self, text: str, deadline: float = 30) -> str:
        """Wait until `text` appears after what was expected before; all that was shown till then.

        Raises AssertionError with the whole picture if it does not, or the program ends first.
        """

        def found() -> bool:
            ended = self.process.poll() is not None
            if text in self.shown[self._read_to :]:
                return True
            assert not ended, f"{text!r} was never shown, the program ended:\n{self.shown}"
            return False

        try:
            wait_until(f"{text!r} is shown", found, deadline)
        except TimeoutError as error:
            raise AssertionError(f"{error}:\n{self.shown}") from None
        before, self._read_to = self._read_to, self.shown.index(text, self._read_to) + len(text)
        return self.shown[before : self._read_to]

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._keyboard, text.encode())

    def answer(self, prompt: str, text: str) -> str:
        """Wait for a prompt, and type an answer and Enter; all that was shown till the prompt."""
        shown = self.asked(prompt)
        self.type(text + "\n")
        return shown

    def asked(self, prompt: str) -> str:
        """Wait for a prompt, and until an answer is waited for; all that was shown till then.

        What is typed before a program reads it may be thrown away. Where Linux does not tell in
        what a process sleeps, the prompt has to do.
        """
        shown = self.expect(prompt)
        with contextlib.suppress(TimeoutError):
            wait_until("it reads", self._reading, 3)
        return shown

    def resize(self, columns: int, lines: int) -> None:
        """Make the terminal's window of this size."""
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._keyboard, termios.TIOCSWINSZ, size)

    def hang_up(self) -> None:
        """Close the terminal's window."""
        if self._open:
            self._open = False
            os.close(self._stop)
            self._reader.join()
            os.close(self._stopping)
            os.close(self._keyboard)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()

    def finish(self, deadline: float = 90) -> tuple[int, str]:
        """Wait for its end: exit code (negative: the signal that ended it), and its stdout."""
        out, _ = self.process.communicate(timeout=deadline)
        self._reader.join()
        return self.process.returncode, (out or b"").decode()

    def close(self) -> None:
        """End it however it stands."""
        self.process.kill()
        self.process.communicate()
        self.hang_up()

    def _reading(self) -> bool:
        sleeps_in = Path(f"/proc/{self.process.pid}/wchan")
        return sleeps_in.exists() and sleeps_in.read_text() in {"n_tty_read", "wait_woken"}

    def _read(self) -> None:
        """Keep what is shown, until the program's end of the terminal is closed, or ours is."""
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while self._stopping not in select.select([self._keyboard, self._stopping], [], [])[0]:
                self._seen += os.read(self._keyboard, 65536)


@contextlib.contextmanager
def terminal(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, whole: bool = False
) -> Iterator[Terminal]:
    """A program at a terminal, which is ended with the block."""
    shown = Terminal(command, environment, directory, whole)
    try:
        yield shown
    finally:
        shown.close()
