"""View `health`: facts per rule and counts, never advice (P7-A3).

Every rule is a sentence that holds, does not hold, or can't be decided from this snapshot.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aeroctl.contract.lsn import distance
from aeroctl.contract.terms import PromotionState
from aeroctl.views.blocks import Block, Facts, Flagged, Grid
from aeroctl.views.nodes import NodeRow, node_rows
from aeroctl.views.view import View

if TYPE_CHECKING:
    from aeroctl.contract.cluster import Cluster
    from aeroctl.contract.envelope import Snapshot

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
    nodes = node_rows(snapshot)
    asked = snapshot.replication is not None
    return HealthView(
        cluster=cluster.name,
        promotion_state=promotion.state,
        nodes=len(nodes),
        registered=sum(node.registered for node in nodes),
        answering=sum(node.writable is not None for node in nodes) if asked else None,
        streaming=sum(node.replication_state == "streaming" for node in nodes),
        writable=sum(bool(node.writable) for node in nodes) if asked else None,
        rules=(
            _authority_held(cluster),
            _authority_writable(cluster, nodes),
            _single_writer(cluster, nodes),
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
                lambda node: (node.writable is not None) if asked else None,
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
                [node for node in nodes if not node.holds_authority],
                _claimed(lambda node: node.replication_state == "streaming"),
            ),
            _every(
                "same_timeline",
                "every node is on the timeline of the holder of authority",
                nodes,
                _claimed(
                    lambda node: (
                        None
                        if node.timeline_status == "unknown"
                        else node.timeline_status == "current"
                    )
                ),
            ),
            _lag_within_limit(cluster, nodes),
            _synchronous_set(cluster),
            _rule(
                "nothing_pending",
                "no transfer of authority is asked for or under way",
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
) -> Rule:
    """A rule about each of some nodes: one that breaks it decides, else one that is not known."""
    verdicts = {node.name: holds(node) for node in nodes}
    breaking = [name for name, verdict in verdicts.items() if verdict is False]
    unknown = [name for name, verdict in verdicts.items() if verdict is None]
    if breaking:
        return _rule(rule, description, False, f"not so: {', '.join(breaking)}")
    if unknown:
        return _rule(rule, description, None, f"not known: {', '.join(unknown)}")
    evidence = f"{len(verdicts)} of {len(verdicts)}" if verdicts else "there is none"
    return _rule(rule, description, True, evidence)


def _authority_held(cluster: "Cluster") -> Rule:
    held = cluster.authority
    return _rule(
        "one_authority",
        "exactly one node holds write authority",
        held is not None,
        f"{held.node}, since commit {held.reign}" if held else "nobody holds it",
    )


def _authority_writable(cluster: "Cluster", nodes: Iterable[NodeRow]) -> Rule:
    description = "the holder of authority is writable"
    if cluster.standby_cluster:
        description = "the holder of authority follows another cluster and is not writable"
    for node in nodes:
        if node.holds_authority:
            disagrees = node.authority_disagreement
            words = {True: "writable", False: "not writable", None: "not known"}[node.writable]
            return _rule(
                "authority_writable",
                description,
                None if disagrees is None else not disagrees,
                f"{node.name}: {words}",
            )
    return _rule("authority_writable", description, False, "nobody holds it")


def _single_writer(cluster: "Cluster", nodes: Iterable[NodeRow]) -> Rule:
    """P6-A1. A node that did not answer may be writable: undetermined, not fine."""
    others = [node for node in nodes if cluster.standby_cluster or not node.holds_authority]
    return _every(
        "single_writer",
        "no node is writable without authority",
        others,
        lambda node: None if node.writable is None else not node.writable,
    )


def _lag_within_limit(cluster: "Cluster", nodes: Iterable[NodeRow]) -> Rule:
    limit = cluster.maximum_lag_bytes
    rule, description = "lag_within_limit", "every replica's lag is within the limit for promotion"
    if limit is None:
        return _rule(rule, description, None, "no limit is recorded")

    def within(node: NodeRow) -> bool | None:
        # As Patroni counts: against the furthest of received and replayed.
        lag = None if node.lag_bytes is None else distance(cluster.leader_lsn, node.lsn)
        return None if lag is None else lag <= limit

    found = _every(
        rule, description, [node for node in nodes if not node.holds_authority], _claimed(within)
    )
    return Rule(rule, description, found.evaluation, f"{found.evidence}; limit {limit} B")


def _synchronous_set(cluster: "Cluster") -> Rule:
    sync = cluster.synchronous
    names = ", ".join(sorted(sync.standbys)) or "none"
    return _rule(
        "synchronous_standby",
        "synchronous replication, where it is on, has a standby",
        sync.mode == "off" or bool(sync.standbys),
        "off" if sync.mode == "off" else f"{sync.mode}: {names}",
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
