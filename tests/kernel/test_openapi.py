"""The published document is valid and describes what is served."""

from openapi_spec_validator import OpenAPIV31SpecValidator

from aeroctl.contract.openapi import document


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
        ("get", "/v1/commits"),
        ("get", "/v1/audit"),
        ("get", "/v1/health"),
        ("get", "/v1/ready"),
        ("get", "/v1/openapi.json"),
    }


def test_what_is_sent_has_no_room_for_more() -> None:
    schemas = document()["components"]["schemas"]
    for name in ("ExplainRequest", "CommandRequest", "Confirmation", "Client"):
        assert schemas[name]["additionalProperties"] is False
