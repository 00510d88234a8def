"""The OpenAPI document of the kernel API, made from the table of routes and the models."""

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from aeroctl.contract.base import API_VERSION, Model
from aeroctl.contract.error_codes import ERROR_CODES
from aeroctl.contract.errors import ErrorBody
from aeroctl.contract.queries import NoQuery
from aeroctl.contract.routes import ROUTES, NoBody, Route

TEMPLATE = "#/components/schemas/{model}"


def document() -> dict[str, Any]:
    """OpenAPI 3.1, as JSON values. The same for every kernel that serves this contract."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AeroDB kernel API",
            "version": API_VERSION,
            "description": "Every key is always present; null means that there is no value.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _schemas() -> dict[str, Any]:
    named = [model for route in ROUTES for model in (route.body, route.answer)] + [ErrorBody]
    models: list[type[Model]] = [model for model in named if model not in (None, NoBody)]
    _, schemas = models_json_schema(
        [(model, "serialization") for model in dict.fromkeys(models)], ref_template=TEMPLATE
    )
    return {name: _complete(schema) for name, schema in schemas["$defs"].items()}


def _operation(route: Route[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary}
    if not route.public:
        operation["security"] = [{"bearer": []}]
    parameters = _query(route.query)
    if route.in_path is not None:
        name, kind = route.in_path
        schema = TypeAdapter(kind).json_schema()
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    if parameters:
        operation["parameters"] = parameters
    if route.body is not NoBody:
        operation["requestBody"] = {"required": True, "content": _json(route.body)}
    answer = {"description": "The answer", "content": _json(route.answer)}
    return operation | {"responses": {"200": answer} | _errors(route)}


def _errors(route: Route[Any, Any]) -> dict[str, Any]:
    """The codes of a route, by their HTTP status."""
    codes: dict[str, list[str]] = {}
    for code in route.errors:
        codes.setdefault(str(ERROR_CODES[code].status), []).append(code)
    return {
        status: {"description": ", ".join(sorted(codes[status])), "content": _json(ErrorBody)}
        for status in sorted(codes)
    }


def _query(model: type[NoQuery]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=TEMPLATE)
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "style": "form",
            "explode": False,
            "description": field.pop("description"),
            "schema": _given(field),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _given(field: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that is given: it can be left out, but it is never null."""
    kinds: list[dict[str, Any]] = field.get("anyOf", [field])
    (kind,) = (kind for kind in kinds if kind.get("type") != "null")
    return {key: value for key, value in kind.items() if key != "title"}


def _json(model: type[Model] | None) -> dict[str, Any]:
    if model is None:
        return {"application/json": {"schema": {"type": "object"}}}
    return {"application/json": {"schema": {"$ref": TEMPLATE.format(model=model.__name__)}}}


def _complete(schema: dict[str, Any]) -> dict[str, Any]:
    """Every key is always present, also one that has a default."""
    if "properties" not in schema:
        return schema
    return schema | {"required": list(schema["properties"])}
