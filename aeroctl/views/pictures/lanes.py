"""The picture beside a timeline: a lane per node, top-down in the kernel's order. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aeroctl.contract.events import Standing
from aeroctl.views.entries import Entry, is_failure, nodes_of
from aeroctl.views.pictures.presence import Presence, presence

MANY = 12
"""With more nodes than this, those that never held the leader key get no lane."""

LEGEND = (
    "┃ holds the leader key  │ registered  ┏ ┗ gains, loses the leader key  ┌ └ registers, leaves  "
    "✗ lease ended, or crashed  ● changes  ◆ the leader changes  R a request's target  "
    "~ not known: a gap"
)
_MARKS = {
    "leader_gained": "┏",
    "leader_lost": "┗",
    "member_joined": "┌",
    "member_left": "└",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """The lanes' names, and for every entry that is shown a character for each, one between two."""

    lanes: tuple[str, ...]
    rows: tuple[str, ...]
    left_out: tuple[str, ...]
    """Nodes without a lane."""
    legend: str = LEGEND


@dataclass(frozen=True, slots=True)
class _Row:
    """What stood when an entry happened, itself included."""

    now: Presence
    blind: bool
    entry: Entry

    def mark(self, node: str) -> str:
        """What stands in a node's lane."""
        entry = self.entry
        if entry.kind == "gap":
            return "~"
        if entry.node == node:
            if entry.source == "audit":
                return "R"
            holds = self.now.holder == node and not self.blind
            return "✗" if is_failure(entry) else _MARKS.get(entry.kind, "◆" if holds else "●")
        if self.blind:
            return "~"
        return "┃" if self.now.holder == node else "│" if node in self.now.there else " "


def drawn(
    standings: Sequence[Standing], entries: Iterable[Entry], shown: Callable[[Entry], bool]
) -> Picture:
    """Follow all of `entries`, from the first of `standings`; a row for each that is `shown`.

    After a gap the lanes go on from the standing after it; in it nothing is known of them.
    """
    now = Presence()
    nodes: set[str] = set()
    chief: set[str] = set()
    rows: list[_Row] = []
    blind_to = 0
    left = list(standings)
    for entry in entries:
        if entry.kind == "gap":
            assert isinstance(entry.after, int)
            blind_to = entry.after
        while left and left[0].revision < max(entry.revision, blind_to + 1):
            now = presence(left.pop(0))
            nodes |= now.there | ({now.holder} if now.holder else set())
            chief |= {now.holder} if now.holder else set()
        if entry.node is not None and entry.source == "event":
            nodes.add(entry.node)
            now = now.after(entry)
        if entry.kind.startswith(("leader", "transfer")) or entry.source == "audit":
            chief |= nodes_of(entry)
        if shown(entry):
            rows.append(_Row(now, entry.revision <= blind_to, entry))
    lanes = tuple(sorted(nodes if len(nodes) <= MANY else nodes & chief))
    return Picture(
        lanes,
        tuple(
            ("~" if row.entry.kind == "gap" else " ").join(row.mark(node) for node in lanes)
            for row in rows
        ),
        tuple(sorted(nodes - set(lanes))),
    )
