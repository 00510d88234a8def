"""Answers of the kernel, held against the contract and against what was asked (P7-F1, P7-D1)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from aeroctl.contract.commands import CommandName
from aeroctl.contract.terms import Section
from aeroctl.errors import Failure, failure

if TYPE_CHECKING:
    from aeroctl.contract.envelope import Envelope, SnapshotEnvelope
    from aeroctl.contract.requests import CommandRequest, RequestEnvelope

Result = TypeVar("Result")
MAX_ANSWER_VALUES = 500_000
"""Values in one answer: each takes some 300 B, or 1 kB where it is wrong, however short it is."""


def parsed(body: bytearray, parse: Callable[[bytearray], Result]) -> Result:
    """The answer, if it keeps the contract. Raises UNKNOWN_API_VERSION, CONTRACT_BROKEN, and
    ANSWER_TOO_LARGE for one that would take many times its size.
    """
    from pydantic_core import ValidationError

    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_ANSWER_VALUES:
        words = f"the answer holds more than {MAX_ANSWER_VALUES} values"
        raise failure("ANSWER_TOO_LARGE", words)
    try:
        return parse(body)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        if any(detail["loc"] == ("api_version",) for detail in details):
            raise _other_version(body) from error
        where = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc']) or 'body'}: {detail['msg']}"
            for detail in details[:3]
        )
        raise failure("CONTRACT_BROKEN", where) from error


def _other_version(body: bytearray) -> Failure:
    """The answer's api_version is not ours."""
    from pydantic_core import from_json

    version = from_json(body).get("api_version")
    if isinstance(version, str):
        words = f"the kernel answers in API version {version}; this aeroctl reads only v1"
        return failure("UNKNOWN_API_VERSION", words)
    return failure("CONTRACT_BROKEN", "api_version is missing or not a string")


def rejection(status: int, body: bytearray) -> Failure:
    """The kernel's own error, verbatim; CONTRACT_BROKEN where the body is not one."""
    from pydantic import ValidationError

    from aeroctl.contract.errors import ErrorBody

    try:
        error = ErrorBody.model_validate_json(body).error
    except ValidationError:
        start = body[:200].decode("utf-8", "backslashreplace")
        return failure("CONTRACT_BROKEN", f"HTTP {status} without a kernel's error object: {start}")
    return Failure(
        error.code,
        error.message,
        error.domain,
        tuple(error.invariants),
        error.outcome,
        error.request_id,
        (error.engine_reply.status, error.engine_reply.body) if error.engine_reply else None,
        from_kernel=True,
    )


def matching_snapshot(
    answer: "SnapshotEnvelope", sections: Sequence[Section], at: int | None
) -> "SnapshotEnvelope":
    """The answer, if it holds these sections, of now or of the revision `at`."""
    missing = [name for name in sections if getattr(answer.data, name) is None]
    if missing:
        raise failure("CONTRACT_BROKEN", f"the answer lacks {', '.join(missing)}")
    observed = answer.observed_at
    if (observed.kind, observed.revision) != (
        ("live", observed.revision) if at is None else ("historical", at)
    ):
        raise failure(
            "CONTRACT_BROKEN",
            f"asked for {'live state' if at is None else f'revision {at}'}, "
            f"got {observed.kind} revision {observed.revision}",
        )
    return answer


def check_page(answer: "Envelope[Any]", at: int | None, after: int, following: int | None) -> None:
    """Raises CONTRACT_BROKEN where the answer is of another revision than was asked for (P7-D1), or
    the page that follows it does not.
    """
    if at is not None and answer.observed_at.revision != at:
        raise failure("CONTRACT_BROKEN", f"asked for revision {at}, got the state of another one")
    if following is not None and following <= after:  # or it would never end
        raise failure("CONTRACT_BROKEN", "the next page does not follow this one")


def matching_status(
    answer: "RequestEnvelope", command: CommandName, request: "CommandRequest"
) -> "RequestEnvelope":
    """The answer to a command, if it is about that command. Raises CONTRACT_BROKEN."""
    status = answer.data
    answered = (status.recorded, status.request_id, status.command, status.target)
    if answered != (True, request.request_id, command, request.target):
        raise failure("CONTRACT_BROKEN", "the answer is about another request")
    return answer


def refusal_of(status: int, body: bytearray, request: "CommandRequest") -> Failure:
    """The kernel's refusal of a command. Raises CONTRACT_BROKEN where it is not the
    kernel's, or about another request.
    """
    refusal = rejection(status, body)
    if refusal.code == "CONTRACT_BROKEN":
        raise refusal
    if refusal.request_id not in (None, request.request_id):
        raise failure("CONTRACT_BROKEN", "the refusal is about another request")
    return replace(refusal, request_id=request.request_id)
