"""Whether a confirmation proves intent for one command in one state, given now (P7-A2). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aeroctl.contract import consent
from aeroctl.contract.commands import Command
from aeroctl.contract.consent import Confirmable
from aeroctl.contract.requests import CommandRequest
from aeroctl.contract.terms import Given
from aeroctl.kernel.failures import Failure

GIVEN: dict[str, tuple[Given, ...]] = {
    "standard": ("terminal", "yes", "token"),
    "override": ("terminal", "flags"),
}
"""How each kind may be given: `--yes` never stands in for an override's acknowledgements."""
TERM_SECONDS = 300
SHORTEST_TERM, LONGEST_TERM = 1, 3600
AHEAD_SECONDS = 10
"""How far the clock of the kernel that explained may be ahead of the one that is asked."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """By what a confirmation is judged: the kernel's own time, never the caller's.

    `term_seconds`: how long after the explanation its token confirms.
    """

    now: datetime
    term_seconds: int


@dataclass(frozen=True, slots=True)
class Issue:
    """What makes one explanation's token differ from every other one of the same state."""

    clock: Clock
    chance: bytes

    @property
    def expires_at(self) -> datetime:
        """Until then the token confirms, by the kernel's clock."""
        return self.clock.now + timedelta(seconds=self.clock.term_seconds)

    def token(self, about: Confirmable) -> str:
        """The token that confirms that."""
        issued, term = _milliseconds(self.clock.now), self.clock.term_seconds
        return consent.token(about, issued, term, self.chance)


def check(
    request: CommandRequest,
    command: Command,
    about: Confirmable,
    overridden: Sequence[str],
    revision: int,
    clock: Clock,
) -> None:
    """Refuse what doesn't confirm `command`, in the state that `about` describes, by now.

    `overridden`: the invariants that it would override now, by id. `revision`: the state's own;
    a request can't know a later one. Raises Failure
    CONFIRMATION_INVALID, CONFIRMATION_EXPIRED, ACKNOWLEDGEMENT_MISMATCH.
    """
    confirmation = request.confirmation
    if confirmation.kind != command.confirmation:
        needed = f"{command.verb} needs a confirmation of kind {command.confirmation}"
        raise _invalid(f"{needed}, not {confirmation.kind}")
    if confirmation.given not in GIVEN[confirmation.kind]:
        raise _invalid(
            f"a confirmation of kind {confirmation.kind} can't be given by {confirmation.given!r}"
        )
    if not consent.confirms(confirmation.token, about):
        raise _invalid("its token is not that of this command, this target and this state")
    _check_term(confirmation.token, clock)
    if request.revision > revision:
        message = (
            f"the request's revision {request.revision} is later than the kernel's, {revision}"
        )
        raise _invalid(message)
    if confirmation.kind == "standard":
        if confirmation.acknowledged:
            raise _mismatch(
                "there is nothing to acknowledge", confirmation.acknowledged, overridden
            )
        return
    if confirmation.acknowledged != sorted(overridden):
        raise _mismatch(
            "the acknowledged invariants are not those that it overrides",
            confirmation.acknowledged,
            overridden,
        )
    if not confirmation.accepts_responsibility:
        raise _invalid("an override needs responsibility to be accepted")
    if not (request.reason or "").strip():
        raise _invalid("an override needs a reason")


def _check_term(token: str, clock: Clock) -> None:
    """Consent is contemporaneous. A token of the future has no age that could be told.

    Its own term counts, which the explanation named, and no longer one than this server's.
    """
    issued, now = consent.issued(token), _milliseconds(clock.now)
    term = min(consent.term(token), clock.term_seconds)
    if -AHEAD_SECONDS * 1000 <= now - issued <= term * 1000:
        return
    ends = f"could be confirmed for {term} seconds"
    if now < issued:
        ends = "is from the future: the clocks of two kernels disagree"
    raise Failure(
        "CONFIRMATION_EXPIRED",
        f"the explanation was given at {_words(issued)} and {ends}; "
        f"by the kernel's clock it is now {_words(now)}",
    )


def _milliseconds(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(milliseconds=1)


def _words(milliseconds: int) -> str:
    """A time as RFC 3339 has it, as long as there are years for it."""
    try:
        time = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms after 1970"
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _invalid(message: str) -> Failure:
    return Failure("CONFIRMATION_INVALID", f"the confirmation is not valid: {message}")


def _mismatch(message: str, acknowledged: Sequence[str], overridden: Sequence[str]) -> Failure:
    needed, given = ", ".join(sorted(overridden)) or "none", ", ".join(acknowledged) or "none"
    return Failure("ACKNOWLEDGEMENT_MISMATCH", f"{message}: needed {needed}; acknowledged {given}")
