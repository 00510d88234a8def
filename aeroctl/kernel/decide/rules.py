"""The rules of each command, evaluated over one state (P7-O2). Pure.

A rule that the kernel enforces is decided from the store's keys alone, so that it is decided again
in the very state that the request is bound to. One is not: `agent_identified`. For that one the
agent is asked anew before every dispatch, which is then bound to the address where it was asked.
What else a node says of itself decides only rules that the engine or nobody enforces: it may have
changed since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

from aeroctl.contract import accounts, lsn
from aeroctl.contract.base import Observation
from aeroctl.contract.cluster import Cluster, Leader
from aeroctl.contract.commands import CommandName
from aeroctl.contract.explanation import Successor
from aeroctl.contract.nodes import Node
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.rules import Rule, evaluated, facts, rule
from aeroctl.contract.terms import Conclusion, Enforcement, Evaluation, Role
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.agent import Account, Identity, Wanted, evidence, identity
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.members import agent_url, host_and_port
from aeroctl.kernel.patroni.settings import check_timeline

AGENT_IDENTIFIED = "agent_identified"
PROVEN_ROLES = frozenset(get_args(Role)) - {"unknown"}
Raw = str | bool | int | float | None


@dataclass(frozen=True)
class State:
    """What rules are evaluated over.

    `in_flight`: the request that is being carried out. `measured`: what every node said of itself,
    by name; None where no node was asked. `agent`: what the agent answered that is to be asked for
    the change; None where it was not asked who it is.
    """

    keys: ClusterKeys
    in_flight: str | None
    measured: Mapping[str, Observation[NodeReplication]] | None = None
    agent: Account | None = None

    @cached_property
    def cluster(self) -> Cluster:
        """Identity, leader and settings."""
        return sections.cluster(self.keys)

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Every node that the store names, by name."""
        return {node.name: node for node in sections.nodes(self.keys)}

    @property
    def leader(self) -> Leader | None:
        """Who holds the leader key."""
        return sections.leader(self.keys)

    @property
    def holder(self) -> str | None:
        """The name of whoever holds the leader key."""
        return None if self.leader is None else self.leader.node

    @property
    def holder_lives(self) -> bool:
        """Whether the leader renews its own entry: then its agent makes its checks."""
        return self.holder in self.keys.members

    def silent(self, name: str) -> str | None:
        """Why that node's last words prove nothing; None where they stand."""
        if self.measured is None:
            return None if name in self.keys.members else "NODE_NOT_REGISTERED"
        seen = self.measured.get(name)
        if seen is None:
            return "NODE_NOT_ASKED"
        return None if seen.unavailable is None else seen.unavailable.code

    def contradictions(self, name: str) -> dict[str, Raw]:
        """What the store and the node tell differently, as evidence: both accounts of each."""
        found = accounts.disagreements(self.nodes[name], self.said(name))
        return {
            f"{each.fact.replace(' ', '_')}_{whose}": words
            for each in found
            for whose, words in (("in_store", each.store), ("on_node", each.node))
        }

    def said(self, name: str) -> NodeReplication | None:
        """What that node said of itself, if it was asked and answered."""
        seen = (self.measured or {}).get(name)
        return None if seen is None else seen.value


def receiver(command: CommandName, target: str | None, state: State) -> str | None:
    """The node whose agent is asked for that command; None: nobody's is.

    A transfer is asked of its holder's agent. A forced one is asked of the target's: the holder may
    be what is dead.
    """
    if command == "run_diagnostics":
        return None
    return target if command == "force_promotion" else state.holder


def rules(command: CommandName, target: str | None, state: State) -> list[Rule]:
    """Every rule of that command, in a fixed order. `target` is a node that the store names."""
    if target is None:
        return []
    if command == "request_promotion":
        return promotion(state, target)
    if command == "request_demotion":
        return demotion(state, target)
    return force_promotion(state, target)


def promotion(state: State, target: str) -> list[Rule]:
    """The leader hands it over to `target`."""
    return [
        has_leader(state, "kernel"),
        holder_is_primary(state),
        holder_writable(state),
        target_registered(state, target),
        target_is_replica(state, target),
        target_in_recovery(state, target),
        target_streaming(state, target),
        same_timeline(state, target),
        lag_within_limit(state, target),
        failover_allowed(state, target),
        synchronous_standby(state, target),
        not_paused(state, "none"),
        nothing_pending(state, "kernel"),
        nothing_in_flight(state),
        not_standby_cluster(state),
        agent_known(state, state.holder),
        agent_identified(state, state.holder),
        single_writer(state),
    ]


def demotion(state: State, target: str) -> list[Rule]:
    """`target` gives up the leader key; Patroni picks the next leader."""
    return [
        has_leader(state, "kernel"),
        target_is_leader(state, target),
        holder_is_primary(state),
        holder_writable(state),
        successor_eligible(state, target),
        not_paused(state, "patroni"),
        nothing_pending(state, "kernel"),
        nothing_in_flight(state),
        not_standby_cluster(state),
        agent_known(state, state.holder),
        agent_identified(state, state.holder),
        single_writer(state),
    ]


def force_promotion(state: State, target: str) -> list[Rule]:
    """`target` is given the leader key, whoever holds it, and whatever else is skipped for that."""
    return [
        has_leader(state, "none"),
        target_registered(state, target),
        target_is_replica(state, target),
        target_in_recovery(state, target),
        same_timeline(state, target),
        lag_within_limit(state, target),
        failover_allowed(state, target),
        synchronous_standby(state, target, by="none"),
        not_paused(state, "none"),
        nothing_pending(state, "none"),
        nothing_in_flight(state),
        not_standby_cluster(state),
        agent_known(state, target),
        agent_identified(state, target),
        single_writer(state),
    ]


def successors(state: State, holder: str) -> list[Successor]:
    """Among whom the engine picks when `holder` steps down: every other node, by name (P7-A3)."""
    return [
        Successor(
            node=name,
            rules=[
                target_registered(state, name),
                target_in_recovery(state, name),
                target_streaming(state, name),
                same_timeline(state, name),
                lag_within_limit(state, name),
                failover_allowed(state, name),
                synchronous_standby(state, name),
            ],
        )
        for name in state.nodes
        if name != holder
    ]


def broken(applied: Sequence[Rule]) -> list[Rule]:
    """The rules for which the kernel refuses: undetermined is not good enough (P7-F1)."""
    return [rule for rule in applied if rule.enforced_by == "kernel" and rule.evaluation != "holds"]


def conclusion(applied: Sequence[Rule]) -> Conclusion:
    """What the rules come to."""
    found = {rule.evaluation for rule in applied}
    if broken(applied):
        return "refused"
    if "does_not_hold" in found:
        return "not_all_rules_hold"
    return "undetermined" if "undetermined" in found else "all_rules_hold"


def has_leader(state: State, by: Enforcement) -> Rule:
    """Somebody holds the leader key (P6-A1)."""
    held = state.leader
    return _rule(
        "has_leader",
        "a node holds the leader key",
        held is not None,
        by,
        {
            "node": state.holder,
            "since": held.since if held else None,
        },
    )


def target_is_leader(state: State, target: str) -> Rule:
    """Only the leader can give it up."""
    return _rule(
        "target_is_leader",
        "the named node is the one that holds the leader key",
        state.holder == target,
        "kernel",
        {
            "target": target,
            "leader": state.holder,
        },
    )


def holder_is_primary(state: State) -> Rule:
    """A holder that is not yet a primary is in the middle of a transfer (P6-A3)."""
    node = None if state.holder is None else state.nodes[state.holder]
    holds = False if node is None else _role_is(node, "primary")
    return _rule(
        "holder_is_primary",
        "the leader is a primary",
        holds,
        "kernel",
        {
            "node": state.holder,
            "role": None if node is None else node.role,
            "state": None if node is None else node.state,
        },
    )


def holder_writable(state: State) -> Rule:
    """Nobody enforces it: the store says what the holder's agent last wrote there (P6-A3)."""
    holder = state.holder
    said = None if holder is None else state.said(holder)
    return _rule(
        "holder_writable",
        "the leader says itself that it accepts writes",
        False if holder is None else accounts.writes(said),
        "none",
        {
            "node": holder,
            "in_recovery": said.in_recovery if said else None,
            "writable": said.writable if said else None,
            "unavailable": state.silent(holder) if holder else None,
            **(state.contradictions(holder) if holder else {}),
        },
    )


def target_registered(state: State, target: str) -> Rule:
    """Patroni: `candidate does not exists`."""
    return _rule(
        "target_registered",
        "the node renews its own entry in the store",
        state.nodes[target].registered,
        "patroni",
        {
            "node": target,
            "registered": state.nodes[target].registered,
        },
    )


def target_is_replica(state: State, target: str) -> Rule:
    """The target must be a replica that is not the leader."""
    node = state.nodes[target]
    holds = False if node.is_leader else _role_is(node, "replica")
    return _rule(
        "target_is_replica",
        "the named node is a replica and does not hold the leader key",
        holds,
        "kernel",
        {
            "node": target,
            "role": node.role,
            "is_leader": node.is_leader,
            "registered": node.registered,
        },
    )


def target_in_recovery(state: State, target: str) -> Rule:
    """Nobody enforces it: a node may have been promoted by hand, and its agent may not know it."""
    said = state.said(target)
    return _rule(
        "target_in_recovery",
        "the node says itself that it is in recovery, as a replica is",
        None if said is None else said.in_recovery,
        "none",
        {
            "node": target,
            "role": state.nodes[target].role,
            "in_recovery": said.in_recovery if said else None,
            "unavailable": state.silent(target),
        },
    )


def target_streaming(state: State, target: str) -> Rule:
    """Nobody enforces it: Patroni takes a candidate that only restores from an archive."""
    node, said = state.nodes[target], state.said(target)
    return _rule(
        "target_streaming",
        "the node streams write-ahead log from its upstream",
        accounts.streaming(node, said, state.measured is not None),
        "none",
        {
            "node": target,
            "replication_state": node.replication_state,
            "receiver": said.receiver.status if said and said.receiver else None,
            "state": node.state,
            "unavailable": state.silent(target),
            **state.contradictions(target),
        },
    )


def same_timeline(state: State, target: str) -> Rule:
    """P6-S2. Patroni looks at it only where its `check_timeline` is on, and from a holder only."""
    current, said, node = _timeline(state), state.said(target), state.nodes[target]
    checked = check_timeline(state.keys)
    return _rule(
        "same_timeline",
        "the node is on the timeline of the leader key (P6-S2)",
        accounts.on_timeline(node, said, state.measured is not None, current),
        "patroni" if checked and state.holder_lives else "none",
        {
            "node": target,
            "timeline": said.timeline if said else node.timeline,
            "leader_timeline": current,
            "check_timeline": checked,
            "unavailable": state.silent(target),
            **state.contradictions(target),
        },
    )


def lag_within_limit(state: State, target: str) -> Rule:
    """P6-S1, counted as Patroni counts: from the position that a holder last recorded in the store
    to the further of received and replayed. A dead holder enforces nothing. Of a node whose own
    account contradicts the store's no lag is known.
    """
    cluster, silent, said = state.cluster, state.silent(target), state.said(target)
    node = state.nodes[target]
    received, replayed = (said or node).received_lsn, (said or node).replayed_lsn
    known = [position for position in (received, replayed) if position is not None]
    position = max(known, key=lsn.parse, default=None)
    lag, limit = lsn.distance(cluster.leader_lsn, position), cluster.maximum_lag_bytes
    contradicted = state.contradictions(target)
    if contradicted or (said is not None and not said.in_recovery):
        lag = None
    return _rule(
        "lag_within_limit",
        "the node lacks no more write-ahead log than the limit allows (P6-S1)",
        None if silent or lag is None or limit is None else lag <= limit,
        "patroni" if state.holder_lives else "none",
        {
            "node": target,
            "lag_bytes": lag,
            "maximum_lag_bytes": limit,
            "leader_lsn": cluster.leader_lsn,
            "received_lsn": received,
            "replayed_lsn": replayed,
            "unavailable": silent,
            **contradicted,
        },
    )


def failover_allowed(state: State, target: str) -> Rule:
    """Patroni: the tags nofailover and failover_priority."""
    node = state.nodes[target]
    return _rule(
        "failover_allowed",
        "the node is not tagged as never to be promoted",
        None if node.no_failover is None else not node.no_failover,
        "patroni",
        {
            "node": target,
            "nofailover": node.tags.get("nofailover"),
            "failover_priority": node.tags.get("failover_priority"),
        },
    )


def synchronous_standby(state: State, target: str, by: Enforcement | None = None) -> Rule:
    """P6-S1. Patroni refuses a switchover to a node outside of the synchronous set; in quorum mode
    it does so once the holder has put its name there.
    """
    synchronous = state.cluster.synchronous
    off = synchronous.mode == "off"
    member = target.lower() in {name.lower() for name in synchronous.standbys}  # as PostgreSQL
    checked = off or synchronous.mode == "on" or synchronous.leader is not None
    return _rule(
        "synchronous_standby",
        "the node is in the synchronous set, where replication is synchronous (P6-S1)",
        off or member,
        by or ("patroni" if checked else "none"),
        {
            "node": target,
            "mode": synchronous.mode,
            "standbys": ", ".join(synchronous.standbys),
        },
    )


def successor_eligible(state: State, holder: str) -> Rule:
    """Patroni: `no good candidates have been found`. In quorum mode it wants more than one."""
    synchronous = state.cluster.synchronous
    quorum = synchronous.quorum or 0 if synchronous.mode == "quorum" else 0
    found = {each.node: _eligible(each.rules) for each in successors(state, holder)}
    certain = sum(evaluation == "holds" for evaluation in found.values())
    possible = sum(evaluation != "does_not_hold" for evaluation in found.values())
    return _rule(
        "successor_eligible",
        "enough other nodes keep every rule that the engine has for a successor",
        True if certain > quorum else None if possible > quorum else False,
        "patroni",
        {
            "needed": quorum + 1,
            **{f"{name}.eligible": evaluation for name, evaluation in found.items()},
        },
    )


def not_paused(state: State, by: Enforcement) -> Rule:
    """Patroni refuses in pause what names no candidate; nothing recovers by itself then."""
    paused = state.cluster.paused
    return _rule(
        "not_paused", "automatic failover is not paused", not paused, by, {"paused": paused}
    )


def nothing_pending(state: State, by: Enforcement) -> Rule:
    """A transfer that was asked for and not taken up would be overwritten (P6-F3)."""
    failover = state.keys.failover
    pending = failover.pending
    return _rule(
        "nothing_pending",
        "no other transfer of the leader key is pending",
        not pending,
        by,
        {
            "from_node": (failover.leader or None) if pending else None,
            "to_node": (failover.member or None) if pending else None,
            "revision": state.keys.failover_revision if pending else None,
        },
    )


def nothing_in_flight(state: State) -> Rule:
    """P7-E1: one command at a time, whoever serves it."""
    return _rule(
        "nothing_in_flight",
        "no other request is being carried out",
        state.in_flight is None,
        "kernel",
        {
            "request_id": state.in_flight,
        },
    )


def not_standby_cluster(state: State) -> Rule:
    """Nobody in a standby cluster holds the leader key."""
    found = state.cluster.standby_cluster
    return _rule(
        "not_standby_cluster",
        "the cluster does not follow another one",
        not found,
        "kernel",
        {
            "standby_cluster": found,
        },
    )


def agent_known(state: State, receiver: str | None) -> Rule:
    """Without an address nothing can be dispatched."""
    member = state.keys.members.get(receiver) if receiver else None
    base = agent_url(member.api_url) if member else None
    host, port = host_and_port(base)
    return _rule(
        "agent_known",
        "the store holds the address of the agent that is to be asked",
        base is not None,
        "kernel",
        {
            "node": receiver,
            "host": host if base else None,
            "port": port if base else None,
        },
    )


def agent_identified(state: State, receiver: str | None) -> Rule:
    """What answers at that address is that node's agent, in this cluster (P7-F1)."""
    keys = state.keys
    members = {name: member.api_url for name, member in keys.members.items()}
    wanted = Wanted(receiver or "", keys.scope, keys.system_id, members)
    account = state.agent
    if account is None or account.node != receiver:
        found = Identity(None, "it was not asked")
    else:
        found = identity(wanted, account.reply, account.members)
    return _rule(
        AGENT_IDENTIFIED,
        "the agent that is to be asked says that it is this node's, of this cluster",
        found.proved,
        "kernel",
        {
            **evidence(wanted, found),
            "node": receiver,
            "status": account.reply.status if account else None,
        },
    )


def single_writer(state: State) -> Rule:
    """P6-A1, as far as the nodes themselves can say: also those that are gone from the store."""
    cluster, nodes = state.cluster, state.nodes
    writers = [
        accounts.Writer(
            name=name,
            may_write=node.is_leader and not cluster.standby_cluster,
            writable=accounts.could_write(state.said(name)),
            retired=node.retired and not node.registered,
        )
        for name, node in nodes.items()
    ]
    there = sum(not node.retired for node in nodes.values())
    unknown = accounts.unknown_members(cluster.expected_member_count, there)
    others = [writer for writer in writers if not writer.may_write]
    return _rule(
        "single_writer",
        "no node but the leader accepts writes (P6-A1)",
        accounts.single_writer(writers, unknown),
        "none",
        {
            **{f"{writer.name}.writable": writer.writable for writer in others},
            **{
                f"{writer.name}.unavailable": state.silent(writer.name)
                for writer in others
                if writer.writable is None
            },
            **{
                f"{writer.name}.in_recovery": False
                for writer in others
                if writer.writable is None and state.said(writer.name) is not None
            },
            **{f"{writer.name}.retired": True for writer in others if writer.retired},
            **({"expected_and_unknown": unknown} if unknown else {}),
        },
    )


def _eligible(applied: Sequence[Rule]) -> Evaluation:
    found = {rule.evaluation for rule in applied if rule.enforced_by == "patroni"}
    if "does_not_hold" in found:
        return "does_not_hold"
    return "undetermined" if "undetermined" in found else "holds"


def _timeline(state: State) -> int | None:
    """The holder's timeline, in its own words if it answers; without a holder, that of the last
    one, as the history proves it.
    """
    said = None if state.holder is None else state.said(state.holder)
    if said is not None and accounts.firm(said):
        return said.timeline
    if state.holder in state.keys.members:
        return state.keys.members[state.holder].timeline
    ended = [end.timeline for end in state.keys.history]
    if ended:
        return max(ended) + 1
    known = {member.timeline for member in state.keys.members.values()}
    return 1 if known == {1} else None  # no timeline ended yet, and nobody is past the first


def _role_is(node: Node, role: Role) -> bool | None:
    return node.role == role if node.role in PROVEN_ROLES else None


def _rule(
    rule_id: str, description: str, holds: bool | None, by: Enforcement, evidence: Mapping[str, Raw]
) -> Rule:
    return rule(rule_id, description, evaluated(holds), by, facts(evidence))
