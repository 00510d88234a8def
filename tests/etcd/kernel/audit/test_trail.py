"""The audit trail: what is chained holds, and what was tampered with shows (P7-O3)."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeroctl.contract.audit import AuditPage, AuditRecord, Head
from aeroctl.contract.chain import Chain
from aeroctl.kernel.audit import ledger, trail
from aeroctl.kernel.store.requests import Delete, Put
from tests.support.etcd import Store
from tests.support.records import EMPTY, Kept, chain, facts, kept

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
REASONS = st.lists(st.none() | st.text(max_size=20).filter(str.isprintable), max_size=6)


@pytest.fixture
def scope(request: pytest.FixtureRequest) -> str:
    """A cluster that no other test has."""
    return str(request.node.name)


@settings(max_examples=30, deadline=None)
@given(REASONS, st.integers(0, 6))
def test_a_chain_holds_however_it_was_appended(reasons: list[str | None], cut: int) -> None:
    written = [facts(reason=reason) for reason in reasons]
    first, middle = ledger.chained(EMPTY, written[:cut])
    second, head = ledger.chained(middle, written[cut:])
    checked = Chain()
    checked.follow(chain(first + second))
    assert checked.end(head.sequence, head.hash) is None
    assert (first + second, head) == ledger.chained(EMPTY, written)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3), st.sampled_from(["reason", "identity", "previous_hash", "sequence"]))
def test_a_change_breaks_it(place: int, field: str) -> None:
    texts, head = ledger.chained(EMPTY, [facts(reason=str(n)) for n in range(4)])
    records = chain(texts)
    records[place][field] = "mallory" if field != "sequence" else 9
    checked = Chain()
    checked.follow(records)
    broken = checked.end(head.sequence, head.hash)
    assert broken is not None
    assert broken.sequence == place + 1


async def page_of(
    all_: Kept, after: int, limit: int, at: int | None, since: int | None = None
) -> tuple[int, AuditPage]:
    prefix = all_.source.prefix
    return await trail.page(all_.store, all_.scope, after, limit, at, prefix=prefix, since=since)


def pages(store: Store, scope: str, work: Any = None, size: int = 2) -> list[Any]:
    """The trail of five records, changed by `work`, read so many at a time."""

    async def run(all_: Kept) -> list[Any]:
        for number in range(5):
            await all_.append(facts(reason=str(number)))
        if work is not None:
            await all_.store.transact([], work)
        found = [await page_of(all_, 0, size, None)]
        while (after := found[-1][1].next) is not None:
            found.append(await page_of(all_, after, size, found[0][0]))
        return found

    return kept(store, scope, run)


def followed(found: list[Any]) -> Chain:
    checked = Chain()
    for _, page in found:
        records = [json.loads(record.model_dump_json()) for record in page.records]
        checked.follow(records, page.broken)
    return checked


def test_pages(etcd_store: Store, scope: str) -> None:
    found = pages(etcd_store, scope)
    assert [[record.sequence for record in page.records] for _, page in found] == [
        [1, 2],
        [3, 4],
        [5],
    ]
    assert {revision for revision, _ in found} == {found[0][0]}
    head = found[0][1].head
    assert followed(found).end(head.sequence, head.hash) is None
    records: list[AuditRecord] = [record for _, page in found for record in page.records]
    assert [record.reason for record in records] == ["0", "1", "2", "3", "4"]
    assert [r.revision - records[0].revision for r in records] == [0, 1, 2, 3, 4]


def test_an_empty_trail(etcd_store: Store, scope: str) -> None:
    _, found = kept(etcd_store, scope, lambda all_: page_of(all_, 0, 10, None))
    assert (found.records, found.head, found.next) == ([], EMPTY, None)


def test_as_of_a_revision(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        revision = await all_.append(facts())
        await all_.append(facts())
        seen, page = await page_of(all_, 0, 10, revision)
        assert (seen, len(page.records), page.head.sequence) == (revision, 1, 1)

    kept(etcd_store, scope, work)


@pytest.mark.parametrize("removed", [(), (2,), (4, 5), (1, 7)])
def test_since_a_revision(etcd_store: Store, removed: tuple[int, ...]) -> None:
    """Exactly what a reader of the whole would keep; also of a trail that was tampered with."""
    scope = f"since-{len(removed)}-{sum(removed)}"

    async def work(all_: Kept) -> None:
        revisions = [await all_.append(facts(reason=str(n)), facts()) for n in range(4)]
        gone = [Delete(ledger.audit_key(scope, sequence)) for sequence in removed]
        if gone:
            await all_.store.transact([], gone)
        await all_.store.transact([], [Put(f"/{scope}", "x")])
        now, whole = await page_of(all_, 0, 100, None)
        for since in range(revisions[0] - 1, now + 2):
            for after in range(10):
                seen, page = await page_of(all_, after, 100, None, since)
                assert (seen, page.head, page.next) == (now, whole.head, None)
                assert page.records == [
                    record
                    for record in whole.records
                    if record.revision >= since and record.sequence > after
                ]
        seen, page = await page_of(all_, 0, 1, revisions[2], revisions[1])
        assert (seen, page.head.sequence) == (revisions[2], 6)  # at the revision that was asked for
        assert [record.revision for record in page.records] == [revisions[1]]
        assert page.next == page.records[0].sequence
        await all_.store.transact([], [Delete(ledger.head_key(scope))])
        _, page = await page_of(all_, 0, 100, None, revisions[2])
        assert min(record.revision for record in page.records) == revisions[2]

    kept(etcd_store, scope, work)


def holes(found: list[Any]) -> list[tuple[int | None, int | None, str]]:
    """What is broken: from which sequence to which, and why."""
    return [(each.sequence, each.last, each.problem) for _, page in found for each in page.broken]


def sequences(found: list[Any]) -> list[int]:
    return [record.sequence for _, page in found for record in page.records]


def test_a_record_that_was_removed(etcd_store: Store, scope: str) -> None:
    found = pages(etcd_store, scope, [Delete(ledger.audit_key(scope, 3))])
    broken = followed(found).broken
    assert broken is not None
    assert (broken.sequence, broken.reason) == (3, f"{ledger.audit_key(scope, 3)}: it is missing")
    assert (sequences(found), holes(found)) == ([1, 2, 4, 5], [(3, 3, "it is missing")])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("removed", [(1,), (1, 2), (2, 3, 4), (5,), (4, 5), (1, 2, 3, 4, 5)])
def test_every_missing_record_is_told_once(
    etcd_store: Store, removed: tuple[int, ...], size: int
) -> None:
    scope = f"missing-{size}-{'-'.join(map(str, removed))}"
    changes = [Delete(ledger.audit_key(scope, each)) for each in removed]
    found = pages(etcd_store, scope, changes, size)
    assert sequences(found) == [each for each in range(1, 6) if each not in removed]
    told = [n for first, last, _ in holes(found) for n in range(first or 0, (last or 0) + 1)]
    assert told == list(removed)
    broken = followed(found).broken
    assert broken is not None
    assert broken.sequence == removed[0]


def test_a_trail_that_was_cut_short(etcd_store: Store, scope: str) -> None:
    cut = [Delete(ledger.audit_key(scope, number)) for number in (4, 5)]
    found = pages(etcd_store, scope, cut)
    head = found[0][1].head
    broken = followed(found).end(head.sequence, head.hash)
    assert broken is not None
    assert broken.sequence == 4


def test_a_trail_that_was_written_anew(etcd_store: Store, scope: str) -> None:
    """A chain that holds in itself still shows by the revisions of its keys."""
    again = [facts(identity="mallory", cluster=scope) for _ in range(2)]
    texts, head = ledger.chained(EMPTY, again)

    async def work(all_: Kept) -> tuple[int, AuditPage]:
        for number in range(3):
            await all_.append(facts(reason=str(number)))
        keys = [ledger.audit_key(scope, number) for number in (1, 2)]
        await all_.store.transact([], [Delete(key) for key in keys])
        value = ledger.head_value(head, prefix=all_.source.prefix)
        puts = [Put(key, text) for key, text in zip(keys, texts, strict=True)]
        await all_.store.transact([], [*puts, Put(ledger.head_key(scope), value)])
        return await page_of(all_, 0, 10, None)

    found = [kept(etcd_store, scope, work)]
    assert sequences(found) == [3]
    assert all("after the next record" in problem for _, _, problem in holes(found))
    broken = followed(found).broken
    assert broken is not None
    assert broken.sequence == 1


DEEP = "[" * 100_000
BROKEN = {
    "empty": "", "list": "[]", "object": "{}", "text": '"text"', "null": "null", "deep": DEEP,
    "number": "9" * 5000, "partial": '{"kind": "requested"}', "nan": "NaN", "huge": "x" * 1_000_000,
    "surrogate": '{"kind": "\\ud800"}', "nul": "\0",
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("place", [1, 3, 5])
@pytest.mark.parametrize("name", BROKEN)
def test_a_record_that_was_written_over_takes_no_other_away(
    etcd_store: Store, name: str, place: int, size: int
) -> None:
    scope = f"over-{name}-{place}-{size}"
    found = pages(etcd_store, scope, [Put(ledger.audit_key(scope, place), BROKEN[name])], size)
    assert sequences(found) == [each for each in range(1, 6) if each != place]
    ((first, last, problem),) = holes(found)
    assert (first, last) == (place, place)
    assert "written over at revision" in problem
    head = found[0][1].head
    broken = followed(found).end(head.sequence, head.hash)
    assert broken is not None
    assert broken.sequence == place
    revisions = [each.revision for _, page in found for each in (*page.records, *page.broken)]
    assert max(revisions) - min(revisions) == 4  # each has the place that it had


@pytest.mark.parametrize("name", BROKEN)
def test_a_key_that_holds_no_record(etcd_store: Store, name: str) -> None:
    """Written once, and no record: beyond the end, where nobody wrote over anything."""
    scope = f"beyond-{name}"
    found = pages(etcd_store, scope, [Put(ledger.audit_key(scope, 6), BROKEN[name])])
    assert sequences(found) == [1, 2, 3, 4, 5]
    ((first, _, problem),) = holes(found)
    assert first == 6
    assert len(problem) < 400
    assert "written over" not in problem


def test_bytes_that_are_no_text(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> tuple[int, AuditPage]:
        for number in range(3):
            await all_.append(facts(reason=str(number)))
        key = ledger.audit_key(scope, 2)
        await all_.store.transact([], [Delete(key)])
        value = base64.b64encode(b"\xff\xfe{").decode()
        etcd_store.ask("kv/put", key=base64.b64encode(key.encode()).decode(), value=value)
        return await page_of(all_, 0, 10, None)

    found = [kept(etcd_store, scope, work)]
    assert sequences(found) == [1, 3]
    assert holes(found) == [(2, 2, "not UTF-8")]


def test_a_record_of_another_cluster(etcd_store: Store, scope: str) -> None:
    """Whole in itself, and nobody's who asked here."""
    (text,), _ = ledger.chained(EMPTY, [facts(cluster="other")])

    async def work(all_: Kept) -> tuple[int, AuditPage]:
        await all_.append(facts())
        await all_.store.transact([], [Delete(ledger.audit_key(scope, 1))])
        await all_.store.transact([], [Put(ledger.audit_key(scope, 1), text)])
        return await page_of(all_, 0, 10, None)

    assert holes([kept(etcd_store, scope, work)]) == [
        (1, 1, "it is a record of another cluster, 'other'")
    ]


@pytest.mark.parametrize("where", ["beside", "within", "revision"])
def test_what_a_reader_would_not_be_shown_is_named(etcd_store: Store, where: str) -> None:
    """Or the hash that the reader makes of the rest would tell, or not, of what it never saw."""
    scope = f"extra-{where}"
    texts, _ = ledger.chained(EMPTY, [facts("confirmed")])
    record = json.loads(texts[0])
    if where == "within":
        record["confirmation"]["more"] = "x"
    else:
        record["more" if where == "beside" else where] = 7

    async def work(all_: Kept) -> None:
        await all_.store.transact([], [Put(ledger.audit_key(scope, 1), json.dumps(record))])
        _, page = await page_of(all_, 0, 10, None)
        assert [each.problem for each in page.broken] == [
            "its fields and values are not exactly those of a record"
        ]

    kept(etcd_store, scope, work)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize("name", ["stray", "!", "0000000000000002x", "0000000000000000", "9" * 16])
def test_a_stray_key_is_named(etcd_store: Store, name: str, size: int) -> None:
    scope = f"stray-{size}-{name}"
    key = ledger.audit_prefix(scope) + name
    found = pages(etcd_store, scope, [Put(key, "{}")], size)
    assert sequences(found) == [1, 2, 3, 4, 5]
    assert [(each.sequence, each.key) for _, page in found for each in page.broken] == [(None, key)]
    assert followed(found).broken is not None


def test_many_strays(etcd_store: Store, scope: str) -> None:
    prefix = ledger.audit_prefix(scope)
    names = [f"0000000000000002x{number}" for number in range(20)]
    found = pages(etcd_store, scope, [Put(prefix + name, "") for name in names], 3)
    assert sequences(found) == [1, 2, 3, 4, 5]
    assert len(holes(found)) == 20


def test_records_by_their_sequences(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        await all_.append(*(facts(reason=str(number)) for number in range(30)))
        found, broken = await trail.records(all_.store, scope, [30, 2])
        assert ([record.sequence for record in found], broken) == ([30, 2], [])
        found, broken = await trail.records(all_.store, scope, [30, 31])
        assert [record.sequence for record in found] == [30]
        assert [(each.sequence, each.written) for each in broken] == [(31, None)]

    kept(etcd_store, scope, work)


@pytest.mark.parametrize("forgery", ["changed", "moved"])
def test_a_record_by_its_sequence_is_checked(etcd_store: Store, forgery: str) -> None:
    """Nobody follows the chain up to it there."""
    scope = f"checked-{forgery}"
    texts, _ = ledger.chained(EMPTY, [facts(), facts()])
    changed = json.dumps(json.loads(texts[0]) | {"reason": "forged"})
    forged = changed if forgery == "changed" else texts[1]

    async def work(all_: Kept) -> None:
        await all_.store.transact([], [Put(ledger.audit_key(scope, 1), forged)])
        good, (broken,) = await trail.records(all_.store, scope, [1])
        assert (good, broken.sequence) == ([], 1)
        assert "hash does not match" in broken.problem

    kept(etcd_store, scope, work)


def test_the_head_is_where_the_trail_ends() -> None:
    assert ledger.chained(EMPTY, []) == ([], EMPTY)
    _, head = ledger.chained(Head(sequence=41, hash="a" * 64), [facts()])
    assert head.sequence == 42
