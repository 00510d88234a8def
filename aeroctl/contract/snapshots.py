"""Section `snapshots`: snapshots that are held, base backups under way. Source: SQL."""

from pydantic import Field

from aeroctl.contract.base import Count, Model, Time, Xid
from aeroctl.contract.terms import SnapshotKind


class ActiveSnapshot(Model):
    """Something that keeps old row versions visible. No statement text: it may hold secrets."""

    kind: SnapshotKind
    holder: str = Field(description="pid, slot name or application name.")
    database: str | None
    owner: str | None
    state: str | None
    xmin: Xid
    age: Count = Field(description="Transactions since then.")
    since: Time | None = Field(description="When its transaction began (the node's clock).")


class BaseBackup(Model):
    """A base backup being taken. PostgreSQL: pg_stat_progress_basebackup."""

    pid: Count
    phase: str
    total_bytes: Count | None = Field(description="null: not estimated.")
    streamed_bytes: Count
    started_at: Time | None = Field(description="The node's clock.")


class NodeSnapshots(Model):
    """Snapshots held on one node."""

    in_recovery: bool
    active: list[ActiveSnapshot] = Field(description="Oldest first, then by kind and holder.")
    base_backups: list[BaseBackup] = Field(description="By pid.")
