"""The kernel service over a real cluster: what it says, and what it refuses to say."""

import asyncio
import base64
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from aeroctl.contract.envelope import SnapshotEnvelope
from aeroctl.contract.errors import ErrorBody
from aeroctl.contract.terms import NODE_SECTIONS
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import parse
from aeroctl.kernel.postgres import queries
from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.kernel import Kernel
from aeroctl.kernel.sandbox.node import NodeHandle
from aeroctl.kernel.sandbox.waiting import wait_until
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.views import health

pytestmark = pytest.mark.live


def get(sandbox: Sandbox, query: str = "", *, kernel: Kernel | None = None) -> httpx.Response:
    token = sandbox.token_file("observer").read_text().strip()
    return httpx.get(
        f"{(kernel or sandbox.kernel).url}/v1/snapshot{query}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
        trust_env=False,
    )


def snapshot(
    sandbox: Sandbox, query: str = "", *, kernel: Kernel | None = None
) -> SnapshotEnvelope:
    response = get(sandbox, query, kernel=kernel)
    assert response.status_code == 200, response.text
    return SnapshotEnvelope.model_validate_json(response.text)


def refusal(response: httpx.Response) -> tuple[int, str]:
    error = ErrorBody.model_validate_json(response.text).error
    assert error.outcome == "not_executed"
    return response.status_code, error.code


def reasons(envelope: SnapshotEnvelope, section: str, node: str) -> str | None:
    """The code that a node's section is missing for; None when it is there."""
    observed = next(seen for seen in getattr(envelope.data, section) if seen.node == node)
    assert (observed.value is None) != (observed.unavailable is None)
    return observed.unavailable.code if observed.unavailable else None


@contextlib.contextmanager
def kernel(sandbox: Sandbox, *options: str) -> Iterator[Kernel]:
    started = sandbox.start_kernel(*options)
    try:
        yield started
    finally:
        started.terminate()


def leader(sandbox: Sandbox) -> NodeHandle:
    found = wait_until("there is a leader", lambda: sandbox.leader)
    assert found is not None
    return found


def replica(sandbox: Sandbox) -> NodeHandle:
    holder = leader(sandbox).name
    return next(node for name, node in sandbox.nodes.items() if name != holder)


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def tell_etcd(sandbox: Sandbox, path: str, **body: str) -> None:
    response = httpx.post(sandbox.etcd_url + path, json=body, timeout=5, trust_env=False)
    response.raise_for_status()


def put(sandbox: Sandbox, key: str, value: str) -> None:
    tell_etcd(sandbox, "/v3/kv/put", key=encode(key), value=encode(value))


@pytest.fixture
def copy(sandbox: Sandbox) -> Iterator[str]:
    """A scope that names the same nodes, and that no Patroni looks after: a test may break it."""
    for key, value in sandbox.stored().items():
        put(sandbox, f"/service/copy/{key}", value)
    yield "copy"
    everything = {"key": encode("/service/copy/"), "range_end": encode("/service/copy0")}
    tell_etcd(sandbox, "/v3/kv/deleterange", **everything)


def test_a_quiet_cluster(sandbox: Sandbox) -> None:
    sandbox.wait_until_ready()
    envelope = snapshot(sandbox)
    assert envelope.notes == []
    holder, data = leader(sandbox).name, envelope.data
    assert data.cluster is not None
    assert data.cluster.leader is not None
    assert data.cluster.leader.node == holder
    assert data.promotion is not None
    assert data.promotion.state == "Steady"
    names = sorted(sandbox.nodes)
    for section in NODE_SECTIONS:
        assert [seen.node for seen in getattr(data, section)] == names
        assert [reasons(envelope, section, name) for name in names] == [None] * len(names)
    assert data.replication is not None
    servers = {seen.node: seen.value for seen in data.replication if seen.value}
    assert [name for name, server in servers.items() if server.writable] == [holder]
    assert [stream.node for stream in servers[holder].senders] == [n for n in names if n != holder]
    for name in names:
        assert servers[name].system_id == data.cluster.system_id
        receiver = servers[name].receiver
        assert (receiver.upstream if receiver else None) == (None if name == holder else holder)


def test_the_role_needs_pg_monitor_and_nothing_else(sandbox: Sandbox) -> None:
    rows = leader(sandbox).sql(
        "SELECT r.rolsuper, array_agg(m.roleid::regrole::text) FROM pg_roles r"
        " JOIN pg_auth_members m ON m.member = r.oid WHERE r.rolname = 'aerokernel' GROUP BY 1"
    )
    assert rows == [(False, ["pg_monitor"])]


def test_a_role_that_would_see_a_part_is_refused(sandbox: Sandbox) -> None:
    leader(sandbox).sql("CREATE ROLE bare LOGIN")
    try:
        with kernel(sandbox, "--pg-user=bare") as served:
            wait_until(
                "every node has the role",
                lambda: all(
                    node.sql("SELECT 1 FROM pg_roles WHERE rolname = 'bare'")
                    for node in sandbox.nodes.values()
                ),
            )
            envelope = snapshot(sandbox, kernel=served)
    finally:
        leader(sandbox).sql("DROP ROLE bare")
    for name in sandbox.nodes:
        for section in NODE_SECTIONS:
            assert reasons(envelope, section, name) == "NODE_ACCESS_DENIED"
    assert envelope.data.nodes is not None
    assert all(node.registered for node in envelope.data.nodes)


def test_a_role_that_is_not_there(sandbox: Sandbox) -> None:
    with kernel(sandbox, "--pg-user=nobody") as served:
        envelope = snapshot(sandbox, "?include=wal", kernel=served)
    assert {reasons(envelope, "wal", name) for name in sandbox.nodes} == {"NODE_ACCESS_DENIED"}


def test_a_held_snapshot_is_told_and_our_own_is_not(sandbox: Sandbox) -> None:
    node = leader(sandbox)
    with psycopg.connect(
        host="127.0.0.1", port=node.postgres_port, user="postgres", dbname="postgres"
    ) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        xid = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        pid = str(connection.info.backend_pid)
        node.sql("SELECT pg_current_xact_id()")  # a later one that is finished
        data = snapshot(sandbox, "?include=mvcc,snapshots").data
        connection.rollback()
    assert data.mvcc is not None
    assert data.snapshots is not None
    assert xid is not None
    mvcc = next(seen.value for seen in data.mvcc if seen.node == node.name)
    held = next(seen.value for seen in data.snapshots if seen.node == node.name)
    assert mvcc is not None
    assert held is not None
    assert mvcc.in_progress >= 1
    assert int(mvcc.xmin) <= int(xid[0]) < int(mvcc.xmax)
    assert [(holder.kind, int(holder.xmin) <= int(xid[0])) for holder in mvcc.horizon] == [
        ("backend", True)
    ]
    assert pid in [active.holder for active in held.active]
    assert all(active.owner != "aerokernel" for active in held.active)


def test_a_frozen_node_takes_no_more_than_its_time(sandbox: Sandbox) -> None:
    node = replica(sandbox)
    with kernel(sandbox, "--node-timeout=1", "--deadline=5") as served:
        node.freeze()
        try:
            began = time.monotonic()
            envelope = snapshot(sandbox, kernel=served)
            took = time.monotonic() - began
        finally:
            node.thaw()
    sandbox.wait_until_ready()
    assert took < 2.5
    for section in NODE_SECTIONS:
        for name in sandbox.nodes:
            expected = "NODE_TIMEOUT" if name == node.name else None
            assert reasons(envelope, section, name) == expected
    assert [(note.code, note.subject) for note in envelope.notes] == [("NODE_TIMEOUT", node.name)]


def test_a_node_that_freezes_in_the_middle_keeps_what_it_said(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver would wait for the server to take its statement back: it never does."""
    node = replica(sandbox)
    statement = queries._statement
    monkeypatch.setattr(
        queries,
        "_statement",
        lambda name: "SELECT pg_sleep(60)" if name == "mvcc" else statement(name),
    )
    asleep = "SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"

    def freeze() -> None:
        wait_until("it sleeps", lambda: node.sql(asleep))
        node.freeze()

    async def ask() -> Any:
        async with httpx.AsyncClient(trust_env=False) as client:
            store = Etcd(client, [sandbox.etcd_url], seconds=2)
            state = parse("demo", await store.read("/service/demo/"))
        access = queries.Access("aerokernel", None, "postgres", 2)
        return await queries.ask(sections.nodes(state), ["wal", "mvcc"], access, state.system_id)

    freezing = threading.Thread(target=freeze)
    freezing.start()
    try:
        began = time.monotonic()
        answers = asyncio.run(ask())
        took = time.monotonic() - began
    finally:
        freezing.join()
        node.thaw()
    sandbox.wait_until_ready()
    assert took < 2 + queries.CANCEL_SECONDS + 1
    assert isinstance(answers[node.name]["wal"], str)
    assert answers[node.name]["mvcc"].code == "NODE_TIMEOUT"


def test_a_node_that_dies_is_a_fact_and_not_a_missing_row(sandbox: Sandbox) -> None:
    node = replica(sandbox)
    node.kill()
    try:
        at_once = snapshot(sandbox)
        assert reasons(at_once, "wal", node.name) == "NODE_UNREACHABLE"
        wait_until(
            "its entry expires", lambda: sandbox.stored().get(f"members/{node.name}") is None, 60
        )
        later = snapshot(sandbox)
    finally:
        node.start()
    sandbox.wait_until_ready()
    for section in NODE_SECTIONS:
        assert reasons(later, section, node.name) == "NODE_UNREACHABLE"  # at its last address
    assert later.data.nodes is not None
    (gone,) = [n for n in later.data.nodes if not n.registered]
    assert (gone.name, gone.port) == (node.name, node.postgres_port)
    assert "earlier_member_key" in gone.known_from
    assert ("NODE_NOT_REGISTERED", node.name) in [(note.code, note.subject) for note in later.notes]
    assert later.observed_at.state_digest != at_once.observed_at.state_digest


class TestStore:
    def test_history(self, sandbox: Sandbox) -> None:
        live = snapshot(sandbox, "?include=cluster,nodes,promotion")
        revision = live.observed_at.revision
        explicit = snapshot(sandbox, f"?at={revision}")
        assert explicit.data == live.data
        assert explicit.observed_at.state_digest == live.observed_at.state_digest
        assert explicit.observed_at.time is None
        assert refusal(get(sandbox, f"?at={revision + 10_000}")) == (400, "FUTURE_REVISION")
        assert refusal(get(sandbox, f"?at={revision}&include=wal")) == (
            409,
            "SECTION_NOT_IN_HISTORY",
        )

    def test_a_compacted_revision(self, sandbox: Sandbox) -> None:
        with contextlib.suppress(httpx.HTTPStatusError):  # it was done before
            tell_etcd(sandbox, "/v3/kv/compaction", revision="3")
        response = get(sandbox, "?at=2")
        assert refusal(response) == (410, "REVISION_COMPACTED")
        assert "required revision has been compacted" in response.text

    def test_a_frozen_store(self, sandbox: Sandbox) -> None:
        with kernel(sandbox, "--node-timeout=0.5", "--deadline=2") as served:
            sandbox.etcd.freeze()
            try:
                began = time.monotonic()
                response = get(sandbox, kernel=served)
                took = time.monotonic() - began
            finally:
                sandbox.etcd.thaw()
        assert refusal(response) == (503, "STORE_UNAVAILABLE")
        assert took < 1.5
        sandbox.wait_until_ready()

    def test_a_dead_store(self, sandbox: Sandbox) -> None:
        sandbox.etcd.kill()
        try:
            response = get(sandbox, "?include=nodes")
        finally:
            sandbox.etcd.start()
        assert refusal(response) == (503, "STORE_UNAVAILABLE")
        sandbox.wait_until_ready()
        assert snapshot(sandbox, "?include=nodes").data.nodes

    def test_the_second_of_two_endpoints(self, sandbox: Sandbox) -> None:
        async def read() -> int:
            async with httpx.AsyncClient(trust_env=False) as client:
                endpoints = ["http://127.0.0.1:1", sandbox.etcd_url]
                store = Etcd(client, endpoints, seconds=2)
                return (await store.read("/service/demo/")).revision

        assert asyncio.run(read()) > 0

    def test_a_scope_that_is_not_there(self, sandbox: Sandbox) -> None:
        with kernel(sandbox, "--scope=elsewhere") as served:
            assert refusal(get(sandbox, kernel=served)) == (404, "CLUSTER_NOT_FOUND")


class TestCopy:
    """What a healthy cluster does not do."""

    def test_a_key_that_cannot_be_read(self, sandbox: Sandbox, copy: str) -> None:
        with kernel(sandbox, f"--scope={copy}") as served:
            assert snapshot(sandbox, "?include=nodes", kernel=served).data.nodes
            put(sandbox, "/service/copy/members/n2", "{")
            response = get(sandbox, "?include=cluster", kernel=served)
        assert refusal(response) == (502, "KERNEL_STATE_UNREADABLE")
        assert "/service/copy/members/n2" in response.text

    def test_a_node_of_another_cluster_is_not_believed(self, sandbox: Sandbox, copy: str) -> None:
        put(sandbox, "/service/copy/initialize", "1")
        with kernel(sandbox, f"--scope={copy}") as served:
            envelope = snapshot(sandbox, kernel=served)
        for section in NODE_SECTIONS:
            assert {reasons(envelope, section, n) for n in sandbox.nodes} == {"NODE_WRONG_CLUSTER"}

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_two_members_with_one_address(self, sandbox: Sandbox, copy: str, host: str) -> None:
        """Also where it is spelt differently: the server itself tells that it is the same one."""
        holder, other = leader(sandbox), replica(sandbox)
        self._move(sandbox, other.name, f"postgres://{host}:{holder.postgres_port}/postgres")
        with kernel(sandbox, f"--scope={copy}") as served:
            envelope = snapshot(sandbox, kernel=served)
        shared = {name for name in sandbox.nodes if name in (holder.name, other.name)}
        for section in NODE_SECTIONS:
            for name in sandbox.nodes:
                code = "NODE_ADDRESS_SHARED" if name in shared else None
                assert reasons(envelope, section, name) == code
        assert {(n.code, n.subject) for n in envelope.notes} == {
            ("NODE_ADDRESS_SHARED", name) for name in shared
        }
        rules = {rule.rule_id: rule.evaluation for rule in health.derive(envelope.data).rules}
        assert rules["single_writer"] == "undetermined"
        assert rules["leader_writable"] == "undetermined"

    def test_two_replicas_with_their_addresses_swapped(self, sandbox: Sandbox, copy: str) -> None:
        """Patroni has a replica replicate under its own name."""
        holder = leader(sandbox).name
        one, two = (node for name, node in sandbox.nodes.items() if name != holder)
        for name, node in ((one.name, two), (two.name, one)):
            self._move(sandbox, name, f"postgres://127.0.0.1:{node.postgres_port}/postgres")
        with kernel(sandbox, f"--scope={copy}") as served:
            envelope = snapshot(sandbox, kernel=served)
        for name in sandbox.nodes:
            code = None if name == holder else "NODE_IS_ANOTHER"
            assert reasons(envelope, "replication", name) == code

    def test_a_citus_cluster(self, sandbox: Sandbox) -> None:
        keys = {f"{group}/{key}": value for group in (0, 1)
                for key, value in sandbox.stored().items()}  # fmt: skip
        for key, value in keys.items():
            put(sandbox, f"/service/citus/{key}", value)
        with kernel(sandbox, "--scope=citus") as served:
            assert refusal(get(sandbox, kernel=served)) == (502, "CLUSTER_IS_CITUS")

    def _move(self, sandbox: Sandbox, name: str, url: str) -> None:
        entry = json.loads(sandbox.stored()[f"members/{name}"]) | {"conn_url": url}
        put(sandbox, f"/service/copy/members/{name}", json.dumps(entry))

    def test_a_state_that_keeps_changing_is_not_shown(self, sandbox: Sandbox, copy: str) -> None:
        done = threading.Event()

        def change() -> None:
            number, key = 0, encode(f"/service/{copy}/failover")
            with httpx.Client(base_url=sandbox.etcd_url, trust_env=False) as client:
                while not done.is_set():
                    number += 1
                    value = encode(f'{{"member": "n{number}"}}')
                    client.post("/v3/kv/put", json={"key": key, "value": value})

        changing = threading.Thread(target=change)
        with kernel(sandbox, f"--scope={copy}") as served:
            changing.start()
            try:
                response = get(sandbox, "?include=wal", kernel=served)
                stored = get(sandbox, "?include=promotion", kernel=served)
            finally:
                done.set()
                changing.join()
            assert refusal(response) == (503, "SNAPSHOT_UNSTABLE")
            assert stored.status_code == 200
            assert get(sandbox, "?include=wal", kernel=served).status_code == 200


def test_every_revision_of_a_switchover(sandbox: Sandbox) -> None:
    """P6-A3: whoever takes the leader key is not called a primary before it is one."""
    sandbox.wait_until_ready()
    old, new = leader(sandbox), replica(sandbox)
    first = snapshot(sandbox, "?include=nodes").observed_at.revision
    run = sandbox.patronictl("switchover", "--leader", old.name, "--candidate", new.name, "--force")
    assert run.returncode == 0, run.stderr
    sandbox.wait_until_ready()
    last = snapshot(sandbox, "?include=nodes").observed_at.revision
    seen = [snapshot(sandbox, f"?at={revision}").data for revision in range(first, last + 1)]
    states: list[tuple[str, str | None]] = []
    for data in seen:
        assert data.promotion is not None
        assert data.cluster is not None
        assert data.nodes is not None
        assert data.promotion.leader == data.cluster.leader
        states.append((data.promotion.state, getattr(data.promotion.leader, "node", None)))
        holder = next((node for node in data.nodes if node.is_leader), None)
        if data.promotion.state == "Steady":
            assert holder is not None
            assert holder.role == "primary"
    assert states[0] == ("Steady", old.name)
    assert states[-1] == ("Steady", new.name)
    order = [
        ("PromotionRequested", old.name),
        ("AuthorityTransitioning", None),
        ("AuthorityTransitioning", new.name),
    ]
    positions = [states.index(state) for state in order]
    assert positions == sorted(positions)
    assert seen[-1].promotion is not None
    assert seen[-1].promotion.history[-1].new_leader == new.name


class TestTls:
    def test_a_client_without_a_certificate_gets_nothing(
        self, sandbox: Sandbox, certificates: Path
    ) -> None:
        served = sandbox.start_kernel(
            f"--tls-cert={certificates / 'server.pem'}",
            f"--tls-key={certificates / 'server.key'}",
            f"--client-ca={certificates / 'ca.pem'}",
            tls=True,
        )
        known = ssl.create_default_context(cafile=certificates / "ca.pem")
        stranger = ssl.create_default_context(cafile=certificates / "ca.pem")
        known.load_cert_chain(certificates / "client.pem", certificates / "client.key")
        token = sandbox.token_file("observer").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{served.url}/v1/snapshot?include=nodes"
        try:
            answer = httpx.get(url, headers=headers, verify=known, trust_env=False)
            assert answer.status_code == 200
            assert httpx.get(url, verify=known, trust_env=False).status_code == 401
            with pytest.raises(httpx.TransportError):
                httpx.get(url, headers=headers, verify=stranger, trust_env=False)
        finally:
            served.terminate()
