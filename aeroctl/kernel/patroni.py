"""The sections that the consensus store alone holds, as pure functions of Patroni's keys."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args
from urllib.parse import urlsplit

from aeroctl.contract import lsn
from aeroctl.contract.cluster import Authority, Cluster, Synchronous
from aeroctl.contract.envelope import Note
from aeroctl.contract.nodes import Node
from aeroctl.contract.promotion import PendingPromotion, Promotion, TimelineSwitch
from aeroctl.contract.terms import PromotionState, Role, SynchronousMode, TimelineStatus
from aeroctl.kernel.failures import unreadable
from aeroctl.kernel.keys import Kernel, Member

# Patroni's own defaults (config.py, global_config.py), in force where `config` names no other.
DEFAULT_TTL = 30
DEFAULT_LOOP_WAIT = 10
DEFAULT_RETRY_TIMEOUT = 10
DEFAULT_MAXIMUM_LAG = 1024 * 1024
POSTGRESQL_PORT = 5432
SECONDS, BYTES = 2**31, 2**53
"""Settings are less than that."""
WRITING_ROLES = ("primary", "standby_leader")


def cluster(kernel: Kernel) -> Cluster:
    """Identity, authority and settings. Source: leader, initialize, config, status, sync."""
    config = kernel.config or {}
    known = kernel.config is not None
    return Cluster(
        name=kernel.scope,
        system_id=kernel.system_id,
        authority=authority(kernel),
        paused=paused(kernel),
        standby_cluster=_standby_cluster(config),
        lease_ttl_seconds=_setting(config, "ttl", DEFAULT_TTL, SECONDS) if known else None,
        maximum_lag_bytes=_setting(config, "maximum_lag_on_failover", DEFAULT_MAXIMUM_LAG, BYTES)
        if known
        else None,
        leader_lsn=_lsn(kernel.status.optime),
        synchronous=Synchronous(
            mode=_synchronous_mode(config),
            strict=flag(config.get("synchronous_mode_strict")),
            leader=kernel.sync.leader if kernel.sync else None,
            standbys=kernel.sync.standbys if kernel.sync else [],
            quorum=kernel.sync.quorum if kernel.sync else None,
        ),
    )


def nodes(kernel: Kernel) -> list[Node]:
    """Every node that the store names, by name. Source: members, leader, sync, status."""
    absent = dict.fromkeys(_absent(kernel), Member())
    return [
        _node(kernel, name, member, registered=name in kernel.members)
        for name, member in sorted((kernel.members | absent).items())
    ]


def promotion(kernel: Kernel) -> Promotion:
    """Where the promotion state machine stands. Source: leader, members, failover, history."""
    failover = kernel.failover
    return Promotion(
        state=_promotion_state(kernel),
        authority=authority(kernel),
        pending=PendingPromotion(
            commit_id=kernel.failover_commit,
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
                new_authority=end.new_leader or None,
            )
            for end in sorted(kernel.history, key=lambda end: end.timeline)
        ],
    )


def notes(kernel: Kernel) -> list[Note]:
    """What a reader of any section must know."""
    found = []
    if kernel.system_id is None:
        found.append(_note("CLUSTER_NOT_INITIALISED", None, "the cluster has no system id yet"))
    if paused(kernel):
        found.append(_note("CLUSTER_PAUSED", None, "automatic failover is switched off"))
    if kernel.leader is None:
        found.append(_note("NO_AUTHORITY", None, "nobody holds write authority"))
    elif (name := kernel.leader.value) in kernel.members and not _holder_writes(kernel):
        role = kernel.members[name].role
        message = f"it holds write authority and is not yet a primary (role: {role})"
        found.append(_note("AUTHORITY_NOT_PRIMARY", name, message))
    for name, named_by in _absent(kernel).items():
        message = f"it does not renew its own entry; {named_by} names it"
        found.append(_note("NODE_NOT_REGISTERED", name, message))
    for name, member in kernel.members.items():
        if _role(member) == "unknown":
            found.append(_note("ROLE_UNKNOWN", name, f"the kernel calls its role {member.role!r}"))
        if address(member.conn_url) == (None, None):
            message = "its entry holds no address that can be read"
            found.append(_note("NODE_ADDRESS_UNKNOWN", name, message))
    return found


def authority(kernel: Kernel) -> Authority | None:
    """Who holds write authority (P6-A1): the leader key, and the commit that created it."""
    leader = kernel.leader
    return None if leader is None else Authority(node=leader.value, reign=leader.created)


def paused(kernel: Kernel) -> bool:
    """Whether automatic failover is switched off for the cluster."""
    return flag((kernel.config or {}).get("pause"))


def slot_name(member: str) -> str:
    """The replication slot that Patroni keeps for a member (dcs, slot_name_from_member_name)."""
    return re.sub(
        "[^a-z0-9_]",
        lambda match: "_" if match[0] in "-." else f"u{ord(match[0]):04d}",
        member.lower(),
    )[:63]


def address(url: str | None) -> tuple[str | None, int | None]:
    """Host and port of a connection URL, and nothing else of it: it may hold a password.

    (None, None) unless it names exactly one host that is reached over TCP.
    """
    try:
        parts = urlsplit(url or "")
        port = POSTGRESQL_PORT if parts.port is None else parts.port
    except ValueError:
        return None, None
    stray = "@" in parts.path + parts.query + parts.fragment  # an unescaped password cut in two
    if not parts.hostname or stray or re.search(r"[\s,/%\\]", parts.hostname):
        return None, None
    return parts.hostname, port


def agent(url: str | None) -> str | None:
    """The base address of a node's agent, `scheme://host:port` and nothing else of its api_url.

    None unless it is http or https, and names exactly one host and a port.
    """
    try:
        parts = urlsplit(url or "")
        port = parts.port
    except ValueError:
        return None
    host, _ = address(url)
    if parts.scheme not in ("http", "https") or host is None or not port:
        return None
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def deadline_seconds(kernel: Kernel) -> int:
    """Within this time the engine is done with a transfer, or has given it up.

    Patroni waits for its outcome in `2 * max(10, loop_wait)` steps of a second, each of which reads
    the store (api.py, poll_failover_result); ten more for reaching it and for what comes after.
    """
    config = kernel.config or {}
    retry_timeout = _setting(config, "retry_timeout", DEFAULT_RETRY_TIMEOUT, SECONDS)
    return 2 * max(10, loop_wait(kernel)) + retry_timeout + 10


def loop_wait(kernel: Kernel) -> int:
    """Seconds between two looks of an agent at its node and at the store."""
    return _setting(kernel.config or {}, "loop_wait", DEFAULT_LOOP_WAIT, SECONDS)


def settling_seconds(kernel: Kernel) -> int:
    """Within this time a living agent describes its node in the store anew (ha.py, touch_member):
    the time between two looks, and one more for the look itself.
    """
    return loop_wait(kernel) + 1


def ttl(kernel: Kernel) -> int:
    """Seconds that an agent's lease lasts: its node's entry, and the leader key."""
    return _setting(kernel.config or {}, "ttl", DEFAULT_TTL, SECONDS)


def check_timeline(kernel: Kernel) -> bool:
    """Whether Patroni refuses a candidate that is on an older timeline; it doesn't by default."""
    return flag((kernel.config or {}).get("check_timeline"))


def _node(kernel: Kernel, name: str, member: Member, *, registered: bool) -> Node:
    host, port = address(member.conn_url)
    upstream = member.tags.get("replicatefrom")
    return Node(
        name=name,
        registered=registered,
        holds_authority=kernel.leader is not None and kernel.leader.value == name,
        role=_role(member),
        state=member.state,
        replication_state=member.replication_state,
        timeline=member.timeline,
        timeline_status=_timeline_status(kernel, member),
        lsn=_lsn(member.xlog_location),
        received_lsn=_lsn(member.receive_lsn),
        replayed_lsn=_lsn(member.replay_lsn),
        host=host,
        port=port,
        agent_version=member.version,
        no_failover=_no_failover(member.tags) if registered else None,
        replicate_from=None if upstream is None else str(upstream),
        pending_restart=member.pending_restart if registered else None,
        paused=member.pause if registered else None,
        tags={key: _tag(value) for key, value in sorted(member.tags.items())},
    )


def _absent(kernel: Kernel) -> dict[str, str]:
    """Nodes that the store names and that have no entry of their own, and what names them."""
    found: dict[str, str] = {}
    if kernel.leader is not None and kernel.leader.value not in kernel.members:
        found[kernel.leader.value] = "the leader key"
    synchronous = [kernel.sync.leader, *kernel.sync.standbys] if kernel.sync else []
    registered = {name.lower() for name in kernel.members}  # PostgreSQL ignores case there
    for name in synchronous:
        if name and name.lower() not in registered:
            found.setdefault(name, "the synchronous set")
    slots = {slot_name(name) for name in [*kernel.members, *found]}
    for slot in kernel.status.retain_slots:
        if slot not in slots:
            found[slot] = "a replication slot kept for it (which may spell its name differently)"
    return dict(sorted(found.items()))


def _holder(kernel: Kernel) -> Member | None:
    return None if kernel.leader is None else kernel.members.get(kernel.leader.value)


def _holder_writes(kernel: Kernel) -> bool:
    """Patroni gives the leader key first and promotes after (P6-A3: no implicit claim)."""
    holder = _holder(kernel)
    return holder is not None and _role(holder) in WRITING_ROLES


def _promotion_state(kernel: Kernel) -> PromotionState:
    if not _holder_writes(kernel):
        return "AuthorityTransitioning"
    return "PromotionRequested" if kernel.failover.pending else "Steady"


def _timeline_status(kernel: Kernel, member: Member) -> TimelineStatus:
    holder = _holder(kernel)
    if holder is None or holder.timeline is None or member.timeline is None:
        return "unknown"
    if member.timeline >= holder.timeline:
        return "current" if member.timeline == holder.timeline else "forked"
    ends = [end.position for end in kernel.history if end.timeline == member.timeline]
    if not ends or member.xlog_location is None:
        return "unknown"
    return "forked" if member.xlog_location > ends[-1] else "behind"


def _role(member: Member) -> Role:
    if member.role == "master":  # Patroni before 4
        return "primary"
    return next((role for role in get_args(Role) if role == member.role), "unknown")


def _no_failover(tags: dict[str, Any]) -> bool:
    """As Patroni reads the two tags (tags.py): `nofailover` wins where both are given."""
    if tags.get("nofailover") is not None:
        return bool(tags["nofailover"])
    priority = _integer(tags.get("failover_priority"))
    return priority is not None and priority <= 0


def _synchronous_mode(config: dict[str, Any]) -> SynchronousMode:
    if _standby_cluster(config):
        return "off"
    if str(config.get("synchronous_mode")).lower() == "quorum":
        return "quorum"
    return "on" if flag(config.get("synchronous_mode")) else "off"


def _standby_cluster(config: dict[str, Any]) -> bool:
    upstream = config.get("standby_cluster")
    return isinstance(upstream, dict) and any(
        upstream.get(key) for key in ("host", "port", "restore_command")
    )


def flag(value: object) -> bool:
    """A switch in the configuration, as Patroni reads it."""
    return str(value).lower() in ("on", "true", "yes", "1")


def _integer(value: object) -> int | None:
    try:
        return int(str(value))
    except ValueError:
        return None


def _setting(config: Mapping[str, Any], name: str, default: int, limit: int) -> int:
    """Patroni reads what is not a number as its default. Raises Failure KERNEL_STATE_UNREADABLE
    for one that the contract or a lease can't hold: another number would be a lie.
    """
    number = _integer(config.get(name))
    if number is not None and number >= limit:
        raise unreadable("config", f"{name} is not less than {limit}")
    return default if number is None else max(0, number)


def _tag(value: Any) -> str | int | float | bool | None:
    if isinstance(value, int | float) and not -(2**53) < value < 2**53:  # NaN, too
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, sort_keys=True)


def _lsn(position: int | None) -> str | None:
    return None if position is None else lsn.render(position)


def utc(instant: datetime | None) -> str | None:
    """A time as the contract writes it; None also where UTC has no such year."""
    if instant is None:
        return None
    try:
        time = instant.astimezone(UTC)
    except OverflowError:
        return None
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _note(code: str, subject: str | None, message: str) -> Note:
    return Note(code=code, subject=subject, message=message)
