"""The routes of the kernel API: the one table that the kernel serves and OpenAPI describes.

To add a route: a line here, and its handler in kernel/server/routes.py.
"""

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from aeroctl.contract.audit import AuditEnvelope
from aeroctl.contract.base import Model
from aeroctl.contract.commands import CommandName
from aeroctl.contract.envelope import Health, Ready, SnapshotEnvelope
from aeroctl.contract.events import EventsEnvelope, PinEnvelope
from aeroctl.contract.explanation import ExplainRequest, ExplanationEnvelope
from aeroctl.contract.queries import (
    AuditQuery,
    EventsQuery,
    NoQuery,
    RevisionsQuery,
    SnapshotQuery,
)
from aeroctl.contract.requests import CommandRequest, RequestEnvelope, RequestId

QueryModel = TypeVar("QueryModel", bound=NoQuery)
BodyModel = TypeVar("BodyModel", bound=Model | None)


@dataclass(frozen=True, slots=True)
class Route(Generic[QueryModel, BodyModel]):
    """One operation. `name`: its operationId. `in_path`: the parameter in braces, and its type.
    `answer`: the model of a 200; None: any JSON object. `errors`: the codes of other answers.
    `public`: it needs no token.
    """

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    query: type[QueryModel]
    body: type[BodyModel]
    answer: type[Model] | None
    errors: tuple[str, ...]
    in_path: tuple[str, Any] | None = None
    public: bool = False


TOKEN = ("UNAUTHENTICATED", "TOKEN_FILE_UNREADABLE")
STORE = (
    "CLUSTER_NOT_FOUND",
    "INTERNAL",
    "STORE_REFUSED",
    "KERNEL_STATE_UNREADABLE",
    "CLUSTER_IS_CITUS",
    "STORE_UNAVAILABLE",
    "STORE_TLS_FAILED",
    "KERNEL_BUSY",
)
READ = ("BAD_PARAMETER", *TOKEN, *STORE)
HISTORY = (*READ, "FUTURE_REVISION", "REVISION_COMPACTED")
COMMAND_IN_PATH = ("command", CommandName)
NoBody = type(None)

SNAPSHOT = Route(
    "GET",
    "/v1/snapshot",
    "getSnapshot",
    "One consistent snapshot of the kernel's state",
    query=SnapshotQuery,
    body=NoBody,
    answer=SnapshotEnvelope,
    errors=(*HISTORY, "SNAPSHOT_UNSTABLE", "SECTION_NOT_IN_HISTORY"),
)
EXPLAIN = Route(
    "POST",
    "/v1/explain/{command}",
    "explainCommand",
    "What a command would do, as a proof over one state; it changes nothing",
    query=NoQuery,
    body=ExplainRequest,
    answer=ExplanationEnvelope,
    errors=(*READ, "SNAPSHOT_UNSTABLE", "BAD_REQUEST", "UNKNOWN_COMMAND", "UNKNOWN_NODE"),
    in_path=COMMAND_IN_PATH,
)
COMMAND = Route(
    "POST",
    "/v1/commands/{command}",
    "requestCommand",
    "Request a confirmed command, once. Refusals after the body was parsed are recorded in the "
    "audit trail, except KERNEL_BUSY. For each caller, a limited number a minute is recorded, and "
    "the last of these records notes the limit",
    query=NoQuery,
    body=CommandRequest,
    answer=RequestEnvelope,
    errors=(
        *READ,
        "BAD_REQUEST",
        "UNKNOWN_COMMAND",
        "UNKNOWN_NODE",
        "NOT_AUTHORIZED",
        "CONFIRMATION_INVALID",
        "CONFIRMATION_EXPIRED",
        "ACKNOWLEDGEMENT_MISMATCH",
        "REQUEST_SEEN",
        "CONFIRMATION_REUSED",
        "STATE_CHANGED",
        "COMMAND_IN_FLIGHT",
        "RULE_NOT_MET",
        "AGENT_MISMATCH",
        "AGENT_UNREACHABLE",
        "CALLER_GONE",
        "ENGINE_REJECTED",
    ),
    in_path=COMMAND_IN_PATH,
)
REQUEST = Route(
    "GET",
    "/v1/requests/{id}",
    "getRequest",
    "What became of a request, as kernel state proves it now",
    query=NoQuery,
    body=NoBody,
    answer=RequestEnvelope,
    errors=(*READ, "BAD_REQUEST"),
    in_path=("id", RequestId),
)
EVENTS = Route(
    "GET",
    "/v1/events",
    "getEvents",
    "What changed, in order of revision, as far back as the store's history reaches",
    query=EventsQuery,
    body=NoBody,
    answer=EventsEnvelope,
    errors=HISTORY,
)
REVISIONS = Route(
    "GET",
    "/v1/revisions",
    "getRevisions",
    "Which revisions may have stood at a time, by what was logged before and after it",
    query=RevisionsQuery,
    body=NoBody,
    answer=PinEnvelope,
    errors=(*HISTORY, "TIME_NOT_PINNED"),
)
AUDIT = Route(
    "GET",
    "/v1/audit",
    "getAudit",
    "The audit trail in its own order; for operators and auditors",
    query=AuditQuery,
    body=NoBody,
    answer=AuditEnvelope,
    errors=(*HISTORY, "NOT_AUTHORIZED"),
)
HEALTH = Route(
    "GET",
    "/v1/health",
    "getHealth",
    "Whether the server process answers",
    query=NoQuery,
    body=NoBody,
    answer=Health,
    errors=("BAD_PARAMETER",),
    public=True,
)
READY = Route(
    "GET",
    "/v1/ready",
    "getReady",
    "Whether the cluster can be read from the consensus store",
    query=NoQuery,
    body=NoBody,
    answer=Ready,
    errors=("BAD_PARAMETER", *STORE),
    public=True,
)
OPENAPI = Route(
    "GET",
    "/v1/openapi.json",
    "getOpenapi",
    "This document",
    query=NoQuery,
    body=NoBody,
    answer=None,
    errors=("BAD_PARAMETER",),
    public=True,
)
ROUTES: tuple[Route[Any, Any], ...] = (
    SNAPSHOT,
    EXPLAIN,
    COMMAND,
    REQUEST,
    EVENTS,
    REVISIONS,
    AUDIT,
    HEALTH,
    READY,
    OPENAPI,
)
