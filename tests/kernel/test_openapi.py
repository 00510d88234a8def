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
