"""Who stands under whom, as a tree to draw."""

from collections.abc import Callable, Iterable

from aeroctl.views.blocks import Branch, Cell
from aeroctl.views.nodes import NodeRow


def branches(
    nodes: Iterable[NodeRow], cells: Callable[[NodeRow], tuple[Cell, ...]]
) -> tuple[Branch, ...]:
    """Every node once, each under its upstream, siblings in the order given.

    A node whose upstream is not among them starts a tree of its own; so does the first node of a
    ring (each streaming from the next), which no root leads to.
    """
    nodes = list(nodes)
    names = {node.name for node in nodes}
    children: dict[str | None, list[NodeRow]] = {}
    for node in nodes:
        upstream = node.upstream if node.upstream in names else None
        children.setdefault(upstream, []).append(node)
    drawn: dict[str, Branch] = {}
    for start in [*children.get(None, []), *nodes]:
        # A stack, not recursion: a chain of replicas can be longer than Python's stack is deep.
        stack: list[tuple[NodeRow, tuple[bool, ...]]] = [(start, ())]
        while stack:
            node, last = stack.pop()
            if node.name in drawn:
                continue
            drawn[node.name] = Branch(last, cells(node))
            below = [each for each in children.get(node.name, []) if each.name not in drawn]
            stack += reversed(
                [(each, (*last, each is below[-1])) for each in below],
            )
    return tuple(drawn.values())
