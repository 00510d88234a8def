"""The section `nodes`: every node that anything names, also without an entry of its own. Pure."""

from collections.abc import Iterable, Mapping

from aeroctl.contract import lsn
from aeroctl.contract.nodes import LastEntry, Node
from aeroctl.contract.terms import KnownFrom, TimelineStatus
from aeroctl.kernel.patroni.keys import ClusterKeys, Departed, Member
from aeroctl.kernel.patroni.members import host_and_port, member_role, no_failover, slot_name, tag
from aeroctl.kernel.patroni.settings import PERMANENT_SLOTS

WRITING_ROLES = ("primary", "standby_leader")
NAMED_BY: Mapping[KnownFrom, str] = {
    "leader_key": "the leader key",
    "sync_key": "the synchronous set",
    "failsafe_key": "the failsafe key",
    "history_key": "Patroni's history of promotions",
    "slot": "a replication slot kept for it",
    "earlier_member_key": "an earlier entry of its own, in the store's history,",
    "expected_members": "the configuration of this kernel",
}


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


def _node(keys: ClusterKeys, name: str, member: Member) -> Node:
    host, port = host_and_port(member.conn_url)
    upstream = member.tags.get("replicatefrom")
    return Node(
        name=name,
        registered=True,
        known_from=["member_key"],
        last_entry=None,
        retired=False,
        shares_address_with=[],
        is_leader=keys.leader is not None and keys.leader.value == name,
        role=member_role(member),
        state=member.state,
        replication_state=member.replication_state,
        timeline=member.timeline,
        timeline_status=_timeline_status(keys, member),
        lsn=lsn_text(member.xlog_location),
        received_lsn=lsn_text(member.receive_lsn),
        replayed_lsn=lsn_text(member.replay_lsn),
        host=host,
        port=port,
        agent_version=member.version,
        no_failover=no_failover(member.tags),
        replicate_from=None if upstream is None else str(upstream),
        pending_restart=member.pending_restart,
        paused=member.pause,
        tags={key: tag(value) for key, value in sorted(member.tags.items())},
    )


def _gone(keys: ClusterKeys, name: str, known_from: list[KnownFrom]) -> Node:
    """A node without an entry. What it said last proves nothing, and stands apart; its address is
    where it can be asked.
    """
    departed = keys.departed.get(name)
    host, port = host_and_port(departed.member.conn_url) if departed else (None, None)
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
        role=member_role(member),
        state=member.state,
        timeline=member.timeline,
        lsn=lsn_text(member.xlog_location),
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


def unregistered(node: Node) -> str:
    by = [NAMED_BY[known] for known in node.known_from]
    named = by[0] if len(by) == 1 else f"{', '.join(by[:-1]).rstrip(',')} and {by[-1]}"
    if "slot" in node.known_from and node.known_from == ["slot"]:
        named += " (which may spell its name differently)"
    words = f"it does not renew its own entry; {named} {'name' if len(by) > 1 else 'names'} it"
    if node.retired:
        words += "; the configuration of this kernel lists it as gone for good"
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
            other.name for other in there if other is not node and address_counts(node, other)
        )
        for there in places.values()
        for node in there
    }


def address_counts(node: Node, other: Node) -> bool:
    """Whether it matters to `node` that `other` is at its address."""
    return other.registered or not node.registered


def leader_member(keys: ClusterKeys) -> Member | None:
    return None if keys.leader is None else keys.members.get(keys.leader.value)


def leader_writes(keys: ClusterKeys) -> bool:
    """Patroni gives the leader key first and promotes after (P6-A3: no implicit claim)."""
    holder = leader_member(keys)
    return holder is not None and member_role(holder) in WRITING_ROLES


def _timeline_status(keys: ClusterKeys, member: Member) -> TimelineStatus:
    holder = leader_member(keys)
    if holder is None or holder.timeline is None or member.timeline is None:
        return "unknown"
    if member.timeline >= holder.timeline:
        return "current" if member.timeline == holder.timeline else "forked"
    ends = [end.position for end in keys.history if end.timeline == member.timeline]
    if not ends or member.xlog_location is None:
        return "unknown"
    return "forked" if member.xlog_location > ends[-1] else "behind"


def lsn_text(position: int | None) -> str | None:
    return None if position is None else lsn.render(position)
