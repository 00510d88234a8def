"""Waiting for an outcome: the same read-only question, again and again."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aeroctl.errors import Exit, Failure

if TYPE_CHECKING:
    from aeroctl.cli import App
    from aeroctl.contract.requests import RequestEnvelope

PATIENCE = 300.0
INTERVAL = 1.0
CALL = 10.0
"""Seconds: for the whole wait, between two questions, and for one answer."""
UNDECIDED = ("in_progress", "unknown")


def final_outcome(app: "App", request_id: str) -> "RequestEnvelope":
    """The outcome once the request is decided, or as it is when time is over.

    A kernel or store that can't be reached meanwhile is asked again: nothing is changed by it.
    Raises the last Failure if there never was an answer.
    """
    began = time.monotonic()
    end = began + (app.patience or PATIENCE)
    last: RequestEnvelope | Failure
    while True:
        left = max(end - time.monotonic(), 0.001)
        connection = replace(app.kernel.connection, timeout=min(CALL, left))
        try:
            last = replace(app.kernel, connection=connection).request(request_id)
            if last.data.final or last.data.outcome not in UNDECIDED:
                break
        except Failure as error:
            if error.exit not in (Exit.TRANSPORT, Exit.NO_SNAPSHOT):
                raise
            last = error
        if time.monotonic() + INTERVAL > end:
            break
        app.dialogue.waiting(int(time.monotonic() - began))
        time.sleep(INTERVAL)
    app.dialogue.done()
    if isinstance(last, Failure):
        raise last
    return last
