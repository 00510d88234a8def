"""Builders of the models in `aeroctl.contract.events`. What a test does not give is usual."""

from typing import Any

from aeroctl.contract.cluster import Leader
from aeroctl.contract.events import Event, NodeStanding, Standing


def event(revision: int, kind: Any, node: str | None = None, **changes: Any) -> Event:
    """An event; of index 0, exact, and of no known time unless `changes` says otherwise."""
    given = {
        "revision": revision, "index": 0, "kind": kind, "node": node, "subject": None,
        "before": None, "after": None, "since": None, "cause": None, "detail": None,
        "exact": True, "time": None, "clock": None, "not_before": None, "not_after": None,
    }  # fmt: skip
    return Event(**{**given, **changes})


def gap(first: int, last: int) -> Event:
    """What compaction leaves of these revisions."""
    return event(first, "gap", before=first, after=last)


def node_standing(name: str, **changes: Any) -> NodeStanding:
    """A registered node; a running replica unless `changes` says otherwise."""
    given = {"role": "replica", "state": "running", "replication_state": None, "timeline": 1}
    return NodeStanding(**{"name": name, **given, **changes})


def standing(revision: int, names: tuple[str, ...], holder: str | None = None) -> Standing:
    """Nodes that run, and who holds the leader key."""
    return Standing(
        revision=revision,
        leader=None if holder is None else Leader(node=holder, since=46),
        nodes=[node_standing(name) for name in names],
        paused=False,
        pending=None,
        synchronous=None,
        system_id="7439000000000000001",
    )
