"""Section `checkpoints`: from where each node would recover. Source: SQL on every node."""

from pydantic import Field

from aeroctl.contract.base import Count, Lsn, Model, Time, Xid


class NodeCheckpoint(Model):
    """The content of pg_control. PostgreSQL: pg_control_checkpoint, _recovery, _system, _init."""

    system_id: str
    in_recovery: bool
    checkpoint_lsn: Lsn
    redo_lsn: Lsn = Field(description="Crash recovery would start here.")
    redo_segment: str | None
    timeline: Count
    previous_timeline: Count
    time: Time = Field(description="Clock of the node that made the checkpoint.")
    next_xid: Xid
    oldest_xid: Xid
    oldest_active_xid: Xid | None = Field(description="null: a shutdown checkpoint has none.")
    full_page_writes: bool
    data_checksums: bool
    min_recovery_end_lsn: Lsn | None = Field(
        description="A replica is consistent from here on; null on a primary."
    )
    min_recovery_end_timeline: Count | None
