"""The published JSON Schema of each command's output, made from the types that make the output."""

from importlib import import_module
from typing import Any

from pydantic import TypeAdapter

from aeroctl.contract.base import Model
from aeroctl.contract.envelope import SnapshotEnvelope
from aeroctl.contract.errors import ErrorBody
from aeroctl.contract.evidence import EvidenceEnvelope
from aeroctl.contract.explanation import ExplanationEnvelope
from aeroctl.contract.requests import RequestEnvelope
from aeroctl.views.audit import AuditView
from aeroctl.views.diff import DiffView
from aeroctl.views.node import NodeView
from aeroctl.views.timeline import TimelineView

WHOLE: dict[str, type[Model]] = {
    "explanation": ExplanationEnvelope,
    "outcome": RequestEnvelope,
    "evidence": EvidenceEnvelope,
}
VIEWS: dict[str, type] = {
    "node": NodeView,
    "audit": AuditView,
    "timeline": TimelineView,
    "diff": DiffView,
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(name: str) -> dict[str, Any]:
    """The schema of the view `name`, of `snapshot`, or of the `error` object on stderr."""
    if name == "error":
        schema = ErrorBody.model_json_schema(mode="serialization")
        error = schema["$defs"]["Error"]
        error["properties"]["next"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
        error["required"].append("next")
        return {"$schema": DIALECT, **schema, "title": name}
    if name in WHOLE:  # the kernel's own proof, as it is
        schema = WHOLE[name].model_json_schema(mode="serialization")
        return {"$schema": DIALECT, **schema, "title": name}
    envelope: dict[str, Any] = SnapshotEnvelope.model_json_schema(mode="serialization")
    if name != "snapshot":
        kind = VIEWS.get(name) or import_module(f"aeroctl.views.{name}").VIEW.data
        data = TypeAdapter(kind).json_schema(mode="serialization", ref_template="#/$defs/{model}")
        # Only what the envelope itself needs is kept of the snapshot's own definitions.
        own = {part: envelope["$defs"][part] for part in ("ObservedAt", "Note")}
        envelope["$defs"] = {**data.pop("$defs", {}), **own}
        envelope["properties"]["data"] = data
    return {"$schema": DIALECT, **envelope, "title": name}
