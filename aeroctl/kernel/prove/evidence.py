"""The traces that a request leaves in Patroni's keys, one typed event for each. Pure.

Three keys matter (patroni/dcs/__init__.py):

* `failover`: `POST /switchover` and `POST /failover` write the names of leader and candidate there.
  Patroni clears it by writing `{}`, and never deletes it.
* `leader`: the name of the leader, on a lease that its agent renews in every HA loop. The key goes
  when the agent releases it or when the lease ends.
* `members/<name>`: how that node's agent last described its node, on the same lease.

What a member entry proves (patroni/ha.py, the same in 3.0 and 4.1). The HA loop of an agent is one
thread. In order, `_run_cycle` reads the keys (`load_cluster_from_dcs`), renews the lease
(`update_lock`), and looks at the failover key (`process_manual_failover_from_leader`), which begins
a step-down in another thread (`AsyncExecutor.try_run_async`, `demote("graceful")`) or does not. At
its end the loop writes the member entry (`touch_member`), only if it has changed, and without the
timeline while an action is scheduled in the other thread. The executor's lock keeps `touch_member`
and the loop apart. So

* an entry of a leader that is running and has a timeline (`MemberEntry.serving`), written in place
  of an earlier entry, comes from a loop that has NOT begun a step-down while none was under way;
* a loop that begins a step-down writes an entry without a timeline before it ends, and the leader
  key can be released only after that.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aeroctl.contract.cluster import Leader
from aeroctl.kernel.patroni.keys import MEMBERS, leader_of
from aeroctl.kernel.prove.request import TransferRequest, names_somebody
from aeroctl.kernel.store.keyspace import Event, History, Keyspace, KeyValue

PRIMARY_ROLES = frozenset({"primary", "master"})
"""Patroni before 4.0 writes master. The leader of a standby cluster has neither role."""
LEADER_ROLES = PRIMARY_ROLES | {"standby_leader"}
DOWN_STATES = frozenset(
    {"stopping", "stopped", "stop failed", "starting", "start failed", "crashed"}
)
"""States in which PostgreSQL does not serve, whatever role the entry still gives."""


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """What matters of a member entry; None: left out by Patroni, or unreadable."""

    role: str | None = None
    state: str | None = None
    timeline: int | None = None

    @property
    def primary(self) -> bool:
        """The node is a primary that serves."""
        return self.role in PRIMARY_ROLES and self.state not in DOWN_STATES

    @property
    def serving(self) -> bool:
        """The node leads, and its agent has no action under way: no step-down, no restart."""
        return self.role in LEADER_ROLES and self.state == "running" and self.timeline is not None

    @property
    def interrupted(self) -> bool:
        """The node does not serve as leader."""
        return self.role not in LEADER_ROLES or self.state in DOWN_STATES


@dataclass(frozen=True, slots=True)
class RequestWritten:
    """The failover key was written exactly as Patroni writes it for the request.

    `leader` held the leader key at that time; `entry` is that node's member entry.
    """

    revision: int
    leader: Leader | None
    entry: MemberEntry


@dataclass(frozen=True, slots=True)
class OtherRequestWritten:
    """The failover key was written for another request, or can't be read."""

    revision: int


@dataclass(frozen=True, slots=True)
class FailoverCleared:
    """The failover key names nobody any more. `deleted`: not by Patroni, which writes `{}`."""

    revision: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class LeaderKeyFreed:
    """The leader key is gone. `expired`: the member entry of the leader went at the same revision,
    so their lease ended; otherwise the key was released.
    """

    revision: int
    expired: bool


@dataclass(frozen=True, slots=True)
class LeaderKeyTaken:
    """`leader` took the leader key, or wrote its name over another one's; `entry` is its member
    entry at that time.
    """

    revision: int
    leader: Leader
    entry: MemberEntry


@dataclass(frozen=True, slots=True)
class LeaderReported:
    """The agent of the leader wrote its member entry. `replaced`: in place of an earlier one. One
    that was absent may be written at the beginning of an HA loop, and proves less.
    """

    revision: int
    entry: MemberEntry
    replaced: bool


Evidence = (
    RequestWritten
    | OtherRequestWritten
    | FailoverCleared
    | LeaderKeyFreed
    | LeaderKeyTaken
    | LeaderReported
)


def read_evidence(
    request: TransferRequest, history: History, leader: Leader | None
) -> Iterator[Evidence]:
    """The traces in `history`, in order of revision. `leader`: the one where the history begins."""
    entries = _member_entries(history.base)
    deleted = {(event.revision, event.key) for event in history.events if event.value is None}
    for event in history.events:
        if event.key == "failover":
            yield _failover_written(request, event, leader, entries)
        elif event.key == "leader":
            before, leader = leader, leader_after_write(leader, event)
            if leader is not None and leader != before:
                entry = entries.get(leader.node, MemberEntry())
                yield LeaderKeyTaken(event.revision, leader, entry)
            elif before is not None and leader is None:
                expired = (event.revision, MEMBERS + before.node) in deleted
                yield LeaderKeyFreed(event.revision, expired)
        elif event.key.startswith(MEMBERS):
            name = event.key.removeprefix(MEMBERS)
            entries[name] = _parse_entry(event.value)
            if leader is not None and leader.node == name:
                replaced = event.created != event.revision
                yield LeaderReported(event.revision, entries[name], replaced)


def _failover_written(
    request: TransferRequest,
    event: Event,
    leader: Leader | None,
    entries: Mapping[str, MemberEntry],
) -> Evidence:
    if request.written_as(event.value):
        entry = MemberEntry() if leader is None else entries.get(leader.node, MemberEntry())
        return RequestWritten(event.revision, leader, entry)
    if names_somebody(event.value):
        return OtherRequestWritten(event.revision)
    return FailoverCleared(event.revision, deleted=event.value is None)


def leader_at_start(request: TransferRequest, history: History) -> Leader | None:
    """Who holds the leader key where the history begins, and since which revision.

    The key alone may show too late a revision: a leader can write its name again in place. The
    dispatch knew the right one, unless the key was taken since.
    """
    pair, before = history.base.keys.get("leader"), request.leader_before
    if pair is None or before is None or pair.value != before.node:
        return leader_of(pair)
    return before if pair.created <= before.since <= pair.modified else leader_of(pair)


def leader_at_end(request: TransferRequest, history: History) -> Leader | None:
    """Who holds the leader key where the history ends, and since which revision."""
    leader = leader_at_start(request, history)
    for event in history.events:
        if event.key == "leader":
            leader = leader_after_write(leader, event)
    return leader


def leader_after_write(leader: Leader | None, event: Event) -> Leader | None:
    """Who holds the leader key after a write of it, and since which revision (P6-A1).

    The leader itself may write the key again, for a new lease: it stays the leader since before.
    Patroni before 4.1 lets an old leader that wakes up write its name over the new one's. That
    leaves etcd's create_revision as it was, and is a new leader all the same.
    """
    if event.value is None:
        return None
    if leader is not None and leader.node == event.value and event.created != event.revision:
        return leader
    return Leader(node=event.value, since=event.revision)


def member_entry(keys: Mapping[str, KeyValue], name: str) -> MemberEntry:
    """The member entry of a node in `keys`."""
    pair = keys.get(MEMBERS + name)
    return MemberEntry() if pair is None else _parse_entry(pair.value)


def _member_entries(keyspace: Keyspace) -> dict[str, MemberEntry]:
    return {
        key.removeprefix(MEMBERS): _parse_entry(pair.value)
        for key, pair in keyspace.keys.items()
        if key.startswith(MEMBERS)
    }


def _parse_entry(value: str | None) -> MemberEntry:
    """Each field by itself, so that one that can't be read hides no other."""
    try:
        member = json.loads(value or "null")
    except ValueError:
        return MemberEntry()
    if not isinstance(member, dict):
        return MemberEntry()
    role, state, timeline = (member.get(name) for name in ("role", "state", "timeline"))
    return MemberEntry(
        role if isinstance(role, str) else None,
        state if isinstance(state, str) else None,
        timeline if isinstance(timeline, int) else None,
    )
