"""Who is there and who holds the leader key as a story goes on: what every picture of it draws.
Pure.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.views.entries import Entry

if TYPE_CHECKING:
    from aeroctl.contract.events import Standing


@dataclass(frozen=True, slots=True)
class Presence:
    """The registered nodes, and the one that holds the leader key (P6-A1)."""

    there: frozenset[str] = frozenset()
    holder: str | None = None

    def after(self, entry: Entry) -> "Presence":
        """What an entry makes of it; most change nothing."""
        node = entry.node
        if entry.kind == "leader_gained":
            return Presence(self.there, node)
        if entry.kind == "leader_lost":
            return Presence(self.there, None)
        if entry.kind == "member_joined" and node is not None:
            return Presence(self.there | {node}, self.holder)
        if entry.kind == "member_left" and node is not None:
            return Presence(self.there - {node}, self.holder)
        return self


def presence(standing: "Standing") -> Presence:
    """What stood at one revision."""
    return Presence(
        frozenset(node.name for node in standing.nodes),
        standing.leader.node if standing.leader else None,
    )
