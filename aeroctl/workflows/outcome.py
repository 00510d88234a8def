"""What became of a request: one read-only question, or the same again until it is decided."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aeroctl.errors import Exit, Failure
from aeroctl.views.outcome import layout
from aeroctl.workflows.change import exit_of

if TYPE_CHECKING:
    from aeroctl.cli import App
    from aeroctl.contract.requests import RequestEnvelope, RequestStatus

PATIENCE = 300.0
INTERVAL = 1.0
CALL = 10.0
"""Seconds: for the whole wait, between two questions, and for one answer."""
PASSING = (
    "KERNEL_UNREACHABLE", "KERNEL_TIMEOUT", "CONNECTION_LOST", "STORE_UNAVAILABLE", "KERNEL_BUSY",
    "SNAPSHOT_UNSTABLE",
)  # fmt: skip
"""Failures that asking again may cure."""


def show_outcome(app: "App", request_id: str, wait: bool) -> Exit:
    """Ask what became of a request, and print it. Raises Failure.

    That it can't be learned says nothing about the request: its outcome is unknown (P7-E2).
    """
    try:
        answer = final_outcome(app, request_id) if wait else app.kernel.request(request_id)
        app.output.show(answer, answer.data, layout(answer.data))
    except Failure as error:
        raise replace(error, outcome="unknown", request_id=request_id) from error
    return exit_of(answer.data)


def decided(status: "RequestStatus") -> bool:
    """Whether there is nothing to wait for: it is final, or the kernel itself waits no longer.

    A request without a record may still be on its way.
    """
    return status.final or (status.recorded and status.outcome == "not_executed")


def final_outcome(app: "App", request_id: str) -> "RequestEnvelope":
    """The outcome once the request is decided, or as it is when time is over.

    A kernel or store that can't be reached meanwhile is asked again: nothing is changed by it.
    Raises the last Failure if there never was an answer.
    """
    began = time.monotonic()
    end = began + (app.patience or PATIENCE)
    last: RequestEnvelope | Failure
    passing: tuple[str, ...] = PASSING
    while True:
        left = max(end - time.monotonic(), 0.001)
        connection = replace(app.kernel.connection, timeout=min(CALL, left))
        try:
            last = replace(app.kernel, connection=connection).request(request_id)
            if decided(last.data):
                break
            passing = (*PASSING, "TLS_FAILED")  # it was right before: the kernel is going or coming
        except Failure as error:
            if error.code not in passing:
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
