"""Section `replication`: who streams to whom. Source: SQL on every node."""

from pydantic import Field

from aeroctl.contract.base import Count, Lsn, Model, Time


class Receiver(Model):
    """A replica's side of its stream. PostgreSQL: pg_stat_wal_receiver."""

    status: str
    upstream: str | None = Field(description="The node at that address, if it is one of ours.")
    host: str | None
    port: int | None
    slot: str | None
    timeline: Count | None
    flushed_lsn: Lsn | None
    last_message_at: Time | None = Field(description="The replica's clock.")


class Sender(Model):
    """An upstream's side of one stream. PostgreSQL: pg_stat_replication."""

    application_name: str
    node: str | None = Field(description="The node of that name, if it is one of ours.")
    address: str | None
    state: str | None
    sync_state: str | None
    sent_lsn: Lsn | None
    written_lsn: Lsn | None
    flushed_lsn: Lsn | None
    replayed_lsn: Lsn | None
    reply_at: Time | None = Field(description="The replica's clock.")


class NodeReplication(Model):
    """What one PostgreSQL server reports about itself, all read in one statement."""

    system_id: str
    in_recovery: bool
    writable: bool | None = Field(
        description="Not in recovery, and transactions may write by default. null: the server's "
        "default can't be distinguished from one that is set for the kernel's own role or database."
    )
    timeline: Count
    lsn: Lsn | None = Field(
        description="Written (primary) or the further of received and replayed (replica)."
    )
    received_lsn: Lsn | None
    replayed_lsn: Lsn | None
    replay_paused: bool | None
    last_replayed_at: Time | None = Field(description="The clock of the primary of that time.")
    receiver: Receiver | None
    senders: list[Sender] = Field(description="By application name, then address.")
