"""The audit trail: what is chained holds, and what was tampered with shows (P7-O3)."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aeroctl.contract.audit import AuditPage, AuditRecord, Head
from aeroctl.contract.chain import Chain
from aeroctl.kernel import ledger, trail
from aeroctl.kernel.etcd import Delete, Put
from aeroctl.kernel.failures import Failure
from tests.kernel.conftest import Store
from tests.kernel.records import EMPTY, Kept, chain, facts, kept

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
    first, middle = trail.chained(EMPTY, written[:cut])
    second, head = trail.chained(middle, written[cut:])
    checked = Chain()
    checked.follow(chain(first + second))
    assert checked.end(head.sequence, head.hash) is None
    assert (first + second, head) == trail.chained(EMPTY, written)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3), st.sampled_from(["reason", "identity", "previous_hash", "sequence"]))
def test_a_change_breaks_it(place: int, field: str) -> None:
    texts, head = trail.chained(EMPTY, [facts(reason=str(n)) for n in range(4)])
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


def pages(store: Store, scope: str, work: Any = None) -> list[Any]:
    """The trail of five records, changed by `work`, read two at a time."""

    async def run(all_: Kept) -> list[Any]:
        for number in range(5):
            await all_.append(facts(reason=str(number)))
        if work is not None:
            await all_.store.transact([], work)
        found = [await page_of(all_, 0, 2, None)]
        while (after := found[-1][1].next) is not None:
            found.append(await page_of(all_, after, 2, found[0][0]))
        return found

    return kept(store, scope, run)


def followed(found: list[Any]) -> Chain:
    checked = Chain()
    for _, page in found:
        checked.follow(json.loads(record.model_dump_json()) for record in page.records)
    return checked


def test_pages(etcd_store: Store, scope: str) -> None:
    found = pages(etcd_store, scope)
    assert [[record.sequence for record in page.records] for _, page in found] == [
        [1, 2],
        [3, 4],
        [5],
    ]
    assert {commit for commit, _ in found} == {found[0][0]}
    head = found[0][1].head
    assert followed(found).end(head.sequence, head.hash) is None
    records: list[AuditRecord] = [record for _, page in found for record in page.records]
    assert [record.reason for record in records] == ["0", "1", "2", "3", "4"]
    assert [r.commit_id - records[0].commit_id for r in records] == [0, 1, 2, 3, 4]


def test_an_empty_trail(etcd_store: Store, scope: str) -> None:
    _, found = kept(etcd_store, scope, lambda all_: page_of(all_, 0, 10, None))
    assert (found.records, found.head, found.next) == ([], EMPTY, None)


def test_as_of_a_commit(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        commit = await all_.append(facts())
        await all_.append(facts())
        seen, page = await page_of(all_, 0, 10, commit)
        assert (seen, len(page.records), page.head.sequence) == (commit, 1, 1)

    kept(etcd_store, scope, work)


@pytest.mark.parametrize("removed", [(), (2,), (4, 5), (1, 7)])
def test_since_a_commit(etcd_store: Store, removed: tuple[int, ...]) -> None:
    """Exactly what a reader of the whole would keep; also of a trail that was tampered with."""
    scope = f"since-{len(removed)}-{sum(removed)}"

    async def work(all_: Kept) -> None:
        commits = [await all_.append(facts(reason=str(n)), facts()) for n in range(4)]
        gone = [Delete(ledger.audit_key(scope, sequence)) for sequence in removed]
        if gone:
            await all_.store.transact([], gone)
        await all_.store.transact([], [Put(f"/{scope}", "x")])
        now, whole = await page_of(all_, 0, 100, None)
        for since in range(commits[0] - 1, now + 2):
            for after in range(10):
                seen, page = await page_of(all_, after, 100, None, since)
                assert (seen, page.head, page.next) == (now, whole.head, None)
                assert page.records == [
                    record
                    for record in whole.records
                    if record.commit_id >= since and record.sequence > after
                ]
        seen, page = await page_of(all_, 0, 1, commits[2], commits[1])
        assert (seen, page.head.sequence) == (commits[2], 6)  # at the commit that was asked for
        assert [record.commit_id for record in page.records] == [commits[1]]
        assert page.next == page.records[0].sequence
        await all_.store.transact([], [Delete(ledger.head_key(scope))])
        _, page = await page_of(all_, 0, 100, None, commits[2])
        assert min(record.commit_id for record in page.records) == commits[2]

    kept(etcd_store, scope, work)


def test_a_record_that_was_removed(etcd_store: Store, scope: str) -> None:
    found = pages(etcd_store, scope, [Delete(ledger.audit_key(scope, 3))])
    broken = followed(found).broken
    assert broken is not None
    assert (broken.sequence, broken.reason) == (3, "record 3 is missing")


def test_a_trail_that_was_cut_short(etcd_store: Store, scope: str) -> None:
    cut = [Delete(ledger.audit_key(scope, number)) for number in (4, 5)]
    found = pages(etcd_store, scope, cut)
    head = found[0][1].head
    broken = followed(found).end(head.sequence, head.hash)
    assert broken is not None
    assert broken.sequence == 4


def test_a_trail_that_was_written_anew(etcd_store: Store, scope: str) -> None:
    """A chain that holds in itself still shows by the commits of its keys."""
    texts, head = trail.chained(EMPTY, [facts(identity="mallory") for _ in range(2)])

    async def work(all_: Kept) -> tuple[int, AuditPage]:
        for number in range(3):
            await all_.append(facts(reason=str(number)))
        keys = [ledger.audit_key(scope, number) for number in (1, 2)]
        await all_.store.transact([], [Delete(key) for key in keys])
        value = ledger.head_value(head, prefix=all_.source.prefix)
        puts = [Put(key, text) for key, text in zip(keys, texts, strict=True)]
        await all_.store.transact([], [*puts, Put(ledger.head_key(scope), value)])
        return await page_of(all_, 0, 10, None)

    broken = followed([kept(etcd_store, scope, work)]).broken
    assert broken is not None
    assert broken.sequence == 3


def test_a_record_that_was_written_over_is_named(etcd_store: Store, scope: str) -> None:
    """Also with what would pass for a record, or with the very same."""
    texts, _ = trail.chained(EMPTY, [facts(reason=str(number)) for number in range(5)])
    with pytest.raises(Failure, match="written over") as caught:
        pages(etcd_store, scope, [Put(ledger.audit_key(scope, 2), texts[1])])
    assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"
    assert ledger.audit_key(scope, 2) in caught.value.error.message


@pytest.mark.parametrize("where", ["beside", "within", "commit_id"])
def test_what_a_reader_would_not_be_shown_is_named(etcd_store: Store, where: str) -> None:
    """Or the hash that the reader makes of the rest would tell, or not, of what it never saw."""
    scope = f"extra-{where}"
    texts, _ = trail.chained(EMPTY, [facts("confirmed")])
    record = json.loads(texts[0])
    if where == "within":
        record["confirmation"]["more"] = "x"
    else:
        record["more" if where == "beside" else where] = 7

    async def work(all_: Kept) -> None:
        await all_.store.transact([], [Put(ledger.audit_key(scope, 1), json.dumps(record))])
        with pytest.raises(Failure, match="more than a record") as caught:
            await page_of(all_, 0, 10, None)
        assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"
        assert ledger.audit_key(scope, 1) in caught.value.error.message

    kept(etcd_store, scope, work)


@pytest.mark.parametrize("value", ["", "[]", "{}", '"text"', "null", '{"kind": "requested"}'])
def test_a_record_that_can_not_be_read_is_named(
    etcd_store: Store, request: pytest.FixtureRequest, value: str
) -> None:
    name = f"unreadable-{abs(hash(value))}"
    with pytest.raises(Failure) as caught:
        pages(etcd_store, name, [Put(ledger.audit_key(name, 6), value)])
    assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"
    assert ledger.audit_key(name, 6) in caught.value.error.message
    assert "written over" not in caught.value.error.message


def test_a_stray_key_is_named(etcd_store: Store, scope: str) -> None:
    with pytest.raises(Failure, match="audit/stray"):
        pages(etcd_store, scope, [Put(ledger.audit_prefix(scope) + "stray", "{}")])


def test_records_by_their_sequences(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        await all_.append(*(facts(reason=str(number)) for number in range(30)))
        found = await trail.records(all_.store, scope, [30, 2])
        assert [record.sequence for record in found] == [30, 2]
        with pytest.raises(Failure, match="0000000000000031"):
            await trail.records(all_.store, scope, [30, 31])

    kept(etcd_store, scope, work)


@pytest.mark.parametrize("forgery", ["changed", "moved"])
def test_a_record_by_its_sequence_is_checked(etcd_store: Store, forgery: str) -> None:
    """Nobody follows the chain up to it there."""
    scope = f"checked-{forgery}"
    texts, _ = trail.chained(EMPTY, [facts(), facts()])
    changed = json.dumps(json.loads(texts[0]) | {"reason": "forged"})
    forged = changed if forgery == "changed" else texts[1]

    async def work(all_: Kept) -> None:
        await all_.store.transact([], [Put(ledger.audit_key(scope, 1), forged)])
        with pytest.raises(Failure, match="hash does not match") as caught:
            await trail.records(all_.store, scope, [1])
        assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"

    kept(etcd_store, scope, work)


def test_the_head_is_where_the_trail_ends() -> None:
    assert trail.chained(EMPTY, []) == ([], EMPTY)
    _, head = trail.chained(Head(sequence=41, hash="a" * 64), [facts()])
    assert head.sequence == 42
