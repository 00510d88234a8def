"""How a change is asked for: explain, confirm, send once, show the outcome."""

import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from aeroctl import __version__
from aeroctl.adapter import Departure, Wait
from aeroctl.cli import App
from aeroctl.confirm import Consent, confirm, require
from aeroctl.contract.commands import Command
from aeroctl.contract.requests import Client, CommandRequest, RequestStatus
from aeroctl.contract.terms import Outcome, RequestOutcome
from aeroctl.errors import Exit, Failure, failure
from aeroctl.output import report
from aeroctl.views import explanation as explained
from aeroctl.views import outcome

if TYPE_CHECKING:
    from aeroctl.contract.explanation import ExplanationEnvelope

GRACE = 5.0
"""Seconds that an answer may take beyond the kernel's own deadline."""
_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
_EXITS: dict[RequestOutcome, Exit] = {
    "executed": Exit.DONE,
    "executed_other": Exit.NOT_AS_ASKED,
    "rolled_back": Exit.NOT_AS_ASKED,
    "rejected": Exit.REJECTED,
    "not_executed": Exit.TRANSPORT,
    "in_progress": Exit.UNKNOWN,
    "unknown": Exit.UNKNOWN,
}
_TOLD: dict[RequestOutcome, Outcome] = {
    "executed": "executed",
    "executed_other": "executed",
    "rolled_back": "executed",
    "rejected": "not_executed",
    "not_executed": "not_executed",
    "in_progress": "unknown",
    "unknown": "unknown",
}
"""A request's outcome as an error can tell it."""


def exit_of(status: RequestStatus) -> Exit:
    """What an outcome says to the shell; nothing but `executed` is success (P7-E2)."""
    return _EXITS[status.outcome]


def change(
    app: App, command: Command, target: str | None, reason: str | None, consent: Consent
) -> Exit:
    """Have the kernel do one thing, once, if the operator means it. Raises Failure."""
    interactive = all(each is not None and each.isatty() for each in (sys.stdin, sys.stderr))
    require(command, consent, interactive)
    if sys.stdout is None:  # found out before anything is done, not after
        raise failure("OUTPUT_FAILED", "standard output is closed")
    with _interrupted(lambda: _stop(failure("INTERRUPTED", "nothing was sent"), app)):
        envelope = app.kernel.explain(command.name, target)
        _admissible(envelope)
        if interactive and not consent.given:
            app.dialogue.show(envelope.observed_at, envelope.notes, explained.layout(envelope.data))
        confirmation = confirm(envelope.data, consent, interactive, app.dialogue)
    seen = envelope.data.observed_snapshot
    request = CommandRequest(
        request_id=fresh_request_id(),
        target=target,
        reason=reason,
        epoch=seen.epoch,
        commit_id=seen.commit_id,
        confirmation=confirmation,
        client=claims(),
    )
    about = envelope.data.inputs
    app.dialogue.sending(
        request.request_id,
        {"command": command.name, "target": target, "cluster": about.cluster},
    )
    departure = Departure()
    wait = Wait(app.patience or envelope.data.deadline_seconds + GRACE, app.dialogue.waiting)
    with _interrupted(lambda: _stop(_unsure(departure, request.request_id), app)):
        try:
            answer = app.kernel.command(command.name, request, departure, wait)
        finally:
            app.dialogue.done()
    try:
        app.output.show(answer, answer.data, outcome.layout(answer.data))
    except Failure as error:  # that it can't be shown does not undo it (P7-E2)
        raise replace(
            error, outcome=_TOLD[answer.data.outcome], request_id=request.request_id
        ) from error
    return exit_of(answer.data)


def fresh_request_id() -> str:
    """A new id for every run: what was sent once is never sent again (P7-F3)."""
    return str(uuid.uuid4())


def claims() -> Client:
    """Who we say we are; the kernel writes it down as a claim."""
    import getpass

    user = None
    with suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()[:255]
    return Client(user=user, host=socket.gethostname()[:255], version=__version__)


def _admissible(envelope: "ExplanationEnvelope") -> None:
    """What the kernel would not dispatch is not asked for. The decision is the kernel's (P7-E3)."""
    explanation = envelope.data
    if explanation.conclusion != "refused":
        return
    against = [
        f"{rule.rule_id}: {rule.evaluation} ({explained.evidence_of(rule)})"
        for rule in explanation.rules_applied
        if rule.enforced_by == "kernel" and rule.evaluation != "holds"
    ]
    raise failure("RULE_NOT_MET", "; ".join(against))


def _unsure(departure: Departure, request_id: str) -> Failure:
    """We stop waiting; what became of the request is not ours to guess (P7-E2)."""
    if departure.hold_back():
        return replace(failure("INTERRUPTED", "nothing was sent"), request_id=request_id)
    found = failure("INTERRUPTED", "interrupted while waiting; the request had left")
    return replace(found, outcome="unknown", request_id=request_id)


def _stop(why: Failure, app: App) -> None:
    app.dialogue.done()
    report(why, app.output.format != "table")
    os._exit(why.exit)


@contextmanager
def _interrupted(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on Ctrl-C, a closed terminal, or a request to end; what is ignored stays so."""
    before = {
        each: signal.signal(each, lambda *_: stop())
        for each in _SIGNALS
        if signal.getsignal(each) not in (signal.SIG_IGN, None)
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
