"""The sections that the consensus store alone holds, as pure functions of Patroni's keys."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, get_args
from urllib.parse import urlsplit

from aeroctl.contract import lsn, rfc3339
from aeroctl.contract.cluster import Cluster, Leader, Synchronous
from aeroctl.contract.envelope import Note
from aeroctl.contract.nodes import LastEntry, Node
from aeroctl.contract.promotion import PendingPromotion, Promotion, TimelineSwitch
from aeroctl.contract.terms import (
    KnownFrom,
    PromotionState,
    Role,
    SynchronousMode,
    TimelineStatus,
)
from aeroctl.kernel.failures import unreadable
from aeroctl.kernel.patroni.keys import ClusterKeys, Departed, Member

# Patroni's own defaults (config.py, global_config.py), in force where `config` names no other.
DEFAULT_TTL = 30
DEFAULT_LOOP_WAIT = 10
DEFAULT_RETRY_TIMEOUT = 10
DEFAULT_MAXIMUM_LAG = 1024 * 1024
POSTGRESQL_PORT = 5432
SECONDS, BYTES = 2**31, 2**53
"""Settings are less than that."""
WRITING_ROLES = ("primary", "standby_leader")

PERMANENT_SLOTS = ("slots", "permanent_slots", "permanent_replication_slots")
"""Settings that name slots which are no member's."""

NAMED_BY: Mapping[KnownFrom, str] = {
    "leader_key": "the leader key",
    "sync_key": "the synchronous set",
    "failsafe_key": "the failsafe key",
    "history_key": "Patroni's history of promotions",
    "slot": "a replication slot kept for it",
    "earlier_member_key": "an earlier entry of its own, in the store's history,",
    "expected_members": "the configuration of this kernel",
}


def cluster(keys: ClusterKeys) -> Cluster:
    """Identity, leader and settings. Source: leader, initialize, config, status, sync."""
    config = keys.config or {}
    known = keys.config is not None
    return Cluster(
        name=keys.scope,
        system_id=keys.system_id,
        leader=leader(keys),
        paused=paused(keys),
        standby_cluster=_standby_cluster(config),
        lease_ttl_seconds=_setting(config, "ttl", DEFAULT_TTL, SECONDS) if known else None,
        maximum_lag_bytes=_setting(config, "maximum_lag_on_failover", DEFAULT_MAXIMUM_LAG, BYTES)
        if known
        else None,
        leader_lsn=_lsn(keys.status.optime),
        synchronous=Synchronous(
            mode=_synchronous_mode(config),
            strict=flag(config.get("synchronous_mode_strict")),
            leader=keys.sync.leader if keys.sync else None,
            standbys=keys.sync.standbys if keys.sync else [],
            quorum=keys.sync.quorum if keys.sync else None,
        ),
        expected_members=sorted(keys.expected.names),
        expected_member_count=keys.expected.count,
    )


def nodes(keys: ClusterKeys) -> list[Node]:
    """Every node that anything names, by name: the store's keys (members, leader, sync, failsafe,
    history, status), its history as far as it was read, and this kernel's configuration.
    """
    absent = _absent(keys)
    found = {
        **{name: _node(keys, name, member) for name, member in keys.members.items()},
        **{name: _gone(keys, name, known) for name, known in absent.items()},
    }
    sharing = _shared_addresses(found.values())
    return [
        found[name].model_copy(update={"shares_address_with": sharing.get(name, [])})
        for name in sorted(found)
    ]


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
        found.append(_note("NO_LEADER", None, "nobody holds the leader key"))
    elif (name := keys.leader.value) in keys.members and not _holder_writes(keys):
        role = keys.members[name].role
        message = f"it holds the leader key and is not yet a primary (role: {role})"
        found.append(_note("LEADER_NOT_PRIMARY", name, message))
    for node in nodes(keys):
        if not node.registered:
            found.append(_note("NODE_NOT_REGISTERED", node.name, _unregistered(node)))
        if node.shares_address_with:
            others = ", ".join(node.shares_address_with)
            message = f"its entry names the same database address as the entry of {others}"
            found.append(_note("NODE_ADDRESS_SHARED", node.name, message))
    for name, member in keys.members.items():
        if _role(member) == "unknown":
            found.append(_note("ROLE_UNKNOWN", name, f"the kernel calls its role {member.role!r}"))
        if address(member.conn_url) == (None, None):
            message = "its entry holds no address that can be read"
            found.append(_note("NODE_ADDRESS_UNKNOWN", name, message))
    return found


def leader(keys: ClusterKeys) -> Leader | None:
    """Who holds the leader key (P6-A1), and since which revision: the leader key."""
    leader = keys.leader
    return None if leader is None else Leader(node=leader.value, since=keys.since)


def paused(keys: ClusterKeys) -> bool:
    """Whether automatic failover is switched off for the cluster."""
    return flag((keys.config or {}).get("pause"))


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


def deadline_seconds(keys: ClusterKeys) -> int:
    """Within this time the engine is done with a transfer, or has given it up.

    Patroni waits for its outcome in `2 * max(10, loop_wait)` steps of a second, each of which reads
    the store (api.py, poll_failover_result); ten more for reaching it and for what comes after.
    """
    config = keys.config or {}
    retry_timeout = _setting(config, "retry_timeout", DEFAULT_RETRY_TIMEOUT, SECONDS)
    return 2 * max(10, loop_wait(keys)) + retry_timeout + 10


def loop_wait(keys: ClusterKeys) -> int:
    """Seconds between two looks of an agent at its node and at the store."""
    return _setting(keys.config or {}, "loop_wait", DEFAULT_LOOP_WAIT, SECONDS)


def settling_seconds(keys: ClusterKeys) -> int:
    """Within this time a living agent describes its node in the store anew (ha.py, touch_member):
    the time between two looks, and one more for the look itself.
    """
    return loop_wait(keys) + 1


def ttl(keys: ClusterKeys) -> int:
    """Seconds that an agent's lease lasts: its node's entry, and the leader key."""
    return _setting(keys.config or {}, "ttl", DEFAULT_TTL, SECONDS)


def check_timeline(keys: ClusterKeys) -> bool:
    """Whether Patroni refuses a candidate that is on an older timeline; it doesn't by default."""
    return flag((keys.config or {}).get("check_timeline"))


def _node(keys: ClusterKeys, name: str, member: Member) -> Node:
    host, port = address(member.conn_url)
    upstream = member.tags.get("replicatefrom")
    return Node(
        name=name,
        registered=True,
        known_from=["member_key"],
        last_entry=None,
        retired=False,
        shares_address_with=[],
        is_leader=keys.leader is not None and keys.leader.value == name,
        role=_role(member),
        state=member.state,
        replication_state=member.replication_state,
        timeline=member.timeline,
        timeline_status=_timeline_status(keys, member),
        lsn=_lsn(member.xlog_location),
        received_lsn=_lsn(member.receive_lsn),
        replayed_lsn=_lsn(member.replay_lsn),
        host=host,
        port=port,
        agent_version=member.version,
        no_failover=_no_failover(member.tags),
        replicate_from=None if upstream is None else str(upstream),
        pending_restart=member.pending_restart,
        paused=member.pause,
        tags={key: _tag(value) for key, value in sorted(member.tags.items())},
    )


def _gone(keys: ClusterKeys, name: str, known_from: list[KnownFrom]) -> Node:
    """A node without an entry. What it said last proves nothing, and stands apart; its address is
    where it can be asked.
    """
    departed = keys.departed.get(name)
    host, port = address(departed.member.conn_url) if departed else (None, None)
    return _node(keys, name, Member()).model_copy(
        update={
            "registered": False,
            "known_from": known_from,
            "last_entry": _last_entry(departed) if departed else None,
            "retired": name in keys.expected.retired,
            "host": host,
            "port": port,
            "no_failover": None,
            "pending_restart": None,
            "paused": None,
        }
    )


def _last_entry(departed: Departed) -> LastEntry:
    member = departed.member
    return LastEntry(
        revision=departed.revision,
        role=_role(member),
        state=member.state,
        timeline=member.timeline,
        lsn=_lsn(member.xlog_location),
    )


def _absent(keys: ClusterKeys) -> dict[str, list[KnownFrom]]:
    """Nodes that have no entry of their own, and everything that names them."""
    found: dict[str, list[KnownFrom]] = {}

    def named(by: KnownFrom, names: Iterable[str | None]) -> None:
        for name in names:
            if name and name not in keys.members and by not in found.setdefault(name, []):
                found[name].append(by)

    named("leader_key", [keys.leader.value] if keys.leader else [])
    synchronous = [keys.sync.leader, *keys.sync.standbys] if keys.sync else []
    # PostgreSQL ignores case there, so that Patroni may spell a name otherwise.
    spelt = {
        name.lower(): name for name in [*keys.expected.names, *keys.departed, *found, *keys.members]
    }
    named("sync_key", (name and spelt.get(name.lower(), name) for name in synchronous))
    named("failsafe_key", keys.failsafe)
    named("history_key", (end.new_leader for end in keys.history))
    names = {*keys.members, *found, *keys.departed, *keys.expected.names}
    # A slot's name is not always its node's, which is preferred where anything tells it.
    owners = {slot_name(name): name for name in [*sorted(names), *keys.members]}
    named("slot", (owners.get(slot, slot) for slot in _member_slots(keys)))
    named("earlier_member_key", sorted(keys.departed))
    named("expected_members", sorted(keys.expected.names))
    return found


def _member_slots(keys: ClusterKeys) -> list[str]:
    """The slots that Patroni keeps for members: all but the permanent ones of the configuration."""
    settings = [(keys.config or {}).get(name) for name in PERMANENT_SLOTS]
    permanent = {slot for kept in settings if isinstance(kept, dict) for slot in kept}
    return sorted({*keys.status.retain_slots, *keys.status.slots} - permanent)


def _unregistered(node: Node) -> str:
    by = [NAMED_BY[known] for known in node.known_from]
    named = by[0] if len(by) == 1 else f"{', '.join(by[:-1]).rstrip(',')} and {by[-1]}"
    if "slot" in node.known_from and node.known_from == ["slot"]:
        named += " (which may spell its name differently)"
    words = f"it does not renew its own entry; {named} {'name' if len(by) > 1 else 'names'} it"
    if node.retired:
        words += "; the configuration of this kernel says that it is gone for good"
    return words


def _shared_addresses(nodes: Iterable[Node]) -> dict[str, list[str]]:
    """Whose entries name one database address. A registered node's address is its own where only
    nodes that are gone had it before.
    """
    places: dict[tuple[str, int], list[Node]] = {}
    for node in nodes:
        if node.host is not None and node.port is not None:
            places.setdefault((node.host.rstrip(".").lower(), node.port), []).append(node)
    return {
        node.name: sorted(
            other.name for other in there if other is not node and counts(node, other)
        )
        for there in places.values()
        for node in there
    }


def counts(node: Node, other: Node) -> bool:
    """Whether it matters to `node` that `other` is at its address."""
    return other.registered or not node.registered


def _holder(keys: ClusterKeys) -> Member | None:
    return None if keys.leader is None else keys.members.get(keys.leader.value)


def _holder_writes(keys: ClusterKeys) -> bool:
    """Patroni gives the leader key first and promotes after (P6-A3: no implicit claim)."""
    holder = _holder(keys)
    return holder is not None and _role(holder) in WRITING_ROLES


def _promotion_state(keys: ClusterKeys) -> PromotionState:
    if not _holder_writes(keys):
        return "AuthorityTransitioning"
    return "PromotionRequested" if keys.failover.pending else "Steady"


def _timeline_status(keys: ClusterKeys, member: Member) -> TimelineStatus:
    holder = _holder(keys)
    if holder is None or holder.timeline is None or member.timeline is None:
        return "unknown"
    if member.timeline >= holder.timeline:
        return "current" if member.timeline == holder.timeline else "forked"
    ends = [end.position for end in keys.history if end.timeline == member.timeline]
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
    priority = _rounded(tags.get("failover_priority"))
    return priority is not None and priority <= 0


INTEGERS = ((r"[-+]?0x[0-9a-fA-F]+", 16), (r"[-+]?0[0-7]*", 8), (r"[-+]?[1-9][0-9]*", 10))
REAL = r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?"


def _rounded(value: object) -> int | None:
    """A number as Patroni's parse_int reads it (utils.py): as PostgreSQL's settings are, so that
    0.4 is 0 and 010 is 8; None for what is none.
    """
    text = str(value).strip()
    found = ((re.match(pattern, text, re.ASCII), base) for pattern, base in INTEGERS)
    match, base = next(((match, base) for match, base in found if match), (None, 10))
    number: float | None = int(match[0], base) if match else None
    rest = text[match.end() :] if match else text
    if rest[:1] == "." or (match and rest[:1] in ("e", "E")):
        match = re.match(REAL, text, re.ASCII)
        number, rest = (float(match[0]), text[match.end() :]) if match else (None, text)
    try:
        return None if number is None or rest.strip() else round(number)
    except OverflowError:  # 1e999
        return None


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
        return rfc3339.render(instant)
    except OverflowError:
        return None


def _note(code: str, subject: str | None, message: str) -> Note:
    return Note(code=code, subject=subject, message=message)
