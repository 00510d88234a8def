"""What stands after some events: following them from a standing is exact. Pure."""

from collections.abc import Iterable

from aeroctl.contract.cluster import Authority
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


def followed(base: Standing, events: Iterable[Event], commit_id: int) -> Standing:
    """What stands at `commit_id` where `base` stood and then `events` happened, in their order.

    Raises ValueError where they don't fit: a node changes that is not there, or a gap, after which
    only a new standing helps.
    """
    nodes = {node.name: node.model_dump() for node in base.nodes}
    whole = base.model_dump(exclude={"nodes", "commit_id"})
    for event in events:
        kind, node = event.kind, event.node or ""
        if kind == "gap":
            raise ValueError("what happened in a gap can't be followed")
        if kind in _OF_A_NODE:
            if node not in nodes:
                words = f"commit {event.commit_id}: {kind} of {node!r}, which is not there"
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
        elif kind == "authority_gained" and event.reign is not None:
            whole["authority"] = Authority(node=node, reign=event.reign)
        elif kind == "authority_lost":
            whole["authority"] = None
        elif kind in ("paused", "resumed"):
            whole["paused"] = kind == "paused"
    return Standing.model_validate(
        {**whole, "commit_id": commit_id, "nodes": [nodes[name] for name in sorted(nodes)]}
    )
