"""The HTTP side: routes, authentication, errors. Every answer is computed for its request."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Lifespan

from aeroctl import __version__
from aeroctl.contract.base import Model
from aeroctl.contract.envelope import Health, Note, Ready
from aeroctl.contract.errors import ErrorBody
from aeroctl.contract.explanation import ExplainRequest
from aeroctl.contract.openapi import document
from aeroctl.contract.requests import CommandRequest, RequestId
from aeroctl.contract.terms import NODE_SECTIONS
from aeroctl.kernel import callers
from aeroctl.kernel.audit.records import Submission
from aeroctl.kernel.callers import Caller
from aeroctl.kernel.change.command import command as run_command
from aeroctl.kernel.decide import commands
from aeroctl.kernel.endpoints import audit, events, explain, outcome, revisions, snapshot
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.server import parameters
from aeroctl.kernel.server.gates import Gate, Gates
from aeroctl.kernel.source import READERS, Source
from aeroctl.kernel.store.gateway import safe

REQUEST_ID: TypeAdapter[str] = TypeAdapter(RequestId)
NO_STORE = {"Cache-Control": "no-store"}
CHALLENGE = {"WWW-Authenticate": "Bearer"}
AGAIN = {"Retry-After": "1"}

LOGGER = logging.getLogger("aerokernel")

Endpoint = Callable[[Request, Caller], Awaitable[Response]]
Checked = Callable[[Request], Awaitable[Response]]


def application(
    source: Source,
    engine: Engine,
    token_file: Path | None,
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    """The kernel API over one cluster. Without a token file every caller is an observer.

    What is not asked of the store or of a node has no turn to wait for: health, the document of the
    interface, and every refusal of what can't be understood or whose token is not known.
    """
    gates = Gates()
    public = replace(source, change_readers=asyncio.Semaphore(READERS))

    def about_changes(caller: Caller) -> tuple[Gate, Source]:
        """Whoever may not ask for a change takes no operator's turn."""
        if caller.authority == "operator":
            return gates.operators, source
        return gates.explanations, public

    published = json.dumps(document(), separators=(",", ":")).encode()

    def authenticated(endpoint: Endpoint) -> Checked:
        async def checked(request: Request) -> Response:
            return await endpoint(request, caller(request, token_file))

        return checked

    async def read(
        request: Request, gate: Gate, answer: Callable[[], Awaitable[Model]]
    ) -> Response:
        """In its turn, and not for somebody who has gone meanwhile."""
        async with gate.turn():
            if await request.is_disconnected():
                return Response(status_code=204)
            return _answer(await answer())

    async def get_snapshot(request: Request, _: Caller) -> Response:
        asked = snapshot.request(request.query_params.multi_items())
        gate = gates.askers if set(asked.sections) & set(NODE_SECTIONS) else gates.readers
        return await read(request, gate, lambda: snapshot.snapshot(source, asked))

    async def post_explain(request: Request, caller: Caller) -> Response:
        _bare(request)
        asked = await parameters.read(request, ExplainRequest)
        command = commands.command_named(request.path_params["command"])
        gate, source = about_changes(caller)
        async with gate.turn():
            return _answer(await explain.explain(source, engine, command, asked.target))

    async def post_command(request: Request, caller: Caller) -> Response:
        """Runs to its end also when the caller goes away meanwhile."""
        _bare(request)
        asked = await parameters.read(request, CommandRequest)
        try:
            command = commands.command_named(request.path_params["command"])
        except Failure as failure:
            failure.about(asked.request_id)
            raise
        try:
            gate = gates.commands if caller.authority == "operator" else gates.explanations
            async with gate.turn():
                return _answer(
                    await run_command(
                        source, engine, Submission(command, asked, caller), request.is_disconnected
                    )
                )
        except Failure as failure:
            failure.about(asked.request_id)
            raise

    async def get_request(request: Request, caller: Caller) -> Response:
        """What became of a change is asked for like a change: it waits for no reader."""
        _bare(request)
        request_id = _request_id(request)
        gate, source = about_changes(caller)
        async with gate.turn():
            return _answer(await outcome.status(source, request_id))

    async def get_events(request: Request, _: Caller) -> Response:
        parameters = request.query_params.multi_items()
        return await read(request, gates.historians, lambda: events.events(source, parameters))

    async def get_revisions(request: Request, _: Caller) -> Response:
        parameters = request.query_params.multi_items()
        return await read(
            request, gates.historians, lambda: revisions.revisions(source, parameters)
        )

    async def get_audit(request: Request, caller: Caller) -> Response:
        parameters = request.query_params.multi_items()
        return await read(
            request, gates.historians, lambda: audit.audit(source, caller, parameters)
        )

    async def get_ready(request: Request) -> Response:
        _bare(request)
        async with gates.probes.turn():
            return _answer(await ready(source))

    async def get_health(request: Request) -> Response:
        _bare(request)
        return _answer(Health(status="ok", version=__version__))

    async def get_openapi(request: Request) -> Response:
        _bare(request)
        return Response(published, media_type="application/json", headers=NO_STORE)

    app = Starlette(
        routes=[
            Route("/v1/snapshot", authenticated(get_snapshot)),
            Route("/v1/explain/{command}", authenticated(post_explain), methods=["POST"]),
            Route("/v1/commands/{command}", authenticated(post_command), methods=["POST"]),
            Route("/v1/requests/{id}", authenticated(get_request)),
            Route("/v1/events", authenticated(get_events)),
            Route("/v1/revisions", authenticated(get_revisions)),
            Route("/v1/audit", authenticated(get_audit)),
            Route("/v1/health", get_health),
            Route("/v1/ready", get_ready),
            Route("/v1/openapi.json", get_openapi),
        ],
        exception_handlers={
            Failure: _refusal,
            HTTPException: _http_error,
            Exception: _internal_error,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # one name for each thing, and no answer but JSON
    return app


async def ready(source: Source) -> Ready:
    """Whether the store can be read, and what an operator should know of it.

    Anybody may ask: where it can't be read, why is in the log, for it names addresses. Raises
    Failure.
    """
    try:
        async with source.in_time():
            await source.keys()
            version = await source.store.version()
    except Failure as failure:
        LOGGER.warning("not ready: %s", failure)
        message = "the cluster can't be read from the consensus store; the kernel's log says why"
        failure.error = failure.error.model_copy(update={"message": message})
        raise
    old = (
        f"etcd {version} fails when a reading transaction is broken off (etcd issues 14110, 14891):"
        " the kernel uses none here, but others may. Use 3.5.7 or later"
    )
    unknown = "etcd does not say which version it is, so that the kernel treats it as an old one"
    note = Note(code="STORE_OUTDATED", subject=None, message=old if version else unknown)
    return Ready(status="ready", store_version=version, notes=[] if safe(version) else [note])


def caller(request: Request, token_file: Path | None) -> callers.Caller:
    """Who is calling (P7-A1). The file is read each time: a revoked token is refused at once.

    Raises Failure UNAUTHENTICATED, TOKEN_FILE_UNREADABLE.
    """
    if token_file is None:
        return callers.ANONYMOUS
    try:
        known = callers.load(token_file)
    except callers.TokenFileError as error:
        LOGGER.error("token file: %s", error)  # noqa: TRY400 - the words say all
        message = "the kernel can't tell callers apart: its token file can't be read"
        raise Failure("TOKEN_FILE_UNREADABLE", message) from error
    given = request.headers.getlist("authorization")
    scheme, _, token = (given[0] if len(given) == 1 else "").partition(" ")
    found = callers.find(known, token.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        message = "the token is not known" if scheme else "no token was given"
        message = "more than one token was given" if len(given) > 1 else message
        raise Failure("UNAUTHENTICATED", message)
    return found


def _bare(request: Request) -> None:
    """Nothing of what was asked is passed over: it takes no query. Raises Failure."""
    parameters.query(request.query_params.multi_items(), [])


def _request_id(request: Request) -> str:
    try:
        return REQUEST_ID.validate_python(request.path_params["id"])
    except ValidationError:
        message = "a request id is a UUID in lower case"
        raise parameters.bad_request(message) from None


def _answer(model: Model) -> Response:
    return Response(model.model_dump_json(), media_type="application/json", headers=NO_STORE)


def _error(failure: Failure) -> Response:
    return Response(
        ErrorBody(error=failure.error).model_dump_json(),
        status_code=failure.status,
        media_type="application/json",
        headers=NO_STORE
        | (CHALLENGE if failure.status == 401 else {})
        | (AGAIN if failure.error.code == "KERNEL_BUSY" else {}),
    )


async def _refusal(_: Request, error: Any) -> Response:
    return _error(error)


async def _http_error(request: Request, error: Any) -> Response:
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "BAD_REQUEST")
    message = f"{request.method} {request.url.path}: {error.detail}"
    answer = _error(Failure(code, message))
    answer.headers.update(error.headers or {})
    return answer


async def _internal_error(request: Request, __: Exception) -> Response:
    """Starlette raises it again after this, so the traceback goes to the log and nowhere else.

    A command may have been dispatched before the server failed (P7-E2).
    """
    changes = request.url.path.startswith("/v1/commands/")
    return _error(
        Failure(
            "INTERNAL",
            "the kernel server failed; its log says why",
            invariants=["P7-E2" if changes else "P7-F1"],
            outcome="unknown" if changes else "not_executed",
        )
    )
