"""What the audit records of one request say about it, as an answer of the kernel. Pure.

A record that is broken may have been of any kind. What follows only from the absence of a record is
not claimed then (P7-E2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aeroctl.contract.audit import AuditRecord, BrokenRecord
from aeroctl.contract.requests import RequestStatus, Revisions
from aeroctl.contract.rules import Fact, Rule, rule
from aeroctl.contract.terms import Evaluation, RequestOutcome
from aeroctl.kernel.prove.request import TransferRequest

ENDS = frozenset({"executed", "executed_other", "rejected", "rolled_back", "not_executed"})
"""Outcomes that are recorded only when they are final."""


@dataclass(frozen=True, slots=True)
class RequestRecords:
    """The readable records of a request, the broken ones, and whether it is still in flight."""

    request_id: str
    records: Sequence[AuditRecord]
    broken: Sequence[BrokenRecord]
    in_flight: bool

    def last(self, kind: str) -> AuditRecord | None:
        """The latest record of that kind."""
        return next((record for record in reversed(self.records) if record.kind == kind), None)

    @property
    def recorded_end(self) -> tuple[RequestOutcome, AuditRecord] | None:
        """The final outcome that is recorded, and its record."""
        record = self.last("outcome")
        if record is None or record.outcome is None or record.outcome not in ENDS:
            return None
        return record.outcome, record


def answer_without_history(request: RequestRecords) -> RequestStatus | None:
    """The answer, where the records alone give it; None where the store's history has to."""
    proof = records_proof(request.records)
    refused = request.last("refused")
    if refused is not None:
        return answer(request.records, "rejected", refused.message, proof, final=True)
    dispatched = request.last("dispatched")
    if dispatched is None and request.broken:
        return _answer_of_broken(request)
    if dispatched is None:
        message = "the request was never dispatched, and its id can't be used again"
        return answer(request.records, "not_executed", message, proof, final=True)
    if dispatched.command != "run_diagnostics":
        return None
    if request.recorded_end is not None:
        outcome, record = request.recorded_end
        return answer(request.records, outcome, record.message, proof, final=True)
    message = "no answer of the diagnostics is recorded; diagnostics change nothing"
    return answer(request.records, "unknown", message, proof, final=False)


def _answer_of_broken(request: RequestRecords) -> RequestStatus:
    """A broken record may have said what was dispatched: only what the others prove is answered."""
    problems = "; ".join(map(broken_message, request.broken))
    outcome: RequestOutcome = "in_progress" if request.in_flight else "unknown"
    message = f"it is not known whether Patroni was asked, and for what: {problems}"
    ended = next((record for record in request.records if record.outcome in ENDS), None)
    if ended is not None and ended.outcome is not None:
        outcome, message = ended.outcome, ended.message or problems
    facts = [
        Fact(name=f"record_{record.sequence}", value=record.problem) for record in request.broken
    ]
    evidence = [*records_proof(request.records), _records_readable(facts)]
    if request.records:
        return answer(request.records, outcome, message, evidence, final=ended is not None)
    return answer_unrecorded(request.request_id, 0).model_copy(
        update={"recorded": True, "outcome": outcome, "message": message, "evidence": evidence}
    )


def broken_message(record: BrokenRecord) -> str:
    """Which record can't be read, and why."""
    return f"audit record {record.sequence} can't be read: {record.problem}"


def transfer_request(dispatched: AuditRecord) -> TransferRequest:
    """The request for a transfer, as its dispatched record has it."""
    return TransferRequest(
        command=dispatched.command,
        target=dispatched.target,
        leader_before=dispatched.leader_before,
        failover_revision=dispatched.dispatch.failover_revision if dispatched.dispatch else 0,
        dispatched=dispatched.revision,
    )


def answer(
    records: Sequence[AuditRecord],
    outcome: RequestOutcome,
    message: str | None,
    evidence: list[Rule],
    *,
    final: bool,
) -> RequestStatus:
    """An answer with that outcome; the rest is what the newest record says."""
    last = records[-1]
    revisions = {record.kind: record.revision for record in records}
    return RequestStatus(
        request_id=last.request_id,
        recorded=True,
        command=last.command,
        target=last.target,
        outcome=outcome,
        final=final,
        code=last.code,
        message=message,
        engine_reply=last.engine_reply,
        leader_before=last.leader_before,
        leader_after=last.leader_after,
        revisions=Revisions(
            requested=revisions.get("requested"),
            dispatched=revisions.get("dispatched"),
            outcome=revisions.get("outcome", revisions.get("refused")),
        ),
        evidence=evidence,
        diagnostics=None,
    )


def answer_unrecorded(request_id: str, revision: int) -> RequestStatus:
    """The answer for a request that has no record up to `revision`."""
    return RequestStatus(
        request_id=request_id,
        recorded=False,
        command=None,
        target=None,
        outcome="not_executed",
        final=False,
        code=None,
        message=f"the kernel has no record of this request up to revision {revision}. Nothing is"
        " executed without a record. A request that is still on its way would have none yet",
        engine_reply=None,
        leader_before=None,
        leader_after=None,
        revisions=Revisions(requested=None, dispatched=None, outcome=None),
        evidence=[_recorded("does_not_hold", [Fact(name="revision", value=revision)])],
        diagnostics=None,
    )


def records_proof(records: Sequence[AuditRecord]) -> list[Rule]:
    """As evidence: which records there are, and the revisions at which they were written."""
    facts = [Fact(name=f"{record.kind}_revision", value=record.revision) for record in records]
    return [_recorded("holds", facts)]


def _records_readable(evidence: Sequence[Fact]) -> Rule:
    description = "every audit record of the request can be read"
    return rule("records_readable", description, "does_not_hold", "kernel", evidence)


def _recorded(evaluation: Evaluation, evidence: Sequence[Fact]) -> Rule:
    description = "the audit trail has records of the request"
    return rule("recorded", description, evaluation, "kernel", evidence)
