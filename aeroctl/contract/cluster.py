"""Section `cluster`: the cluster as a whole. Source: the consensus store."""

from pydantic import Field

from aeroctl.contract.base import Count, Lsn, Model, Revision
from aeroctl.contract.terms import SynchronousMode


class Leader(Model):
    """The node that Patroni's leader key names, and since which revision (P6-A1)."""

    node: str
    since: Revision = Field(
        description="Revision at which the node took the leader key: the key was created with its "
        "name, or written over with it. A fencing token: it is new each time the key is taken, "
        "also by the same node."
    )


class Synchronous(Model):
    """Synchronous replication as the cluster is configured and as it stands. Patroni: `sync`."""

    mode: SynchronousMode
    strict: bool = Field(description="Writes stop when no synchronous standby is left.")
    leader: str | None
    standbys: list[str] = Field(description="Sorted by name.")
    quorum: Count | None = Field(
        description="How many others of the synchronous set a candidate must reach before it may "
        "take the leader key. Patroni: sync.quorum."
    )


class Cluster(Model):
    """Identity, leader and the settings that decide which node may take the leader key."""

    name: str
    system_id: str | None = Field(
        description="PostgreSQL's system identifier; null until the cluster is initialised."
    )
    leader: Leader | None = Field(description="null: the leader key is absent.")
    paused: bool = Field(description="Automatic failover is switched off.")
    standby_cluster: bool = Field(description="The whole cluster follows another one.")
    lease_ttl_seconds: Count | None
    maximum_lag_bytes: Count | None = Field(
        description="A replica further behind than this can't be promoted while the kernel "
        "enforces it (Patroni: maximum_lag_on_failover)."
    )
    leader_lsn: Lsn | None = Field(
        description="The last WAL position that a leader recorded in the "
        "consensus store (Patroni: status.optime). What `lag_bytes` is measured against."
    )
    synchronous: Synchronous
    expected_members: list[str] = Field(
        description="The nodes that the kernel's configuration expects (`--expect-member`), sorted."
    )
    expected_member_count: Count | None = Field(
        description="How many members it expects (`--expect-members`); null where it names them, "
        "or expects none."
    )
