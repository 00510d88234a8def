"""What became of a request, derived from a real etcd's records and history."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from aeroctl.contract.cluster import Leader
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.requests import RequestStatus
from aeroctl.contract.rules import Rule
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.endpoints import outcome, request_history
from aeroctl.kernel.endpoints.outcome import status
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.prove.writable import rule
from aeroctl.kernel.source import READERS, Source
from aeroctl.kernel.store.keyspace import History
from aeroctl.kernel.store.requests import Delete, Put
from tests.support.etcd import Store
from tests.support.keyspaces import member
from tests.support.records import ID, Kept, dispatched, facts, kept

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
SWITCHOVER = {"leader": "n3", "member": "n1"}


@pytest.fixture
def scope(request: pytest.FixtureRequest) -> str:
    """A cluster that no other test has."""
    return str(request.node.name)


async def asked(all_: Kept) -> RequestStatus:
    envelope = await status(all_.source, ID)
    assert envelope.observed_at.kind == "live"
    assert envelope.data.request_id == ID
    return envelope.data


async def fly(all_: Kept) -> Leader:
    """A request that is dispatched, and in flight; returns who holds the leader key."""
    before = await all_.begin()
    await all_.append(*dispatched(before), flying=await all_.store.lease(60))
    return before


async def land(all_: Kept) -> None:
    """It is in flight no longer, as when its lease ends."""
    await all_.store.transact([], [Delete(ledger.inflight_key(all_.scope))])


def rules(found: RequestStatus) -> dict[str, str]:
    return {rule.rule_id: rule.evaluation for rule in found.evidence}


async def transfer(all_: Kept) -> int:
    """What Patroni writes when it passes authority on."""
    prefix = all_.source.prefix
    await all_.engine("failover", SWITCHOVER)
    await all_.engine("members/n3", member("n3", "demoted"))
    await all_.store.transact([], [Delete(prefix + "leader")])
    since = await all_.engine("leader", "n1")
    await all_.engine("failover", {})
    await all_.engine("members/n1", member("n1", "primary"))
    return since


def test_an_id_that_nobody_has_seen(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        await all_.begin()
        found = await asked(all_)
        assert (found.recorded, found.outcome, found.final) == (False, "not_executed", False)
        assert (found.command, found.revisions.requested) == (None, None)
        assert "no record" in str(found.message)
        assert rules(found) == {"recorded": "does_not_hold"}

    kept(etcd_store, scope, work)


def test_a_cluster_that_is_not_there(etcd_store: Store, scope: str) -> None:
    with pytest.raises(Failure, match="CLUSTER_NOT_FOUND"):
        kept(etcd_store, scope, asked)


def test_refused_by_the_kernel(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        before = await all_.begin()
        refusal = {"code": "STATE_CHANGED", "message": "the state has moved on"}
        records = [facts(leader_before=before), facts("refused", **refusal)]
        revision = await all_.append(*records)
        found = await asked(all_)
        assert (found.recorded, found.outcome, found.final) == (True, "rejected", True)
        assert (found.code, found.message) == ("STATE_CHANGED", "the state has moved on")
        assert found.revisions.model_dump() == {
            "requested": revision,
            "dispatched": None,
            "outcome": revision,
        }

    kept(etcd_store, scope, work)


def test_dispatched_and_then_nothing(etcd_store: Store, scope: str) -> None:
    """The kernel died: in flight while its lease lasts, and after that not executed."""

    async def work(all_: Kept) -> None:
        before = await all_.begin()
        lease = await all_.store.lease(60)
        revision = await all_.append(*dispatched(before), flying=lease)
        found = await asked(all_)
        assert (found.outcome, found.final) == ("in_progress", False)
        assert (found.revisions.dispatched, found.revisions.outcome) == (revision, None)
        assert (found.target, found.leader_before) == ("n1", before)
        await all_.store.transact([], [Delete(ledger.inflight_key(scope))])
        found = await asked(all_)
        assert (found.outcome, found.final) == ("not_executed", False)
        assert rules(found)["arrived"] == "does_not_hold"

    kept(etcd_store, scope, work)


def test_somebody_else_is_in_flight(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before))
        other = ID.replace("6f2b", "0000")
        lease = await all_.store.lease(60)
        await all_.append(*dispatched(before, request_id=other), flying=lease)
        assert (await asked(all_)).outcome == "not_executed"
        assert (await status(all_.source, other)).data.outcome == "in_progress"

    kept(etcd_store, scope, work)


def test_executed_and_nobody_left_to_record_it(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        await fly(all_)
        since = await transfer(all_)
        found = await asked(all_)
        assert (found.outcome, found.final) == ("executed", True)
        assert found.leader_after == Leader(node="n1", since=since)
        assert rules(found).pop("writable") == "undetermined"  # nobody answers there
        assert rules(found)["new_leader_is_primary"] == "holds"
        # whatever happens later
        await all_.store.transact([], [Delete(all_.source.prefix + "leader")])
        await all_.engine("leader", "n2")
        again = await asked(all_)
        assert (again.outcome, again.leader_after) == ("executed", found.leader_after)

    kept(etcd_store, scope, work)


def test_proof_beyond_the_first_window(
    etcd_store: Store, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_history, "WINDOW", 3)

    async def work(all_: Kept) -> None:
        await fly(all_)
        await transfer(all_)
        assert (await asked(all_)).outcome == "executed"

    kept(etcd_store, scope, work)


@pytest.mark.parametrize(
    ("outcome", "reply", "shown", "final"),
    [
        ("executed", EngineReply(status=200, body="Successfully"), "executed", True),
        ("executed_other", None, "executed_other", True),
        ("rolled_back", EngineReply(status=503, body="Switchover failed"), "rolled_back", True),
        ("rejected", EngineReply(status=412, body="no good candidates"), "rejected", True),
        ("not_executed", None, "not_executed", True),
        ("in_progress", EngineReply(status=503, body="Switchover status unknown"), "not_executed",
         False),
        ("unknown", EngineReply(status=None, body="no answer"), "not_executed", False),
    ],
)  # fmt: skip
def test_an_outcome_record(
    etcd_store: Store, outcome: Any, reply: EngineReply | None, shown: str, final: bool
) -> None:
    """One that says how it ended is trusted; any other is not, and history is asked."""

    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before))
        after = Leader(node="n2", since=77)
        ended = {"outcome": outcome, "engine_reply": reply, "message": "words"}
        revision = await all_.append(facts("outcome", leader_after=after, **ended))
        found = await asked(all_)
        assert (found.outcome, found.final) == (shown, final)
        assert (found.engine_reply, found.revisions.outcome) == (reply, revision)
        assert found.leader_after == (after if final else before)
        assert (found.message == "words") == final
        assert rules(found)["history_complete"] == "holds"

    kept(etcd_store, f"outcome-{outcome}", work)


def test_a_record_stands_when_history_is_gone(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before))
        await transfer(all_)
        late = await all_.append(facts("outcome", outcome="executed"))
        await asyncio.to_thread(etcd_store.ask, "kv/compaction", revision=str(late), physical=True)
        found = await asked(all_)
        assert (found.outcome, found.final) == ("executed", True)
        assert rules(found)["history_complete"] == "does_not_hold"

    kept(etcd_store, scope, work)


def test_nobody_recorded_it_and_history_is_gone(etcd_store: Store, scope: str) -> None:
    """P7-E2: what can't be proved is not called a success."""

    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before))
        await transfer(all_)
        late = await all_.engine("status", {})
        await asyncio.to_thread(etcd_store.ask, "kv/compaction", revision=str(late), physical=True)
        found = await asked(all_)
        assert (found.outcome, found.final) == ("unknown", False)
        assert found.leader_after is not None
        assert found.leader_after.node == "n1"

    kept(etcd_store, scope, work)


def test_diagnostics(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        before = await all_.begin()
        asking: dict[str, Any] = {"command": "run_diagnostics", "target": None}
        await all_.append(*dispatched(before, **asking))
        found = await asked(all_)
        assert (found.outcome, found.final) == ("unknown", False)
        assert "change nothing" in str(found.message)
        await all_.append(facts("outcome", outcome="executed", **asking))
        found = await asked(all_)
        assert (found.outcome, found.final) == ("executed", True)
        assert found.diagnostics is None

    kept(etcd_store, scope, work)


def says(writes: bool | None) -> Any:
    """A new holder that says whether it accepts writes; None: it does not answer."""
    evaluation = {True: "holds", False: "does_not_hold", None: "undetermined"}[writes]

    async def writable(source: Source, keys: ClusterKeys) -> Rule:
        assert keys.leader is not None
        return rule(keys.leader.value, None).model_copy(update={"evaluation": evaluation})

    return writable


@pytest.mark.parametrize(
    ("writes", "expected"), [(True, "executed"), (None, "executed"), (False, "in_progress")]
)
def test_the_new_holder_must_accept_writes(
    etcd_store: Store, monkeypatch: pytest.MonkeyPatch, writes: bool | None, expected: str
) -> None:
    """As in the answer to the request itself; but only while its leader term stands."""
    monkeypatch.setattr(outcome, "writable", says(writes))

    async def work(all_: Kept) -> None:
        await fly(all_)
        await transfer(all_)
        found = await asked(all_)
        assert (found.outcome, found.final) == (expected, expected == "executed")
        assert found.evidence[-1].rule_id == "writable"
        await all_.store.transact([], [Delete(all_.source.prefix + "leader")])
        await all_.engine("leader", "n2")
        found = await asked(all_)
        assert (found.outcome, found.final) == ("executed", True)
        assert "writable" not in rules(found)

    kept(etcd_store, f"writes-{writes}", work)


def test_windows_that_are_compacted_meanwhile(
    etcd_store: Store, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen before is not joined to what is left: the whole is judged by what is left."""
    monkeypatch.setattr(request_history, "WINDOW", 2)

    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before))
        await transfer(all_)
        late = await all_.engine("status", {})
        read, calls = all_.store.history, 0

        async def compacting(*args: Any, **kinds: Any) -> History:
            nonlocal calls
            calls += 1
            if calls == 2:
                query = {"revision": str(late), "physical": True}
                await asyncio.to_thread(etcd_store.ask, "kv/compaction", **query)
            return await read(*args, **kinds)

        monkeypatch.setattr(all_.store, "history", compacting)
        found = await asked(all_)
        assert (found.outcome, found.final) == ("unknown", False)
        assert rules(found)["history_complete"] == "does_not_hold"

    kept(etcd_store, scope, work)


def test_history_is_held_window_by_window(
    etcd_store: Store, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is; and only in turn, for it may take long (P7-S2)."""
    monkeypatch.setattr(request_history, "WINDOW", 4)

    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before))
        for number in range(30):
            await all_.engine("status", {"optime": number})
        read, held = all_.store.history, []

        async def counted(*args: Any, **kinds: Any) -> History:
            assert all_.source.change_readers._value == READERS - 1
            found = await read(*args, **kinds)
            held.append(len(found.events))
            return found

        monkeypatch.setattr(all_.store, "history", counted)
        found = await asked(all_)
        assert (found.outcome, found.final) == ("not_executed", False)
        facts = {fact.name: fact.value for rule in found.evidence for fact in rule.evidence}
        seen = facts["history_to_revision"]  # leases of other tests may end at any time
        assert isinstance(seen, int)
        assert found.revisions.dispatched
        assert found.revisions.dispatched + 30 <= seen <= (await all_.source.keys()).revision
        assert facts["history_from_revision"] == found.revisions.dispatched
        assert sum(held) == 30
        assert max(held) <= 4

    kept(etcd_store, scope, work)


def test_it_waits_for_its_turn_no_longer_than_an_answer_may_take(
    etcd_store: Store, scope: str
) -> None:
    async def work(all_: Kept) -> None:
        await all_.begin()
        none_left = replace(all_.source, seconds=0.2, change_readers=asyncio.Semaphore(0))
        with pytest.raises(Failure, match="KERNEL_BUSY"):
            await status(none_left, ID)

    kept(etcd_store, scope, work)


def test_records_of_another_request(etcd_store: Store, scope: str) -> None:
    """P7-F1: a key that names them is not believed."""

    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before, request_id=ID.replace("6f2b", "0000")))
        key = ledger.request_key(scope, ID)
        await all_.store.transact([], [Put(key, ledger.request_value([1, 2, 3]))])
        with pytest.raises(Failure, match="of another request") as caught:
            await asked(all_)
        assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"
        assert key in caught.value.error.message

    kept(etcd_store, scope, work)


@pytest.mark.parametrize("flying", [True, False])
def test_one_that_reads_the_same_and_was_taken_up_later(
    etcd_store: Store, scope: str, flying: bool
) -> None:
    """Whoever asks the same when the kernel has it in flight no longer asks for himself."""

    async def work(all_: Kept) -> None:
        await fly(all_)
        if flying:
            await all_.engine("failover", SWITCHOVER)
        await land(all_)
        await transfer(all_)
        found = await asked(all_)
        assert (found.outcome, found.final) == ("executed" if flying else "unknown", True)
        assert flying or "nothing proves that it was this one" in str(found.message)

    kept(etcd_store, f"{scope}-{flying}", work)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (EngineReply(status=200, body="Successfully"), "executed"),
        (EngineReply(status=503, body="Switchover status unknown"), "executed"),
        (EngineReply(status=503, body="failed to write failover key into DCS"), "unknown"),
        (EngineReply(status=None, body="cut"), "unknown"),
    ],
)
def test_unless_its_agent_has_answered_that_it_wrote_it(
    etcd_store: Store, scope: str, reply: EngineReply, outcome: str
) -> None:
    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before))
        await transfer(all_)
        await all_.append(facts("outcome", outcome="in_progress", engine_reply=reply))
        assert (await asked(all_)).outcome == outcome

    kept(etcd_store, f"{scope}-{outcome}-{reply.status}", work)


@pytest.mark.parametrize("alive", [True, False])
def test_an_idle_holder_of_which_only_the_pulse_is_felt(
    etcd_store: Store, scope: str, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    """It renews its lease in every loop; a frozen one does not, and may act yet (P7-E2)."""
    monkeypatch.setattr(outcome, "OBSERVE_SECONDS", 60.0 if alive else 4.0)

    async def work(all_: Kept) -> None:
        await all_.begin()
        lease = await all_.store.lease(30)
        leader = all_.source.prefix + "leader"
        await all_.store.transact([], [Delete(leader)])
        since = await all_.store.transact([], [Put(leader, "n3", lease)])
        before = Leader(node="n3", since=since or 0)
        await all_.append(*dispatched(before), flying=await all_.store.lease(60))
        await all_.engine("failover", SWITCHOVER)
        await all_.engine("failover", {})
        await land(all_)

        async def loops() -> None:
            while alive:
                await asyncio.sleep(1.5)
                await asyncio.to_thread(etcd_store.ask, "lease/keepalive", ID=str(lease))

        running = asyncio.create_task(loops())
        found = await asked(all_)
        running.cancel()
        assert (found.outcome, found.final) == ("rejected" if alive else "unknown", alive)
        told = {rule.rule_id: rule.evaluation for rule in found.evidence}
        assert told["agent_moved_on"] == ("holds" if alive else "undetermined")

    kept(etcd_store, f"{scope}-{alive}", work)


def test_a_cluster_of_the_same_name_elsewhere(etcd_store: Store, scope: str) -> None:
    """It does not go on with the other one's trail, nor answer from it."""

    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before))
        other = replace(all_.source, namespace="elsewhere")
        await all_.store.transact([], [Put(other.prefix + "leader", "n3")])
        with pytest.raises(Failure, match="another cluster of this name") as caught:
            await status(other, ID)
        assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"
        assert (await asked(all_)).recorded

    kept(etcd_store, scope, work)


@pytest.mark.parametrize("gone", [True, False])
@pytest.mark.parametrize("place", [1, 2, 3, 4])
@pytest.mark.parametrize("ended", ["executed", "rejected", "unknown", None])
def test_a_broken_record_is_told_and_what_is_left_proves(
    etcd_store: Store, ended: Any, place: int, gone: bool
) -> None:
    """P7-E2: nothing is final that the broken one may have said otherwise."""
    scope = f"broken-{ended}-{place}-{gone}"

    async def work(all_: Kept) -> None:
        await fly(all_)
        if ended == "executed":
            await transfer(all_)
        await land(all_)
        if ended is not None:
            reply = EngineReply(status=412, body="no") if ended == "rejected" else None
            await all_.append(facts("outcome", outcome=ended, engine_reply=reply, message="words"))
        whole = await asked(all_)
        key = ledger.audit_key(scope, place)
        if gone:
            await all_.store.transact([], [Delete(key)])
        else:
            await all_.store.transact([], [Put(key, "[" * 100_000)])
        if ended is None and place == 4:
            return  # there is none, and nobody says that there was
        envelope = await status(all_.source, ID)
        found = envelope.data
        (note,) = [each for each in envelope.notes if each.code == "RECORD_BROKEN"]
        assert f"audit record {place} can't be read" in note.message
        assert found.recorded
        if found.final:
            assert (found.outcome, whole.final) == (whole.outcome, True)
        if place < 3 and ended is not None:
            assert (found.outcome, found.final) == (whole.outcome, whole.final)
        if place == 3 and ended in ("unknown", None):
            assert (found.outcome, found.final) == ("unknown", False)
            assert "it is not known whether Patroni was asked" in str(found.message)

    kept(etcd_store, scope, work)


def test_of_a_refusal_that_is_broken_nothing_is_said(etcd_store: Store, scope: str) -> None:
    """There may have been a dispatch, for all that is known."""

    async def work(all_: Kept) -> None:
        await all_.begin()
        await all_.append(facts(), facts("refused", outcome="rejected", code="RULE_NOT_MET"))
        await all_.store.transact([], [Put(ledger.audit_key(scope, 2), "\0")])
        found = await asked(all_)
        assert (found.outcome, found.final) == ("unknown", False)
        await all_.store.transact([], [Put(ledger.audit_key(scope, 1), "{}")])
        found = await asked(all_)
        assert (found.recorded, found.command, found.outcome) == (True, None, "unknown")

    kept(etcd_store, scope, work)


@pytest.mark.parametrize("key", ["head", "request"])
def test_a_key_of_the_ledger_that_is_broken_is_named(etcd_store: Store, key: str) -> None:
    scope = f"broken-{key}"

    async def work(all_: Kept) -> None:
        await all_.begin()
        await all_.append(*dispatched(Leader(node="n3", since=1)))
        name = {"head": ledger.head_key(scope), "request": ledger.request_key(scope, ID)}[key]
        for value in ("[" * 100_000, "{}", ""):
            await all_.store.transact([], [Put(name, value)])
            with pytest.raises(Failure, match=name) as caught:
                await asked(all_)
            assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"

    kept(etcd_store, scope, work)
