"""Rules of the contract that types alone can't say; models and compiled validator share them."""

from typing import Any, TypeVar

from aeroctl.contract.terms import NODE_SECTIONS

Observed = TypeVar("Observed", bound=Any)


def one_of_two(observation: Observed) -> Observed:
    """Exactly one of `value` and `unavailable` is set. Raises ValueError."""
    if (observation.value is None) == (observation.unavailable is None):
        raise ValueError("exactly one of value and unavailable must be set")
    return observation


def consistent(snapshot: Observed) -> Observed:
    """The sections don't contradict each other (P7-D1). Raises ValueError.

    No node is listed twice; whoever holds the leader key is the same everywhere, and one node at
    most; what is measured is measured of every node.
    """
    names = [node.name for node in snapshot.nodes] if snapshot.nodes is not None else None
    for section in ("nodes", *NODE_SECTIONS):
        rows = getattr(snapshot, section)
        if rows is None:
            continue
        listed = names if section == "nodes" else [row.node for row in rows]
        if len(set(listed or ())) != len(listed or ()):
            raise ValueError(f"{section} lists a node twice")
        if names is not None and set(listed or ()) != set(names):
            raise ValueError(f"{section} and nodes name different nodes")
    if snapshot.cluster is not None:
        held = snapshot.cluster.leader
        holders = [node.name for node in snapshot.nodes or () if node.is_leader]
        if snapshot.nodes is not None and holders != ([held.node] if held else []):
            raise ValueError("cluster and nodes name different leaders")
        promotion = snapshot.promotion
        if promotion is not None and _leader_term(promotion.leader) != _leader_term(held):
            raise ValueError("cluster and promotion name different leaders")
    return snapshot


def _leader_term(leader: Any) -> tuple[str, int] | None:
    return (leader.node, leader.since) if leader else None
