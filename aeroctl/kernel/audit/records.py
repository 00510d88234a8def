"""What a request writes into the audit trail, each time as one transaction. Pure.

Every function gives the comparisons and the changes of a transaction of etcd: all of it is written,
or nothing (P7-O3: no record, no execution). Requests, refusals and outcomes are records of their
own (P7-O1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aeroctl.contract import rfc3339
from aeroctl.contract.audit import Confirmed, Dispatch, RecordFacts
from aeroctl.contract.canonical import canonical_json
from aeroctl.contract.commands import Command
from aeroctl.contract.consent import fingerprint
from aeroctl.contract.errors import Error
from aeroctl.contract.requests import CommandRequest, RequestStatus
from aeroctl.contract.terms import RecordKind
from aeroctl.kernel import clock
from aeroctl.kernel.audit.ledger import (
    Ledger,
    audit_key,
    chained,
    consent_value,
    head_key,
    head_value,
    inflight_key,
    request_key,
    request_value,
)
from aeroctl.kernel.callers import Caller
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import DECISIVE_KEYS, MEMBERS, ClusterKeys
from aeroctl.kernel.store.requests import Compare, Delete, Put

DISPATCHED: tuple[RecordKind, ...] = ("requested", "confirmed", "dispatched")
"""The records of a request that was dispatched. One that was refused has fewer; what comes of it is
one more."""
READ_ONLY = "read every node and its agent"


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for a command, and the caller who made it."""

    command: Command
    request: CommandRequest
    caller: Caller

    @property
    def request_id(self) -> str:
        """The id of the request."""
        return self.request.request_id

    @property
    def confirmed(self) -> Confirmed:
        """How it was confirmed, for records that come after the confirmation was checked."""
        confirmation = self.request.confirmation
        return Confirmed(
            kind=confirmation.kind,
            given=confirmation.given,
            acknowledged=confirmation.acknowledged,
            accepts_responsibility=confirmation.accepts_responsibility,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The one request to Patroni: the node whose agent gets it, that agent's URL, path and body."""

    receiver: str
    base: str
    path: str
    body: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What was recorded before anything was done, and when.

    `began` is monotonic: before the transaction was sent. `revision` is the transaction's.
    """

    submission: Submission
    keys: ClusterKeys
    revision: int
    deadline_seconds: int
    began: float


@dataclass(frozen=True, slots=True)
class Transaction:
    """Comparisons and changes: all changes are written if every comparison holds, else none."""

    compares: Sequence[Compare]
    changes: Sequence[Put | Delete]


def dispatch_facts(plan: Plan | None, keys: ClusterKeys, deadline_seconds: int) -> Dispatch:
    """How the request to Patroni is recorded; without a plan the command only reads."""
    return Dispatch(
        action=READ_ONLY if plan is None else f"POST {plan.path} {canonical_json(plan.body)}",
        receiver=None if plan is None else plan.receiver,
        failover_revision=keys.failover_revision,
        deadline_seconds=deadline_seconds,
    )


def refusal(
    submission: Submission,
    keys: ClusterKeys,
    ledger: Ledger,
    error: Error,
    confirmed: Confirmed | None,
) -> Transaction:
    """`requested` and `refused`; the request id and the confirmation are used up.

    A request id that was used before gets `refused` alone.
    """
    refused = _facts(submission, keys, "refused", confirmed).model_copy(
        update={"outcome": "rejected", "code": error.code, "message": error.message}
    )
    if ledger.request is not None:
        return _use_confirmation(submission, ledger, _append(keys.scope, ledger, [refused]))
    written = _append(keys.scope, ledger, [_facts(submission, keys, "requested", None), refused])
    return _use_confirmation(submission, ledger, _use_id(submission, keys, ledger, written, 2))


def spend_confirmation(submission: Submission, ledger: Ledger, lease: int) -> Transaction:
    """The confirmation alone is used up, for as long as it could confirm anything."""
    assert ledger.unspent is not None
    return Transaction(
        [Compare(ledger.unspent, "created", 0)],
        [Put(ledger.unspent, consent_value(submission.request_id), lease)],
    )


def dispatch(
    submission: Submission,
    prefix: str,
    keys: ClusterKeys,
    ledger: Ledger,
    planned: Dispatch,
    lease: int | None,
) -> Transaction:
    """`requested`, `confirmed` and `dispatched`, bound to the very state that was decided over.

    The leader key, every key that decides who may take it, and the member key that says where the
    request is sent must be as they were read (P7-D2), the id and the confirmation unused (P7-F3,
    P7-A2), and nothing in flight (P7-E1), unless `lease` is None: what only reads is not in flight.
    """
    assert ledger.unspent is not None  # decision.check_confirmed
    confirmed = submission.confirmed
    written = _append(
        keys.scope,
        ledger,
        [
            _facts(submission, keys, "requested", None),
            _facts(submission, keys, "confirmed", confirmed),
            _facts(submission, keys, "dispatched", confirmed).model_copy(
                update={"dispatch": planned}
            ),
        ],
    )
    claimed = _use_confirmation(
        submission, ledger, _use_id(submission, keys, ledger, written, len(DISPATCHED))
    )
    decisive = [*DECISIVE_KEYS, *([f"{MEMBERS}{planned.receiver}"] if planned.receiver else [])]
    # Not when it was created: another name may be written over it in place.
    since = 0 if keys.leader is None else keys.leader.modified
    bound = [
        Compare(prefix + "leader", "modified", since),
        *(Compare(prefix + key, "modified", keys.revision_of(key)) for key in decisive),
    ]
    if lease is None:
        return Transaction([*bound, *claimed.compares], claimed.changes)
    flight = inflight_key(keys.scope)
    return Transaction(
        [*bound, *claimed.compares, Compare(flight, "created", 0)],
        [*claimed.changes, Put(flight, submission.request_id, lease)],
    )


def outcome(dispatched: Dispatched, ledger: Ledger, status: RequestStatus) -> Transaction:
    """The outcome, as an append. A final one ends the flight, if it is still this request's."""
    submission, keys = dispatched.submission, dispatched.keys
    facts = _facts(submission, keys, "outcome", submission.confirmed).model_copy(
        update={
            "leader_before": status.leader_before,
            "leader_after": status.leader_after,
            "outcome": status.outcome,
            "code": status.code,
            "message": status.message,
            "engine_reply": status.engine_reply,
        }
    )
    written = _append(keys.scope, ledger, [facts])
    key = request_key(keys.scope, submission.request_id)
    records = [*(ledger.request or ()), ledger.head.sequence + 1]
    compares = [*written.compares, Compare(key, "modified", ledger.request_revision)]
    changes = [*written.changes, Put(key, request_value(records))]
    if status.final and ledger.in_flight == submission.request_id:
        flight = inflight_key(keys.scope)
        compares.append(Compare(flight, "created", dispatched.revision))
        changes.append(Delete(flight))
    return Transaction(compares, changes)


def _append(scope: str, ledger: Ledger, facts: Sequence[RecordFacts]) -> Transaction:
    """Records at the end of the chain, where nothing is yet: what is written stays."""
    texts, head = chained(ledger.head, facts)
    first = ledger.head.sequence + 1
    keys = [audit_key(scope, first + place) for place in range(len(texts))]
    return Transaction(
        [
            Compare(head_key(scope), "modified", ledger.head_revision),
            *(Compare(key, "created", 0) for key in keys),
        ],
        [
            *(Put(key, text) for key, text in zip(keys, texts, strict=True)),
            Put(head_key(scope), head_value(head, prefix=ledger.prefix)),
        ],
    )


def _use_id(
    submission: Submission, keys: ClusterKeys, ledger: Ledger, written: Transaction, records: int
) -> Transaction:
    """`written`, and the request id is used up, with its first records."""
    key = request_key(keys.scope, submission.request_id)
    first = ledger.head.sequence + 1
    return Transaction(
        [*written.compares, Compare(key, "created", 0)],
        [*written.changes, Put(key, request_value(range(first, first + records)))],
    )


def _use_confirmation(submission: Submission, ledger: Ledger, written: Transaction) -> Transaction:
    """`written`, and the confirmation is used up: it serves one request, whatever the outcome
    (P7-A2, P7-F3). Only an operator's: other callers can neither confirm nor use one up.
    """
    if ledger.unspent is None or submission.caller.authority != "operator":
        return written
    return Transaction(
        [*written.compares, Compare(ledger.unspent, "created", 0)],
        [*written.changes, Put(ledger.unspent, consent_value(submission.request_id))],
    )


def _facts(
    submission: Submission, keys: ClusterKeys, kind: RecordKind, confirmed: Confirmed | None
) -> RecordFacts:
    request = submission.request
    return RecordFacts(
        kind=kind,
        request_id=request.request_id,
        time=rfc3339.render(datetime.now(UTC)),
        clock=clock.name(),
        cluster=keys.scope,
        system_id=keys.system_id,
        command=submission.command.name,
        target=request.target,
        identity=submission.caller.identity,
        authority=submission.caller.authority,
        client=request.client,
        reason=request.reason,
        state_digest=request.state_digest,
        observed_revision=request.revision,
        token_digest=fingerprint(request.confirmation.token)
        if submission.caller.authority == "operator"
        else None,
        confirmation=confirmed,
        leader_before=sections.leader(keys),
        leader_after=None,
        dispatch=None,
        outcome=None,
        code=None,
        message=None,
        engine_reply=None,
    )
