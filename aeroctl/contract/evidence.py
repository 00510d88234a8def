"""What a evidence file holds: all that a kernel said of one revision, and a digest of it."""

from pydantic import Field

from aeroctl.contract.audit import AuditRecord, BrokenRecord, Hash, Head
from aeroctl.contract.base import Model
from aeroctl.contract.envelope import Envelope, Snapshot
from aeroctl.contract.events import Event, Logged, Standing


class History(Model):
    """Every event up to the revision, from what stood before the first of them."""

    base: Standing
    events: list[Event]
    pins: list[Logged]


class Trail(Model):
    """The whole audit trail."""

    records: list[AuditRecord]
    broken: list[BrokenRecord]
    head: Head


class Evidence(Model):
    """Snapshot, events and audit trail of one revision."""

    snapshot: Snapshot
    events: History
    audit: Trail | None = Field(description="null: whoever took it may not read the trail.")


class EvidenceEnvelope(Envelope[Evidence]):
    """The output of aeroctl snapshot --full."""

    digest: Hash = Field(
        description="SHA-256 of all the rest: JSON with sorted keys, no spaces, ASCII alone."
    )
