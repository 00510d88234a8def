"""What a request's body and query say, or why they say nothing. Nothing is guessed."""

import json
from collections.abc import Sequence
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from aeroctl.contract.base import Model
from aeroctl.kernel.failures import Failure

LARGEST = 64 * 1024
Body = TypeVar("Body", bound=Model)


async def read(request: Request, model: type[Body]) -> Body:
    """The JSON body as `model`. Raises Failure BAD_REQUEST."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise bad_request(f"the body must be application/json, not {kind or 'unnamed'}")
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST:
                raise bad_request(f"the body is larger than {LARGEST} bytes")
    except ClientDisconnect:
        raise bad_request("the body broke off") from None
    _check_json(body)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
            for problem in error.errors(
                include_url=False, include_context=False, include_input=False
            )
        )
        raise bad_request(f"the body is not a {model.__name__}: {problems}") from None


def _check_json(body: bytes) -> None:
    """It is JSON that says each thing once: of two keys of one name nobody can tell which one was
    meant, or which one somebody looked at (P7-A2). Raises Failure BAD_REQUEST.
    """
    try:
        json.loads(body.decode(), object_pairs_hook=_each_once, parse_constant=_refused)
    except UnicodeDecodeError:
        raise bad_request("the body is not JSON: it is not UTF-8") from None
    except RecursionError:
        raise bad_request("the body is nested too deeply") from None
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from None


def _each_once(pairs: list[tuple[str, object]]) -> None:
    """Keys as they read when their escapes are resolved."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"an object has the key {name[:64]!a} more than once")
        seen.add(name)


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")


def query(parameters: Sequence[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
    """Query parameters, each at most once and none that is unknown. Raises Failure."""
    given = dict(parameters)
    if len(given) != len(parameters):
        raise bad_parameter("a parameter is given twice")
    if unknown := sorted(given.keys() - set(known)):
        raise bad_parameter(f"unknown parameter {unknown[0]!r}")
    return given


def number(given: dict[str, str], name: str, low: int, high: int) -> int | None:
    """A parameter that is a number from `low` to `high`; None where it is not given."""
    text = given.get(name)
    if text is None:
        return None
    plain = text.isascii() and text.isdecimal() and len(text) <= len(str(high))
    if not plain or not low <= int(text) <= high:
        raise bad_parameter(f"{name} is not a number from {low} to {high}: {text[:32]!r}")
    return int(text)


def bad_request(message: str) -> Failure:
    """The body can't be understood."""
    return Failure("BAD_REQUEST", message)


def bad_parameter(message: str) -> Failure:
    """The query can't be understood."""
    return Failure("BAD_PARAMETER", message)
