"""The audit trail: chaining new records, and reading written ones (P7-O3).

A record is written once, by a transaction that compares the head (ledger.py), so that of two
writers one fails. Its revision is the store's own. A record that was written over is broken, and so
is one with fields that the contract does not have. Broken and missing records are reported in their
place, beside all the others (P7-O3): none of them stops a reader.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from aeroctl.contract.audit import AuditPage, AuditRecord, BrokenRecord
from aeroctl.contract.chain import digest
from aeroctl.contract.events import Logged
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.failures import unreadable
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.kernel.store.keyspace import KeyValue

PAGE = 1000
"""Records read by one transaction, at most."""
AT_ONCE = 100
"""Keys read by one transaction; etcd takes 128 (max-txn-ops)."""
TOGETHER = 3
"""Records that one transaction writes, at most."""
BYTES = "surrogateescape"
"""How bytes that are not UTF-8 are decoded, so that they can be distinguished from text."""


class Unreadable(ValueError):
    """A key holds no valid record; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Keys of the trail in order, by their names, all of one revision.

    `next`: the sequence after which the next stretch begins; None: there is no more. `ahead`: the
    first key of the next one.
    """

    revision: int
    keys: Mapping[str, KeyValue]
    beside: Mapping[str, KeyValue]
    next: int | None
    ahead: tuple[str, KeyValue] | None


async def check_room(store: Etcd, scope: str, *, prefix: str) -> None:
    """Raise Failure KERNEL_STATE_UNREADABLE where a key stands in the way of the next records."""
    head_key = ledger.head_key(scope)
    before = await store.read_together([], [head_key])
    end = ledger.parse(scope, None, before.keys, prefix=prefix)
    last = end.head.sequence
    keys = [ledger.audit_key(scope, last + place) for place in range(1, TOGETHER + 1)]
    stored = await store.read_together([], [head_key, *keys], errors=BYTES)
    head = stored.keys.get(head_key)
    for key in keys:
        if key in stored.keys and (head.modified if head else 0) == end.head_revision:
            words = f"it lies beyond the end of the audit trail, which is record {last}"
            raise unreadable(key, f"{words}, and nothing can be recorded after that")


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
    """The first `limit` records after sequence `after` and the head, as of revision `at` (None: as
    of now); and that revision.

    `since`: records before that revision are left out. `prefix`: below which Patroni keeps its
    keys. Keys that hold no valid record are reported beside the records. That the records are a
    chain is verified by its reader (contract/chain.py). Raises Failure as Etcd.read does, and
    KERNEL_STATE_UNREADABLE naming the head's key.
    """
    if since is not None:
        after, at = await _before(store, scope, after, at, since)
    stretch = await _stretch(store, scope, after, limit, at)
    head = ledger.parse(scope, None, stretch.beside, prefix=prefix).head
    records, broken = _records_and_gaps(scope, after, stretch, head.sequence)
    return stretch.revision, AuditPage(
        records=[record for record in records if record.revision >= (since or 0)],
        broken=[place for place in broken if place.revision >= (since or 0)],
        head=head,
        next=stretch.next,
    )


async def times(store: Etcd, scope: str, at: int, *, prefix: str) -> AsyncIterator[list[Logged]]:
    """The time of every valid record, by its writer's clock, in order, page by page.

    A writer reads its clock after it has read the records of an earlier revision (`reached`), and
    before its own record is written. Raises Failure as `page` does.
    """
    after: int | None = 0
    reached = newest = 0
    while after is not None:
        stretch = await _stretch(store, scope, after, PAGE, at)
        ledger.parse(scope, None, stretch.beside, prefix=prefix)  # another cluster's is refused
        logged = []
        for record in _records_and_gaps(scope, after, stretch, 0)[0]:
            if record.revision > newest:
                reached, newest = newest, record.revision
            logged.append(
                Logged(
                    revision=record.revision,
                    reached=reached,
                    time=record.time,
                    clock=record.clock,
                    source="audit",
                )
            )
        yield logged
        after = stretch.next


async def records(
    store: Etcd, scope: str, sequences: Sequence[int]
) -> tuple[list[AuditRecord], list[BrokenRecord]]:
    """The records with those sequences, in the order given, and the broken or missing ones.

    A record never changes, so they need no common revision. Raises Failure as `page` does.
    """
    stored: dict[str, KeyValue] = {}
    names = [ledger.audit_key(scope, sequence) for sequence in sequences]
    revision = 0
    for start in range(0, len(names), AT_ONCE):
        answer = await store.read_together([], names[start : start + AT_ONCE], errors=BYTES)
        stored.update(answer.keys)
        revision = answer.revision
    good, broken = [], []
    for sequence, name in zip(sequences, names, strict=True):
        pair = stored.get(name)
        if pair is None:
            words = "it is missing, though a request names it"
            broken.append(_broken(name, sequence, sequence, revision, None, words))
            continue
        record = _parsed(scope, ledger.audit_name(sequence), pair)
        if isinstance(record, AuditRecord):
            good.append(record)
        else:
            broken.append(_broken(name, sequence, sequence, pair.created, pair.modified, record))
    return good, broken


async def _stretch(store: Etcd, scope: str, after: int, limit: int, at: int | None) -> Stretch:
    """The first `limit` records after a sequence, and what other keys there are among them."""
    prefix, head = ledger.audit_prefix(scope), ledger.head_key(scope)
    first = ledger.audit_name(after + 1) if after else ""
    keys: dict[str, KeyValue] = {}
    last = after
    records = 0
    while True:
        answer = await store.read_page(prefix, first, limit + 1, [head], at, errors=BYTES)
        at, pairs = answer.revision, answer.keyspaces[0].keys
        before = len(keys)
        for name in sorted(pairs):
            sequence = _sequence(name)
            if sequence is not None:
                if records == limit:
                    return Stretch(at, keys, answer.keys, last, (name, pairs[name]))
                records, last = records + 1, sequence
            keys[name] = pairs[name]
        if len(pairs) <= limit or len(keys) == before:
            return Stretch(at, keys, answer.keys, None, None)
        first = max(pairs) + "\0"


def _records_and_gaps(
    scope: str, after: int, stretch: Stretch, end: int
) -> tuple[list[AuditRecord], list[BrokenRecord]]:
    """What of a stretch are records, and what is broken: also records that are missing, up to the
    next stretch or to the one where the trail should `end`. Pure.
    """
    parsed, bounds = _in_order(scope, stretch)
    good: list[AuditRecord] = []
    broken: list[BrokenRecord] = []
    due, place = after + 1, 0
    for name, pair in stretch.keys.items():
        sequence, record = _sequence(name), parsed[name]
        place = max(place, min(pair.created, bounds[name]))
        if sequence is not None:
            broken += _missing(scope, due, sequence - 1, place)
            due = sequence + 1
        if isinstance(record, AuditRecord):
            good.append(record)
        else:
            key = ledger.audit_prefix(scope) + name
            broken.append(_broken(key, sequence, sequence, place, pair.modified, record))
    if stretch.next is None:
        broken += _missing(scope, due, end, stretch.revision)
    return good, broken


def _in_order(scope: str, stretch: Stretch) -> tuple[dict[str, AuditRecord | str], dict[str, int]]:
    """The record in each key, or the problem with it; and the latest revision at which that key can
    have been written: that of the next record. A record that is later than the next one is broken.
    """
    parsed = {name: _parsed(scope, name, pair) for name, pair in stretch.keys.items()}
    ahead = _parsed(scope, *stretch.ahead) if stretch.ahead else None
    bound = ahead.revision if isinstance(ahead, AuditRecord) else stretch.revision
    bounds = {}
    for name in reversed(list(parsed)):
        record = parsed[name]
        if isinstance(record, AuditRecord) and record.revision > bound:
            parsed[name] = f"it was written at revision {record.revision}, after the next record"
        elif isinstance(record, AuditRecord):
            bound = record.revision
        bounds[name] = bound
    return parsed, bounds


def _missing(scope: str, first: int, last: int, revision: int) -> list[BrokenRecord]:
    """One entry for all records from `first` to `last`, if there are any, in their place."""
    if first > last:
        return []
    problem = "it is missing" if first == last else f"records {first} to {last} are missing"
    return [_broken(ledger.audit_key(scope, first), first, last, revision, None, problem)]


def _parsed(scope: str, name: str, pair: KeyValue) -> AuditRecord | str:
    """The record in a key, or the reason why it holds none."""
    sequence = _sequence(name)
    if sequence is None:
        return "its name is not the name of a record"
    try:
        return _record(scope, sequence, pair)
    except Unreadable as error:
        return str(error)


def _broken(
    key: str, sequence: int | None, last: int | None, place: int, written: int | None, problem: str
) -> BrokenRecord:
    return BrokenRecord(
        sequence=sequence, last=last, key=key, revision=place, written=written, problem=problem
    )


async def _before(
    store: Etcd, scope: str, after: int, at: int | None, since: int
) -> tuple[int, int]:
    """The sequence after which records were written at revision `since` or later, not below
    `after`; and the revision at which that was read.

    Records are written in order, so this is a search by ever larger steps, and then by halves. It
    does not use the head: a damaged one must not hide records, or add any.
    """

    async def reached(sequence: int) -> bool:
        nonlocal at
        name = ledger.audit_name(sequence + 1)
        answer = await store.read_page(ledger.audit_prefix(scope), name, 1, [], at, errors=BYTES)
        at = answer.revision
        return all(pair.created >= since for pair in answer.keyspaces[0].keys.values())

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


def _sequence(name: str) -> int | None:
    """The sequence in the name of a record's key; None for any other name."""
    named = len(name) == len(ledger.audit_name(0)) and name.isascii() and name.isdecimal()
    sequence = int(name) if named else 0
    return sequence if 0 < sequence < 2**53 else None


def _record(scope: str, sequence: int, pair: KeyValue) -> AuditRecord:
    """The record, if its model has everything that is stored: nothing is silently dropped (P7-O3).

    Raises Unreadable.
    """
    if pair.created != pair.modified:
        written = f"written at revision {pair.created} and written over at revision {pair.modified}"
        raise Unreadable(f"a record is written once, and this one was {written}")
    try:
        pair.value.encode()
        stored = json.loads(pair.value)
        dated = json.dumps({**stored, "revision": pair.modified})
        record = AuditRecord.model_validate_json(dated)
        datetime.fromisoformat(record.time)  # fails for a day that does not exist
    except UnicodeEncodeError as error:
        raise Unreadable("not UTF-8") from error
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, problem["loc"])) or "value"
        raise Unreadable(f"{where[:100]}: {problem['msg'][:200]}") from error
    except RecursionError as error:
        raise Unreadable("its JSON is nested too deeply") from error
    except (TypeError, ValueError) as error:
        raise Unreadable("not a JSON object, or not one of a record") from error
    if record.model_dump(mode="json", exclude={"revision"}) != stored:
        raise Unreadable("its fields and values are not exactly those of a record")
    if record.sequence != sequence or record.hash != digest(record.model_dump(mode="json")):
        raise Unreadable(
            "its sequence number is not that of its key, or its hash does not match its content"
        )
    if record.cluster != scope:
        raise Unreadable(f"it is a record of another cluster, {record.cluster[:100]!r}")
    return record
