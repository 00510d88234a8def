"""What became of a request, derived from a real etcd's records and history."""

import asyncio
from typing import Any

import pytest

from aeroctl.contract.cluster import Authority
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.requests import RequestStatus
from aeroctl.kernel import ledger, requests
from aeroctl.kernel.etcd import Delete
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.requests import status
from tests.kernel.conftest import Store
from tests.kernel.keyspaces import member
from tests.kernel.records import ID, Kept, dispatched, facts, kept

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
SWITCHOVER = {"leader": "n3", "member": "n1"}


@pytest.fixture
def scope(request: pytest.FixtureRequest) -> str:
    """A cluster that no other test has."""
    return str(request.node.name)


async def asked(all_: Kept) -> RequestStatus:
    envelope = await status(all_.source, ID)
    assert envelope.observed_at.snapshot == "live"
    assert envelope.data.request_id == ID
    return envelope.data


def rules(found: RequestStatus) -> dict[str, str]:
    return {rule.rule_id: rule.evaluation for rule in found.evidence}


async def transfer(all_: Kept) -> int:
    """What Patroni writes when it passes authority on."""
    prefix = all_.source.prefix
    await all_.engine("failover", SWITCHOVER)
    await all_.engine("members/n3", member("n3", "demoted"))
    await all_.store.transact([], [Delete(prefix + "leader")])
    reign = await all_.engine("leader", "n1")
    await all_.engine("failover", {})
    await all_.engine("members/n1", member("n1", "primary"))
    return reign


def test_an_id_that_nobody_has_seen(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        await all_.begin()
        found = await asked(all_)
        assert (found.recorded, found.outcome, found.final) == (False, "not_executed", False)
        assert (found.command, found.commits.requested) == (None, None)
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
        records = [facts(authority_before=before), facts("refused", **refusal)]
        commit = await all_.append(*records)
        found = await asked(all_)
        assert (found.recorded, found.outcome, found.final) == (True, "rejected", True)
        assert (found.code, found.message) == ("STATE_CHANGED", "the state has moved on")
        assert found.commits.model_dump() == {
            "requested": commit,
            "dispatched": None,
            "outcome": commit,
        }

    kept(etcd_store, scope, work)


def test_dispatched_and_then_nothing(etcd_store: Store, scope: str) -> None:
    """The kernel died: in flight while its lease lasts, and after that not executed."""

    async def work(all_: Kept) -> None:
        before = await all_.begin()
        lease = await all_.store.lease(60)
        commit = await all_.append(*dispatched(before), flying=lease)
        found = await asked(all_)
        assert (found.outcome, found.final) == ("in_progress", False)
        assert (found.commits.dispatched, found.commits.outcome) == (commit, None)
        assert (found.target, found.authority_before) == ("n1", before)
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
        before = await all_.begin()
        await all_.append(*dispatched(before))
        reign = await transfer(all_)
        found = await asked(all_)
        assert (found.outcome, found.final) == ("executed", True)
        assert found.authority_after == Authority(node="n1", reign=reign)
        assert set(rules(found).values()) == {"holds", "does_not_hold"}
        assert rules(found)["new_holder_is_primary"] == "holds"
        # whatever happens later
        await all_.store.transact([], [Delete(all_.source.prefix + "leader")])
        await all_.engine("leader", "n2")
        again = await asked(all_)
        assert (again.outcome, again.authority_after) == ("executed", found.authority_after)

    kept(etcd_store, scope, work)


def test_proof_beyond_the_first_window(
    etcd_store: Store, scope: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "WINDOW", 3)

    async def work(all_: Kept) -> None:
        before = await all_.begin()
        await all_.append(*dispatched(before))
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
        after = Authority(node="n2", reign=77)
        ended = {"outcome": outcome, "engine_reply": reply, "message": "words"}
        commit = await all_.append(facts("outcome", authority_after=after, **ended))
        found = await asked(all_)
        assert (found.outcome, found.final) == (shown, final)
        assert (found.engine_reply, found.commits.outcome) == (reply, commit)
        assert found.authority_after == (after if final else before)
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
        assert found.authority_after is not None
        assert found.authority_after.node == "n1"

    kept(etcd_store, scope, work)


def test_diagnostics(etcd_store: Store, scope: str) -> None:
    async def work(all_: Kept) -> None:
        before = await all_.begin()
        asking: dict[str, Any] = {"command": "run_diagnostics", "target": None}
        await all_.append(*dispatched(before, **asking))
        found = await asked(all_)
        assert (found.outcome, found.final) == ("unknown", False)
        assert "changes nothing" in str(found.message)
        await all_.append(facts("outcome", outcome="executed", **asking))
        found = await asked(all_)
        assert (found.outcome, found.final) == ("executed", True)
        assert found.diagnostics is None

    kept(etcd_store, scope, work)
