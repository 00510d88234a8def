"""Sorting and filtering the rows of a view (state model 5.1: sorted or filtered views)."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from operator import eq, ge, gt, le, lt, ne
from typing import Any, TypeVar, get_args, get_type_hints

from aeroctl.contract.lsn import parse

Data = TypeVar("Data")

# Longest first: `<=` must not be read as `<`.
_OPERATORS: tuple[tuple[str, Callable[[Any, Any], bool]], ...] = (
    ("!=", ne),
    ("<=", le),
    (">=", ge),
    ("=", eq),
    ("<", lt),
    (">", gt),
)


class UnknownField(ValueError):
    """A sort key or filter that this view can't apply."""


def select(data: Data, rows: str, filters: Sequence[str], sort_by: str | None) -> Data:
    """`data` with the rows that match every filter, in the order asked for.

    A filter is FIELD OPERATOR VALUE with = != < <= > >=; a sort key is a field, descending with a
    leading `-`. null sorts last, equals only `null`, and is neither below nor above anything.
    """
    chosen: Sequence[Any] = getattr(data, rows)
    names = [field.name for field in fields(_row_type(data, rows))]
    for text in filters:
        name, compare, value = _parse(text, names)
        chosen = [row for row in chosen if _matches(getattr(row, name), compare, value)]
    if sort_by is not None:
        name, descending = sort_by.removeprefix("-"), sort_by.startswith("-")
        if name not in names:
            raise _unknown(name, names)
        known = [row for row in chosen if getattr(row, name) is not None]
        unknown = [row for row in chosen if getattr(row, name) is None]
        known.sort(key=lambda row: _sort_key(getattr(row, name)), reverse=descending)
        chosen = known + unknown
    return replace(data, **{rows: tuple(chosen)})  # type: ignore[type-var]


def _row_type(data: object, rows: str) -> Any:
    """The dataclass of a view's rows, from its annotation `tuple[Row, ...]`."""
    return get_args(get_type_hints(type(data))[rows])[0]


def _parse(text: str, names: list[str]) -> tuple[str, Callable[[Any, Any], bool], str]:
    for sign, compare in _OPERATORS:
        name, found, value = text.partition(sign)
        if found and name in names:
            if compare not in (eq, ne) and _number(value) is None:
                raise UnknownField(f"can't order anything against {value!r}")
            return name, compare, value
    for sign, _ in _OPERATORS:
        if sign in text:
            raise _unknown(text.partition(sign)[0], names)
    raise UnknownField(f"{text!r} is not a filter; write FIELD=VALUE, for example role=replica")


def _unknown(name: str, names: list[str]) -> UnknownField:
    return UnknownField(f"no field {name!r}; there are: {', '.join(names)}")


def _matches(field: Any, compare: Callable[[Any, Any], bool], value: str) -> bool:
    if compare in (eq, ne):
        return compare(_text(field), value)
    if field is None:
        return False
    if (number := _number(field)) is None:
        raise UnknownField(f"can't order {_text(field)!r} against {value!r}")
    return compare(number, _number(value))


def _number(value: Any) -> int | None:
    """A number, a 64-bit id or an LSN as the number that it is; None for everything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    try:
        return parse(value) if "/" in value else int(value)
    except ValueError:
        return None


def _text(field: Any) -> str:
    if field is None:
        return "null"
    return str(field).lower() if isinstance(field, bool) else str(field)


def _sort_key(value: Any) -> tuple[bool, Any]:
    number = _number(value)
    return (number is None, _text(value) if number is None else number)
