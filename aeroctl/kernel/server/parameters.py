"""A request's query and body as models of the contract, or why they are refused."""

import json
from typing import NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request

from aeroctl.contract.base import Model
from aeroctl.contract.queries import NoQuery
from aeroctl.kernel.failures import Failure

LARGEST = 64 * 1024
Body = TypeVar("Body", bound=Model)
Query = TypeVar("Query", bound=NoQuery)


async def body(request: Request, model: type[Body]) -> Body:
    """The JSON body as `model`. Raises Failure BAD_REQUEST."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise bad_request(f"the Content-Type must be application/json, not {kind or 'missing'}")
    text = b""
    try:
        async for chunk in request.stream():
            text += chunk
            if len(text) > LARGEST:
                raise bad_request(f"the body is larger than {LARGEST} bytes")
    except ClientDisconnect:
        raise bad_request("the client sent only a part of the body") from None
    _check_json(text)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}"
            for problem in error.errors(
                include_url=False, include_context=False, include_input=False
            )
        )
        raise bad_request(f"the body is not a {model.__name__}: {problems}") from None


def _check_json(body: bytes) -> None:
    """It is JSON in which no object has a key twice: whoever confirmed may have looked at the other
    value (P7-A2). Raises Failure BAD_REQUEST.
    """
    try:
        json.loads(body.decode(), object_pairs_hook=_unique_keys, parse_constant=_refused)
    except UnicodeDecodeError:
        raise bad_request("the body is not JSON: it is not UTF-8") from None
    except RecursionError:
        raise bad_request("the body is nested too deeply") from None
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from None


def _unique_keys(pairs: list[tuple[str, object]]) -> None:
    """Compares keys after their escapes are resolved."""
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise ValueError(f"an object has the key {name[:64]!a} more than once")
        names.add(name)


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")


def query(request: Request, model: type[Query]) -> Query:
    """The query parameters as `model`, each given once at most. Raises Failure BAD_PARAMETER."""
    pairs = request.query_params.multi_items()
    given = dict(pairs)
    if len(given) != len(pairs):
        raise Failure("BAD_PARAMETER", "a query parameter is given twice")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise Failure("BAD_PARAMETER", _problem(problems[0], given, model)) from None


def _problem(problem: ErrorDetails, given: dict[str, str], model: type[Query]) -> str:
    """What is wrong with the query, in words."""
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        known = [field.alias or name for name, field in model.model_fields.items()]
        words = f"it takes {', '.join(known)}" if known else "it takes none"
        return f"this path has no query parameter {name!r}; {words}"
    return f"the query parameter {name}={given.get(name, '')[:32]!r} is not valid: {message}"


def bad_request(message: str) -> Failure:
    """The body can't be understood."""
    return Failure("BAD_REQUEST", message)
