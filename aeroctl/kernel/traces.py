"""The traces that a request leaves in the engine's keys, found in order of commit. Pure.

Patroni: a request writes `failover`, `{"leader", "member"}`, without a request id; `leader` is
created anew for every reign and deleted, or expired, between two; `members/<name>` has the role.
"""

import json
from dataclasses import dataclass, replace

from pydantic import ValidationError

from aeroctl.contract.cluster import Authority
from aeroctl.contract.commands import CommandName
from aeroctl.kernel.keys import MEMBERS, Failover
from aeroctl.kernel.keyspace import Event, History, KeyValue

PRIMARY = frozenset({"primary", "master"})
"""Patroni before 4.0 says master. The leader of a standby cluster is neither."""


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
class Traces:
    """As far as they go; each is None until it is there.

    Commits: `arrived` (the failover key was written for the request), `cleared` (it names nobody
    again, in the same reign), `primary` (the next reign's holder was seen as primary in it),
    `ended` (it was not, and that reign is over). `held`: who held authority when the request
    arrived; `vacant`: that reign has ended; `passed`: the next one.
    """

    arrived: int | None = None
    held: Authority | None = None
    cleared: int | None = None
    vacant: bool = False
    passed: Authority | None = None
    primary: int | None = None
    ended: int | None = None

    @property
    def decided(self) -> bool:
        """Nothing that follows belongs to the request."""
        return any(commit is not None for commit in (self.cleared, self.primary, self.ended))


def follow(asked: Asked, history: History) -> Traces:
    """The traces of the request in `history`, up to whatever decides about it.

    An arrival that was lost to compaction is not found; see `Asked.reached_by`.
    """
    leader = authority(history.base.keys.get("leader"))
    roles = {
        key.removeprefix(MEMBERS): _role(pair.value)
        for key, pair in history.base.keys.items()
        if key.startswith(MEMBERS)
    }
    traces = Traces()
    for event in history.events:
        if event.key == "leader":
            leader = _holder(event)
            traces = _reign(traces, leader, event.commit_id, roles)
        elif event.key == "failover":
            if traces.arrived is None:
                if asked.written_as(event.value):
                    traces = Traces(arrived=event.commit_id, held=leader)
            elif _names_nobody(event.value) and not traces.vacant:
                traces = replace(traces, cleared=event.commit_id)
        elif event.key.startswith(MEMBERS):
            name, role = event.key.removeprefix(MEMBERS), _role(event.value)
            roles[name] = role
            if traces.passed and traces.passed.node == name and role in PRIMARY:
                traces = replace(traces, primary=event.commit_id)
        if traces.decided:
            break
    return traces


def _reign(
    traces: Traces, leader: Authority | None, commit: int, roles: dict[str, str | None]
) -> Traces:
    """The leader key was written or deleted. Patroni may write it again within a reign."""
    if traces.arrived is None or leader == (traces.passed or traces.held):
        return traces
    if traces.passed is not None:
        return replace(traces, ended=commit)
    if leader is None:
        return replace(traces, vacant=True)
    seen = commit if roles.get(leader.node) in PRIMARY else None
    return replace(traces, vacant=True, passed=leader, primary=seen)


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


def _role(value: str | None) -> str | None:
    try:
        member = json.loads(value or "null")
    except ValueError:
        return None
    role = member.get("role") if isinstance(member, dict) else None
    return role if isinstance(role, str) else None
