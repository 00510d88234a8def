"""The traces that a request leaves in the engine's keys, found in order of commit. Pure.

Patroni: a request writes `failover`, `{"leader", "member"}`, without a request id; `leader` is
created anew for every reign and deleted, or expired, between two; `members/<name>` has the role.
A node may hold one reign throughout, and stop and promote its PostgreSQL in it all the same.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from aeroctl.contract.cluster import Authority
from aeroctl.contract.commands import CommandName
from aeroctl.kernel.keys import MEMBERS, Failover
from aeroctl.kernel.keyspace import Event, History, KeyValue

PRIMARY = frozenset({"primary", "master"})
"""Patroni before 4.0 says master. The leader of a standby cluster is neither."""
DOWN = frozenset({"stopping", "stopped", "stop failed", "starting", "start failed", "crashed"})
"""States in which a node does not serve, whatever role it still claims."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of the engine.

    `before`: the reign that the dispatch was bound to. `failover_commit`: last commit of the
    failover key then, 0 if it was absent. `dispatched`: commit of the dispatch; the history to be
    followed begins there.
    """

    command: CommandName
    target: str | None
    before: Authority | None
    failover_commit: int
    dispatched: int

    def wants(self, holder: str) -> bool:
        """Whether that node's taking authority is what was asked for."""
        if self.command == "request_demotion":
            return holder != self.target
        return holder == self.target

    def written_as(self, value: str | None) -> bool:
        """Whether this is how the engine's agent writes this request into the failover key."""
        failover = _failover(value)
        if failover is None or failover.scheduled_at is not None:
            return False  # no command of ours is scheduled
        names = (failover.leader or None, failover.member or None)
        if self.command == "request_promotion":
            return names == (self.before and self.before.node, self.target)
        if self.command == "request_demotion":
            return names == (self.target, None)
        return names == (None, self.target)

    def reached_by(self, history: History) -> bool:
        """Whether no arrival can have been lost: nothing was, or nothing had been written yet."""
        return history.complete or failover_commit(history) == self.failover_commit


@dataclass(frozen=True, slots=True)
class Described:
    """How a node described itself; what it left out, or nobody can read, is None."""

    role: str | None = None
    state: str | None = None
    timeline: int | None = None

    @property
    def primary(self) -> bool:
        """It served as primary."""
        return self.role in PRIMARY and self.state not in DOWN


@dataclass(frozen=True, slots=True)
class Traces:
    """As far as they go; each is None until it is there. Those that are numbers are commits.

    The request: `arrived` (the failover key was written for it), `replaced` (it names something
    else, before anybody acted), `cleared` (it names nobody again, in the same reign).

    The reign that it found: `held`, by whom; `served`, how the holder described itself as primary
    in it; `interrupted`, the holder no longer did, or did on another timeline; `resumed`, after the
    clear it still did, on the same timeline; `vacant`, that reign is over.

    What came after it: `holder`, who holds authority where the traces end; `passed`, the latest
    reign; `ended`, one was over before its holder was seen as primary in it; `primary`, the holder
    of `passed` was, on `timeline`.
    """

    arrived: int | None = None
    replaced: int | None = None
    cleared: int | None = None
    held: Authority | None = None
    served: Described | None = None
    interrupted: int | None = None
    resumed: int | None = None
    vacant: bool = False
    holder: Authority | None = None
    passed: Authority | None = None
    ended: int | None = None
    primary: int | None = None
    timeline: int | None = None

    @property
    def interrupted_before_clear(self) -> bool:
        """The holder was seen not to serve while the engine had the request."""
        if self.cleared is None or self.interrupted is None:
            return False
        return self.interrupted < self.cleared

    def decided(self, failed: bool) -> bool:
        """Nothing that follows can belong to the request. `failed`: the engine said so itself."""
        if self.cleared is not None:
            proved = self.held is None or self.interrupted or self.resumed or self.vacant
            return failed or bool(proved)
        return self.primary is not None or (self.replaced is not None and self.passed is not None)


NOTHING = Traces()


def follow(
    asked: Asked, history: History, traces: Traces = NOTHING, *, failed: bool = False
) -> Traces:
    """The traces of the request in `history`, up to whatever decides about it.

    `traces`: found up to where this history begins. `failed`: the engine said that it failed. An
    arrival that was lost to compaction is not found; see `Asked.reached_by`.
    """
    leader = authority(history.base.keys.get("leader"))
    nodes = {
        key.removeprefix(MEMBERS): _described(pair.value)
        for key, pair in history.base.keys.items()
        if key.startswith(MEMBERS)
    }
    for event in history.events:
        if traces.decided(failed):
            break
        if event.key == "leader":
            leader = _holder(event)
            if traces.arrived is not None and leader != traces.holder:
                traces = _reign(traces, leader, event.commit_id, nodes)
        elif event.key == "failover":
            if traces.arrived is None:
                if asked.written_as(event.value):
                    traces = _arrival(event.commit_id, leader, nodes)
            elif not traces.vacant:
                traces = _rewritten(asked, traces, event)
        elif event.key.startswith(MEMBERS):
            name = event.key.removeprefix(MEMBERS)
            nodes[name] = _described(event.value)
            if traces.holder is not None and traces.holder.node == name:
                traces = _heard(traces, nodes[name], event.commit_id)
    return traces


def _arrival(commit: int, leader: Authority | None, nodes: Mapping[str, Described]) -> Traces:
    found = nodes.get(leader.node) if leader else None
    served = found if found is not None and found.primary else None
    return Traces(arrived=commit, held=leader, holder=leader, served=served)


def _rewritten(asked: Asked, traces: Traces, event: Event) -> Traces:
    """The failover key was written again in the reign that the request found.

    Later the engine rewrites it itself: while paused, the new holder leaves only the candidate.
    """
    if traces.cleared is not None:
        return traces
    if _names_nobody(event.value):
        return replace(traces, cleared=event.commit_id)
    if traces.replaced is None and not asked.written_as(event.value):
        return replace(traces, replaced=event.commit_id)
    return traces


def _reign(
    traces: Traces, leader: Authority | None, commit: int, nodes: Mapping[str, Described]
) -> Traces:
    """A reign ended or began. Patroni may write the leader key within one; that is neither."""
    traces = replace(traces, holder=leader, vacant=True)
    if leader is None:
        return traces if traces.passed is None else replace(traces, ended=commit)
    traces = replace(traces, passed=leader)
    return _heard(traces, nodes.get(leader.node, Described()), commit)


def _heard(traces: Traces, said: Described, commit: int) -> Traces:
    """What the holder of authority says of itself."""
    if traces.vacant:
        if said.primary:
            return replace(traces, primary=commit, timeline=said.timeline)
        return traces
    served = traces.served
    if said == Described():
        return traces  # it said nothing, and its silence proves nothing
    if served is None:  # it had not begun to serve when the request came
        if said.primary:
            resumed = None if traces.cleared is None else commit
            return replace(traces, served=said, resumed=resumed)
        return traces
    if not said.primary or (said.timeline or 0) > (served.timeline or said.timeline or 0):
        return traces if traces.interrupted else replace(traces, interrupted=commit)
    if traces.cleared is not None and said.timeline == served.timeline:
        return replace(traces, resumed=commit)
    return traces


def authority(leader: KeyValue | None) -> Authority | None:
    """Who holds authority by the leader key, and in which reign."""
    return None if leader is None else Authority(node=leader.value, reign=leader.created)


def failover_commit(history: History) -> int:
    """The last commit of the failover key where the history begins; 0: it was absent."""
    failover = history.base.keys.get("failover")
    return 0 if failover is None else failover.modified


def pending(failover: KeyValue | None) -> bool:
    """Whether the failover key names somebody."""
    return failover is not None and not _names_nobody(failover.value)


def _holder(event: Event) -> Authority | None:
    return None if event.value is None else Authority(node=event.value, reign=event.created)


def _names_nobody(value: str | None) -> bool:
    """An unreadable value is not taken for a cleared one, though Patroni does (P7-F1)."""
    failover = _failover(value)
    return value is None or (failover is not None and not failover.pending)


def _failover(value: str | None) -> Failover | None:
    try:
        return None if value is None else Failover.model_validate_json(value)
    except ValidationError:
        return None


def _described(value: str | None) -> Described:
    try:
        member = json.loads(value or "null")
    except ValueError:
        return Described()
    if not isinstance(member, dict):
        return Described()
    role, state, timeline = (member.get(name) for name in ("role", "state", "timeline"))
    return Described(
        role if isinstance(role, str) else None,
        state if isinstance(state, str) else None,
        timeline if isinstance(timeline, int) else None,
    )
