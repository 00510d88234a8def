"""The traces that a request leaves in the engine's keys, found in order of revision. Pure.

Patroni: a request writes `failover`, `{"leader", "member"}`, without a request id; `leader` holds
the name of who leads; `members/<name>` is how that node's agent last described itself.

What an entry proves (patroni ha.py, the same in 3.0 and 4.1): an agent's HA loop is one thread.
`_run_cycle` reads the keys (`load_cluster_from_dcs`), renews its lease (`update_lock`), looks at
the failover key (`process_manual_failover_from_leader`), which has an asynchronous step-down begun
(`AsyncExecutor.try_run_async`, `demote("graceful")`) or not, and ends with `touch_member`. That
leaves the timeline out of the entry while an asynchronous action is scheduled, and writes only what
has changed. Every `touch_member` is serialized with the loop by the executor's lock. So

* an entry of a leading role, running and with a timeline (`serving`), that is written where there
  was one before, is written by a loop that has NOT begun a step-down, nor is one under way;
* the loop that begins one writes an entry without a timeline (`busy`) before it ends, and the
  leader key can be released only after that.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import ValidationError

from aeroctl.contract.cluster import Leader
from aeroctl.contract.commands import CommandName
from aeroctl.kernel.patroni.keys import MEMBERS, Failover
from aeroctl.kernel.store.keyspace import Event, History, KeyValue

PRIMARY = frozenset({"primary", "master"})
"""Patroni before 4.0 says master. The leader of a standby cluster is neither."""
LEADING = PRIMARY | {"standby_leader"}
DOWN = frozenset({"stopping", "stopped", "stop failed", "starting", "start failed", "crashed"})
"""States in which a node does not serve, whatever role it still claims."""
LOOPS = 2
"""Entries of a serving holder that prove a whole loop: it was begun after the first of them, and
ended with the second."""

Removal = Literal["cleared", "deleted", "replaced"]
"""How the request left the failover key. Patroni clears it by writing `{}`, as anybody may; it
never deletes it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of the engine.

    `before`: the leader term that the dispatch was bound to. `failover_revision`: last revision of
    the failover key then, 0 if it was absent. `dispatched`: revision of the dispatch; the history
    to be followed begins there.
    """

    command: CommandName
    target: str | None
    before: Leader | None
    failover_revision: int
    dispatched: int

    def wants(self, holder: str) -> bool:
        """Whether that node's taking the leader key is what was asked for."""
        if self.command == "request_demotion":
            return holder != self.target
        return holder == self.target

    def asks_holder(self) -> bool:
        """Whether it is sent to the holder's own agent; a forced one goes to the target's."""
        return self.command != "force_promotion"

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
        """Whether no arrival can have been lost: nothing was, or nothing had been written yet.

        A key that is absent as before proves nothing: it may have been written, and deleted.
        """
        unwritten = 0 < failover_revision(history) == self.failover_revision
        return history.complete or unwritten


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

    @property
    def serving(self) -> bool:
        """It led, and its agent had no action under way: neither a step-down nor a restart."""
        return self.role in LEADING and self.state == "running" and self.timeline is not None


@dataclass(frozen=True, slots=True)
class Traces:
    """As far as they go; each is None until it is there. Those that are numbers are revisions.

    `begun`: they go somewhere. `leader`: who holds the leader key where they end.

    The request: `arrived` (the failover key was written for it), `withdrawn` (that key no longer
    names it, see `removal`), `replaced` (it names something else, before the leader key passed),
    `again` (it was written once more, after it had been withdrawn: whose that is nothing tells),
    `echo` (it was, after what became of the first one was decided).

    The leader term that it found: `held`, by whom; `served`, how the holder described itself as its
    leader; `busy`, it was no longer `serving`; `interrupted`, it did not serve, or on another
    timeline; `loops`, when it was serving after the withdrawal; `resumed`, the first of these after
    the engine's word; `left`, that leader term was over, and `released`, not by the end of its
    lease.

    What came after it: `passed`, the latest leader term; `ended`, one was over before its holder
    was seen as primary in it; `primary`, the holder of `passed` was, on `timeline`; `settled`, when
    it was serving after both that and the withdrawal.
    """

    begun: bool = False
    leader: Leader | None = None
    arrived: int | None = None
    withdrawn: int | None = None
    removal: Removal | None = None
    replaced: int | None = None
    again: int | None = None
    echo: int | None = None
    held: Leader | None = None
    served: Described | None = None
    busy: int | None = None
    interrupted: int | None = None
    loops: tuple[int, ...] = ()
    resumed: int | None = None
    left: int | None = None
    released: bool = False
    passed: Leader | None = None
    ended: int | None = None
    primary: int | None = None
    timeline: int | None = None
    settled: tuple[int, ...] = ()

    @property
    def moved_on(self) -> bool:
        """The holder's own entries prove that no step-down can still come of the request."""
        if self.withdrawn is None or self.left is not None or self.held is None:
            return False
        return self.resumed is not None or len(self.loops) >= LOOPS

    @property
    def contested(self) -> bool:
        """Another request was there as well: which of the two the engine acted on nothing tells."""
        return self.replaced is not None or self.again is not None

    @property
    def acted_on(self) -> bool:
        """The leader key passed because of what was asked: the request stood until it did, or the
        holder began to step down before its leader term was over, and then let it go itself.
        """
        if self.withdrawn is None or self.passed is None or self.withdrawn > self.passed.since:
            return True
        return self.busy is not None and self.released

    def over(self, asked: Asked) -> bool:
        """Nothing that follows can change what became of the request."""
        if self.moved_on:
            return True
        if self.passed is None or self.primary is None:
            return False
        if self.contested or asked.wants(self.passed.node):
            return True
        # Another one leads, or the old holder again: it could still act on what it has read.
        back = self.held is not None and self.passed.node == self.held.node
        may = (back or not asked.asks_holder()) and self.interrupted is None
        return self.withdrawn is not None and len(self.settled) >= (LOOPS if may else 1)


NOTHING = Traces()


def follow(
    asked: Asked, history: History, traces: Traces = NOTHING, *, word: int | None = None
) -> Traces:
    """The traces of the request in `history`, up to whatever decides about it, and its echo.

    `traces`: found up to where this history begins. `word`: a revision that was there when the
    holder's own agent had answered that the request is gone from the keys as it sees them. An
    event's effect is judged by what the nodes had last said of themselves.
    """
    if traces.echo is not None:
        return traces
    if not traces.begun:
        traces = Traces(begun=True, leader=holder_at(asked, history))
    nodes = {
        key.removeprefix(MEMBERS): _described(pair.value)
        for key, pair in history.base.keys.items()
        if key.startswith(MEMBERS)
    }
    gone = {(each.revision, each.key) for each in history.events if each.value is None}
    for event in history.events:
        if traces.arrived is not None and traces.over(asked):
            if event.key == "failover" and asked.written_as(event.value):
                return replace(traces, echo=event.revision)
            continue
        if event.key == "leader":
            traces = _led(traces, event, nodes, gone)
        elif event.key == "failover":
            traces = _asked_for(asked, traces, event, nodes)
        elif event.key.startswith(MEMBERS):
            name = event.key.removeprefix(MEMBERS)
            nodes[name] = _described(event.value)
            if traces.arrived is not None and traces.leader and traces.leader.node == name:
                fresh = event.created != event.revision
                traces = _heard(traces, nodes[name], event.revision, word, fresh=fresh)
    return traces


def holder_at(asked: Asked, history: History) -> Leader | None:
    """Who holds the leader key where the history begins. The dispatch was bound to a leader term,
    which may be younger than the key: a name can be written over another one in place.
    """
    pair, before = history.base.keys.get("leader"), asked.before
    if pair is None or before is None or pair.value != before.node:
        return leader_of(pair)
    return before if pair.created <= before.since <= pair.modified else leader_of(pair)


def leader_after(asked: Asked, history: History) -> Leader | None:
    """Who holds the leader key where the history ends."""
    leader = holder_at(asked, history)
    for event in history.events:
        if event.key == "leader":
            leader = taken(leader, event)
    return leader


def taken(leader: Leader | None, event: Event) -> Leader | None:
    """Who holds the leader key after a write of the leader key.

    A leader term is a name and the revision at which that name took the key (P6-A1): whoever holds
    it may write it again, for a new lease, and a woken old leader may write over another one's name
    (Patroni before 4.1), which leaves the revision that created the key as it was.
    """
    if event.value is None:
        return None
    if leader is not None and leader.node == event.value and event.created != event.revision:
        return leader
    return Leader(node=event.value, since=event.revision)


def _led(
    traces: Traces, event: Event, nodes: Mapping[str, Described], gone: set[tuple[int, str]]
) -> Traces:
    """The leader key was written. Whoever writes it within a leader term ends none."""
    before, leader = traces.leader, taken(traces.leader, event)
    traces = replace(traces, leader=leader)
    if traces.arrived is None or leader == before:
        return traces
    if traces.left is None:
        ended = before is not None and (event.revision, MEMBERS + before.node) in gone
        traces = replace(traces, left=event.revision, released=leader is None and not ended)
    if traces.passed is not None and traces.primary is None:
        traces = replace(traces, ended=event.revision)
    if leader is None:
        return traces
    traces = replace(traces, passed=leader, primary=None, settled=())
    if traces.held is not None and leader.node == traces.held.node:
        return traces  # what it said in its old leader term says nothing of this one
    said = nodes.get(leader.node, Described())
    if said.primary:
        return replace(traces, primary=event.revision, timeline=said.timeline)
    return traces


def _asked_for(
    asked: Asked, traces: Traces, event: Event, nodes: Mapping[str, Described]
) -> Traces:
    """The failover key was written."""
    ours = asked.written_as(event.value)
    if traces.arrived is None:
        return _arrival(traces, event.revision, nodes) if ours else traces
    if ours:
        if traces.withdrawn is None or traces.left is not None:
            return traces  # the same again, which replaces nothing
        traces = replace(traces, again=traces.again or event.revision, withdrawn=None)
        return replace(traces, removal=None, loops=(), resumed=None)
    other = not _names_nobody(event.value)
    if other and traces.left is None and traces.replaced is None:
        # Later the engine rewrites it itself: while paused, the new holder leaves the candidate.
        traces = replace(traces, replaced=event.revision)
    if traces.withdrawn is not None:
        return traces
    removal: Removal = "replaced" if other else "deleted" if event.value is None else "cleared"
    return replace(traces, withdrawn=event.revision, removal=removal)


def _arrival(traces: Traces, revision: int, nodes: Mapping[str, Described]) -> Traces:
    held = traces.leader
    found = nodes.get(held.node) if held else None
    served = found if found is not None and found.serving else None
    return replace(traces, arrived=revision, held=held, served=served)


def _heard(
    traces: Traces, said: Described, revision: int, word: int | None, *, fresh: bool
) -> Traces:
    """What the leader says of itself; `fresh`: in place of what it had said before.

    An entry where there was none may be written at the beginning of a loop, which proves less.
    """
    if traces.left is not None:
        return _new(traces, said, revision, fresh=fresh)
    if said == Described():
        return traces  # it said nothing, and its silence proves nothing
    served = traces.served
    if served is None and not said.serving:  # it had not begun to serve when the request came
        return traces
    served = served or said
    traces = replace(traces, served=served)
    if said.role not in LEADING or said.state in DOWN or _later(said, served):
        traces = replace(traces, interrupted=traces.interrupted or revision)
    if not said.serving:
        return replace(traces, busy=traces.busy or revision)
    if traces.withdrawn is None or not fresh:
        return traces
    if word is not None and traces.withdrawn <= word < revision and traces.resumed is None:
        traces = replace(traces, resumed=revision)
    return replace(traces, loops=(*traces.loops, revision)[:LOOPS])


def _new(traces: Traces, said: Described, revision: int, *, fresh: bool) -> Traces:
    """The holder of a new leader term."""
    back = traces.held is not None and traces.passed is not None
    back = back and traces.passed.node == traces.held.node  # type: ignore[union-attr]
    if traces.primary is None and said.primary and (said.serving or not back):
        traces = replace(traces, primary=revision, timeline=said.timeline)
    if said.serving and fresh and traces.primary is not None and traces.withdrawn is not None:
        return replace(traces, settled=(*traces.settled, revision)[:LOOPS])
    return traces


def _later(said: Described, served: Described) -> bool:
    return (said.timeline or 0) > (served.timeline or said.timeline or 0)


def leader_of(leader: KeyValue | None) -> Leader | None:
    """Who holds the leader key by the leader key, and in which leader term: since it was created,
    or, where it was written again in place, since the last write, which is the latest that it can
    be.
    """
    if leader is None:
        return None
    since = leader.created if leader.version == 1 else leader.modified
    return Leader(node=leader.value, since=since)


def failover_revision(history: History) -> int:
    """The last revision of the failover key where the history begins; 0: it was absent."""
    failover = history.base.keys.get("failover")
    return 0 if failover is None else failover.modified


def pending(failover: KeyValue | None) -> bool:
    """Whether the failover key names somebody."""
    return failover is not None and not _names_nobody(failover.value)


def described(keys: Mapping[str, KeyValue], name: str) -> Described:
    """How a node describes itself in `keys`."""
    pair = keys.get(MEMBERS + name)
    return Described() if pair is None else _described(pair.value)


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
