"""What a node says of itself, held against what the store says of it. Pure.

The kernel's rules and the control plane's views decide by these functions alone, so that they can't
differ. The node's own account was asked for in the same answer and is the later one of the two.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeroctl.contract.lsn import parse

if TYPE_CHECKING:
    from aeroctl.contract.nodes import Node
    from aeroctl.contract.replication import NodeReplication

STREAMING = "streaming"
ROLES = {"primary": False, "replica": True, "standby_leader": True}
"""Which roles of the store say anything of being in recovery, and what."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One fact that the store and the node tell differently, in the words of both."""

    fact: str
    store: str
    node: str

    @property
    def words(self) -> str:
        """Both accounts."""
        return f"{self.fact}: store {self.store}, node {self.node}"


@dataclass(frozen=True, slots=True)
class Writer:
    """What counts of a node for the rule that there is a single writer (P6-A1).

    `may_write`: it is the one that is to write. `writable`: whether it could, by what it says
    itself (`could_write`). `retired`: an operator vouches that it is gone for good.
    """

    name: str
    may_write: bool
    writable: bool | None
    retired: bool


def disagreements(node: "Node", said: "NodeReplication | None") -> tuple[Disagreement, ...]:
    """Where the store's entry and the node's own account can't both be so; none without both."""
    if said is None or not node.registered:
        return ()
    found = []
    if ROLES.get(node.role, said.in_recovery) != said.in_recovery:
        own = "in recovery" if said.in_recovery else "not in recovery"
        found.append(Disagreement("role", node.role.replace("_", " "), own))
    stored = node.replication_state
    if said.in_recovery and stored is not None and (stored == STREAMING) != streams(said):
        own = said.receiver.status if said.receiver else "no stream"
        found.append(Disagreement("replication state", stored, own))
    # A replica without a stream tells what it last wrote down, which trails what it replays.
    known = node.timeline is not None and (firm(said) or said.timeline > node.timeline)
    if known and node.timeline != said.timeline:
        found.append(Disagreement("timeline", str(node.timeline), str(said.timeline)))
    if node.lsn is not None and said.lsn is not None and parse(said.lsn) < parse(node.lsn):
        found.append(Disagreement("position", node.lsn, said.lsn))
    return tuple(found)


def writes(said: "NodeReplication | None") -> bool | None:
    """Whether a node accepts writes; None where it did not answer, or can't tell.

    A node that says both, that it is in recovery and that it is writable, is taken at its worse.
    """
    if said is None:
        return None
    if said.writable is None:
        return False if said.in_recovery else None
    return said.writable


def could_write(said: "NodeReplication | None") -> bool | None:
    """Whether a node that is not to write does, or could; None where that is not known.

    Only recovery keeps everybody from it: default_transaction_read_only is a default, which any
    session may set aside.
    """
    found = writes(said)
    return None if found is False and said is not None and not said.in_recovery else found


def streams(said: "NodeReplication") -> bool:
    """It receives write-ahead log from an upstream at this moment."""
    receiver = said.receiver
    return said.in_recovery and receiver is not None and receiver.status == STREAMING


def streaming(node: "Node", said: "NodeReplication | None", asked: bool) -> bool | None:
    """Whether a replica streams. Its own word is needed where it was `asked`; where it says that it
    does and the store says otherwise, nothing is proved. What the store leaves out (Patroni before
    4.1) is not known, and no contradiction.
    """
    if asked or said is not None:
        if said is None:
            return None
        if not streams(said):
            return False
        return True if node.replication_state in (None, STREAMING) else None
    if not node.registered or node.replication_state is None:
        return None
    return node.replication_state == STREAMING


def firm(said: "NodeReplication") -> bool:
    """Whether it knows its timeline for certain: it writes on it, or receives it."""
    return not said.in_recovery or said.receiver is not None


def on_timeline(
    node: "Node", said: "NodeReplication | None", asked: bool, timeline: int | None
) -> bool | None:
    """Whether a node is on that timeline (None: which one is not known).

    As for `streaming`, its own word is needed where it was asked, and the store must not contradict
    it. A replica without a stream does not know for certain: then both must agree.
    """
    if timeline is None:
        return None
    if said is None:
        known = None if asked or not node.registered else node.timeline
        return None if known is None else known == timeline
    found = {said.timeline, node.timeline if node.registered else None} - {None}
    if firm(said) and said.timeline != timeline:
        return False
    alone = not node.registered or node.timeline is None
    if len(found) > 1 or (alone and not firm(said)):
        return None
    return said.timeline == timeline


def unknown_members(expected: int | None, known: int) -> int:
    """How many more nodes are expected than anything names. One that is retired is no member."""
    return max(0, (expected or 0) - known)


def single_writer(writers: Iterable[Writer], unknown_members: int) -> bool | None:
    """P6-A1: nobody else accepts writes than who is to. None: not proved.

    Every node counts that anything names, also one that is gone from the store: its agent may be
    frozen and its database serve on. `unknown_members`: as many more are expected, and nothing is
    known of them. A node that is retired need prove nothing, but must not be seen to write.
    """
    others = [writer for writer in writers if not writer.may_write]
    if any(writer.writable for writer in others):
        return False
    unproved = any(writer.writable is None and not writer.retired for writer in others)
    return None if unproved or unknown_members > 0 else True
