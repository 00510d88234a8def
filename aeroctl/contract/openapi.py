"""The OpenAPI document of the kernel API, built from the models themselves."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from aeroctl.contract.audit import AuditEnvelope
from aeroctl.contract.base import API_VERSION, Time
from aeroctl.contract.commands import COMMANDS
from aeroctl.contract.envelope import Health, Ready, SnapshotEnvelope
from aeroctl.contract.errors import ErrorBody
from aeroctl.contract.events import EventsEnvelope, PinEnvelope
from aeroctl.contract.explanation import ExplainRequest, ExplanationEnvelope
from aeroctl.contract.requests import CommandRequest, RequestEnvelope
from aeroctl.contract.terms import NODE_SECTIONS, SECTIONS, STORED

TEMPLATE = "#/components/schemas/{model}"
MODELS = (
    SnapshotEnvelope,
    ExplainRequest,
    ExplanationEnvelope,
    CommandRequest,
    RequestEnvelope,
    AuditEnvelope,
    EventsEnvelope,
    PinEnvelope,
    Health,
    Ready,
    ErrorBody,
)

AT = {"type": "integer", "minimum": 1, "exclusiveMaximum": 2**53}
AFTER = AT | {"minimum": 0}
NOBODY = {"401": "UNAUTHENTICATED"}
FAILED = {
    "500": "INTERNAL",
    "502": "STORE_REFUSED, KERNEL_STATE_UNREADABLE, CLUSTER_IS_CITUS",
    "503": "STORE_UNAVAILABLE, STORE_TLS_FAILED, KERNEL_BUSY, TOKEN_FILE_UNREADABLE",
}
HISTORY = {
    "400": "BAD_PARAMETER, FUTURE_REVISION",
    "404": "CLUSTER_NOT_FOUND",
    "410": "REVISION_COMPACTED",
}
UNSTABLE = {"503": f"{FAILED['503']}, SNAPSHOT_UNSTABLE"}


def document() -> dict[str, Any]:
    """OpenAPI 3.1, as JSON values. The same for every kernel that serves this contract."""
    _, schemas = models_json_schema(
        [(model, "serialization") for model in MODELS], ref_template=TEMPLATE
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AeroDB kernel API",
            "version": API_VERSION,
            "description": "Every key is always present; null means that there is no value.",
        },
        "paths": {f"/{API_VERSION}/{path}": operations for path, operations in _paths()},
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: _complete(schema) for name, schema in schemas["$defs"].items()},
        },
    }


def _paths() -> list[tuple[str, dict[str, Any]]]:
    return [
        (
            "snapshot",
            _operation(
                "get",
                "getSnapshot",
                "One consistent snapshot of the kernel's state",
                "SnapshotEnvelope",
                NOBODY | FAILED | UNSTABLE | HISTORY | {"409": "SECTION_NOT_IN_HISTORY"},
                parameters=[
                    _query(
                        "include",
                        f"Sections, separated by commas. Without it: all of them; of history, "
                        f"{', '.join(STORED)}.",
                        {"type": "array", "items": {"enum": list(SECTIONS)}, "minItems": 1},
                    ),
                    _query(
                        "at", f"A revision of history. It holds no {', '.join(NODE_SECTIONS)}.", AT
                    ),
                ],
            ),
        ),
        (
            "explain/{command}",
            _operation(
                "post",
                "explainCommand",
                "What a command would do, as a proof over one state; it changes nothing",
                "ExplanationEnvelope",
                NOBODY
                | FAILED
                | UNSTABLE
                | {
                    "400": "BAD_PARAMETER, BAD_REQUEST, UNKNOWN_NODE",
                    "404": "UNKNOWN_COMMAND, CLUSTER_NOT_FOUND",
                },
                parameters=[_command()],
                body="ExplainRequest",
            ),
        ),
        (
            "commands/{command}",
            _operation(
                "post",
                "requestCommand",
                "Ask for a confirmed command, once. Every refusal after the body was understood is "
                "in the audit trail, except KERNEL_BUSY; of one caller's, so many within a minute, "
                "and the last of these says so",
                "RequestEnvelope",
                NOBODY
                | FAILED
                | {
                    "400": "BAD_PARAMETER, BAD_REQUEST, UNKNOWN_NODE",
                    "403": "NOT_AUTHORIZED, CONFIRMATION_INVALID, CONFIRMATION_EXPIRED, "
                    "ACKNOWLEDGEMENT_MISMATCH",
                    "404": "UNKNOWN_COMMAND, CLUSTER_NOT_FOUND",
                    "409": "REQUEST_SEEN, CONFIRMATION_REUSED, STATE_CHANGED, COMMAND_IN_FLIGHT, "
                    "RULE_NOT_MET, AGENT_MISMATCH, AGENT_UNREACHABLE, CALLER_GONE, "
                    "ENGINE_REJECTED",
                },
                parameters=[_command()],
                body="CommandRequest",
            ),
        ),
        (
            "requests/{id}",
            _operation(
                "get",
                "getRequest",
                "What became of a request, as kernel state proves it now",
                "RequestEnvelope",
                NOBODY | FAILED | {"400": "BAD_REQUEST, BAD_PARAMETER", "404": "CLUSTER_NOT_FOUND"},
                parameters=[
                    _path(
                        "id",
                        CommandRequest.model_json_schema()["properties"]["request_id"],
                    )
                ],
            ),
        ),
        (
            "events",
            _operation(
                "get",
                "getEvents",
                "What changed, in order of revision, as far back as the store's history reaches",
                "EventsEnvelope",
                NOBODY | FAILED | HISTORY,
                parameters=[
                    _query(
                        "after",
                        "Events that come after this revision. Without it: from the first.",
                        AFTER,
                    ),
                    _query(
                        "window",
                        "Revisions of the store that one answer covers, at most. Without it: 2000.",
                        {"type": "integer", "minimum": 1, "maximum": 20000},
                    ),
                    _query("at", "Events up to a revision of history. Without it: up to now.", AT),
                ],
            ),
        ),
        (
            "revisions",
            _operation(
                "get",
                "getRevisions",
                "Which revisions may have stood at a time, by what was logged before and after it",
                "PinEnvelope",
                NOBODY | FAILED | HISTORY | {"409": "TIME_NOT_PINNED"},
                parameters=[
                    _query("time", "That time, in UTC. Either this or `ago`.", _time()),
                    _query(
                        "ago",
                        "So many seconds before now, by the clock of the kernel.",
                        {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**31},
                    ),
                    _query("at", "By what was logged up to a revision of history.", AT),
                    _query(
                        "for",
                        "`state`: refused unless the revisions that may have stood then differ in "
                        "WAL positions alone. `edge`: of a story. Without it: state.",
                        {"enum": ["state", "edge"]},
                    ),
                ],
            ),
        ),
        (
            "audit",
            _operation(
                "get",
                "getAudit",
                "The audit trail in its own order; for operators and auditors",
                "AuditEnvelope",
                NOBODY | FAILED | HISTORY | {"403": "NOT_AUTHORIZED"},
                parameters=[
                    _query(
                        "after",
                        "Records that come after this sequence. Without it: from the first.",
                        AFTER,
                    ),
                    _query(
                        "limit",
                        "Records in one answer. Without it: 1000.",
                        {"type": "integer", "minimum": 1, "maximum": 1000},
                    ),
                    _query("at", "The trail as of a revision of history.", AT),
                    _query("since", "Records of this revision and later ones.", AT),
                ],
            ),
        ),
        (
            "health",
            {
                "get": {
                    "operationId": "getHealth",
                    "summary": "Whether the server process answers",
                    "responses": {
                        "200": _answer("It does", "Health"),
                        "400": _answer("BAD_PARAMETER", "ErrorBody"),
                    },
                }
            },
        ),
        (
            "ready",
            {
                "get": {
                    "operationId": "getReady",
                    "summary": "Whether the cluster can be read from the consensus store",
                    "responses": {
                        "200": _answer("It can", "Ready"),
                        "400": _answer("BAD_PARAMETER", "ErrorBody"),
                        "404": _answer("CLUSTER_NOT_FOUND", "ErrorBody"),
                        "500": _answer("INTERNAL", "ErrorBody"),
                        "502": _answer(FAILED["502"], "ErrorBody"),
                        "503": _answer(
                            "STORE_UNAVAILABLE, STORE_TLS_FAILED, KERNEL_BUSY", "ErrorBody"
                        ),
                    },
                }
            },
        ),
        (
            "openapi.json",
            {
                "get": {
                    "operationId": "getOpenapi",
                    "summary": "This document",
                    "responses": {
                        "200": {
                            "description": "OpenAPI 3.1",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        },
                        "400": _answer("BAD_PARAMETER", "ErrorBody"),
                    },
                }
            },
        ),
    ]


def _operation(
    method: str,
    name: str,
    summary: str,
    model: str,
    errors: Mapping[str, str],
    *,
    parameters: list[dict[str, Any]],
    body: str | None = None,
) -> dict[str, Any]:
    sent = {} if body is None else {"requestBody": {"required": True, "content": _json(body)}}
    return {
        method: {
            "operationId": name,
            "summary": summary,
            "security": [{"bearer": []}],
            "parameters": parameters,
            **sent,
            "responses": {"200": _answer("The answer", model)}
            | {status: _answer(codes, "ErrorBody") for status, codes in sorted(errors.items())},
        }
    }


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "style": "form",
        "explode": False,
        "description": description,
        "schema": schema,
    }


def _time() -> dict[str, Any]:
    return TypeAdapter(Time).json_schema() | {"format": "date-time"}


def _command() -> dict[str, Any]:
    return _path("command", {"type": "string", "enum": list(COMMANDS)})


def _path(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _answer(description: str, model: str) -> dict[str, Any]:
    return {"description": description, "content": _json(model)}


def _json(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": TEMPLATE.format(model=model)}}}


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    """Every key is always present, also one that has a value when nobody gives one."""
    if "properties" not in schema:
        return schema
    return schema | {"required": list(schema["properties"])}
