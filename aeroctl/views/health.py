"""View `health`: facts per rule and counts, never advice (P7-A3).

Every rule is a sentence that holds, does not hold, or can't be decided from this snapshot.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aeroctl.contract import accounts, lsn
from aeroctl.contract.terms import PromotionState
from aeroctl.views.blocks import Block, Facts, Flagged, Grid
from aeroctl.views.nodes import NodeRow, node_rows
from aeroctl.views.view import View

if TYPE_CHECKING:
    from aeroctl.contract.cluster import Cluster
    from aeroctl.contract.envelope import Snapshot
    from aeroctl.contract.replication import NodeReplication

Evaluation = Literal["holds", "does_not_hold", "undetermined"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, evaluated, with what it was decided from."""

    rule: str
    description: str
    evaluation: Evaluation
    evidence: str


@dataclass(frozen=True, slots=True)
class HealthView:
    """`rules` in a fixed order unless asked otherwise; the counts are over the rules shown."""

    cluster: str
    promotion_state: PromotionState
    nodes: int
    registered: int
    answering: int | None
    """null: the nodes were not asked (history)."""
    streaming: int
    writable: int | None
    rules: tuple[Rule, ...]

    @property
    def all_hold(self) -> bool:
        """What `health --check` asks: some rule is shown, and each that is holds (P7-F1)."""
        return bool(self.rules) and all(rule.evaluation == "holds" for rule in self.rules)


def derive(snapshot: "Snapshot") -> HealthView:
    """Every rule over one snapshot."""
    cluster, promotion = snapshot.cluster, snapshot.promotion
    assert cluster is not None
    assert promotion is not None
    rows = node_rows(snapshot)
    nodes = tuple(node for node in rows if node.counts)
    asked = snapshot.replication is not None
    said = {each.node: each.value for each in snapshot.replication or ()}
    return HealthView(
        cluster=cluster.name,
        promotion_state=promotion.state,
        nodes=len(rows),
        registered=sum(node.registered for node in rows),
        answering=sum(node.unavailable is None for node in rows) if asked else None,
        streaming=sum(bool(node.streaming) for node in rows),
        writable=sum(bool(node.writable) for node in rows) if asked else None,
        rules=(
            _has_leader(cluster),
            _leader_writable(cluster, nodes),
            _single_writer(cluster, rows, said),
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
                (lambda node: _answers(node)) if asked else lambda _: None,
                lambda node: node.unavailable.code if node.unavailable else None,
            ),
            _every(
                "all_running",
                "every node's database runs",
                nodes,
                _claimed(
                    lambda node: node.state in ("running", "streaming", "in archive recovery")
                ),
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
            _synchronous_set(cluster, said if asked else None),
            _rule(
                "nothing_pending",
                "no transfer of the leader key is asked for or under way",
                promotion.state == "Steady" and promotion.pending is None,
                f"state {promotion.state}",
            ),
            _rule(
                "failover_active",
                "automatic failover is not paused",
                not cluster.paused,
                "paused" if cluster.paused else "not paused",
            ),
            _every(
                "no_pending_restart",
                "no node waits for a restart to apply its settings",
                nodes,
                _claimed(lambda node: not node.pending_restart),
            ),
        ),
    )


def _rule(rule: str, description: str, holds: bool | None, evidence: str) -> Rule:
    evaluations: dict[bool | None, Evaluation] = {
        True: "holds",
        False: "does_not_hold",
        None: "undetermined",
    }
    return Rule(rule, description, evaluations[holds], evidence)


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
    if breaking:
        return _rule(rule, description, False, f"not so: {', '.join(breaking)}")
    if unknown:
        return _rule(rule, description, None, f"not known: {', '.join(unknown)}")
    evidence = f"{len(verdicts)} of {len(verdicts)}" if verdicts else "there is none"
    return _rule(rule, description, True, evidence)


def _has_leader(cluster: "Cluster") -> Rule:
    held = cluster.leader
    return _rule(
        "one_leader",
        "exactly one node holds the leader key",
        held is not None,
        f"{held.node}, since revision {held.since}" if held else "nobody holds it",
    )


def _leader_writable(cluster: "Cluster", nodes: Iterable[NodeRow]) -> Rule:
    description = "the leader is writable"
    if cluster.standby_cluster:
        description = "the leader follows another cluster and is not writable"
    for node in nodes:
        if node.is_leader:
            disagrees = node.leader_disagreement
            words = {True: "writable", False: "not writable", None: "not known"}[node.writable]
            return _rule(
                "leader_writable",
                description,
                None if disagrees is None else not disagrees,
                f"{node.name}: {words}",
            )
    return _rule("leader_writable", description, False, "nobody holds it")


def _single_writer(
    cluster: "Cluster",
    nodes: Iterable[NodeRow],
    said: "Mapping[str, NodeReplication | None]",
) -> Rule:
    """P6-A1. A node that did not answer may be writable: undetermined, not fine. So may one that is
    gone from the store, and one out of recovery that is read-only by a default alone.
    """
    nodes = list(nodes)
    writers = [
        accounts.Writer(
            name=node.name,
            may_write=node.is_leader and not cluster.standby_cluster,
            writable=accounts.could_write(said.get(node.name)),
            retired=node.retired,
        )
        for node in nodes
    ]
    there = sum(not node.retired for node in nodes)
    unknown = accounts.unknown_members(cluster.expected_member_count, there)
    others = [writer for writer in writers if not writer.may_write]
    parts = (
        ("not so", [each.name for each in others if each.writable]),
        ("not known", [each.name for each in others if each.writable is None and not each.retired]),
        ("gone for good", [each.name for each in others if each.retired and not each.writable]),
        ("expected, and nothing names them", [str(unknown)] if unknown else []),
    )
    proved = sum(each.writable is False for each in others)
    evidence = [f"{words}: {', '.join(names)}" for words, names in parts if names]
    return _rule(
        "single_writer",
        "no node is writable without the leader key",
        accounts.single_writer(writers, unknown),
        "; ".join(evidence) or (f"{proved} of {len(others)}" if others else "there is none"),
    )


def _expected_members(cluster: "Cluster", nodes: Iterable[NodeRow]) -> Rule:
    """What the kernel's configuration expects; a cluster that lost members can't tell by itself."""
    registered = {node.name for node in nodes if node.registered}
    missing = [name for name in cluster.expected_members if name not in registered]
    count = cluster.expected_member_count
    if missing:
        evidence = f"missing: {', '.join(missing)}"
    elif count is not None:
        evidence = f"{len(registered)} registered, {count} expected"
    elif cluster.expected_members:
        evidence = f"{len(cluster.expected_members)} of {len(cluster.expected_members)}"
    else:
        evidence = "the kernel's configuration expects none in particular"
    return _rule(
        "expected_members",
        "every member that the kernel's configuration expects is registered",
        not missing and len(registered) >= (count or 0),
        evidence,
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
        return _rule(rule, description, None, "no limit is recorded")

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
    return Rule(rule, description, found.evaluation, f"{found.evidence}; limit {limit} B")


WAITED_FOR = ("sync", "quorum")
"""How PostgreSQL calls a replica that revisions wait for."""


def _synchronous_set(
    cluster: "Cluster", said: "Mapping[str, NodeReplication | None] | None"
) -> Rule:
    """P6-S1. The store says who is to be waited for; the leader, who is. `said` None:
    no node was asked.
    """
    sync, held = cluster.synchronous, cluster.leader
    names = sorted(sync.standbys)
    holds: bool | None = sync.mode == "off" or bool(names)
    evidence = "off" if sync.mode == "off" else f"{sync.mode}: {', '.join(names) or 'none'}"
    if names and holds and sync.mode != "off" and said is not None:
        holder = said.get(held.node) if held else None
        if held is None or holder is None:
            holds, evidence = None, f"{evidence}; the leader does not say"
        else:
            # PostgreSQL ignores case there.
            known = {name.lower() for name in names}
            waited = {
                each.application_name.lower()
                for each in holder.senders
                if each.sync_state in WAITED_FOR
            }
            if known.isdisjoint(waited):
                holds, evidence = False, f"{evidence}; {held.node} waits for none of them"
    return _rule(
        "synchronous_standby",
        "synchronous replication, where it is on, has a standby",
        holds,
        evidence,
    )


def layout(view: HealthView) -> tuple[Block, ...]:
    """Counts, then a line per rule."""
    rows = tuple(
        (
            rule.rule,
            rule.evaluation if rule.evaluation == "holds" else Flagged(rule.evaluation),
            rule.evidence,
            rule.description,
        )
        for rule in view.rules
    )
    holding = sum(rule.evaluation == "holds" for rule in view.rules)
    return (
        Facts(
            (
                ("cluster", view.cluster),
                ("promotion state", view.promotion_state),
                ("nodes", view.nodes),
                ("registered", view.registered),
                ("answering", view.answering),
                ("streaming", view.streaming),
                ("writable", view.writable),
                ("rules that hold", f"{holding} of {len(view.rules)}"),
            )
        ),
        Grid("RULE EVALUATION EVIDENCE MEANS", rows),
    )


VIEW = View(
    HealthView, derive, layout, ("cluster", "nodes", "promotion"), ("replication",), "rules"
)
