"""How far a request has come: a state machine over the evidence in Patroni's keys. Pure.

The evidence (evidence.py) is taken in order of revision, from the dispatch record on. The arrows
are transitions; on each stands the event that makes it:

    DISPATCHED
        |
        |  the failover key is written for the request
        v
    WRITTEN  <----  the same request is written again  ----  WITHDRAWN
        |                                                        |   |
        +--  the failover key is cleared, deleted, or  ----------^   |
        |    written for another request                         |   +--  the leader's agent
        |                                                        |        has gone on
        +----------------------------+---------------------------+             |
                                     |                                         v
             +-----------------------+-----------------------+          NOT_ACTED_ON (end)
             |                                               |
             |  the leader key is freed                      |  another node takes it
             v                                               v
      LEADER_KEY_FREE  ----  a node takes it  ---->  LEADER_CHANGED
             ^                                           |   |
             +----  the leader key is freed  ------------+   |  the new leader is primary
             |                                               v
             +----  the leader key is freed  --------  NEW_PRIMARY
                                                             |
                                                             |  nothing can still be done
                                                             v  for the request
                                                          SETTLED (end)

Where a node takes the leader key in LEADER_CHANGED or NEW_PRIMARY, the state is LEADER_CHANGED
anew. One event may make several transitions: a node that is primary when it takes the key is at
once in NEW_PRIMARY, and perhaps SETTLED.

An event that no line names leaves the state as it is, and may add to the facts. Both ends stay as
they are, whatever is written later: a crash after a rejection is not the request's doing.

Three more states do not come from the keys (judge.py): REFUSED and NOT_SENT, in which nothing was
written for the request, and HISTORY_LOST, in which compaction removed what would prove it.

**WITHDRAWN proves nothing.** The agent acts on what it has read, which may be before the
withdrawal: `process_manual_failover_from_leader` (patroni/ha.py) has a step-down begun in another
thread (`demote("graceful")`), which goes on whatever becomes of the failover key. Patroni's answer
"Switchover failed" is no proof either: `poll_failover_result` (patroni/api.py) gives it when it
finds no failover key and the same leader, also where somebody deleted the key while the leader
steps down.

**NOT_ACTED_ON** needs the end of an HA loop that can't have read the request any more, with the
leader still serving (evidence.py says what an entry proves). A loop that does find the request acts
on it at once: it begins to step down, which shows in the entry at its end, or it clears the key.
The view of an agent has the request from the moment on that the agent itself wrote it
(`KVCache.set` in `PatroniEtcd3Client.call_rpc`, patroni/dcs/etcd3.py). So, in this order:

* where the leader's own agent answered that the request is gone from its view: the end of the loop
  that was under way then. That is proved by one entry of the serving leader after the answer, or by
  two renewals of its lease with its entry unchanged (a later loop makes the second, so the first
  one's loop has ended);
* otherwise the end of a loop that began after the withdrawal: two entries, or three renewals.

A frozen agent does neither, so nothing about its request is final (P7-E2). Two things are taken for
granted: the view of an agent does not go back; and where the leader's agent gave no such answer, or
another agent wrote the request (a forced promotion), its view is at most one whole loop old.

**SETTLED** is reached at once where the new primary is the one that was asked for, or where another
request was there as well. Where another node leads, or the old leader again, it may have read the
request too: the request has to be withdrawn, and that node to serve after that.
"""

from dataclasses import dataclass
from enum import Enum, unique
from typing import Literal

from aeroctl.contract.cluster import Leader
from aeroctl.kernel.prove.evidence import MemberEntry

LOOPS = 2
"""Entries of a serving leader that prove a whole HA loop: it began after the first of them and
ended with the second."""

Removal = Literal["cleared", "deleted", "replaced"]
"""How the request left the failover key: `{}` was written, as Patroni does and anybody may; the key
was deleted, which Patroni never does; or another request was written."""


@unique
class State(Enum):
    """How far the request has come. The module's docstring has the transitions."""

    REFUSED = "Patroni's agent answered that it refuses the request"
    NOT_SENT = "the request did not leave aerokernel"
    HISTORY_LOST = "the request may have been written in history that is compacted"
    DISPATCHED = "the dispatch is recorded; the failover key was not written for it"
    WRITTEN = "the failover key names the request; the same leader holds the leader key"
    WITHDRAWN = "the failover key no longer names it; the same leader may still act on it"
    NOT_ACTED_ON = "the failover key no longer names it; the same leader has gone on without it"
    LEADER_KEY_FREE = "the leader lost the leader key; no node holds it"
    LEADER_CHANGED = "a node took the leader key; it is not known to be primary"
    NEW_PRIMARY = "the new leader is primary; the request may still be acted on"
    SETTLED = "the new leader is primary; nothing can still be done for the request"


NEVER_WRITTEN = frozenset({State.REFUSED, State.NOT_SENT})
"""States in which nothing that is seen in the keys can be the request's."""
SAME_LEADER = frozenset({State.WRITTEN, State.WITHDRAWN, State.NOT_ACTED_ON})
"""States in which the leader that the request found still holds the leader key."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a request, and the facts that the evidence has shown so far.

    Numbers are revisions, but for timelines; None: not (yet) so. `leader`: who holds the leader
    key; in an end, who held it when that was reached.

    The request: `written`; `withdrawn`, by which `removal`; `replaced`, another request was written
    before the leader lost its key; `written_again`, after it had been withdrawn, whoever wrote it;
    `repeated`, after an end.

    The leader when it was written: `leader_found`; `served`, its first entry as serving leader
    since then; `busy`, its agent had an action under way; `interrupted`, it did not serve, or on
    another timeline; `loops`, it served after the withdrawal; `loop_after_answer`, the first such
    entry after the agent's answer; `leader_lost`, it lost the leader key, which it `released`
    itself or not.

    After it: `new_leader`, the latest; `primary`, that one was primary, on `timeline`;
    `loops_after`, it served after both that and the withdrawal; `unseen_term_ended`, a new leader
    lost the key without having been seen as primary.
    """

    state: State = State.DISPATCHED
    leader: Leader | None = None
    written: int | None = None
    withdrawn: int | None = None
    removal: Removal | None = None
    replaced: int | None = None
    written_again: int | None = None
    repeated: int | None = None
    leader_found: Leader | None = None
    served: MemberEntry | None = None
    busy: int | None = None
    interrupted: int | None = None
    loops: tuple[int, ...] = ()
    loop_after_answer: int | None = None
    leader_lost: int | None = None
    released: bool = False
    new_leader: Leader | None = None
    primary: int | None = None
    timeline: int | None = None
    loops_after: tuple[int, ...] = ()
    unseen_term_ended: int | None = None

    @property
    def contested(self) -> bool:
        """Another request was there as well; nothing tells which of them Patroni acted on."""
        return self.replaced is not None or self.written_again is not None

    @property
    def same_node_leads_again(self) -> bool:
        """The new leader is the node that led when the request was written."""
        if self.leader_found is None or self.new_leader is None:
            return False
        return self.new_leader.node == self.leader_found.node

    @property
    def caused_change(self) -> bool:
        """The leader changed because of the request: the failover key named it until then, or the
        leader had begun to step down before, and then released the leader key itself.
        """
        if self.withdrawn is None or self.new_leader is None:
            return True
        if self.withdrawn > self.new_leader.since:
            return True
        return self.busy is not None and self.released
