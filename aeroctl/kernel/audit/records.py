"""What a request writes into the audit trail, as parts of one transaction. Pure.

Every function gives the comparisons and the changes; nothing of it is written unless all of it is
(P7-O3: no record, no execution). Requests, refusals and outcomes are records of their own (P7-O1).
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
from aeroctl.kernel.audit import ledger, trail
from aeroctl.kernel.audit.ledger import Ledger
from aeroctl.kernel.callers import Caller
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import DECISIVE_KEYS, MEMBERS, ClusterKeys
from aeroctl.kernel.store.requests import Compare, Delete, Put

DISPATCHED: tuple[RecordKind, ...] = ("requested", "confirmed", "dispatched")
"""The records of a request that was dispatched. One that was refused has fewer; what comes of it is
one more."""
READ_ONLY = "read every node and its agent"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and who made it."""

    command: Command
    request: CommandRequest
    caller: Caller

    @property
    def request_id(self) -> str:
        """Its own."""
        return self.request.request_id

    @property
    def confirmed(self) -> Confirmed:
        """How it was confirmed, for records that come after the confirmation was checked."""
        given = self.request.confirmation
        return Confirmed(
            kind=given.kind,
            given=given.given,
            acknowledged=given.acknowledged,
            accepts_responsibility=given.accepts_responsibility,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The one action that is to be asked of the engine, and of whose agent."""

    receiver: str
    base: str
    path: str
    body: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What was recorded before anything was done, and when.

    `began` is monotonic: before the transaction was sent. `revision` is the transaction's.
    """

    asked: Asked
    keys: ClusterKeys
    revision: int
    deadline_seconds: int
    began: float


@dataclass(frozen=True, slots=True)
class Transaction:
    """All of it, or nothing."""

    compares: Sequence[Compare]
    changes: Sequence[Put | Delete]


def planned(plan: Plan | None, keys: ClusterKeys, deadline_seconds: int) -> Dispatch:
    """How the action is recorded; without a plan nothing is asked of the engine but to be read."""
    return Dispatch(
        action=READ_ONLY if plan is None else f"POST {plan.path} {canonical_json(plan.body)}",
        receiver=None if plan is None else plan.receiver,
        failover_revision=keys.failover_revision,
        deadline_seconds=deadline_seconds,
    )


def refusal(
    asked: Asked, keys: ClusterKeys, kept: Ledger, error: Error, confirmed: Confirmed | None
) -> Transaction:
    """`requested` and `refused`, and the id is used up, and so is the confirmation; a repeated id
    gets `refused` alone.
    """
    refused = _facts(asked, keys, "refused", confirmed).model_copy(
        update={"outcome": "rejected", "code": error.code, "message": error.message}
    )
    if kept.request is not None:
        return _spending(asked, kept, _append(keys.scope, kept, [refused]))
    written = _append(keys.scope, kept, [_facts(asked, keys, "requested", None), refused])
    return _spending(asked, kept, _claiming(asked, keys, kept, written, 2))


def spent(asked: Asked, kept: Ledger, lease: int) -> Transaction:
    """The confirmation alone is used up, for as long as it could confirm anything."""
    assert kept.unspent is not None
    return Transaction(
        [Compare(kept.unspent, "created", 0)],
        [Put(kept.unspent, ledger.consent_value(asked.request_id), lease)],
    )


def dispatch(
    asked: Asked, prefix: str, keys: ClusterKeys, kept: Ledger, planned: Dispatch, lease: int | None
) -> Transaction:
    """`requested`, `confirmed` and `dispatched`, bound to the very state that was decided over.

    The leader term, every key that decides who may take the leader key, and the entry that says
    where the request is sent must be as they were read (P7-D2), the id unseen and the confirmation
    unused (P7-F3, P7-A2), and nothing in flight (P7-E1), unless `lease` is None: what reads only is
    not.
    """
    assert kept.unspent is not None  # decided before: decision.confirmed
    confirmed = asked.confirmed
    written = _append(
        keys.scope,
        kept,
        [
            _facts(asked, keys, "requested", None),
            _facts(asked, keys, "confirmed", confirmed),
            _facts(asked, keys, "dispatched", confirmed).model_copy(update={"dispatch": planned}),
        ],
    )
    claimed = _spending(asked, kept, _claiming(asked, keys, kept, written, len(DISPATCHED)))
    decisive = [*DECISIVE_KEYS, *([f"{MEMBERS}{planned.receiver}"] if planned.receiver else [])]
    # Not when it was created: another name may be written over it in place.
    since = 0 if keys.leader is None else keys.leader.modified
    bound = [
        Compare(prefix + "leader", "modified", since),
        *(Compare(prefix + key, "modified", keys.revision_of(key)) for key in decisive),
    ]
    if lease is None:
        return Transaction([*bound, *claimed.compares], claimed.changes)
    flight = ledger.inflight_key(keys.scope)
    return Transaction(
        [*bound, *claimed.compares, Compare(flight, "created", 0)],
        [*claimed.changes, Put(flight, asked.request_id, lease)],
    )


def outcome(dispatched: Dispatched, kept: Ledger, found: RequestStatus) -> Transaction:
    """The outcome, as an append. A final one ends the flight, if it is still this request's."""
    asked, keys = dispatched.asked, dispatched.keys
    facts = _facts(asked, keys, "outcome", asked.confirmed).model_copy(
        update={
            "leader_before": found.leader_before,
            "leader_after": found.leader_after,
            "outcome": found.outcome,
            "code": found.code,
            "message": found.message,
            "engine_reply": found.engine_reply,
        }
    )
    written = _append(keys.scope, kept, [facts])
    key = ledger.request_key(keys.scope, asked.request_id)
    records = [*(kept.request or ()), kept.head.sequence + 1]
    compares = [*written.compares, Compare(key, "modified", kept.request_revision)]
    changes = [*written.changes, Put(key, ledger.request_value(records))]
    if found.final and kept.in_flight == asked.request_id:
        flight = ledger.inflight_key(keys.scope)
        compares.append(Compare(flight, "created", dispatched.revision))
        changes.append(Delete(flight))
    return Transaction(compares, changes)


def _append(scope: str, kept: Ledger, facts: Sequence[RecordFacts]) -> Transaction:
    """Records at the end of the chain, where nothing is yet: what is written stays."""
    texts, head = trail.chained(kept.head, facts)
    first = kept.head.sequence + 1
    keys = [ledger.audit_key(scope, first + place) for place in range(len(texts))]
    return Transaction(
        [
            Compare(ledger.head_key(scope), "modified", kept.head_revision),
            *(Compare(key, "created", 0) for key in keys),
        ],
        [
            *(Put(key, text) for key, text in zip(keys, texts, strict=True)),
            Put(ledger.head_key(scope), ledger.head_value(head, prefix=kept.prefix)),
        ],
    )


def _claiming(
    asked: Asked, keys: ClusterKeys, kept: Ledger, written: Transaction, records: int
) -> Transaction:
    """And the request's id is used up, with its first records."""
    key = ledger.request_key(keys.scope, asked.request_id)
    first = kept.head.sequence + 1
    return Transaction(
        [*written.compares, Compare(key, "created", 0)],
        [*written.changes, Put(key, ledger.request_value(range(first, first + records)))],
    )


def _spending(asked: Asked, kept: Ledger, written: Transaction) -> Transaction:
    """And its confirmation is used up: one serves one request, whatever came of it (P7-A2, P7-F3).

    Only an operator's: nobody else confirms anything, nor takes a confirmation from who does.
    """
    if kept.unspent is None or asked.caller.authority != "operator":
        return written
    return Transaction(
        [*written.compares, Compare(kept.unspent, "created", 0)],
        [*written.changes, Put(kept.unspent, ledger.consent_value(asked.request_id))],
    )


def _facts(
    asked: Asked, keys: ClusterKeys, kind: RecordKind, confirmed: Confirmed | None
) -> RecordFacts:
    request = asked.request
    return RecordFacts(
        kind=kind,
        request_id=request.request_id,
        time=rfc3339.render(datetime.now(UTC)),
        clock=clock.name(),
        cluster=keys.scope,
        system_id=keys.system_id,
        command=asked.command.name,
        target=request.target,
        identity=asked.caller.identity,
        authority=asked.caller.authority,
        client=request.client,
        reason=request.reason,
        state_digest=request.state_digest,
        observed_revision=request.revision,
        token_digest=fingerprint(request.confirmation.token)
        if asked.caller.authority == "operator"
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
