"""The topology as a picture: every node a box below the one it streams from."""

from collections.abc import Sequence

from aeroctl.safe_text import safe, width
from aeroctl.views.blocks import Cell, Flagged, sized
from aeroctl.views.nodes import NodeRow, state_cell, timeline_cell
from aeroctl.views.pictures.html import Markup, element, joined, words
from aeroctl.views.pictures.topology import branches

CHARACTER = 8
"""Pixels that one column of the pictures' monospaced type takes at most."""
_INDENT, _LINE, _PADDING, _BETWEEN = 36, 18, 12, 14


def topology_svg(nodes: Sequence[NodeRow], since: int | None) -> Markup:
    """One picture of all nodes. `since`: the revision since which there is a leader, if there is
    one.
    """
    by_name = {node.name: node for node in nodes}
    drawn = [
        (len(branch.last), by_name[str(branch.cells[0])])
        for branch in branches(nodes, lambda node: (node.name,))
    ]
    texts = [_lines(node, since) for _, node in drawn]
    longest = max((width(safe(words(cell))) for lines in texts for cell in lines), default=0)
    across = 2 * _PADDING + CHARACTER * longest
    boxes: list[Markup] = []
    lines: list[Markup] = []
    above: list[int] = []  # for each level down to here, where its box ends
    top = wide = 1
    for (depth, node), text in zip(drawn, texts, strict=True):
        left = 1 + depth * _INDENT
        high = 2 * _PADDING + _LINE * len(text) - 4
        if depth:
            middle = top + high // 2
            path = f"M{left - _INDENT // 2} {above[depth - 1]}V{middle}H{left}"
            lines.append(element("path", d=path, class_="stream"))
        boxes.append(_box(node, text, left, top, across, high))
        above[depth:] = [top + high]
        top += high + _BETWEEN
        wide = max(wide, left + across + 1)
    high = max(top - _BETWEEN + 1, 1)
    return element(
        "svg",
        element("title", "Topology", id="topology-title"),
        element("desc", _description(drawn), id="topology-description"),
        joined(lines),
        joined(boxes),
        role="img",
        aria_labelledby="topology-title topology-description",
        width=wide,
        height=high,
        viewBox=f"0 0 {wide} {high}",
    )


def _lines(node: NodeRow, since: int | None) -> list[Cell]:
    """The lines of a node's box."""
    lines: list[Cell] = [node.name, _role(node)]
    if node.is_leader:
        lines.append(f"it is the leader since revision {words(since)}")
    lag = f", lag {words(sized(node.lag_bytes))}" if node.lag_bytes is not None else ""
    state, timeline = state_cell(node), timeline_cell(node)
    text = f"{words(state)}, timeline {words(timeline)}{lag}"
    wrong = isinstance(state, Flagged) or isinstance(timeline, Flagged)
    lines.append(Flagged(text) if wrong else text)
    if node.leader_disagreement:
        held = "holds the leader key" if node.is_leader else "does not hold the leader key"
        writable = "writable" if node.writable else "not writable"
        lines.append(Flagged(f"contradiction: {held}, {writable}"))
    return lines


def _role(node: NodeRow) -> Cell:
    return Flagged(node.summary) if node.leader_disagreement else node.summary


def _box(
    node: NodeRow, text: Sequence[Cell], left: int, top: int, across: int, high: int
) -> Markup:
    styles = ["node"]
    if node.is_leader:
        styles.append("holder")
    if not node.registered:
        styles.append("absent")
    if node.leader_disagreement:
        styles.append("wrong")
    texts = (
        element(
            "text",
            words(cell),
            x=left + _PADDING,
            y=top + _PADDING + 10 + _LINE * at,
            class_="flagged" if isinstance(cell, Flagged) else "name" if at == 0 else None,
        )
        for at, cell in enumerate(text)
    )
    return joined(
        [
            element(
                "rect", x=left, y=top, width=across, height=high, rx=6, class_=" ".join(styles)
            ),
            *texts,
        ]
    )


def _description(drawn: Sequence[tuple[int, NodeRow]]) -> str:
    if not drawn:
        return "There are no nodes."
    return " ".join(f"{node.name}: {words(_role(node))}." for _, node in drawn)
