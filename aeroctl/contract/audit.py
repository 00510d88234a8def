"""GET /v1/audit: the audit trail, append-only, hash-chained, ordered by revision (P7-O3)."""

from typing import Annotated

from pydantic import Field

from aeroctl.contract.base import Count, Model, Revision, Time
from aeroctl.contract.cluster import Leader
from aeroctl.contract.commands import CommandName
from aeroctl.contract.envelope import Envelope
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.requests import Client, RequestId
from aeroctl.contract.terms import AuthorityName, Given, RecordKind, RequestOutcome

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Confirmed(Model):
    """How a request was confirmed."""

    kind: str
    given: Given
    acknowledged: list[str]
    accepts_responsibility: bool


class Dispatch(Model):
    """The one action that was asked of the engine, and the state that it was bound to."""

    action: str = Field(examples=['POST /switchover {"candidate":"n2","leader":"n1"}'])
    receiver: str | None = Field(description="The node whose agent was asked.")
    failover_revision: Revision = Field(
        description="Last revision of the engine's pending-transfer key before; 0: it was absent."
    )
    deadline_seconds: Count


class RecordFacts(Model):
    """What a record says, before it has its place in the chain."""

    kind: RecordKind
    request_id: RequestId
    time: Time = Field(description="By `clock`; it orders nothing.")
    clock: str
    cluster: str
    system_id: str | None
    command: CommandName
    target: str | None
    identity: str = Field(description="Authenticated: whose token it was.")
    authority: AuthorityName
    client: Client = Field(
        description="What the caller claimed of itself; nobody checked it. All null, like "
        "`reason`, for a caller without the authority to ask."
    )
    reason: str | None
    state_digest: str = Field(description="Of the state that the operator confirmed.")
    observed_revision: Revision = Field(description="The revision that the operator saw.")
    token_digest: Hash | None = Field(
        description="SHA-256 of the confirmation token, which serves no other request; null for a "
        "caller without the authority to ask."
    )
    confirmation: Confirmed | None = Field(description="null in a record before it was checked.")
    leader_before: Leader | None
    leader_after: Leader | None
    dispatch: Dispatch | None
    outcome: RequestOutcome | None
    code: str | None
    message: str | None
    engine_reply: EngineReply | None


class AuditRecord(RecordFacts):
    """One record in its place. `revision` orders it, and is not part of what is hashed
    (chain.py), because the store gives it when the record is written.
    """

    sequence: Annotated[int, Field(ge=1, lt=2**53)]
    revision: Revision
    previous_hash: Hash
    hash: Hash


class Head(Model):
    """The end of the chain, kept apart from it: a trail that was cut short does not reach it."""

    sequence: Count
    hash: Hash


class BrokenRecord(Model):
    """A place of the trail where there is no record that can be believed, and why."""

    sequence: Annotated[int, Field(ge=1, lt=2**53)] | None = Field(
        description="Of the record; null: a key that is no record's."
    )
    last: Annotated[int, Field(ge=1, lt=2**53)] | None = Field(
        description="Of the last record that is missing, where `sequence` is the first one's; else "
        "the same."
    )
    key: str = Field(description="In the store; of missing records, the first one's.")
    revision: Revision = Field(
        description="No later than this was what should be here recorded; it places it among the "
        "records."
    )
    written: Revision | None = Field(
        description="The revision that last wrote the key; null: it is missing."
    )
    problem: str


class AuditPage(Model):
    """Some records in order of sequence, from one revision of the store."""

    records: list[AuditRecord]
    broken: list[BrokenRecord] = Field(
        description="Places of the same stretch of the trail that hold no such record, in the "
        "order of their keys. Nothing is left out: it is in one list or in the other."
    )
    head: Head = Field(description="Of the whole trail at this revision; sequence 0: it is empty.")
    next: Count | None = Field(description="Ask with `after` set to this for more; null: no more.")


class AuditEnvelope(Envelope[AuditPage]):
    """The answer to GET /v1/audit."""
