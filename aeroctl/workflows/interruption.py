"""What Ctrl-C, a closed terminal or a request to end means at each moment of a change."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aeroctl.errors import Exit, Failure, failure
from aeroctl.output.dialogue import Dialogue, error_text

_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


class Interruption:
    """The failure that an interruption would be now."""

    def __init__(self) -> None:
        self.means: Callable[[], Failure] = lambda: failure("INTERRUPTED", "nothing was sent")


@contextmanager
def interruptible(dialogue: Dialogue) -> Iterator[Interruption]:
    """Within it SIGINT, SIGHUP and SIGTERM end the process at once, with the failure that `means`
    returns on stderr and its exit code.

    A signal that is ignored stays ignored. The handler may interrupt a write, so it uses nothing
    that has a lock or a buffer.
    """
    interruption = Interruption()

    def stop(*_: object) -> None:
        code = Exit.UNKNOWN
        try:
            error = interruption.means()
            code = error.exit
            clear = "\r\x1b[K" if dialogue.progress else ""
            text = clear + error_text(error, dialogue.format != "table")
            os.write(2, text.encode(errors="backslashreplace"))
        finally:
            os._exit(code)

    before = {
        number: signal.signal(number, stop)
        for number in _SIGNALS
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
