"""Section `wal`: the write-ahead log's positions and boundaries. Source: SQL on every node."""

from pydantic import Field

from aeroctl.contract.base import Count, Lsn, Model, SafeInt, Time
from aeroctl.contract.terms import SlotKind


class WalDirectory(Model):
    """The segments on disk. PostgreSQL: pg_ls_waldir."""

    files: Count
    bytes: Count
    oldest_segment: str | None
    newest_segment: str | None


class Archiver(Model):
    """PostgreSQL: pg_stat_archiver."""

    mode: str = Field(description="archive_mode: off, on or always.")
    archived: Count
    last_archived_segment: str | None
    last_archived_at: Time | None
    failed: Count
    last_failed_segment: str | None
    last_failed_at: Time | None


class Slot(Model):
    """A promise to keep WAL. PostgreSQL: pg_replication_slots."""

    name: str
    kind: SlotKind
    database: str | None
    active: bool
    restart_lsn: Lsn | None
    confirmed_lsn: Lsn | None
    wal_status: str | None = Field(examples=["reserved", "extended", "unreserved", "lost"])
    safe_bytes: SafeInt | None = Field(
        description="WAL that can still be written before the slot is lost; null: no limit."
    )
    retained_bytes: Count | None = Field(
        description="From restart_lsn to the node's own position, same statement."
    )


class NodeWal(Model):
    """One node's write-ahead log."""

    in_recovery: bool
    level: str
    segment_bytes: Count
    lsn: Lsn | None = Field(description="Written (primary), received or replayed (replica).")
    insert_lsn: Lsn | None = Field(description="Primary only.")
    flushed_lsn: Lsn | None = Field(description="Primary only.")
    received_lsn: Lsn | None = Field(description="Replica only.")
    replayed_lsn: Lsn | None = Field(description="Replica only.")
    directory: WalDirectory
    archiver: Archiver
    max_wal_bytes: Count = Field(description="Soft limit that triggers a checkpoint.")
    keep_bytes: Count = Field(description="Kept for replicas without a slot (wal_keep_size).")
    slot_limit_bytes: Count | None = Field(
        description="max_slot_wal_keep_size; null: a slot may keep any amount."
    )
    slots: list[Slot] = Field(description="By name.")
