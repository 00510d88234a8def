"""Where the kernel keeps what it must not forget, below `/aerodb/<cluster>/` in the store. Pure.

| key | holds |
|---|---|
| `head` | `{"sequence", "hash", "prefix"}`: the end of the audit trail's chain |
| `audit/<16 digits>` | one audit record, written once |
| `requests/<request id>` | `{"records": [sequence, ...]}`: the id is used up (P7-F3) |
| `consents/<digest of a token>` | `{"request_id"}`: the confirmation is used up (P7-A2, P7-F3) |
| `inflight` | the id of the request that is being carried out; it lives on a lease |
| `clock` | a pin: the time, once a minute at most (clockpins.py); its history is a clock |
| `refusals/<identity>` | how many refusals of a caller were recorded lately (throttle.py) |

A confirmation that was refused without a record (throttle.py) is used up on a lease.

`prefix` is where the engine keeps that cluster's own keys. Two clusters may have the same name
below two prefixes: the ledger is the one's that wrote to it first, and the other one is refused.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aeroctl.contract.audit import Head, RecordFacts
from aeroctl.contract.chain import NO_HASH, digest
from aeroctl.contract.consent import fingerprint
from aeroctl.kernel.failures import unreadable
from aeroctl.kernel.store.keyspace import KeyValue

ROOT = "/aerodb/"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class _StoredHead(Head):
    """`prefix` is None in a head that was written before prefixes were stored."""

    prefix: str | None = None


class _Spent(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    request_id: Annotated[str, Field(pattern=f"^{_ID.pattern}$")]


class _Used(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    records: Annotated[list[Annotated[int, Field(ge=1, lt=10**16)]], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says about the trail's end, the request in flight, and one request id.

    `head_revision`, `request_revision`: when those keys were last modified; 0 where they are
    absent.
    `prefix`: of the engine's keys, which tells whose ledger it is. `in_flight`: a request id.
    `request`: the sequences of the id's records, None when the id that was asked for is unseen (or
    none was asked for). `spent_by`: the request that used the token that was asked for; where none
    has, `unspent` is the key that says so as long as it is absent.
    """

    prefix: str
    head: Head
    head_revision: int
    in_flight: str | None
    in_flight_revision: int
    request: tuple[int, ...] | None
    request_revision: int
    spent_by: str | None = None
    unspent: str | None = None


def head_key(scope: str) -> str:
    """The end of the trail."""
    return f"{ROOT}{scope}/head"


def inflight_key(scope: str) -> str:
    """The request that is being carried out."""
    return f"{ROOT}{scope}/inflight"


def clock_key(scope: str) -> str:
    """The clock pin."""
    return f"{ROOT}{scope}/clock"


def request_key(scope: str, request_id: str) -> str:
    """The mark that a request id is used up."""
    return f"{ROOT}{scope}/requests/{request_id}"


def consent_key(scope: str, token: str) -> str:
    """The mark that a confirmation token is used up."""
    return f"{ROOT}{scope}/consents/{fingerprint(token)}"


def audit_prefix(scope: str) -> str:
    """Below it lie the records, and nothing else."""
    return f"{ROOT}{scope}/audit/"


def audit_name(sequence: int) -> str:
    """A record's key without that prefix; names sort as sequences do."""
    return f"{sequence:016d}"


def audit_key(scope: str, sequence: int) -> str:
    """One record."""
    return audit_prefix(scope) + audit_name(sequence)


def keys(scope: str, request_id: str | None, token: str | None = None) -> list[str]:
    """What must be read for `parse`."""
    asked = [] if request_id is None else [request_key(scope, request_id)]
    consent = [] if token is None else [consent_key(scope, token)]
    return [head_key(scope), inflight_key(scope), *asked, *consent]


def head_value(head: Head, *, prefix: str) -> str:
    """What the head key holds; `prefix`: of the engine's keys."""
    return _StoredHead(sequence=head.sequence, hash=head.hash, prefix=prefix).model_dump_json()


def request_value(sequences: Iterable[int]) -> str:
    """What a request key holds."""
    return json.dumps({"records": list(sequences)}, separators=(",", ":"))


def consent_value(request_id: str) -> str:
    """What the key of a used token holds."""
    return _Spent(request_id=request_id).model_dump_json()


def parse(
    scope: str,
    request_id: str | None,
    keys: Mapping[str, KeyValue],
    *,
    prefix: str,
    token: str | None = None,
) -> Ledger:
    """The ledger in `keys` (by whole name) of the cluster that the engine keeps below `prefix`.

    Raises Failure KERNEL_STATE_UNREADABLE with the key, also for another cluster's ledger.
    """
    head, flying = keys.get(head_key(scope)), keys.get(inflight_key(scope))
    used = None if request_id is None else keys.get(request_key(scope, request_id))
    consent = None if token is None else consent_key(scope, token)
    spent = None if consent is None else keys.get(consent)
    if flying is not None and not _ID.fullmatch(flying.value):
        raise unreadable(inflight_key(scope), "not a request id")
    return Ledger(
        prefix=prefix,
        head=_head(scope, head, prefix),
        head_revision=0 if head is None else head.modified,
        in_flight=None if flying is None else flying.value,
        in_flight_revision=0 if flying is None else flying.modified,
        request=None if used is None else _sequences(request_key(scope, request_id or ""), used),
        request_revision=0 if used is None else used.modified,
        spent_by=None if spent is None else _spender(consent or "", spent),
        unspent=consent if spent is None else None,
    )


def _head(scope: str, pair: KeyValue | None, prefix: str) -> Head:
    if pair is None:
        return Head(sequence=0, hash=NO_HASH)
    try:
        stored = _StoredHead.model_validate_json(pair.value)
    except ValidationError as error:
        raise unreadable(head_key(scope), _problems(error)) from error
    if stored.prefix not in (None, prefix):
        raise unreadable(
            head_key(scope),
            "it belongs to another cluster of this name, whose own keys are below "
            f"{stored.prefix!r}, not {prefix!r}; clusters that share a store must differ in name",
        )
    return Head(sequence=stored.sequence, hash=stored.hash)


def _spender(key: str, pair: KeyValue) -> str:
    try:
        return _Spent.model_validate_json(pair.value).request_id
    except ValidationError as error:
        raise unreadable(key, _problems(error)) from error


def _sequences(key: str, pair: KeyValue) -> tuple[int, ...]:
    try:
        return tuple(_Used.model_validate_json(pair.value).records)
    except ValidationError as error:
        raise unreadable(key, _problems(error)) from error


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'value'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    )


def chained(head: Head, facts: Sequence[RecordFacts]) -> tuple[list[str], Head]:
    """The texts of the records that follow `head`, in order, and the head after them.

    The first text belongs under `audit_key(scope, head.sequence + 1)`, and so on.
    """
    texts = []
    for fact in facts:
        record = fact.model_dump(mode="json", include=set(RecordFacts.model_fields))
        record |= {"sequence": head.sequence + 1, "previous_hash": head.hash}
        record["hash"] = digest(record)
        head = Head(sequence=head.sequence + 1, hash=record["hash"])
        texts.append(json.dumps(record, separators=(",", ":"), ensure_ascii=False))
    return texts, head
