"""The rules of the view `health`: each is a sentence about the cluster that holds, does not hold,
or can't be decided from this snapshot. To add one, add it to `rules`, and its invariants to
`INVARIANTS`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aeroctl.contract import accounts, lsn
from aeroctl.views.nodes import NodeRow
from aeroctl.views.rules import Fact, Raw, Rule

if TYPE_CHECKING:
    from aeroctl.contract.cluster import Cluster
    from aeroctl.contract.promotion import Promotion
    from aeroctl.contract.replication import NodeReplication


INVARIANTS: Mapping[str, tuple[str, ...]] = {
    "one_leader": ("P6-A1",),
    "leader_writable": ("P6-A1",),
    "single_writer": ("P6-A1",),
    "expected_members": ("P6-A1",),
    "all_registered": (),
    "all_answer": (),
    "all_running": (),
    "all_streaming": ("P6-S1",),
    "same_timeline": ("P6-S2",),
    "lag_within_limit": ("P6-S1",),
    "synchronous_standby": ("P6-S1",),
    "nothing_pending": ("P6-A2", "P7-E1"),
    "failover_active": (),
    "no_pending_restart": (),
}
"""Which invariants each rule serves; empty: none."""


def rules(
    cluster: "Cluster",
    promotion: "Promotion",
    rows: Sequence[NodeRow],
    reports: "Mapping[str, NodeReplication | None] | None",
) -> tuple[Rule, ...]:
    """Every rule over one snapshot, in a fixed order. `reports` is None where no node was asked."""
    nodes = tuple(node for node in rows if node.counts)
    return (
        _has_leader(cluster),
        _leader_writable(cluster, nodes),
        _single_writer(cluster, rows, reports or {}),
        _expected_members(cluster, rows),
        _every(
            "all_registered",
            "every known node renews its registration",
            nodes,
            lambda node: node.registered,
        ),
        _every(
            "all_answer",
            "every node answers for itself",
            nodes,
            (lambda node: _answers(node)) if reports is not None else lambda _: None,
            lambda node: node.unavailable.code if node.unavailable else None,
        ),
        _every(
            "all_running",
            "every node's database runs",
            nodes,
            _claimed(lambda node: node.state in ("running", "streaming", "in archive recovery")),
        ),
        _every(
            "all_streaming",
            "every replica streams",
            [node for node in nodes if not node.is_leader],
            lambda node: node.streaming,
            _both("role", "replication state"),
        ),
        _every(
            "same_timeline",
            "every node is on the timeline of the leader",
            nodes,
            lambda node: node.on_timeline,
            _both("role", "timeline"),
        ),
        _lag_within_limit(cluster, nodes),
        _synchronous_set(cluster, reports),
        _rule(
            "nothing_pending",
            "no transfer of the leader key is asked for or under way",
            promotion.state == "Steady" and promotion.pending is None,
            {"state": promotion.state},
        ),
        _rule(
            "failover_active",
            "automatic failover is not paused",
            not cluster.paused,
            {"paused": cluster.paused},
        ),
        _every(
            "no_pending_restart",
            "no node waits for a restart to apply its settings",
            nodes,
            _claimed(lambda node: not node.pending_restart),
        ),
    )


def _rule(rule_id: str, description: str, holds: bool | None, evidence: Mapping[str, Raw]) -> Rule:
    return Rule.of(rule_id, description, holds, INVARIANTS[rule_id], evidence)


def _claimed(holds: Callable[[NodeRow], bool | None]) -> Callable[[NodeRow], bool | None]:
    """For what nodes say of themselves: the last words of one that is silent prove nothing."""

    def proved(node: NodeRow) -> bool | None:
        silent = not node.registered or node.unavailable is not None
        return None if silent else holds(node)

    return proved


def _every(
    rule: str,
    description: str,
    nodes: Iterable[NodeRow],
    holds: Callable[[NodeRow], bool | None],
    why: Callable[[NodeRow], str | None] = lambda _: None,
) -> Rule:
    """A rule about each of some nodes: one that breaks it decides, else one that is not known.

    `why`: what else is shown of a node that does not keep it.
    """
    nodes = list(nodes)
    verdicts = {node.name: holds(node) for node in nodes}
    words = {node.name: f" ({reason})" if (reason := why(node)) else "" for node in nodes}
    breaking = [name + words[name] for name, verdict in verdicts.items() if verdict is False]
    unknown = [name + words[name] for name, verdict in verdicts.items() if verdict is None]
    holding = len(verdicts) - len(breaking) - len(unknown)
    evidence = {"failing": ", ".join(breaking), "unknown": ", ".join(unknown)}
    shown = {name: names for name, names in evidence.items() if names}
    verdict = False if breaking else None if unknown else True
    return _rule(rule, description, verdict, {**shown, "holding": holding, "nodes": len(verdicts)})


def _has_leader(cluster: "Cluster") -> Rule:
    held = cluster.leader
    return _rule(
        "one_leader",
        "exactly one node holds the leader key",
        held is not None,
        {"leader": held.node if held else None, "since": held.since if held else None},
    )


def _leader_writable(cluster: "Cluster", nodes: Iterable[NodeRow]) -> Rule:
    description = "the leader is writable"
    if cluster.standby_cluster:
        description = "the leader follows another cluster and is not writable"
    for node in nodes:
        if node.is_leader:
            disagrees = node.leader_disagreement
            return _rule(
                "leader_writable",
                description,
                None if disagrees is None else not disagrees,
                {"leader": node.name, "writable": node.writable},
            )
    return _rule("leader_writable", description, False, {"leader": None, "writable": None})


def _single_writer(
    cluster: "Cluster",
    nodes: Iterable[NodeRow],
    reports: "Mapping[str, NodeReplication | None]",
) -> Rule:
    """P6-A1. A node that did not answer may be writable: undetermined, not fine. So may one that is
    gone from the store, and one out of recovery that is read-only by a default alone.
    """
    nodes = list(nodes)
    writers = [
        accounts.Writer(
            name=node.name,
            may_write=node.is_leader and not cluster.standby_cluster,
            writable=accounts.could_write(reports.get(node.name)),
            retired=node.retired,
        )
        for node in nodes
    ]
    there = sum(not node.retired for node in nodes)
    unknown = accounts.unknown_members(cluster.expected_member_count, there)
    others = [writer for writer in writers if not writer.may_write]
    groups = {
        "failing": [each.name for each in others if each.writable],
        "unknown": [each.name for each in others if each.writable is None and not each.retired],
        "retired": [each.name for each in others if each.retired and not each.writable],
    }
    evidence: dict[str, Raw] = {name: ", ".join(names) for name, names in groups.items() if names}
    if unknown:
        evidence["expected_members_without_a_name"] = unknown
    evidence["holding"] = sum(each.writable is False for each in others)
    return _rule(
        "single_writer",
        "no node is writable without the leader key",
        accounts.single_writer(writers, unknown),
        {**evidence, "nodes": len(others)},
    )


def _expected_members(cluster: "Cluster", nodes: Iterable[NodeRow]) -> Rule:
    """What the kernel's configuration expects; a cluster that lost members can't tell by itself."""
    registered = {node.name for node in nodes if node.registered}
    missing = [name for name in cluster.expected_members if name not in registered]
    count = cluster.expected_member_count
    expected = len(cluster.expected_members) or count
    shown: dict[str, Raw] = {"missing": ", ".join(missing)} if missing else {}
    return _rule(
        "expected_members",
        "every member that the kernel's configuration expects is registered",
        not missing and len(registered) >= (count or 0),
        {**shown, "registered": len(registered), "expected": expected},
    )


UNANSWERED = ("NODE_UNREACHABLE", "NODE_TIMEOUT", "NODE_NOT_READY")
"""Why a node did not answer. For other reasons it may have, to somebody else or with a refusal, or
was not asked."""


def _answers(node: NodeRow) -> bool | None:
    if node.unavailable is None:
        return True
    return False if node.unavailable.code in UNANSWERED else None


def _both(*facts: str) -> Callable[[NodeRow], str | None]:
    """Both accounts of those facts, where they differ; else why there is no account."""

    def words(node: NodeRow) -> str | None:
        found = [each.words for each in node.disagreements if each.fact in facts]
        return "; ".join(found) or (node.unavailable.code if node.unavailable else None)

    return words


def _lag_within_limit(cluster: "Cluster", nodes: Iterable[NodeRow]) -> Rule:
    limit = cluster.maximum_lag_bytes
    rule, description = "lag_within_limit", "every replica's lag is within the limit for promotion"
    if limit is None:
        return _rule(rule, description, None, {"limit_bytes": None})

    def within(node: NodeRow) -> bool | None:
        # As Patroni counts: against the furthest of received and replayed. An entry may be older
        # than what the node itself says, and positions only grow.
        known = [each for each in (node.lsn, node.received_lsn, node.replayed_lsn) if each]
        furthest = max(known, key=lsn.parse, default=None)
        lag = None if node.lag_bytes is None else lsn.distance(cluster.leader_lsn, furthest)
        return None if lag is None else lag <= limit

    found = _every(
        rule,
        description,
        [node for node in nodes if not node.is_leader],
        _claimed(within),
        _both("role", "replication state", "timeline", "position"),
    )
    return replace(found, evidence=(*found.evidence, Fact("limit_bytes", limit)))


WAITED_FOR = ("sync", "quorum")
"""How PostgreSQL calls a replica that commits wait for."""


def _waited_for(leader: "NodeReplication") -> set[str]:
    """The replicas that commits on the leader wait for, in lower case."""
    return {
        each.application_name.lower() for each in leader.senders if each.sync_state in WAITED_FOR
    }


def _synchronous_set(
    cluster: "Cluster", reports: "Mapping[str, NodeReplication | None] | None"
) -> Rule:
    """P6-S1. The store says who is to be waited for; the leader, who is. `reports` None:
    no node was asked.
    """
    sync, held = cluster.synchronous, cluster.leader
    names = sorted(sync.standbys)
    holds: bool | None = sync.mode == "off" or bool(names)
    evidence: dict[str, Raw] = {"mode": sync.mode}
    if sync.mode != "off":
        evidence["standbys"] = ", ".join(names) or None
    if names and sync.mode != "off" and reports is not None:
        holder = reports.get(held.node) if held else None
        waited = None if holder is None else _waited_for(holder)
        if waited is None:
            holds = None
        elif waited.isdisjoint(name.lower() for name in names):  # PostgreSQL ignores case there
            holds = False
        if waited is None:
            evidence["leader_answers"] = False
        else:
            evidence["leader_waits_for"] = ", ".join(sorted(waited)) or None
    return _rule(
        "synchronous_standby",
        "synchronous replication, where it is on, has a standby",
        holds,
        evidence,
    )
