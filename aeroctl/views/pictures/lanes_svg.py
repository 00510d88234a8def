"""The lanes as pictures: who was there, who held the leader key, and what happened, node by node.

One column is one revision: what one revision did happened at once. Columns are in the kernel's
order and tell nothing about how long anything took (P7-D1). Columns are cut into bands that fit a
window or a sheet of paper; nothing is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

from aeroctl.safe_text import safe, width
from aeroctl.views.entries import Entry, is_failure
from aeroctl.views.pictures.html import Markup, element, joined
from aeroctl.views.pictures.presence import Presence, presence
from aeroctl.views.pictures.topology_svg import CHARACTER

if TYPE_CHECKING:
    from aeroctl.contract.events import Standing

Shape = Literal[
    "gained", "lost", "crash", "change", "cluster", "asked", "dispatched", "executed", "refused"
]
LEGEND: tuple[tuple[Shape, str], ...] = (
    ("gained", "leader key taken"),
    ("lost", "leader key lost"),
    ("crash", "lease ended, or crashed"),
    ("change", "joined, left, or a change of role, state or timeline"),
    ("cluster", "transfer, pause, setting, synchronous set or end of a timeline"),
    ("asked", "request recorded or confirmed"),
    ("dispatched", "request dispatched"),
    ("executed", "outcome: executed"),
    ("refused", "refused, or another outcome"),
)
CLUSTER = "cluster"
"""The label of the lane for what is about no node that has a lane."""

_OF_RECORDS: Mapping[str, Shape] = {"dispatched": "dispatched", "refused": "refused"}
_SHAPES = [shape for shape, _ in LEGEND]
_LANE, _SLOT, _FOOT, _TICK = 30, 16, 8, 6.2
_BAND = 1000
"""Pixels of columns in one band; so wide a picture fits a sheet of paper."""
_FEW = 24
"""So many lanes are drawn in every band, also of nodes that nothing happens to."""


@dataclass(frozen=True, slots=True)
class PageEntries:
    """The entries of a page, in order. `ids`: the anchor of each entry in the page;
    `descriptions`: what it says. `base`: the state before the first entry.
    """

    base: "Standing"
    entries: Sequence[Entry]
    ids: Sequence[str]
    descriptions: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Column:
    """One revision. Lanes and shapes to the places of their entries in the page."""

    revision: int
    time: str | None
    first: int
    marks: dict[str | None, dict[Shape, list[int]]]
    unknown: bool
    """It lies in a gap: of what happened here, not all is known."""
    before: Presence
    after: Presence

    @property
    def across(self) -> int:
        """Its width."""
        return _SLOT * max([1, *(len(shapes) for shapes in self.marks.values())]) + 4


@dataclass(frozen=True, slots=True)
class Band:
    """One picture. `left_out`: how many nodes have no lane in it, as nothing happened to them."""

    picture: Markup
    left_out: int


def bands(page: PageEntries) -> list[Band]:
    """The pictures, in order; none where nothing happened."""
    names = _names(page)
    cut = list(_cut(list(_columns(page, names))))
    return [
        _band(page, names, columns, f"lanes, {number} of {len(cut)}", f"lanes-{number}")
        for number, columns in enumerate(cut, 1)
    ]


def icon(shape: Shape) -> Markup:
    """A mark by itself, for the legend."""
    return _icon(_mark(shape, 8, 8))


def line_icon(style: str) -> Markup:
    """A lane by itself, for the legend. `style`: holds, there or gap."""
    if style == "gap":
        return _icon(element("rect", x=0, y=1, width=16, height=14, class_="gap"))
    return _icon(element("path", d="M0 8H16", class_=style))


def _icon(inner: Markup) -> Markup:
    return element(
        "svg", inner, width=16, height=16, viewBox="0 0 16 16", class_="icon", aria_hidden="true"
    )


def _names(page: PageEntries) -> list[str]:
    """Every node that is ever spoken of as one, by name."""
    names = {node.name for node in page.base.nodes}
    if page.base.leader is not None:
        names.add(page.base.leader.node)
    names |= {entry.node for entry in page.entries if entry.source == "event" and entry.node}
    return sorted(names)


def _columns(page: PageEntries, names: Sequence[str]) -> Iterator[_Column]:
    """The revisions, each with what stood before and after it; before the base, nothing is
    known.
    """
    base, lanes = page.base, frozenset(names)
    start = presence(base)
    standing, based = Presence(), False
    missing = 0  # last revision of the gap that was reached
    for revision, places in _by_revision(page.entries):
        if not based and revision > base.revision:
            standing, based = start, True
        before = standing
        marks: dict[str | None, dict[Shape, list[int]]] = {}
        for place in places:
            entry = page.entries[place]
            if entry.kind == "gap":
                missing = entry.after if isinstance(entry.after, int) else revision
                standing = Presence()
                continue
            standing = standing.after(entry)
            lane = entry.node if entry.node in lanes else None
            marks.setdefault(lane, {}).setdefault(_shape(entry), []).append(place)
        yield _Column(
            revision=revision,
            time=next((page.entries[at].time for at in places if page.entries[at].time), None),
            first=places[0],
            marks=marks,
            unknown=revision <= missing,
            before=before,
            after=standing,
        )


def _by_revision(entries: Sequence[Entry]) -> Iterator[tuple[int, list[int]]]:
    grouped = groupby(range(len(entries)), key=lambda place: entries[place].revision)
    return ((revision, list(places)) for revision, places in grouped)


def _style(stood: Presence, name: str) -> str | None:
    """Of a node's line; None: no line."""
    return "holds" if name == stood.holder else "there" if name in stood.there else None


def _shape(entry: Entry) -> Shape:
    if entry.source == "audit":
        if entry.kind == "outcome":
            return "executed" if entry.outcome == "executed" else "refused"
        return _OF_RECORDS.get(entry.kind, "asked")
    if is_failure(entry):
        return "crash"
    if entry.kind == "leader_gained":
        return "gained"
    if entry.kind == "leader_lost":
        return "lost"
    of_a_node = entry.kind.startswith(("member_", "role_", "state_", "replication_"))
    return "change" if of_a_node or entry.kind == "timeline_changed" else "cluster"


def _cut(columns: Sequence[_Column]) -> Iterator[list[_Column]]:
    band: list[_Column] = []
    across = 0
    for column in columns:
        if band and across + column.across > _BAND:
            yield band
            band, across = [], 0
        band.append(column)
        across += column.across
    if band:
        yield band


def _band(
    page: PageEntries, names: Sequence[str], columns: Sequence[_Column], title: str, name: str
) -> Band:
    """A picture of some columns. The first lane is the cluster's."""
    busy = {lane for column in columns for lane in column.marks}
    busy |= {stood.holder for column in columns for stood in (column.before, column.after)}
    lanes = names if len(names) <= _FEW else [node for node in names if node in busy]
    return Band(_picture(page, [None, *lanes], columns, title, name), len(names) - len(lanes))


def _picture(
    page: PageEntries,
    lanes: Sequence[str | None],
    columns: Sequence[_Column],
    title: str,
    name: str,
) -> Markup:
    labels = [CLUSTER if lane is None else safe(lane) for lane in lanes]
    gutter = CHARACTER * max(map(width, labels), default=0) + 12
    ticks = [_tick(column) for column in columns]
    head = round(_TICK * max(map(len, ticks))) + 12
    lefts = [gutter]
    for column in columns:
        lefts.append(lefts[-1] + column.across)
    across, high = lefts[-1] + _FOOT, head + _LANE * len(lanes) + _FOOT
    drawn: list[Markup] = []
    for at, (lane, label) in enumerate(zip(lanes, labels, strict=True)):
        middle = head + _LANE * at + _LANE // 2
        style = "cluster" if lane is None else "name"
        drawn.append(element("text", label, x=0, y=middle + 4, class_=style))
        drawn.append(element("path", d=f"M{gutter} {middle}H{lefts[-1]}", class_="ground"))
        if lane is not None:
            drawn += _lines(lane, columns, lefts, middle)
    for column, left, tick in zip(columns, lefts[:-1], ticks, strict=True):
        if column.unknown:
            drawn.append(
                element(
                    "rect",
                    x=left,
                    y=head,
                    width=column.across,
                    height=_LANE * len(lanes),
                    class_="gap",
                )
            )
        drawn.append(_label(page, column, left, head, tick))
        for lane, shapes in column.marks.items():
            middle = head + _LANE * lanes.index(lane) + _LANE // 2
            drawn += _marks(page, column, shapes, left, middle)
    summary = (
        f"Revisions {columns[0].revision} to {columns[-1].revision}, from left to right in the "
        "kernel's order. The table of the timeline has the same in words."
    )
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", summary, id=f"{name}-description"),
        joined(drawn),
        role="group",
        aria_labelledby=f"{name}-title {name}-description",
        width=across,
        height=high,
        viewBox=f"0 0 {across} {high}",
    )


def _lines(
    lane: str, columns: Sequence[_Column], lefts: Sequence[int], middle: int
) -> Iterator[Markup]:
    """A lane's bars and lines: each a run of one state, which changes in the middle of a column."""
    pieces: list[tuple[str | None, int, int]] = []
    for column, left in zip(columns, lefts, strict=False):
        right = left + column.across
        centre = left + column.across // 2
        if column.unknown:
            pieces.append((None, left, right))
        else:
            pieces.append((_style(column.before, lane), left, centre))
            pieces.append((_style(column.after, lane), centre, right))
    for style, run in groupby(pieces, key=itemgetter(0)):
        if style is not None:
            run_of = list(run)
            yield element("path", d=f"M{run_of[0][1]} {middle}H{run_of[-1][2]}", class_=style)


def _tick(column: _Column) -> str:
    return f"{column.revision} {column.time[11:19]}" if column.time else str(column.revision)


def _label(page: PageEntries, column: _Column, left: int, head: int, tick: str) -> Markup:
    """The revision, and the time of day where one is known, upright above its column."""
    centre = left + column.across // 2
    place = f"translate({centre + 4} {head - 6}) rotate(-90)"
    return element(
        "a",
        element("path", d=f"M{centre} {head - 3}V{head}", class_="tick"),
        element("text", tick, transform=place, class_="tick"),
        href=f"#{page.ids[column.first]}",
    )


def _marks(
    page: PageEntries, column: _Column, shapes: Mapping[Shape, list[int]], left: int, middle: int
) -> Iterator[Markup]:
    """The marks of a lane in a column, beside each other; each leads to what it stands for."""
    start = left + (column.across - _SLOT * len(shapes)) // 2 + _SLOT // 2
    ordered = sorted(shapes, key=_SHAPES.index)
    for at, shape in enumerate(ordered):
        text = "; ".join(page.descriptions[place] for place in shapes[shape])
        yield element(
            "a",
            element("title", f"revision {column.revision}: {text}"),
            _mark(shape, start + _SLOT * at, middle),
            href=f"#{page.ids[shapes[shape][0]]}",
        )


def _mark(shape: Shape, x: int, y: int) -> Markup:
    """One mark around a point. Shapes differ, not only colours."""
    paths = {
        "gained": f"M{x - 6} {y + 5}L{x} {y - 6}L{x + 6} {y + 5}Z",
        "lost": f"M{x - 6} {y - 5}L{x} {y + 6}L{x + 6} {y - 5}Z",
        "crash": f"M{x - 5} {y - 5}L{x + 5} {y + 5}M{x + 5} {y - 5}L{x - 5} {y + 5}",
        "cluster": f"M{x} {y - 6}L{x + 6} {y}L{x} {y + 6}L{x - 6} {y}Z",
        "asked": f"M{x - 5} {y - 5}H{x + 5}V{y + 5}H{x - 5}Z",
        "dispatched": f"M{x - 5} {y - 6}L{x + 6} {y}L{x - 5} {y + 6}Z",
        "executed": f"M{x - 5} {y - 5}H{x + 5}V{y + 5}H{x - 5}Z",
        "refused": f"M{x - 5} {y - 5}H{x + 5}V{y + 5}H{x - 5}ZM{x - 5} {y - 5}L{x + 5} {y + 5}"
        f"M{x + 5} {y - 5}L{x - 5} {y + 5}",
    }
    if shape == "change":
        return element("circle", cx=x, cy=y, r=4, class_="mark change")
    return element("path", d=paths[shape], class_=f"mark {shape}")
