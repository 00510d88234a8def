"""View `diff`: what is different between two snapshots, value by value."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from aeroctl.contract.terms import NODE_SECTIONS, SECTIONS, Section
from aeroctl.views.blocks import Block, Cell, Facts, Grid

if TYPE_CHECKING:
    from aeroctl.contract.envelope import ObservedAt, Snapshot, SnapshotEnvelope

Scalar = str | int | float | bool | None
Place = tuple[str | None, str]
"""Node and path: where in a section a value is."""

# By what a member of a list is the same in another snapshot. Names and words are what they are.
_IDENTITY = {
    "history": ("timeline",),
    "senders": ("application_name",),
    "slots": ("name",),
    "horizon": ("kind",),
    "prepared_transactions": ("gid",),
    "active": ("kind", "holder"),
    "base_backups": ("pid",),
}
_PLAIN = re.compile(r"[\w.:/ -]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Side:
    """Which kernel state is compared, as the kernel says it (`observed_at`)."""

    kind: str
    revision: int
    state_digest: str
    time: str | None
    clock: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs; null: there is none.

    `change`: `added` and `removed` where only one side has what the value belongs to.
    """

    section: Section
    node: str | None
    path: str
    change: Literal["changed", "added", "removed"]
    before: Scalar
    after: Scalar


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A node that could not be asked for these sections, before or after or both times."""

    node: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class DiffView:
    """`changes` by section, node and path, but another cluster's system id before all others."""

    before: Side
    after: Side
    not_compared: tuple[Section, ...]
    """Sections that one side or both do not hold."""
    unanswered: tuple[Unanswered, ...]
    """Of these nodes' sections only `unavailable` is compared."""
    changes: tuple[Change, ...]


def diff(before: "SnapshotEnvelope", after: "SnapshotEnvelope") -> DiffView:
    """What has to change in `before` to become `after`, in the sections that both hold."""
    was, now = before.data, after.data
    sections = [name for name in SECTIONS if None not in (getattr(was, name), getattr(now, name))]
    silent = _silent(was, sections) | _silent(now, sections)
    return DiffView(
        before=_side(before.observed_at),
        after=_side(after.observed_at),
        not_compared=tuple(name for name in SECTIONS if name not in sections),
        unanswered=tuple(
            Unanswered(node, tuple(name for name in sections if (name, node) in silent))
            for node in sorted({node for _, node in silent})
        ),
        changes=tuple(
            change
            for name in sections
            for change in _changes(name, values(was, name, silent), values(now, name, silent))
        ),
    )


def values(
    snapshot: "Snapshot", section: Section, silent: set[tuple[Section, str]]
) -> dict[Place, Scalar]:
    """Every value of a section by its place; of a node in `silent`, only why there is none."""
    found: dict[Place, Scalar] = {}
    held = getattr(snapshot, section)
    for part in held if isinstance(held, list) else [held]:
        node, value, inside = None, part, ""
        if section == "nodes":
            node = part.name
        elif section in NODE_SECTIONS:
            node, value = part.node, part.value
            if (section, node) in silent:
                value, inside = part.unavailable, "unavailable"
        for path, scalar in _leaves(value, inside, inside):
            found[node, path] = scalar
    return found


def _silent(snapshot: "Snapshot", sections: Sequence[Section]) -> set[tuple[Section, str]]:
    return {
        (section, row.node)
        for section in sections
        if section in NODE_SECTIONS
        for row in getattr(snapshot, section)
        if row.unavailable is not None
    }


def _leaves(value: Any, path: str, name: str) -> Iterator[tuple[str, Scalar]]:
    """The scalars in a value of the contract, with their paths. `name`: the last word of `path`."""
    if value is None or isinstance(value, str | int | float):
        yield path, value
    elif isinstance(value, list):
        met: Counter[str] = Counter()
        for number, member in enumerate(value):
            place = f"{path}{_key(member, name, number)}"
            met[place] += 1
            again = f"[{met[place]}]" if met[place] > 1 else ""
            yield from _leaves(member, place + again, name)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}[{_quoted(key)}]", name)
    else:
        for field, inner in vars(value).items():
            yield from _leaves(inner, f"{path}.{field}" if path else field, field)


def _key(member: Any, name: str, number: int) -> str:
    """Which member of the list `name` it is."""
    if isinstance(member, str):
        return f"[{_quoted(member)}]"
    fields = _IDENTITY.get(name)
    if fields is None:
        return f"[{number}]"
    return f"[{_quoted(' '.join(str(getattr(member, field)) for field in fields))}]"


def _quoted(key: str) -> str:
    """A key as it is, or as JSON where it might be taken for another part of the path."""
    return key if _PLAIN.fullmatch(key) else json.dumps(key)


def _changes(
    section: Section, was: Mapping[Place, Scalar], now: Mapping[Place, Scalar]
) -> list[Change]:
    found = []
    for place in was.keys() | now.keys():
        before, after = was.get(place), now.get(place)
        if place in was and place in now:
            if (type(before), before) != (type(after), after):  # 1 is not true
                found.append(Change(section, *place, "changed", before, after))
        # No value where there is nothing to have one is no difference; a tag without value is.
        elif (before, after) != (None, None) or place[1].endswith("]"):
            change: Literal["added", "removed"] = "added" if place in now else "removed"
            found.append(Change(section, *place, change, before, after))
    return sorted(found, key=_order)


def _order(change: Change) -> tuple[bool, str, str]:
    other_cluster = (change.section, change.path) == ("cluster", "system_id")
    return not other_cluster, change.node or "", change.path


def _side(observed: "ObservedAt") -> Side:
    return Side(
        observed.kind, observed.revision, observed.state_digest, observed.time, observed.clock
    )


def remarks(view: DiffView) -> list[tuple[str, str | None, str]]:
    """What was not compared, as notes: code, subject, message."""
    noted: list[tuple[str, str | None, str]] = []
    if view.not_compared:
        words = f"not on both sides: {', '.join(view.not_compared)}"
        noted.append(("SECTION_NOT_COMPARED", None, words))
    for each in view.unanswered:
        words = f"could not be asked, on one side or both: {', '.join(each.sections)}"
        noted.append(("NODE_NOT_COMPARED", each.node, words))
    return noted


def layout(view: DiffView) -> tuple[Block, ...]:
    """Both sides, then a line per change."""
    return (
        Facts(
            (
                ("before", _words(view.before)),
                ("after", _words(view.after)),
                ("differences", len(view.changes)),
            )
        ),
        Grid(
            "SECTION NODE PATH CHANGE BEFORE AFTER",
            tuple(
                (
                    each.section,
                    each.node,
                    each.path,
                    each.change,
                    _raw(each.before),
                    _raw(each.after),
                )
                for each in view.changes
            ),
            None,
            "no difference",
        ),
    )


def _words(side: Side) -> str:
    time = "" if side.time is None else f", {side.time} by the clock of {side.clock}"
    return f"revision {side.revision}, state digest {side.state_digest}{time}"


def _raw(value: Scalar) -> Cell:
    """A value as JSON has it, and nothing where there is none."""
    return value if value is None or isinstance(value, str) else json.dumps(value)
