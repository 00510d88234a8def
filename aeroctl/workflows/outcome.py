"""What became of a request: asked once, or again and again until it is decided. Read-only."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aeroctl.errors import Exit, Failure
from aeroctl.views.outcome import layout
from aeroctl.workflows.change import exit_of

if TYPE_CHECKING:
    from aeroctl.app import App
    from aeroctl.contract.requests import RequestEnvelope, RequestStatus

PATIENCE = 300.0
INTERVAL = 1.0
CALL = 10.0
"""Seconds: for the whole wait, between two questions, and for one answer."""


def show_outcome(app: "App", request_id: str, wait: bool) -> Exit:
    """Ask what became of a request, and print it. Raises Failure.

    A failure to learn it says nothing about the request: the outcome is unknown (P7-E2).
    """
    kernel = app.kernel  # a wrong option is one, and not an unknown outcome
    try:
        answer = final_outcome(app, request_id) if wait else kernel.request(request_id)
        app.output.show(answer, answer.data, layout(answer.data))
    except Failure as error:
        raise replace(error, outcome="unknown", request_id=request_id) from error
    return exit_of(answer.data)


def decided(status: "RequestStatus") -> bool:
    """Whether there is nothing to wait for: it is final, or the kernel itself no longer waits.

    A request that is not recorded may still arrive.
    """
    return status.final or (status.recorded and status.outcome == "not_executed")


def final_outcome(app: "App", request_id: str) -> "RequestEnvelope":
    """The outcome once the request is decided, or as it is when the time is over.

    While kernel or store can't be reached, the question is repeated: it changes nothing. Raises the
    last Failure if the last question got no answer.
    """
    began = time.monotonic()
    end = began + (app.settings.timeout or PATIENCE)
    last: RequestEnvelope | Failure
    answered = False
    while True:
        left = max(end - time.monotonic(), 0.001)
        connection = replace(app.kernel.connection, timeout=min(CALL, left))
        try:
            last = replace(app.kernel, connection=connection).request(request_id)
            if decided(last.data):
                break
            answered = True
        except Failure as error:
            # Where TLS worked before, the kernel is being restarted.
            if not error.transient and not (answered and error.code == "TLS_FAILED"):
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
