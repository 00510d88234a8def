"""Whether a confirmation proves intent for one command in one state (P7-A2). Pure."""

import hashlib
import hmac
import json
from collections.abc import Sequence

from aeroctl.contract.commands import Command, CommandName
from aeroctl.contract.requests import CommandRequest
from aeroctl.contract.terms import Given
from aeroctl.kernel.failures import Failure

GIVEN: dict[str, tuple[Given, ...]] = {
    "standard": ("terminal", "yes", "token"),
    "override": ("terminal", "flags"),
}
"""How each kind may be given: `--yes` never stands in for an override's acknowledgements."""


def token(
    command: CommandName,
    target: str | None,
    cluster: str,
    system_id: str | None,
    epoch: str,
    failover_commit: int,
) -> str:
    """What a confirmation must carry: it is good for this command in this state and no other.

    The epoch comes back when a transfer was asked for and cleared again. `failover_commit` does
    not: what was confirmed before another attempt is not good for one after it.

    A digest and no secret: it proves which state was confirmed, not who confirmed it.
    """
    confirmed: dict[str, object] = {
        "command": command,
        "target": target,
        "parameters": {},
        "cluster": cluster,
        "system_id": system_id,
        "epoch": epoch,
        "failover_commit": failover_commit,
    }
    canonical = json.dumps(confirmed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def check(
    request: CommandRequest,
    command: Command,
    expected: str,
    overridden: Sequence[str],
    commit_id: int,
) -> None:
    """Refuse what doesn't confirm `command` in the state that `expected` is the token of.

    `overridden`: the invariants that it would override now, by id. `commit_id`: the state's own;
    nobody has seen a later one. Raises Failure
    CONFIRMATION_INVALID, ACKNOWLEDGEMENT_MISMATCH.
    """
    given = request.confirmation
    if given.kind != command.confirmation:
        needed = f"{command.verb} needs a confirmation of kind {command.confirmation}"
        raise _invalid(f"{needed}, not {given.kind}")
    if given.given not in GIVEN[given.kind]:
        raise _invalid(f"a confirmation of kind {given.kind} can't be given by {given.given!r}")
    if not hmac.compare_digest(given.token, expected):
        raise _invalid("its token is not that of this command, this target and this state")
    if request.commit_id > commit_id:
        seen = f"commit {request.commit_id} can't have been seen: the kernel is at {commit_id}"
        raise _invalid(seen)
    if given.kind == "standard":
        if given.acknowledged:
            raise _mismatch("there is nothing to acknowledge", given.acknowledged, overridden)
        return
    if given.acknowledged != sorted(overridden):
        raise _mismatch(
            "the acknowledged invariants are not those that it overrides",
            given.acknowledged,
            overridden,
        )
    if not given.accepts_responsibility:
        raise _invalid("an override needs responsibility to be accepted")
    if not (request.reason or "").strip():
        raise _invalid("an override needs a reason")


def _invalid(message: str) -> Failure:
    return Failure(
        403,
        "control_plane_validation",
        "CONFIRMATION_INVALID",
        f"the confirmation is not valid: {message}",
        invariants=["P7-A2"],
    )


def _mismatch(message: str, acknowledged: Sequence[str], overridden: Sequence[str]) -> Failure:
    needed, found = ", ".join(sorted(overridden)) or "none", ", ".join(acknowledged) or "none"
    return Failure(
        403,
        "control_plane_validation",
        "ACKNOWLEDGEMENT_MISMATCH",
        f"{message}: needed {needed}; acknowledged {found}",
        invariants=["P7-A2"],
    )
