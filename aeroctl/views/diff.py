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
Silent = set[tuple[Section, str]]
"""Sections and nodes: who did not answer for which."""

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
    old, new = before.data, after.data
    sections = [name for name in SECTIONS if None not in (getattr(old, name), getattr(new, name))]
    silent = _silent(old, sections) | _silent(new, sections)
    return DiffView(
        before=_side(before.observed_at),
        after=_side(after.observed_at),
        not_compared=tuple(name for name in SECTIONS if name not in sections),
        unanswered=_unanswered(sections, silent),
        changes=tuple(
            change
            for name in sections
            for change in _changes(name, values(old, name, silent), values(new, name, silent))
        ),
    )


def values(snapshot: "Snapshot", section: Section, silent: Silent) -> dict[Place, Scalar]:
    """Every value of a section by its place; of a node in `silent`, only why there is none."""
    content = getattr(snapshot, section)
    return {
        (node, path): scalar
        for part in (content if isinstance(content, list) else [content])
        for node, value, prefix in [_part(section, part, silent)]
        for path, scalar in _leaves(value, prefix, prefix)
    }


def _part(section: Section, part: Any, silent: Silent) -> tuple[str | None, Any, str]:
    """The node that a part of a section is about, the value to compare, and its path."""
    if section == "nodes":
        return part.name, part, ""
    if section not in NODE_SECTIONS:
        return None, part, ""
    if (section, part.node) in silent:
        return part.node, part.unavailable, "unavailable"
    return part.node, part.value, ""


def _unanswered(sections: Sequence[Section], silent: Silent) -> tuple[Unanswered, ...]:
    return tuple(
        Unanswered(node, tuple(name for name in sections if (name, node) in silent))
        for node in sorted({node for _, node in silent})
    )


def _silent(snapshot: "Snapshot", sections: Sequence[Section]) -> Silent:
    """Nodes that did not answer, by section."""
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
        count: Counter[str] = Counter()
        for number, member in enumerate(value):
            place = f"{path}{_key(member, name, number)}"
            count[place] += 1
            again = f"[{count[place]}]" if count[place] > 1 else ""
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
    section: Section, old: Mapping[Place, Scalar], new: Mapping[Place, Scalar]
) -> list[Change]:
    changes = (
        Change(section, *place, kind, old.get(place), new.get(place))
        for place in old.keys() | new.keys()
        if (kind := _kind(place, old, new)) is not None
    )
    return sorted(changes, key=_order)


def _kind(
    place: Place, old: Mapping[Place, Scalar], new: Mapping[Place, Scalar]
) -> Literal["changed", "added", "removed"] | None:
    """How the value at a place differs; None: it does not."""
    before, after = old.get(place), new.get(place)
    if place in old and place in new:
        same = (type(before), before) == (type(after), after)  # 1 is not true
        return None if same else "changed"
    # A place that only one side has, and without a value there, is no difference; but a tag
    # without a value is one.
    if (before, after) == (None, None) and not place[1].endswith("]"):
        return None
    return "added" if place in new else "removed"


def _order(change: Change) -> tuple[bool, str, str]:
    other_cluster = (change.section, change.path) == ("cluster", "system_id")
    return not other_cluster, change.node or "", change.path


def _side(observed: "ObservedAt") -> Side:
    return Side(
        observed.kind, observed.revision, observed.state_digest, observed.time, observed.clock
    )


def remarks(view: DiffView) -> list[tuple[str, str | None, str]]:
    """What was not compared, as notes: code, subject, message."""
    notes: list[tuple[str, str | None, str]] = []
    if view.not_compared:
        words = f"not on both sides: {', '.join(view.not_compared)}"
        notes.append(("SECTION_NOT_COMPARED", None, words))
    for unanswered in view.unanswered:
        words = f"could not be asked, on one side or both: {', '.join(unanswered.sections)}"
        notes.append(("NODE_NOT_COMPARED", unanswered.node, words))
    return notes


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
