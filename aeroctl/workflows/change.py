"""A change, step by step: explain, confirm, send once, show the outcome."""

import socket
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from aeroctl import __version__
from aeroctl.adapter.call import Wait
from aeroctl.adapter.steps import Departure
from aeroctl.app import App
from aeroctl.contract.commands import Command
from aeroctl.contract.requests import Client, CommandRequest, Confirmation, RequestStatus
from aeroctl.contract.terms import Outcome, RequestOutcome
from aeroctl.errors import Exit, Failure, failure
from aeroctl.views import explanation as explained
from aeroctl.views import outcome
from aeroctl.views.rules import evidence_of
from aeroctl.workflows.confirm import Consent, confirm, require
from aeroctl.workflows.interruption import Interruption, interruptible

if TYPE_CHECKING:
    from aeroctl.contract.explanation import ExplanationEnvelope
    from aeroctl.contract.rules import Rule

GRACE = 5.0
"""Seconds that an answer may take beyond the kernel's own deadline."""
LONGEST = 24 * 3600
"""Seconds: the longest deadline that is taken from a kernel."""
_EXITS: dict[RequestOutcome, Exit] = {
    "executed": Exit.DONE,
    "executed_other": Exit.NOT_AS_ASKED,
    "rolled_back": Exit.NOT_AS_ASKED,
    "rejected": Exit.REJECTED,
    "not_executed": Exit.TRANSPORT,
    "in_progress": Exit.UNKNOWN,
    "unknown": Exit.UNKNOWN,
}
_OUTCOMES: dict[RequestOutcome, Outcome] = {
    "executed": "executed",
    "executed_other": "executed",
    "rolled_back": "executed",
    "rejected": "not_executed",
    "not_executed": "not_executed",
    "in_progress": "unknown",
    "unknown": "unknown",
}
"""A request's outcome in the three words that an error has for it."""


def exit_of(status: RequestStatus) -> Exit:
    """The exit code for an outcome; nothing but `executed` is success (P7-E2).

    `not_executed` gets its own code only where the request can't be executed any more.
    """
    if status.outcome == "not_executed" and not status.final:
        return Exit.UNKNOWN
    return _EXITS[status.outcome]


def change(
    app: App, command: Command, target: str | None, reason: str | None, consent: Consent
) -> Exit:
    """Have the kernel do one thing, once, if the operator confirms it. Raises Failure."""
    kernel = app.kernel  # reads the token from standard input, if so asked, before any answer
    require(command, consent, app.streams.interactive)
    if app.streams.stdout is None:  # an error before anything is done, not after
        raise failure("OUTPUT_FAILED", "standard output is closed")
    with interruptible(app.dialogue) as interruption:
        envelope = kernel.explain(command.name, target)
        _check_admissible(envelope)
        app.dialogue.show(envelope, explained.layout(envelope.data))
        confirmation = confirm(envelope.data, consent, app.streams.stdin, app.dialogue)
        request = _request(envelope, target, reason, confirmation)
        status = _send(app, command, request, envelope, interruption)
        return exit_of(status)


def _request(
    envelope: "ExplanationEnvelope", target: str | None, reason: str | None, given: Confirmation
) -> CommandRequest:
    state = envelope.data.observed_snapshot
    return CommandRequest(
        request_id=fresh_request_id(),
        target=target,
        reason=reason,
        state_digest=state.state_digest,
        revision=state.revision,
        confirmation=given,
        client=claims(),
    )


def _send(
    app: App,
    command: Command,
    request: CommandRequest,
    envelope: "ExplanationEnvelope",
    interruption: Interruption,
) -> RequestStatus:
    """Send the request, once, and print its outcome. Raises Failure."""
    dialogue, request_id = app.dialogue, request.request_id
    about = {"command": command.name, "target": request.target}
    dialogue.sending(request_id, {**about, "cluster": envelope.data.inputs.cluster})
    departure = Departure()
    interruption.means = lambda: _unsure(departure, request_id)
    allowed = min(envelope.data.deadline_seconds, LONGEST) + GRACE
    try:
        wait = Wait(app.settings.timeout or allowed, dialogue.waiting)
        answer = app.kernel.command(command.name, request, departure, wait)
    finally:
        dialogue.done()
    status = answer.data
    words = f"interrupted while printing the outcome, which is {status.outcome}"
    interruption.means = lambda: _unshown(failure("INTERRUPTED", words), status)
    try:
        app.output.show(answer, status, outcome.layout(status))
    except Failure as error:
        raise _unshown(error, status) from error
    return status


def _unshown(error: Failure, status: RequestStatus) -> Failure:
    """The error where an outcome can't be shown: it keeps that outcome (P7-E2)."""
    known = "unknown" if exit_of(status) == Exit.UNKNOWN else _OUTCOMES[status.outcome]
    return replace(error, outcome=known, request_id=status.request_id)


def fresh_request_id() -> str:
    """A new id for every run, so that no request is ever sent twice (P7-F3)."""
    return str(uuid.uuid4())


def claims() -> Client:
    """User, host and version as this process claims them; the kernel records them as a claim."""
    import getpass

    user = None
    with suppress(OSError, KeyError, ImportError):
        user = _claim(getpass.getuser())
    return Client(user=user, host=_claim(socket.gethostname()), version=__version__)


def _claim(text: str) -> str:
    """As it can be sent: names of users and hosts need not be UTF-8."""
    return text.encode(errors="backslashreplace").decode()[:255]


def _check_admissible(envelope: "ExplanationEnvelope") -> None:
    """Raise the kernel's own refusal where its explanation says that it would refuse (P7-E3)."""
    explanation = envelope.data
    if explanation.conclusion != "refused":
        return
    against = [
        rule
        for rule in explanation.rules_applied
        if rule.enforced_by == "kernel" and rule.evaluation != "holds"
    ]
    words = [f"{rule.rule_id}: {rule.evaluation} ({evidence_of(rule)})" for rule in against]
    raise failure(_code(against), "; ".join(words))


def _code(against: "Sequence[Rule]") -> str:
    """The code with which the kernel itself would refuse."""
    if [rule.rule_id for rule in against] != ["agent_identified"]:
        return "RULE_NOT_MET"
    return "AGENT_UNREACHABLE" if against[0].evaluation == "undetermined" else "AGENT_MISMATCH"


def _unsure(departure: Departure, request_id: str) -> Failure:
    """The error of an interruption while a request is sent or awaited (P7-E2)."""
    if departure.hold_back():
        return replace(failure("INTERRUPTED", "nothing was sent"), request_id=request_id)
    error = failure("INTERRUPTED", "interrupted while waiting; the request had been sent")
    return replace(error, outcome="unknown", request_id=request_id)
