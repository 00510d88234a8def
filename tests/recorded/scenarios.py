"""States of a real cluster, and how to bring the sandbox into each: what is recorded is real.

A scenario leaves the cluster as it found it, and may hand words to the commands that are run in
it, such as a revision to look back to.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.waiting import wait_until

Words = Mapping[str, str]
NO_WORDS: Words = {}


def environment_in(words: Words) -> Words:
    """The words that are variables for aeroctl."""
    return {key: word for key, word in words.items() if key.startswith("AEROCTL_")}


def shown_words(words: Words) -> Words:
    """The words that commands are made of."""
    return {key: word for key, word in words.items() if not key.startswith("AEROCTL_")}


FIRST_SEGMENT, SEGMENTS = 8, 6
"""Where the first scenario's write-ahead log begins, and how much every scenario may write."""
PREFERRED = {"n2": {"failover_priority": 2}}
"""Tags for the sandbox: of two replicas that could take over, n2 does."""


def settle(sandbox: Sandbox, place: int) -> None:
    """Where every scenario begins in every recording: n1 leads, in a segment of its place's own.

    What the scenarios before it left is a matter of chance: who leads, and how much was written.
    """
    sandbox.wait_until_ready()
    if leader(sandbox).name != "n1":
        done = sandbox.patronictl("switchover", "--candidate", "n1", "--force")
        assert done.returncode == 0, done.stderr
        wait_until("n1 leads", lambda: sandbox.stored().get("leader") == "n1")
        sandbox.wait_until_ready()
    node = leader(sandbox)
    begin = FIRST_SEGMENT + SEGMENTS * place
    segment = "SELECT ((pg_current_wal_lsn() - '0/0'::pg_lsn) / 16777216)::int"
    while node.sql(segment)[0][0] < begin:
        node.sql("SELECT pg_logical_emit_message(true, 'place', 'next')")
        node.sql("SELECT pg_switch_wal()")
    node.sql("SELECT pg_logical_emit_message(true, 'place', 'here')")
    for each in (node, *(other for other in sandbox.nodes.values() if other is not node)):
        each.sql("CHECKPOINT")
    written = node.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0]
    wait_until("the store says so, too", lambda: min(recorded_places(sandbox)) >= written - 2**20)
    sandbox.wait_until_ready()


def recorded_places(sandbox: Sandbox) -> list[int]:
    """How far the leader and every member are, in bytes, by what they last wrote to the store."""
    stored = sandbox.stored()
    members = [json.loads(value) for key, value in stored.items() if key.startswith("members/")]
    places = [int(member.get("xlog_location", 0)) for member in members]
    return [int(json.loads(stored["status"])["optime"]), *places]


@contextmanager
def healthy(sandbox: Sandbox) -> Iterator[Words]:
    """Three nodes, freshly made, all streaming."""
    sandbox.wait_until_ready()
    yield NO_WORDS


@contextmanager
def busy(sandbox: Sandbox) -> Iterator[Words]:
    """A long transaction, a prepared one, and names that try a terminal."""
    import psycopg

    node = leader(sandbox)
    with psycopg.connect(
        host="127.0.0.1", port=node.postgres_port, user="postgres", dbname="postgres",
        application_name="\x1b[31mreport [/x] :smile:",
    ) as connection:  # fmt: skip
        connection.execute("SELECT pg_current_xact_id()")
        connection.execute("PREPARE TRANSACTION 'order 66 [/x]'")
        connection.commit()
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT pg_current_xact_id()")
        yield NO_WORDS
        connection.rollback()
    node.sql("ROLLBACK PREPARED 'order 66 [/x]'")


@contextmanager
def promoted(sandbox: Sandbox) -> Iterator[Words]:
    """After a promotion: another timeline, and history to look back on."""
    before = revision(sandbox)
    target = next(name for name in sandbox.nodes if name != leader(sandbox).name)
    done = sandbox.patronictl("switchover", "--candidate", target, "--force")
    assert done.returncode == 0, done.stderr
    wait_until(f"{target} leads", lambda: sandbox.stored().get("leader") == target)
    sandbox.wait_until_ready()
    yield {"revision": str(before), "future": str(revision(sandbox) + 1_000_000)}


@contextmanager
def compacted(sandbox: Sandbox) -> Iterator[Words]:
    """History that the store no longer holds."""
    now = revision(sandbox)
    etcdctl(sandbox, "compact", str(now))
    yield {"revision": str(now - 1)}


@contextmanager
def paused(sandbox: Sandbox) -> Iterator[Words]:
    """Automatic failover switched off, and every node aware of it."""
    assert sandbox.patronictl("pause", "--wait").returncode == 0
    yield {"leader": leader(sandbox).name}
    assert sandbox.patronictl("resume", "--wait").returncode == 0
    sandbox.wait_until_ready()


@contextmanager
def synchronous(sandbox: Sandbox) -> Iterator[Words]:
    """Synchronous replication with its standby chosen."""
    sandbox.patronictl("edit-config", "--force", "--set", "synchronous_mode=on")
    wait_until(
        "a standby is synchronous", lambda: "sync_standby" in sandbox.stored().get("sync", "")
    )
    wait_until("it has a name", lambda: '"sync_standby":"n' in sandbox.stored()["sync"])
    named = sandbox.stored()["sync"]
    yield {"other": next(name for name in sandbox.nodes if f'"{name}"' not in named)}
    sandbox.patronictl("edit-config", "--force", "--set", "synchronous_mode=off")
    wait_until("nothing is synchronous", lambda: "sync" not in sandbox.stored())


@contextmanager
def replica_stopped(sandbox: Sandbox) -> Iterator[Words]:
    """A replica shut down in good order: its entry is gone, its slot is kept."""
    node = replica(sandbox)
    node.stop()
    wait_until(f"{node.name} is gone", lambda: f"members/{node.name}" not in sandbox.stored())
    wait_until("its slot is kept", lambda: f'"{node.name}"' in sandbox.stored()["status"])
    yield {"node": node.name}
    node.start()
    sandbox.wait_until_ready()


@contextmanager
def replica_frozen(sandbox: Sandbox) -> Iterator[Words]:
    """A replica that hangs: it is registered still, and answers nothing."""
    node = replica(sandbox)
    node.freeze()
    yield {"node": node.name}
    node.thaw()
    sandbox.wait_until_ready()


@contextmanager
def agent_frozen(sandbox: Sandbox) -> Iterator[Words]:
    """The leader's Patroni hangs, and its database goes on: nobody is there to be asked."""
    node = leader(sandbox)
    node.patroni.freeze()
    yield {"replica": replica(sandbox).name}
    node.patroni.thaw()
    sandbox.wait_until_ready()


@contextmanager
def change(sandbox: Sandbox) -> Iterator[Words]:
    """A healthy cluster, to be changed by what is run."""
    sandbox.wait_until_ready()
    yield {"leader": leader(sandbox).name, "replica": replica(sandbox).name}
    sandbox.wait_until_ready()


@contextmanager
def incident(sandbox: Sandbox) -> Iterator[Words]:
    """A promotion, a refusal, and then the new primary dies: what is there to be told."""
    sandbox.wait_until_ready()
    before, new = revision(sandbox), replica(sandbox)
    promote = ["promote", new.name, "--reason", "kernel update on n1"]
    refused = aeroctl(sandbox, *promote, "--yes", AEROCTL_TOKEN_FILE=sandbox.token_file("observer"))
    assert refused.returncode == 3, refused.stderr
    done = aeroctl(sandbox, *promote, "--yes")
    assert done.returncode == 0, done.stderr
    sandbox.wait_until_ready()
    calm = revision(sandbox)
    new.kill()
    wait_until("another one leads", lambda: leader(sandbox).name != new.name, 60)
    new.start()
    sandbox.wait_until_ready()
    case = aeroctl(sandbox, "snapshot", "--full")
    assert case.returncode == 0, case.stderr
    document = json.loads(case.stdout)
    dispatched = next(
        each for each in document["data"]["audit"]["records"] if each["kind"] == "dispatched"
    )
    yield {
        "before": str(before), "calm": str(calm), "request": dispatched["request_id"],
        "when": dispatched["time"], "node": new.name,
    }  # fmt: skip


@contextmanager
def observing(sandbox: Sandbox) -> Iterator[Words]:
    """The caller may read and nothing else."""
    sandbox.wait_until_ready()
    token_file = str(sandbox.token_file("observer"))
    yield {"replica": replica(sandbox).name, "AEROCTL_TOKEN_FILE": token_file}


@contextmanager
def forced(sandbox: Sandbox) -> Iterator[Words]:
    """The primary is dead, and a paused cluster does not replace it by itself."""
    old, new = leader(sandbox), replica(sandbox)
    assert sandbox.patronictl("pause", "--wait").returncode == 0
    old.kill()
    wait_until("the lease has run out", lambda: "leader" not in sandbox.stored(), 60)
    yield {"replica": new.name}
    assert sandbox.patronictl("resume", "--wait").returncode == 0
    old.start()
    sandbox.wait_until_ready()


@contextmanager
def in_flight(sandbox: Sandbox) -> Iterator[Words]:
    """Another operator's request is being carried out: the leader can't finish its checkpoint."""
    node, target = leader(sandbox), replica(sandbox).name
    node.postgres.freeze_worker("checkpointer")
    other = subprocess.Popen(
        [sys.executable, "-m", "aeroctl", "promote", target, "--yes"],
        env={"PATH": os.environ["PATH"], **sandbox.environment},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until("it is in flight", lambda: etcdctl(sandbox, "get", "/aerodb/demo/inflight"))
    yield {"replica": target}
    node.postgres.thaw_worker("checkpointer")
    assert other.wait(60) == 0
    sandbox.wait_until_ready()


@contextmanager
def no_candidate(sandbox: Sandbox) -> Iterator[Words]:
    """A replica that is tagged as never to be promoted."""
    name = replica(sandbox).name
    file = sandbox.directory / "nodes" / name / "patroni.yml"
    before = file.read_text()

    def tagged(text: str, there: bool) -> None:
        file.write_text(text)
        assert sandbox.patronictl("reload", "demo", name, "--force").returncode == 0
        wait_until(
            f"{name} has its tags",
            lambda: ("nofailover" in sandbox.stored()[f"members/{name}"]) is there,
        )

    tagged(before.replace("tags: {}", "tags: {nofailover: true}"), True)
    yield {"replica": name}
    tagged(before, False)


@contextmanager
def lagging(sandbox: Sandbox) -> Iterator[Words]:
    """A replica that does not receive what is written."""
    node = replica(sandbox)
    node.postgres.freeze_worker("walreceiver")
    wal = "SELECT pg_logical_emit_message(true, 'lag', repeat('x', 4000000))"
    for _ in range(4):  # more than what may be under way in between
        leader(sandbox).sql(wal)
    written = leader(sandbox).sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0]
    wait_until(
        "it is recorded", lambda: json.loads(sandbox.stored()["status"])["optime"] >= written
    )
    yield {"replica": node.name}
    node.postgres.thaw_worker("walreceiver")
    sandbox.wait_until_ready()


@contextmanager
def leaderless(sandbox: Sandbox) -> Iterator[Words]:
    """Nobody holds the leader key: every Patroni hangs until the lease has run out."""
    for node in sandbox.nodes.values():
        node.patroni.freeze()
    wait_until("the lease has run out", lambda: "leader" not in sandbox.stored(), 60)
    yield NO_WORDS
    for node in sandbox.nodes.values():
        node.patroni.thaw()
    sandbox.wait_until_ready()


@contextmanager
def holder_in_recovery(sandbox: Sandbox) -> Iterator[Words]:
    """The leader key names a replica that is still in recovery, while the old primary writes.

    What Patroni's issues 2972 and 3603 saw. The key is put there while every Patroni hangs.
    """
    old, new = leader(sandbox), replica(sandbox)
    for node in sandbox.nodes.values():
        node.patroni.freeze()
    etcdctl(sandbox, "del", "/service/demo/leader")
    etcdctl(sandbox, "put", "/service/demo/leader", new.name)
    yield NO_WORDS
    etcdctl(sandbox, "del", "/service/demo/leader")
    for node in (old, *(each for each in sandbox.nodes.values() if each is not old)):
        node.patroni.thaw()
    sandbox.wait_until_ready()


@contextmanager
def two_writers(sandbox: Sandbox) -> Iterator[Words]:
    """The leader's Patroni hangs, another node takes over, and the old one's database serves on."""
    old = leader(sandbox)
    old.patroni.freeze()
    wait_until("another one leads", lambda: leader(sandbox) is not old, 60)
    new = leader(sandbox)
    wait_until("it writes", lambda: new.sql("SELECT pg_is_in_recovery()") == [(False,)])
    last = next(node for node in sandbox.nodes.values() if node not in (old, new))
    wait_until("the other one follows", lambda: last.streams)
    yield {"node": old.name, "replica": last.name}
    old.patroni.thaw()
    sandbox.wait_until_ready()


@contextmanager
def promoted_by_hand(sandbox: Sandbox) -> Iterator[Words]:
    """A replica was promoted past its Patroni, which hangs and has not told the store."""
    node = replica(sandbox)
    node.patroni.freeze()
    node.sql("SELECT pg_promote()")
    yield {"replica": node.name}
    node.patroni.thaw()
    # Patroni does not always come to rewind such a node.
    assert sandbox.patronictl("reinit", "demo", node.name, "--force", "--wait").returncode == 0
    sandbox.wait_until_ready()


@contextmanager
def store_down(sandbox: Sandbox) -> Iterator[Words]:
    """The consensus store hangs."""
    sandbox.etcd.freeze()
    yield NO_WORDS
    sandbox.etcd.thaw()
    sandbox.wait_until_ready()


SCENARIOS: dict[str, Callable[[Sandbox], AbstractContextManager[Words]]] = {
    scenario.__name__: scenario
    for scenario in (
        healthy, incident, busy, change, observing, in_flight, no_candidate, lagging, forced,
        paused, synchronous, replica_stopped, replica_frozen, agent_frozen, holder_in_recovery,
        leaderless, two_writers, promoted_by_hand, promoted, compacted, store_down,
    )
}  # fmt: skip


def aeroctl(
    sandbox: Sandbox, *arguments: str, **variables: object
) -> subprocess.CompletedProcess[str]:
    """One aeroctl of the sandbox's operator."""
    given = {name: str(value) for name, value in variables.items()}
    return subprocess.run(
        [sys.executable, "-m", "aeroctl", *arguments],
        env={"PATH": os.environ["PATH"], **sandbox.environment, **given},
        capture_output=True,
        text=True,
        check=False,
    )


def leader(sandbox: Sandbox) -> Any:
    """The node that holds the leader key."""
    return wait_until("a node leads", lambda: sandbox.leader)


def replica(sandbox: Sandbox) -> Any:
    """The last node that does not."""
    return [node for node in sandbox.nodes.values() if node is not leader(sandbox)][-1]


def revision(sandbox: Sandbox) -> int:
    """A revision of its own, at which nothing of the cluster's is written, nor just before it."""
    for _ in range(2):
        etcdctl(sandbox, "put", "/recording/tick", "")
    status = json.loads(etcdctl(sandbox, "endpoint", "status", "-w", "json"))
    return int(status[0]["Status"]["header"]["revision"])


def etcdctl(sandbox: Sandbox, *arguments: str) -> str:
    """etcd's own client."""
    done = subprocess.run(
        [etcdctl_program(), "--endpoints", sandbox.etcd_url, *arguments],
        capture_output=True, text=True, check=True, env={"ETCDCTL_API": "3"},
    )  # fmt: skip
    return done.stdout


def etcdctl_program() -> str:
    """Where etcdctl is."""
    from aeroctl.kernel.sandbox.programs import find_programs

    return str(find_programs().etcd).removesuffix("etcd") + "etcdctl"
