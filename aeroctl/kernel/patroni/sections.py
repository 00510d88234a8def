"""The sections that the consensus store alone holds, as pure functions of Patroni's keys."""

from datetime import datetime

from aeroctl.contract import lsn, rfc3339
from aeroctl.contract.cluster import Cluster, Leader, Synchronous
from aeroctl.contract.envelope import Note
from aeroctl.contract.promotion import PendingPromotion, Promotion, TimelineSwitch
from aeroctl.contract.terms import PromotionState
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.members import host_and_port, member_role
from aeroctl.kernel.patroni.nodes import leader_writes, lsn_text, nodes, unregistered
from aeroctl.kernel.patroni.settings import (
    BYTES,
    DEFAULT_MAXIMUM_LAG,
    DEFAULT_TTL,
    SECONDS,
    flag,
    paused,
    setting,
    standby_cluster,
    synchronous_mode,
)

__all__ = ["cluster", "leader", "nodes", "notes", "paused", "promotion", "utc"]


def cluster(keys: ClusterKeys) -> Cluster:
    """Identity, leader and settings. Source: leader, initialize, config, status, sync."""
    config = keys.config or {}
    known = keys.config is not None
    return Cluster(
        name=keys.scope,
        system_id=keys.system_id,
        leader=leader(keys),
        paused=paused(keys),
        standby_cluster=standby_cluster(config),
        lease_ttl_seconds=setting(config, "ttl", DEFAULT_TTL, SECONDS) if known else None,
        maximum_lag_bytes=setting(config, "maximum_lag_on_failover", DEFAULT_MAXIMUM_LAG, BYTES)
        if known
        else None,
        leader_lsn=lsn_text(keys.status.optime),
        synchronous=Synchronous(
            mode=synchronous_mode(config),
            strict=flag(config.get("synchronous_mode_strict")),
            leader=keys.sync.leader if keys.sync else None,
            standbys=keys.sync.standbys if keys.sync else [],
            quorum=keys.sync.quorum if keys.sync else None,
        ),
        expected_members=sorted(keys.expected.names),
        expected_member_count=keys.expected.count,
    )


def promotion(keys: ClusterKeys) -> Promotion:
    """Where the promotion state machine stands. Source: leader, members, failover, history."""
    failover = keys.failover
    return Promotion(
        state=_promotion_state(keys),
        leader=leader(keys),
        pending=PendingPromotion(
            revision=keys.failover_revision,
            from_node=failover.leader or None,
            to_node=failover.member or None,
            scheduled_at=utc(failover.scheduled_at),
        )
        if failover.pending
        else None,
        history=[
            TimelineSwitch(
                timeline=end.timeline,
                ended_at_lsn=lsn.render(end.position),
                reason=end.reason,
                time=utc(end.time),
                new_leader=end.new_leader or None,
            )
            for end in sorted(keys.history, key=lambda end: end.timeline)
        ],
    )


def notes(keys: ClusterKeys) -> list[Note]:
    """What a reader of any section must know."""
    found = []
    if keys.system_id is None:
        found.append(_note("CLUSTER_NOT_INITIALISED", None, "the cluster has no system id yet"))
    if paused(keys):
        found.append(_note("CLUSTER_PAUSED", None, "automatic failover is switched off"))
    if keys.leader is None:
        found.append(_note("NO_LEADER", None, "no node holds the leader key"))
    elif (name := keys.leader.value) in keys.members and not leader_writes(keys):
        role = keys.members[name].role
        message = f"it holds the leader key and is not yet a primary (role: {role})"
        found.append(_note("LEADER_NOT_PRIMARY", name, message))
    for node in nodes(keys):
        if not node.registered:
            found.append(_note("NODE_NOT_REGISTERED", node.name, unregistered(node)))
        if node.shares_address_with:
            others = ", ".join(node.shares_address_with)
            message = f"its entry names the same database address as the entry of {others}"
            found.append(_note("NODE_ADDRESS_SHARED", node.name, message))
    for name, member in keys.members.items():
        if member_role(member) == "unknown":
            found.append(
                _note(
                    "ROLE_UNKNOWN",
                    name,
                    f"its entry has a role that aerokernel does not know: {member.role!r}",
                )
            )
        if host_and_port(member.conn_url) == (None, None):
            message = "its entry holds no address that can be read"
            found.append(_note("NODE_ADDRESS_UNKNOWN", name, message))
    return found


def leader(keys: ClusterKeys) -> Leader | None:
    """Who holds the leader key (P6-A1), and since which revision: the leader key."""
    leader = keys.leader
    return None if leader is None else Leader(node=leader.value, since=keys.since)


def _promotion_state(keys: ClusterKeys) -> PromotionState:
    if not leader_writes(keys):
        return "AuthorityTransitioning"
    return "PromotionRequested" if keys.failover.pending else "Steady"


def utc(instant: datetime | None) -> str | None:
    """A time as the contract writes it; None also where UTC has no such year."""
    if instant is None:
        return None
    try:
        return rfc3339.render(instant)
    except OverflowError:
        return None


def _note(code: str, subject: str | None, message: str) -> Note:
    return Note(code=code, subject=subject, message=message)
