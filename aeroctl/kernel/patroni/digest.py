"""The state digest: equal exactly when the state that decides which node leads is equal. Pure."""

from aeroctl.contract.canonical import canonical_digest
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.sections import cluster, paused


def state_digest(keys: ClusterKeys) -> str:
    """A digest of who holds the leader key and of everything that may change who does.

    Leader and leader term, members with role and timeline, pending failover, synchronous set,
    pause, and whether the whole cluster follows another.
    WAL positions, leases and settings that decide nothing here leave it as it is.
    """
    leader, failover, sync = keys.leader, keys.failover, keys.sync
    state = {
        "scope": keys.scope,
        "system_id": keys.system_id,
        "leader": None if leader is None else [leader.value, keys.since],
        "members": [
            [name, member.role, member.timeline] for name, member in sorted(keys.members.items())
        ],
        "failover": failover.model_dump(mode="json") if failover.pending else None,
        "sync": [sync.leader, sync.standbys, sync.quorum] if sync and sync.leader else None,
        "paused": paused(keys),
        "standby_cluster": cluster(keys).standby_cluster,
    }
    return canonical_digest(state)[:32]
