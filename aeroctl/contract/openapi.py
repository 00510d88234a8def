"""The OpenAPI document of the kernel API, built from the models themselves."""

from typing import Any

from pydantic.json_schema import models_json_schema

from aeroctl.contract.base import API_VERSION
from aeroctl.contract.envelope import Health, SnapshotEnvelope
from aeroctl.contract.errors import ErrorBody
from aeroctl.contract.terms import MEASURED, SECTIONS, STORED

TEMPLATE = "#/components/schemas/{model}"


def document() -> dict[str, Any]:
    """OpenAPI 3.1, as JSON values. The same for every kernel that serves this contract."""
    _, schemas = models_json_schema(
        [(model, "serialization") for model in (SnapshotEnvelope, Health, ErrorBody)],
        ref_template=TEMPLATE,
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AeroDB kernel API",
            "version": API_VERSION,
            "description": "Every key is always present; null means that there is no value.",
        },
        "paths": {
            f"/{API_VERSION}/snapshot": {
                "get": {
                    "operationId": "getSnapshot",
                    "summary": "One consistent snapshot of the kernel's state",
                    "security": [{"bearer": []}],
                    "parameters": [
                        _parameter(
                            "include",
                            f"Sections, separated by commas. Without it: all of them; of history, "
                            f"{', '.join(STORED)}.",
                            {"type": "array", "items": {"enum": list(SECTIONS)}, "minItems": 1},
                        ),
                        _parameter(
                            "at",
                            f"A commit of history. It holds no {', '.join(MEASURED)}.",
                            {"type": "integer", "minimum": 1, "exclusiveMaximum": 2**53},
                        ),
                    ],
                    "responses": {
                        "200": _answer("The snapshot", "SnapshotEnvelope"),
                        "400": _error("BAD_PARAMETER, FUTURE_COMMIT"),
                        "401": _error("UNAUTHENTICATED"),
                        "404": _error("CLUSTER_NOT_FOUND"),
                        "409": _error("SECTION_NOT_IN_HISTORY"),
                        "410": _error("COMMIT_COMPACTED"),
                        "500": _error("INTERNAL"),
                        "502": _error("STORE_REFUSED, KERNEL_STATE_UNREADABLE"),
                        "503": _error(
                            "STORE_UNAVAILABLE, SNAPSHOT_UNSTABLE, TOKEN_FILE_UNREADABLE"
                        ),
                    },
                }
            },
            f"/{API_VERSION}/health": {
                "get": {
                    "operationId": "getHealth",
                    "summary": "Whether the server process answers",
                    "responses": {"200": _answer("It does", "Health")},
                }
            },
            f"/{API_VERSION}/openapi.json": {
                "get": {
                    "operationId": "getOpenapi",
                    "summary": "This document",
                    "responses": {
                        "200": {
                            "description": "OpenAPI 3.1",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        }
                    },
                }
            },
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas["$defs"],
        },
    }


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "style": "form",
        "explode": False,
        "description": description,
        "schema": schema,
    }


def _answer(description: str, model: str) -> dict[str, Any]:
    reference = {"schema": {"$ref": TEMPLATE.format(model=model)}}
    return {"description": description, "content": {"application/json": reference}}


def _error(codes: str) -> dict[str, Any]:
    return _answer(codes, "ErrorBody")
