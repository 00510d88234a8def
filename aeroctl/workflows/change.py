"""How a change is asked for: explain, confirm, send once, show the outcome."""

import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from aeroctl import __version__
from aeroctl.adapter.kernel import Departure, Wait
from aeroctl.cli import App
from aeroctl.contract.commands import Command
from aeroctl.contract.requests import Client, CommandRequest, RequestStatus
from aeroctl.contract.terms import Outcome, RequestOutcome
from aeroctl.errors import Exit, Failure, failure
from aeroctl.output.output import told
from aeroctl.views import explanation as explained
from aeroctl.views import outcome
from aeroctl.views.rules import evidence_of
from aeroctl.workflows.confirm import Consent, confirm, require

if TYPE_CHECKING:
    from aeroctl.contract.explanation import ExplanationEnvelope
    from aeroctl.contract.rules import Rule

GRACE = 5.0
"""Seconds that an answer may take beyond the kernel's own deadline."""
LONGEST = 24 * 3600
"""Seconds: the longest deadline of a kernel that is believed."""
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
    """What an outcome says to the shell; nothing but `executed` is success (P7-E2).

    That something was not executed is said only where it can't be any more.
    """
    if status.outcome == "not_executed" and not status.final:
        return Exit.UNKNOWN
    return _EXITS[status.outcome]


def change(
    app: App, command: Command, target: str | None, reason: str | None, consent: Consent
) -> Exit:
    """Have the kernel do one thing, once, if the operator means it. Raises Failure."""
    interactive = all(each is not None and each.isatty() for each in (sys.stdin, sys.stderr))
    require(command, consent, interactive)
    if sys.stdout is None:  # found out before anything is done, not after
        raise failure("OUTPUT_FAILED", "standard output is closed")
    with _interrupted(app) as interrupted:
        envelope = app.kernel.explain(command.name, target)
        _admissible(envelope)
        app.dialogue.show(envelope, explained.layout(envelope.data))
        confirmation = confirm(envelope.data, consent, app.dialogue)
        seen = envelope.data.observed_snapshot
        request = CommandRequest(
            request_id=fresh_request_id(),
            target=target,
            reason=reason,
            state_digest=seen.state_digest,
            revision=seen.revision,
            confirmation=confirmation,
            client=claims(),
        )
        cluster = envelope.data.inputs.cluster
        app.dialogue.sending(
            request.request_id, {"command": command.name, "target": target, "cluster": cluster}
        )
        departure = Departure()
        interrupted.means = lambda: _unsure(departure, request.request_id)
        allowed = min(envelope.data.deadline_seconds, LONGEST) + GRACE
        try:
            wait = Wait(app.patience or allowed, app.dialogue.waiting)
            answer = app.kernel.command(command.name, request, departure, wait)
        finally:
            app.dialogue.done()
        status = answer.data
        words = f"the outcome is {status.outcome}; it is not shown whole"
        interrupted.means = lambda: _unshown(failure("INTERRUPTED", words), status)
        try:
            app.output.show(answer, status, outcome.layout(status))
        except Failure as error:
            raise _unshown(error, status) from error
        return exit_of(status)


def _unshown(error: Failure, status: RequestStatus) -> Failure:
    """That an outcome can't be shown does not undo it (P7-E2)."""
    told_as = "unknown" if exit_of(status) == Exit.UNKNOWN else _TOLD[status.outcome]
    return replace(error, outcome=told_as, request_id=status.request_id)


def fresh_request_id() -> str:
    """A new id for every run: what was sent once is never sent again (P7-F3)."""
    return str(uuid.uuid4())


def claims() -> Client:
    """Who we say we are; the kernel writes it down as a claim."""
    import getpass

    user = None
    with suppress(OSError, KeyError, ImportError):
        user = _claim(getpass.getuser())
    return Client(user=user, host=_claim(socket.gethostname()), version=__version__)


def _claim(text: str) -> str:
    """As it can be sent: what the system says of itself need not be UTF-8."""
    return text.encode(errors="backslashreplace").decode()[:255]


def _admissible(envelope: "ExplanationEnvelope") -> None:
    """What the kernel would not dispatch is not asked for. The decision is the kernel's (P7-E3)."""
    explanation = envelope.data
    if explanation.conclusion != "refused":
        return
    against = [
        rule
        for rule in explanation.rules_applied
        if rule.enforced_by == "kernel" and rule.evaluation != "holds"
    ]
    words = [f"{each.rule_id}: {each.evaluation} ({evidence_of(each)})" for each in against]
    raise failure(_code(against), "; ".join(words))


def _code(against: "Sequence[Rule]") -> str:
    """As the kernel itself would refuse it."""
    if [rule.rule_id for rule in against] != ["agent_identified"]:
        return "RULE_NOT_MET"
    return "AGENT_UNREACHABLE" if against[0].evaluation == "undetermined" else "AGENT_MISMATCH"


def _unsure(departure: Departure, request_id: str) -> Failure:
    """We stop waiting; what became of the request is not ours to guess (P7-E2)."""
    if departure.hold_back():
        return replace(failure("INTERRUPTED", "nothing was sent"), request_id=request_id)
    found = failure("INTERRUPTED", "interrupted while waiting; the request had left")
    return replace(found, outcome="unknown", request_id=request_id)


class _Interruption:
    """What an interruption means, as things stand."""

    def __init__(self) -> None:
        self.means: Callable[[], Failure] = lambda: failure("INTERRUPTED", "nothing was sent")


@contextmanager
def _interrupted(app: App) -> Iterator[_Interruption]:
    """End at once, saying what it means, on Ctrl-C, a closed terminal or a request to end.

    A signal that is ignored stays so. What is under way when it comes may be writing, so nothing
    that has a lock or a buffer is used.
    """
    interruption = _Interruption()

    def stop(*_: object) -> None:
        code = Exit.UNKNOWN
        try:
            error = interruption.means()
            code = error.exit
            clear = "\r\x1b[K" if app.dialogue.progress else ""
            text = clear + told(error, app.output.format != "table")
            os.write(2, text.encode(errors="backslashreplace"))
        finally:
            os._exit(code)

    before = {
        each: signal.signal(each, stop)
        for each in _SIGNALS
        if signal.getsignal(each) not in (signal.SIG_IGN, None)
    }
    try:
        yield interruption
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
