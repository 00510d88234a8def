"""Answers of the kernel as HTTP responses: models, and errors of every kind."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from aeroctl.contract.base import Model
from aeroctl.contract.errors import ErrorBody
from aeroctl.kernel.failures import Failure

NO_STORE = {"Cache-Control": "no-store"}
CHALLENGE = {"WWW-Authenticate": "Bearer"}
RETRY = {"Retry-After": "1"}


def answer(model: Model) -> Response:
    """A 200 with that model."""
    return document(model.model_dump_json())


def document(text: str | bytes) -> Response:
    """A 200 with a JSON text."""
    return Response(text, media_type="application/json", headers=NO_STORE)


def error(failure: Failure) -> Response:
    """The failure's own status, and the error as the contract writes it."""
    return Response(
        ErrorBody(error=failure.error).model_dump_json(),
        status_code=failure.status,
        media_type="application/json",
        headers=NO_STORE
        | (CHALLENGE if failure.status == 401 else {})
        | (RETRY if failure.error.code == "KERNEL_BUSY" else {}),
    )


async def _failure(_: Request, failure: Any) -> Response:
    return error(failure)


async def _http_error(request: Request, problem: Any) -> Response:
    """What Starlette refuses by itself: a path or a method that there is not."""
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(problem.status_code, "BAD_REQUEST")
    response = error(Failure(code, f"{request.method} {request.url.path}: {problem.detail}"))
    response.headers.update(problem.headers or {})
    return response


async def _internal_error(request: Request, _: Exception) -> Response:
    """Starlette raises it again after this, so that the traceback goes to the log.

    A command may have been dispatched before the server failed (P7-E2).
    """
    message = "the kernel server failed; its log has the reason"
    if request.url.path.startswith("/v1/commands/"):
        return error(Failure("INTERNAL", message, invariants=["P7-E2"], outcome="unknown"))
    return error(Failure("INTERNAL", message))


HANDLERS = {Failure: _failure, HTTPException: _http_error, Exception: _internal_error}
"""What answers for an exception, by its class."""
