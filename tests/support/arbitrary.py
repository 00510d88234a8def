"""Arbitrary valid snapshots: whatever a kernel may send within the contract."""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from aeroctl.contract import base, lsn
from aeroctl.contract.cluster import Leader
from aeroctl.contract.envelope import Note, ObservedAt, Snapshot, SnapshotEnvelope
from aeroctl.contract.terms import NODE_SECTIONS

NAMES = st.sampled_from(["n1", "n2", "n3", "n4"])
TEXT = st.one_of(
    NAMES,
    st.sampled_from(
        ["2001:db8::1234:5678", "[/x]", "\x1b]52;c;aGk=\x07", "\x9b31m", ":smile:", ""]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
TIMES = st.datetimes().map(lambda when: when.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0"))


def _pattern(kind: Any) -> str:
    """The pattern of one of the contract's annotated strings."""
    pattern: str = kind.__metadata__[0].metadata[0].pattern
    return pattern


BY_PATTERN = {
    _pattern(base.Lsn): st.integers(0, 2**64 - 1).map(lsn.render),
    _pattern(base.Time): TIMES,
    _pattern(base.Xid): st.integers(0, 2**64 - 1).map(str),
}
NODE_FIELDS = {"node", "upstream", "replicate_from", "from_node", "to_node", "leader"}


def model(kind: type[BaseModel], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any valid instance of a contract model."""
    fields = {
        name: given[name]
        if name in given
        else (NAMES if name in NODE_FIELDS and field.annotation is str else _field(field))
        for name, field in kind.model_fields.items()
    }
    return st.builds(kind, **fields)


def _field(field: FieldInfo) -> st.SearchStrategy[Any]:
    return _value(field.annotation, field.metadata)


def _value(kind: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    for item in metadata:
        if (pattern := getattr(item, "pattern", None)) is not None:
            return BY_PATTERN[pattern]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of([_value(argument, []) for argument in arguments])
    if hasattr(kind, "__metadata__"):
        inner = kind.__metadata__[0]
        return _value(kind.__origin__, list(getattr(inner, "metadata", [inner])))
    if origin is list:
        return st.lists(_value(arguments[0], []), max_size=4)
    if origin is dict:
        return st.dictionaries(TEXT, _value(arguments[1], []), max_size=3)
    if kind is NoneType:
        return st.none()
    if kind is bool:
        return st.booleans()
    if kind is int:
        bounds: dict[type, Any] = {Ge: -(2**53) + 1, Le: 2**53 - 1}
        for item in metadata:
            if isinstance(item, Ge | Le):
                bounds[type(item)] = getattr(item, "ge", getattr(item, "le", None))
            elif isinstance(item, Lt):
                bounds[Le] = item.lt - 1  # type: ignore[operator]
            elif isinstance(item, Gt):
                bounds[Ge] = item.gt + 1  # type: ignore[operator]
        return st.integers(bounds[Ge], bounds[Le])
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind is str:
        return TEXT
    if issubclass(kind, base.Observation):
        return _observation(kind)
    return model(kind)


def _observation(kind: Any) -> st.SearchStrategy[Any]:
    value = _value(get_args(kind.model_fields["value"].annotation)[0], [])
    seen = st.builds(kind, node=NAMES, value=value, unavailable=st.none())
    unseen = st.builds(kind, node=NAMES, value=st.none(), unavailable=model(base.Unavailable))
    return st.one_of(seen, unseen)


def _consistent(drawn: tuple[dict[str, Any], bool]) -> Snapshot:
    """One row per node, one holder at most, and every node measured: what the contract demands."""
    sections, held = drawn
    nodes = list({node.name: node for node in sections["nodes"]}.values())
    holder = nodes[0].name if nodes and held else None
    nodes = [node.model_copy(update={"is_leader": node.name == holder}) for node in nodes]
    leader = None if holder is None else Leader(node=holder, since=46)
    for section in ("cluster", "promotion"):
        sections[section] = sections[section].model_copy(update={"leader": leader})
    for section in NODE_SECTIONS:
        kind = get_args(get_args(Snapshot.model_fields[section].annotation)[0])[0]
        observed = {each.node: each for each in sections[section]}
        silent = base.Unavailable(code="NODE_TIMEOUT", message="no answer within 3 seconds")
        sections[section] = [
            observed.get(node.name, kind(node=node.name, value=None, unavailable=silent))
            for node in nodes
        ]
    return Snapshot(**{**sections, "nodes": nodes})


def _all_sections() -> st.SearchStrategy[Snapshot]:
    sections = {
        name: _value(get_args(field.annotation)[0], [])
        for name, field in Snapshot.model_fields.items()
    }
    return st.tuples(st.fixed_dictionaries(sections), st.booleans()).map(_consistent)


SNAPSHOTS: st.SearchStrategy[Snapshot] = _all_sections()
ENVELOPES: st.SearchStrategy[SnapshotEnvelope] = st.builds(
    SnapshotEnvelope,
    api_version=st.just("v1"),
    observed_at=model(ObservedAt),
    data=SNAPSHOTS,
    notes=st.lists(model(Note), max_size=2),
)
