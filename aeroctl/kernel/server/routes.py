"""The kernel API over HTTP: a handler for every route of the contract's table.

A handler takes what was parsed and checked, waits for its turn (gates.py), and calls one endpoint.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute
from starlette.types import Lifespan

from aeroctl.contract import routes
from aeroctl.contract.base import Model
from aeroctl.contract.envelope import Health
from aeroctl.contract.explanation import ExplainRequest
from aeroctl.contract.openapi import document
from aeroctl.contract.queries import AuditQuery, EventsQuery, NoQuery, RevisionsQuery, SnapshotQuery
from aeroctl.contract.requests import CommandRequest, RequestId
from aeroctl.contract.routes import BodyModel, NoBody, QueryModel, Route
from aeroctl.contract.terms import NODE_SECTIONS
from aeroctl.kernel.audit.records import Submission
from aeroctl.kernel.callers import ANONYMOUS, Caller
from aeroctl.kernel.change.command import command as run_command
from aeroctl.kernel.decide import commands
from aeroctl.kernel.endpoints import audit, events, explain, outcome, revisions, snapshot
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.rest_api import Engine
from aeroctl.kernel.server import parameters, responses
from aeroctl.kernel.server.authentication import caller
from aeroctl.kernel.server.gates import Gate, Gates
from aeroctl.kernel.server.readiness import ready
from aeroctl.kernel.source import READERS, Source
from aeroctl.version import version

REQUEST_ID: TypeAdapter[str] = TypeAdapter(RequestId)


@dataclass(frozen=True, slots=True)
class Call(Generic[QueryModel, BodyModel]):
    """A request whose caller is known and whose query and body are parsed."""

    request: Request
    caller: Caller
    query: QueryModel
    body: BodyModel


Handler = Callable[[Call[QueryModel, BodyModel]], Awaitable[Response]]


def application(
    source: Source,
    engine: Engine,
    token_file: Path | None,
    lifespan: Lifespan[Starlette] | None = None,
) -> Starlette:
    """The kernel API over one cluster. Without a token file every caller is an observer."""
    handlers = Handlers(source, engine)

    def serve(route: Route[QueryModel, BodyModel], handler: Handler[QueryModel, BodyModel]) -> None:
        async def endpoint(request: Request) -> Response:
            who = ANONYMOUS if route.public else caller(request, token_file)
            query = parameters.query(request, route.query)
            body: Any = None
            if route.body is not NoBody:
                body = await parameters.body(request, route.body)
            return await handler(Call(request, who, query, body))

        app.router.routes.append(HttpRoute(route.path, endpoint, methods=[route.method]))

    app = Starlette(exception_handlers=responses.HANDLERS, lifespan=lifespan)
    app.router.redirect_slashes = False  # one name for each thing, and only JSON answers
    serve(routes.SNAPSHOT, handlers.snapshot)
    serve(routes.EXPLAIN, handlers.explain)
    serve(routes.COMMAND, handlers.command)
    serve(routes.REQUEST, handlers.request)
    serve(routes.EVENTS, handlers.events)
    serve(routes.REVISIONS, handlers.revisions)
    serve(routes.AUDIT, handlers.audit)
    serve(routes.HEALTH, handlers.health)
    serve(routes.READY, handlers.ready)
    serve(routes.OPENAPI, handlers.openapi)
    return app


class Handlers:
    """One method for each route. What reads neither etcd nor a node waits for no turn: health, the
    OpenAPI document, and refusals of what can't be parsed or whose token is not known.
    """

    def __init__(self, source: Source, engine: Engine) -> None:
        self._source = source
        self._public = replace(source, change_readers=asyncio.Semaphore(READERS))
        self._engine = engine
        self._gates = Gates()
        self._health = Health(status="ok", version=version())
        self._openapi = json.dumps(document(), separators=(",", ":")).encode()

    async def snapshot(self, call: Call[SnapshotQuery, None]) -> Response:
        """GET /v1/snapshot."""
        wanted = snapshot.wanted_sections(call.query)
        gate = (
            self._gates.node_reads if set(wanted) & set(NODE_SECTIONS) else self._gates.store_reads
        )
        return await _read(
            call, gate, lambda: snapshot.snapshot(self._source, wanted, call.query.at)
        )

    async def explain(self, call: Call[NoQuery, ExplainRequest]) -> Response:
        """POST /v1/explain/{command}."""
        command = commands.command_named(call.request.path_params["command"])
        gate, source = self._about_changes(call.caller)
        async with gate.turn():
            return responses.answer(
                await explain.explain(source, self._engine, command, call.body.target)
            )

    async def command(self, call: Call[NoQuery, CommandRequest]) -> Response:
        """POST /v1/commands/{command}. It runs to its end also when the caller disconnects."""
        try:
            command = commands.command_named(call.request.path_params["command"])
            operator = call.caller.authority == "operator"
            gate = self._gates.commands if operator else self._gates.explanations
            submission = Submission(command, call.body, call.caller)
            async with gate.turn():
                return responses.answer(
                    await run_command(
                        self._source, self._engine, submission, call.request.is_disconnected
                    )
                )
        except Failure as failure:
            failure.about(call.body.request_id)
            raise

    async def request(self, call: Call[NoQuery, None]) -> Response:
        """GET /v1/requests/{id}. As for a change itself, it waits for no reader."""
        try:
            request_id = REQUEST_ID.validate_python(call.request.path_params["id"])
        except ValidationError:
            message = "the request id must be a UUID in lower case"
            raise parameters.bad_request(message) from None
        gate, source = self._about_changes(call.caller)
        async with gate.turn():
            return responses.answer(await outcome.status(source, request_id))

    async def events(self, call: Call[EventsQuery, None]) -> Response:
        """GET /v1/events."""
        return await _read(
            call, self._gates.history_reads, lambda: events.events(self._source, call.query)
        )

    async def revisions(self, call: Call[RevisionsQuery, None]) -> Response:
        """GET /v1/revisions."""
        return await _read(
            call, self._gates.history_reads, lambda: revisions.revisions(self._source, call.query)
        )

    async def audit(self, call: Call[AuditQuery, None]) -> Response:
        """GET /v1/audit."""
        return await _read(
            call,
            self._gates.history_reads,
            lambda: audit.audit(self._source, call.caller, call.query),
        )

    async def health(self, _: Call[NoQuery, None]) -> Response:
        """GET /v1/health."""
        return responses.answer(self._health)

    async def ready(self, _: Call[NoQuery, None]) -> Response:
        """GET /v1/ready."""
        async with self._gates.probes.turn():
            return responses.answer(await ready(self._source))

    async def openapi(self, _: Call[NoQuery, None]) -> Response:
        """GET /v1/openapi.json."""
        return responses.document(self._openapi)

    def _about_changes(self, caller: Caller) -> tuple[Gate, Source]:
        """Where requests about changes wait: other callers never take an operator's turn."""
        if caller.authority == "operator":
            return self._gates.operators, self._source
        return self._gates.explanations, self._public


async def _read(
    call: Call[Any, None], gate: Gate, answer: Callable[[], Awaitable[Model]]
) -> Response:
    """The answer, computed in its turn, unless the caller has disconnected meanwhile."""
    async with gate.turn():
        if await call.request.is_disconnected():
            return Response(status_code=204)
        return responses.answer(await answer())
