"""A call in a thread of its own, with a deadline: what it does may never come back."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from aeroctl.errors import Failure

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait for an answer, and what to call each second with the seconds gone by."""

    seconds: float
    tick: Callable[[int], None]


class Call(Generic[Result]):
    """A call that has begun, in a thread that the process does not wait for: what it does (names
    looked up, a pipe opened) may never come back.
    """

    def __init__(
        self,
        call: Callable[[], Result],
        seconds: float,
        late: Failure,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin `call`. When `seconds` are over, `give_up` has it end, and `late` is raised."""
        self._outcomes: queue.SimpleQueue[Callable[[], Result]] = queue.SimpleQueue()
        self._seconds, self._late, self._give_up = seconds, late, give_up
        self._began = time.monotonic()
        threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Callable[[], Result]) -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the caller
            raised = error

            def fail() -> Result:
                raise raised

            self._outcomes.put(fail)
        else:
            self._outcomes.put(lambda: result)

    def result(self, tick: Callable[[int], None] = lambda _: None) -> Result:
        """What the call returned or raised."""
        while (gone := time.monotonic() - self._began) < self._seconds:
            tick(int(gone))
            with suppress(queue.Empty):
                return self._outcomes.get(timeout=min(1 - gone % 1, self._seconds - gone))()
        self._give_up()
        raise self._late
