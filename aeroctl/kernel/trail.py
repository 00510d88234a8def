"""The audit trail: chaining new records, and reading written ones (P7-O3).

A record is written once, by a transaction that compares the head (ledger.py), so that of two
writers one fails. Its commit is the store's own. A record that was written over is refused, and so
is one with anything beside it that a reader would not be shown.
"""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from pydantic import ValidationError

from aeroctl.contract.audit import AuditPage, AuditRecord, Head, RecordFacts
from aeroctl.contract.chain import digest
from aeroctl.contract.events import Logged
from aeroctl.kernel import ledger
from aeroctl.kernel.etcd import Etcd
from aeroctl.kernel.failures import unreadable
from aeroctl.kernel.keyspace import KeyValue

PAGE = 1000
"""Records read by one transaction, at most."""
AT_ONCE = 100
"""Keys read by one transaction; etcd takes 128 (max-txn-ops)."""


def chained(head: Head, facts: Sequence[RecordFacts]) -> tuple[list[str], Head]:
    """The texts of the records that follow `head`, in order, and the head after them.

    The first text belongs under `ledger.audit_key(scope, head.sequence + 1)`, and so on.
    """
    texts = []
    for fact in facts:
        record = fact.model_dump(mode="json", include=set(RecordFacts.model_fields))
        record |= {"sequence": head.sequence + 1, "previous_hash": head.hash}
        record["hash"] = digest(record)
        head = Head(sequence=head.sequence + 1, hash=record["hash"])
        texts.append(json.dumps(record, separators=(",", ":"), ensure_ascii=False))
    return texts, head


async def page(
    store: Etcd,
    scope: str,
    after: int,
    limit: int,
    at: int | None,
    *,
    prefix: str,
    since: int | None = None,
) -> tuple[int, AuditPage]:
    """The first `limit` records after sequence `after`, with the head, at one commit (None: now).

    `since`: none that was written before that commit. `prefix`: of the engine's keys. Returns the
    commit of the page too. Nothing is left out, and the chain is not judged here: a missing record
    is missing, and the chain tells (contract/chain.py). Raises Failure as Etcd.read does, and
    KERNEL_STATE_UNREADABLE naming a record's key.
    """
    if since is not None:
        after, at = await _before(store, scope, after, at, since)
    found = await store.read_page(
        ledger.audit_prefix(scope),
        ledger.audit_name(after + 1),
        limit + 1,
        [ledger.head_key(scope)],
        at,
    )
    names = sorted(found.keyspaces[0].keys)
    records = [
        _record(found.keyspaces[0].prefix + name, found.keyspaces[0].keys[name])
        for name in names[:limit]
    ]
    _check_names(found.keyspaces[0].prefix, names)
    return found.commit_id, AuditPage(
        records=records,
        head=ledger.parse(scope, None, found.keys, prefix=prefix).head,
        next=int(names[limit - 1]) if len(names) > limit else None,
    )


async def times(store: Etcd, scope: str, at: int, *, prefix: str) -> AsyncIterator[list[Logged]]:
    """When each record was written, by its own clock, in order of commit, page by page.

    Raises Failure as `page` does.
    """
    after, head = 0, ledger.head_key(scope)
    while True:
        first = ledger.audit_name(after + 1)
        found = await store.read_page(ledger.audit_prefix(scope), first, PAGE, [head], at)
        ledger.parse(scope, None, found.keys, prefix=prefix)  # another cluster's is refused
        keyspace = found.keyspaces[0]
        names = sorted(keyspace.keys)
        _check_names(keyspace.prefix, names)
        yield [_logged(keyspace.prefix + name, keyspace.keys[name]) for name in names]
        if len(names) < PAGE:
            return
        after = int(names[-1])


async def records(store: Etcd, scope: str, sequences: Sequence[int]) -> list[AuditRecord]:
    """Those records, in the order given. A record never changes, so they need no common commit.

    Raises Failure as `page` does, also for a record that is not there, or not what its name and
    its hash say.
    """
    found: dict[str, KeyValue] = {}
    names = [ledger.audit_key(scope, sequence) for sequence in sequences]
    for start in range(0, len(names), AT_ONCE):
        together = await store.read_together([], names[start : start + AT_ONCE])
        found.update(together.keys)
    for name in names:
        if name not in found:
            raise unreadable(name, "it is missing, though a request names it")
    return [
        _own(sequence, name, _record(name, found[name]))
        for sequence, name in zip(sequences, names, strict=True)
    ]


async def _before(
    store: Etcd, scope: str, after: int, at: int | None, since: int
) -> tuple[int, int]:
    """The sequence after which records were written at commit `since` or later, not below `after`;
    and the commit at which that was read. Records are written in order, so it is a search by ever
    larger steps, and then by halves. It believes no head: a damaged one must not hide, or add, any.
    """

    async def reached(sequence: int) -> bool:
        nonlocal at
        name = ledger.audit_name(sequence + 1)
        found = await store.read_page(ledger.audit_prefix(scope), name, 1, [], at)
        at = found.commit_id
        return all(pair.created >= since for pair in found.keyspaces[0].keys.values())

    low = high = after
    while not await reached(high):
        low, high = high + 1, 2 * high - after + 1
    while low < high:
        middle = (low + high) // 2
        if await reached(middle):
            high = middle
        else:
            low = middle + 1
    assert at is not None
    return low, at


def _check_names(prefix: str, names: Sequence[str]) -> None:
    if strange := [name for name in names if not (name.isascii() and name.isdecimal())]:
        raise unreadable(prefix + strange[0], "not the name of a record")


def _logged(key: str, pair: KeyValue) -> Logged:
    """Only its time: the rest of a record is for who may read it."""
    _check_written_once(key, pair)
    try:
        record = json.loads(pair.value)
        time, clock = record["time"], record["clock"]
        datetime.fromisoformat(time)  # a day that there is
        return Logged(commit_id=pair.modified, time=time, clock=clock, source="audit")
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(key, "it does not say when it was written") from error


def _check_written_once(key: str, pair: KeyValue) -> None:
    if pair.created != pair.modified:
        written = f"written at commit {pair.created} and written over at commit {pair.modified}"
        raise unreadable(key, f"a record is written once, and this one was {written}")


def _own(sequence: int, key: str, record: AuditRecord) -> AuditRecord:
    """The record, where it stands by itself; page by page the reader of the chain checks that."""
    if record.sequence != sequence or record.hash != digest(record.model_dump(mode="json")):
        raise unreadable(key, "it is another record than its key says, or its hash does not match")
    return record


def _record(key: str, pair: KeyValue) -> AuditRecord:
    """Exactly what is stored; what the model would not show must not be dropped unseen (P7-O3)."""
    _check_written_once(key, pair)
    try:
        stored = json.loads(pair.value)
        dated = json.dumps({**stored, "commit_id": pair.modified})
        record = AuditRecord.model_validate_json(dated)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "value"
        raise unreadable(key, f"{where}: {problem['msg']}") from error
    except (TypeError, ValueError) as error:
        raise unreadable(key, "not a JSON object") from error
    if record.model_dump(mode="json", exclude={"commit_id"}) != stored:
        raise unreadable(key, "it holds more than a record does")
    return record
