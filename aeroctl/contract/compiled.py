"""The contract's validator without the models: for a start-up that does not import pydantic.

It accepts and refuses exactly what `SnapshotEnvelope` does, and gives objects with the same
attributes.
"""

from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic_core import SchemaError, SchemaValidator

from aeroctl.contract import checks
from aeroctl.contract.snapshot_schema import SCHEMA

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

    from aeroctl.contract.envelope import SnapshotEnvelope


class Record:
    """What a model's instance is here: its fields, immutable (state model 4.2)."""

    # pydantic_core sets three attributes of its own; in slots they stay out of `vars`.
    __slots__ = (
        "__dict__",
        "__pydantic_extra__",
        "__pydantic_fields_set__",
        "__pydantic_private__",
    )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Kernel state is read, never changed."""
        raise AttributeError(f"{name}: kernel state is immutable")


def parse_snapshot(body: bytes | bytearray) -> "SnapshotEnvelope":
    """The answer to GET /v1/snapshot. Raises pydantic_core.ValidationError."""
    return cast("SnapshotEnvelope", _validator().validate_json(body))


def _validator() -> SchemaValidator:
    try:
        return SchemaValidator(cast("CoreSchema", _assembled(SCHEMA)))
    except SchemaError:
        # A pydantic_core that reads this tree in another way than the one that it was made for.
        from pydantic import TypeAdapter

        from aeroctl.contract.envelope import SnapshotEnvelope

        return cast("SchemaValidator", TypeAdapter(SnapshotEnvelope).validator)


def _assembled(node: Any) -> Any:
    """The tree with a class for every model and a function for every check."""
    if isinstance(node, list):
        return [_assembled(each) for each in node]
    if not isinstance(node, dict):
        return node
    inner = {key: _assembled(value) for key, value in node.items()}
    if "check" in node:
        function = {"type": "no-info", "function": getattr(checks, node["check"])}
        return {"type": "function-after", "function": function, "schema": inner["schema"]}
    if "cls" in node:
        inner["cls"] = type(node["cls"], (Record,), {"__slots__": ()})
    return inner
