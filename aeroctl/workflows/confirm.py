"""Viewing -> Confirming -> Viewing (state model 8.1), and the only prompt in the program.

A confirmation is explicit, for one command in one state, given now, and forgotten with the process
(P7-A2; state model 6.2). Nothing but the command's own words or a terminal can give it: no
variable, no file, no default answer, no pipe.
"""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from aeroctl.contract.commands import Command
from aeroctl.contract.consent import Confirmable, confirms
from aeroctl.contract.terms import Given
from aeroctl.errors import failure

if TYPE_CHECKING:
    from aeroctl.contract.explanation import Explanation
    from aeroctl.contract.requests import Confirmation
    from aeroctl.output.output import Dialogue


@dataclass(frozen=True, slots=True)
class Consent:
    """What the command line itself says. `token`: of an earlier explanation."""

    yes: bool = False
    token: str | None = None
    acknowledged: tuple[str, ...] = ()
    accepts_responsibility: bool = False

    @property
    def given(self) -> bool:
        """Whether it says anything, so that nobody is to be asked."""
        return self != Consent()


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt, and the one answer to it that goes on."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Interaction:
    """Where the operator stands. Viewing: nothing is asked; `confirmed` says how it ended."""

    state: Literal["viewing", "confirming"] = "viewing"
    questions: tuple[Question, ...] = ()
    confirmed: bool = False

    def begin(self, questions: tuple[Question, ...]) -> "Interaction":
        """Viewing -> Confirming. Without a question there is nothing that could be confirmed."""
        if self.state != "viewing" or not questions:
            raise ValueError("a confirmation begins while viewing, with a question")
        return Interaction("confirming", questions)

    def answer(self, typed: str | None) -> "Interaction":
        """One answer. The last right one confirms; any other, or none (None), ends it unconfirmed.

        Either way the state is Viewing again.
        """
        if self.state != "confirming":
            raise ValueError("nothing was asked")
        question, *left = self.questions
        if typed is None or typed.strip() != question.answer:
            return Interaction()
        return replace(self, questions=tuple(left)) if left else Interaction(confirmed=True)


def require(command: Command, consent: Consent, interactive: bool) -> None:
    """Refuse what can't become a confirmation, before the kernel is asked for anything."""
    if not interactive and not consent.given:
        raise failure(
            "CONFIRMATION_MISSING",
            "standard input or standard error is no terminal, so nobody can be asked",
        )
    if command.confirmation == "override" and consent.yes:
        raise failure("OVERRIDE_INCOMPLETE", "--yes does not stand in for an acknowledgement")


def questions(explanation: "Explanation") -> tuple[Question, ...]:
    """What is asked: the full word `yes`; for an override the target's name, each invariant, and
    responsibility (P6-A1a).
    """
    about = explanation.inputs
    where = f"cluster {about.cluster}, system id {about.system_id}"
    if explanation.confirmation != "override":
        what = f"{about.command} {about.target or ''}".strip()
        return (Question(f"{what} on {where}? Only yes is taken for yes:", "yes"),)
    assert about.target is not None
    return (
        Question(f"{about.command} on {where}. Type the node's name:", about.target),
        *(
            Question(
                f"{each.invariant}, {each.description}, is overridden: {each.reason}. "
                f"Type {each.invariant} to acknowledge it:",
                each.invariant,
            )
            for each in explanation.overrides
        ),
        Question("You take responsibility for what is lost? Only yes is taken for yes:", "yes"),
    )


def confirm(explanation: "Explanation", consent: Consent, dialogue: "Dialogue") -> "Confirmation":
    """The confirmation that the command line gives, else the operator at the terminal; that there
    is one has been required.

    Raises Failure: CONFIRMATION_STALE, OVERRIDE_INCOMPLETE, DECLINED.
    """
    token = explanation.confirmation_token
    if consent.token is not None:
        token = consent.token.strip()
        if not confirms(token, _confirmable(explanation)):
            raise failure(
                "CONFIRMATION_STALE",
                "the token does not confirm this command in this state: either has changed",
            )
    if explanation.confirmation == "override" and consent.given:
        _complete(explanation, consent)
        return _confirmation(explanation, "flags", token)
    if consent.given:
        return _confirmation(explanation, "token" if consent.token is not None else "yes", token)
    interaction = Interaction().begin(questions(explanation))
    while interaction.state == "confirming":
        _forget_typed()
        dialogue.ask(interaction.questions[0].text)
        typed = _typed()
        if typed is None:
            dialogue.end_line()
        interaction = interaction.answer(typed)
    if not interaction.confirmed:
        raise failure("DECLINED", "not confirmed; nothing was sent")
    return _confirmation(explanation, "terminal", token)


def _complete(explanation: "Explanation", consent: Consent) -> None:
    """An override's flags say all that would be asked, and nothing else (P7-A2, P6-A1a)."""
    asked = {each.invariant for each in explanation.overrides}
    given = set(consent.acknowledged)
    problems = [f"--acknowledge {each} is missing" for each in sorted(asked - given)]
    problems += [f"{each} is not overridden here" for each in sorted(given - asked)]
    if not consent.accepts_responsibility:
        problems.append("--accept-responsibility is missing")
    if problems:
        raise failure("OVERRIDE_INCOMPLETE", "; ".join(problems))


def _confirmable(explanation: "Explanation") -> Confirmable:
    """What a token of this explanation confirms."""
    about, seen = explanation.inputs, explanation.observed_snapshot
    return Confirmable(
        about.command,
        about.target,
        about.cluster,
        about.system_id,
        seen.state_digest,
        seen.failover_revision,
    )


def _confirmation(explanation: "Explanation", given: Given, token: str) -> "Confirmation":
    from aeroctl.contract.requests import Confirmation

    override = explanation.confirmation == "override"
    return Confirmation(
        kind="override" if override else "standard",
        given=given,
        token=token,
        acknowledged=sorted(each.invariant for each in explanation.overrides) if override else [],
        accepts_responsibility=override,
    )


def _typed() -> str | None:
    """A line from the terminal; None where the terminal ends before the line does, or is gone.

    Read byte by byte, because what a buffer took in would be there before the next question.
    """
    line = bytearray()
    try:
        terminal = sys.stdin.fileno()
        while not line.endswith((b"\n", b"\r")):
            if not (byte := os.read(terminal, 1)):
                return None
            line += byte
    except (OSError, ValueError):
        return None
    return line.decode(errors="replace")


def _forget_typed() -> None:
    """Throw away what was typed before a question: it can't have been an answer to it."""
    import termios

    with suppress(OSError, ValueError, termios.error):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
