"""Section `mvcc`: what transactions can see, and what holds cleanup back. Source: SQL."""

from pydantic import Field

from aeroctl.contract.base import Count, Model, Time, Xid
from aeroctl.contract.terms import HolderKind


class HorizonHolder(Model):
    """The oldest transaction id that one kind of holder keeps visible (the xmin horizon)."""

    kind: HolderKind
    holder: str = Field(description="pid, gid, slot name or application name.")
    xmin: Xid
    age: Count = Field(description="Transactions since then.")


class PreparedTransaction(Model):
    """Stays, over restart and promotion, until it is ended. PostgreSQL: pg_prepared_xacts."""

    gid: str
    xid: Xid
    database: str
    owner: str
    prepared_at: Time


class NodeMvcc(Model):
    """One node's visibility state."""

    in_recovery: bool
    xmin: Xid = Field(description="Every older transaction is visible or dead (pg_snapshot_xmin).")
    xmax: Xid = Field(
        description="One past the newest finished transaction (pg_snapshot_xmax); from here on "
        "nothing is visible. Ages are counted from here."
    )
    in_progress: Count = Field(description="Transactions under way between the two.")
    oldest_xid: Xid = Field(description="Oldest unfrozen transaction id of all databases.")
    oldest_xid_database: str
    oldest_xid_age: Count
    freeze_max_age: Count = Field(
        description="Age at which cleanup is forced (autovacuum_freeze_max_age)."
    )
    horizon: list[HorizonHolder] = Field(
        description="The oldest holder of each kind; oldest first, then by kind."
    )
    prepared_transactions: list[PreparedTransaction] = Field(description="By gid.")
