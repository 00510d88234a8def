"""What stands after some events: following them from a standing is exact. Pure."""

from collections.abc import Iterable

from aeroctl.contract.cluster import Leader
from aeroctl.contract.events import Event, NodeStanding, Standing

_OF_A_NODE = {
    "role_changed": "role",
    "state_changed": "state",
    "replication_changed": "replication_state",
    "timeline_changed": "timeline",
}
_OF_THE_CLUSTER = {
    "transfer_requested": "pending",
    "transfer_cleared": "pending",
    "synchronous_changed": "synchronous",
    "system_id_changed": "system_id",
}


def followed(base: Standing, events: Iterable[Event], revision: int) -> Standing:
    """What stands at `revision` where `base` stood and then `events` happened, in their order.

    Raises ValueError where they don't fit: a node changes that is not there, or a gap, after which
    only a new standing helps.
    """
    nodes = {node.name: node.model_dump() for node in base.nodes}
    whole = base.model_dump(exclude={"nodes", "revision"})
    for event in events:
        kind, node = event.kind, event.node or ""
        if kind == "gap":
            raise ValueError("what happened in a gap can't be followed")
        if kind in _OF_A_NODE:
            if node not in nodes:
                words = f"revision {event.revision}: {kind} of {node!r}, which is not there"
                raise ValueError(words)
            nodes[node][_OF_A_NODE[kind]] = event.after
        elif kind in _OF_THE_CLUSTER:
            whole[_OF_THE_CLUSTER[kind]] = event.after
        elif kind == "member_joined":
            nodes[node] = NodeStanding(
                name=node, role=None, state=None, replication_state=None, timeline=None
            ).model_dump()
        elif kind == "member_left":
            nodes.pop(node, None)
        elif kind == "leader_gained" and event.since is not None:
            whole["leader"] = Leader(node=node, since=event.since)
        elif kind == "leader_lost":
            whole["leader"] = None
        elif kind in ("paused", "resumed"):
            whole["paused"] = kind == "paused"
    return Standing.model_validate(
        {**whole, "revision": revision, "nodes": [nodes[name] for name in sorted(nodes)]}
    )
