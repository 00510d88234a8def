"""Viewing -> Confirming -> Viewing (state model 8.1), and the only prompt in the program.

A confirmation is explicit, for one command in one state, and forgotten with the process (P7-A2;
state model 6.2). Only the command line or a terminal can give it: no variable, no file, no default
answer, no pipe.
"""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TextIO

from aeroctl.contract.commands import Command
from aeroctl.contract.consent import Confirmable, confirms
from aeroctl.contract.terms import Given
from aeroctl.errors import failure

if TYPE_CHECKING:
    from aeroctl.contract.explanation import Explanation
    from aeroctl.contract.requests import Confirmation
    from aeroctl.output.dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class Consent:
    """The consent that the command line gives. `token`: of an earlier explanation."""

    yes: bool = False
    token: str | None = None
    acknowledged: tuple[str, ...] = ()
    accepts_responsibility: bool = False

    @property
    def given(self) -> bool:
        """Whether there is any, so that no prompt is shown."""
        return self != Consent()


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt, and the only answer to it that confirms."""

    text: str
    answer: str


@dataclass(frozen=True, slots=True)
class Interaction:
    """The dialogue. Viewing: there is no question; `confirmed` says how the last one ended."""

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
            raise ValueError("there is no question to answer")
        question, *left = self.questions
        if typed is None or typed.strip() != question.answer:
            return Interaction()
        return replace(self, questions=tuple(left)) if left else Interaction(confirmed=True)


def require(command: Command, consent: Consent, interactive: bool) -> None:
    """Refuse what can't become a confirmation, before the kernel is asked for anything."""
    if not interactive and not consent.given:
        raise failure(
            "CONFIRMATION_MISSING",
            "a prompt needs standard input and standard error to be a terminal",
        )
    if command.confirmation == "override" and consent.yes:
        raise failure(
            "OVERRIDE_INCOMPLETE", "--yes can't replace --acknowledge and --accept-responsibility"
        )


def questions(explanation: "Explanation") -> tuple[Question, ...]:
    """The prompts: for the word `yes`; for an override for the target's name, each invariant, and
    responsibility (P6-A1a).
    """
    about = explanation.inputs
    where = f"cluster {about.cluster}, system id {about.system_id}"
    if explanation.confirmation != "override":
        what = f"{about.command} {about.target or ''}".strip()
        return (Question(f"{what} on {where}. Type yes to confirm:", "yes"),)
    assert about.target is not None
    return (
        Question(f"{about.command} on {where}. Type the node's name:", about.target),
        *(
            Question(
                f"{override.invariant} ({override.description}) is overridden: {override.reason}. "
                f"Type {override.invariant} to acknowledge it:",
                override.invariant,
            )
            for override in explanation.overrides
        ),
        Question("Do you accept responsibility for lost data? Type yes to confirm:", "yes"),
    )


def confirm(
    explanation: "Explanation", consent: Consent, stdin: TextIO | None, dialogue: "Dialogue"
) -> "Confirmation":
    """The confirmation that the command line gives, or the operator at the terminal. `require` has
    passed.

    Raises Failure: CONFIRMATION_STALE, OVERRIDE_INCOMPLETE, DECLINED.
    """
    token = explanation.confirmation_token
    if consent.token is not None:
        token = consent.token.strip()
        if not confirms(token, _confirmable(explanation)):
            raise failure(
                "CONFIRMATION_STALE",
                "the token of --confirm is for a different command or a different state",
            )
    if explanation.confirmation == "override" and consent.given:
        _check_complete(explanation, consent)
        return _confirmation(explanation, "flags", token)
    if consent.given:
        return _confirmation(explanation, "token" if consent.token is not None else "yes", token)
    interaction = Interaction().begin(questions(explanation))
    while interaction.state == "confirming":
        _forget_typed(stdin)
        dialogue.ask(interaction.questions[0].text)
        typed = _typed(stdin)
        if typed is None:
            dialogue.end_line()
        interaction = interaction.answer(typed)
    if not interaction.confirmed:
        raise failure("DECLINED", "not confirmed; nothing was sent")
    return _confirmation(explanation, "terminal", token)


def _check_complete(explanation: "Explanation", consent: Consent) -> None:
    """Raise OVERRIDE_INCOMPLETE unless the flags acknowledge exactly what is asked (P6-A1a)."""
    required = {override.invariant for override in explanation.overrides}
    given = set(consent.acknowledged)
    problems = [f"--acknowledge {name} is missing" for name in sorted(required - given)]
    problems += [f"{name} is not overridden here" for name in sorted(given - required)]
    if not consent.accepts_responsibility:
        problems.append("--accept-responsibility is missing")
    if problems:
        raise failure("OVERRIDE_INCOMPLETE", "; ".join(problems))


def _confirmable(explanation: "Explanation") -> Confirmable:
    """What this explanation's token confirms."""
    about, state = explanation.inputs, explanation.observed_snapshot
    return Confirmable(
        about.command,
        about.target,
        about.cluster,
        about.system_id,
        state.state_digest,
        state.failover_revision,
    )


def _confirmation(explanation: "Explanation", given: Given, token: str) -> "Confirmation":
    from aeroctl.contract.requests import Confirmation

    override = explanation.confirmation == "override"
    overridden = explanation.overrides if override else []
    return Confirmation(
        kind="override" if override else "standard",
        given=given,
        token=token,
        acknowledged=sorted(override.invariant for override in overridden),
        accepts_responsibility=override,
    )


def _typed(stdin: TextIO | None) -> str | None:
    """A line from the terminal; None where the input ends before the line does.

    Read byte by byte: a buffer would keep what was typed before the next question.
    """
    line = bytearray()
    try:
        assert stdin is not None
        terminal = stdin.fileno()
        while not line.endswith((b"\n", b"\r")):
            if not (byte := os.read(terminal, 1)):
                return None
            line += byte
    except (OSError, ValueError):
        return None
    return line.decode(errors="replace")


def _forget_typed(stdin: TextIO | None) -> None:
    """Discard what was typed before a question: it can't be an answer to it."""
    import termios

    with suppress(OSError, ValueError, termios.error):
        assert stdin is not None
        termios.tcflush(stdin.fileno(), termios.TCIFLUSH)
