"""The published document is valid and describes what is served."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import ValidationError

from aeroctl.contract.base import Model
from aeroctl.contract.explanation import ExplainRequest
from aeroctl.contract.openapi import document
from aeroctl.contract.requests import CommandRequest

SENT: list[type[Model]] = [ExplainRequest, CommandRequest]


def test_it_is_openapi() -> None:
    assert not list(OpenAPIV31SpecValidator(document()).iter_errors())


def test_it_is_the_same_each_time() -> None:
    assert document() == document()


def test_every_key_of_every_model_is_required() -> None:
    schemas = document()["components"]["schemas"]
    assert {"SnapshotEnvelope", "Health", "ErrorBody", "Node", "NodeWal"} <= set(schemas)
    for name, schema in schemas.items():
        assert set(schema["properties"]) == set(schema["required"]), name


def test_every_operation_is_described() -> None:
    operations = {
        (method, path) for path, methods in document()["paths"].items() for method in methods
    }
    assert operations == {
        ("get", "/v1/snapshot"),
        ("post", "/v1/explain/{command}"),
        ("post", "/v1/commands/{command}"),
        ("get", "/v1/requests/{id}"),
        ("get", "/v1/events"),
        ("get", "/v1/revisions"),
        ("get", "/v1/audit"),
        ("get", "/v1/health"),
        ("get", "/v1/ready"),
        ("get", "/v1/openapi.json"),
    }


def test_what_is_sent_has_no_room_for_more() -> None:
    schemas = document()["components"]["schemas"]
    for name in ("ExplainRequest", "CommandRequest", "Confirmation", "Client"):
        assert schemas[name]["additionalProperties"] is False


def schema_of(name: str) -> dict[str, Any]:
    """One of the document's schemas, with what it refers to."""
    return document() | {"$ref": f"#/components/schemas/{name}"}


def allowed(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What a schema allows, as far as ours go."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return allowed(document()["components"]["schemas"][name])
    if "anyOf" in schema:
        return st.one_of([allowed(each) for each in schema["anyOf"]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    if schema["type"] == "object":
        return st.fixed_dictionaries(
            {name: allowed(each) for name, each in schema["properties"].items()}
        )
    if schema["type"] == "array":
        return st.lists(allowed(schema["items"]), max_size=schema.get("maxItems", 50))
    if schema["type"] == "integer":
        last = schema.get("maximum", schema.get("exclusiveMaximum", 2**53) - 1)
        whole = st.integers(schema.get("minimum", -(2**53)), last)
        return whole | whole.map(float)  # 57.0 is an integer there
    if schema["type"] == "string":
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        if "pattern" not in schema:
            return st.text(alphabet=st.characters(codec="utf-8"), min_size=low, max_size=high)
        text = st.from_regex(schema["pattern"], fullmatch=True)
        return text.filter(lambda each: low <= len(each) <= (high or len(each)))
    return {"boolean": st.booleans(), "null": st.none()}[schema["type"]]


def accepted(model: type[Model], sent: Any) -> bool:
    try:
        model.model_validate_json(json.dumps(sent))
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("model", SENT)
def test_what_it_allows_is_accepted(model: type[Model]) -> None:
    schema = schema_of(model.__name__)

    @given(allowed({"$ref": f"#/components/schemas/{model.__name__}"}))
    def hold(sent: Any) -> None:
        Draft202012Validator(schema).validate(sent)
        assert accepted(model, sent)

    hold()


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet=st.characters(codec="utf-8")),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(alphabet=st.characters(codec="utf-8")), st.integers(), max_size=2),
)


@pytest.mark.parametrize("model", SENT)
def test_what_is_refused_is_not_allowed(model: type[Model]) -> None:
    """A document in which something is odd, missing or too much: both say the same of it."""
    validator = Draft202012Validator(schema_of(model.__name__))

    @given(allowed({"$ref": f"#/components/schemas/{model.__name__}"}), st.data())
    def hold(sent: Any, data: st.DataObject) -> None:
        places = [sent, *(each for each in sent.values() if isinstance(each, dict))]
        place = data.draw(st.sampled_from(places))
        name = data.draw(st.sampled_from([*place, "more"]))
        if data.draw(st.booleans()):
            place.pop(name, None)
        else:
            place[name] = data.draw(ODD)
        assert accepted(model, sent) == validator.is_valid(sent)

    hold()
