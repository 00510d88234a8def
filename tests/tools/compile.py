"""Compiles the contract's models for a fast start: `make contract`.

Importing pydantic and building the models takes longer than everything else that aeroctl does for
one answer. What the models come down to is a core schema, a tree of plain data, from which
pydantic's own validator (pydantic_core) can be built without either. This prints that tree as
`aeroctl/contract/snapshot_schema.py`; a test holds the two together.
"""

import sys
from typing import Any

from aeroctl.contract.envelope import SnapshotEnvelope

# What names a Python object, or serves pydantic's own bookkeeping.
_LEFT_OUT = {"metadata", "ref", "generic_origin", "custom_init", "root_model", "computed_fields"}
_CONFIG = {"strict", "extra_fields_behavior"}


def compiled() -> str:
    """The text of `snapshot_schema.py`."""
    tree = _plain(SnapshotEnvelope.__pydantic_core_schema__)
    heading = '"""Made from the models: make contract (tests/tools/compile.py)."""'
    return f"{heading}\n\nSCHEMA = {tree!r}\n"


def _plain(node: Any) -> Any:
    """A core schema without Python objects: classes and checks by their names."""
    if isinstance(node, list | tuple):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "function-after":
        return {"check": node["function"]["function"].__name__, "schema": _plain(node["schema"])}
    plain = {key: _plain(value) for key, value in node.items() if key not in _LEFT_OUT | {"cls"}}
    if "cls" in node:
        plain["cls"] = node["cls"].__name__
        plain["config"] = {key: node["config"][key] for key in sorted(_CONFIG)}
    return plain


if __name__ == "__main__":
    sys.stdout.write(compiled())
