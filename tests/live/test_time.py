"""Times on a real cluster: what is pinned, what is not, and what a broken trail leaves.

Two aerokernels keep clock pins side by side here, each of them once in two seconds at most.
"""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.kernel import Kernel
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live import store
from tests.live.operator import Operator

pytestmark = pytest.mark.live
CLOCK = f"{store.LEDGER}clock"
INTERVAL = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Sandbox]:
    """Of its own: what happens to its history is no good to others."""
    with Sandbox() as sandbox:
        sandbox.kernel.terminate()
        yield sandbox


@pytest.fixture(scope="module")
def kernels(cluster: Sandbox) -> list[Kernel]:
    return [cluster.start_kernel("--clock-interval", str(INTERVAL)) for _ in range(2)]


@pytest.fixture
def operator(cluster: Sandbox, kernels: list[Kernel], tmp_path: Path) -> Iterator[Operator]:
    cluster.wait_until_ready()
    cluster.kernel = kernels[0]
    operator = Operator(cluster, tmp_path)
    yield operator
    operator.leave()


def pins(cluster: Sandbox) -> list[tuple[int, datetime]]:
    """Every pin there is, oldest first, read past all kernels: its revision, and its time."""
    found: list[tuple[int, datetime]] = []
    at = 0
    while (pair := store.read(cluster, CLOCK, at).keys.get("")) is not None:
        time = datetime.fromisoformat(json.loads(pair.value)["time"])
        found.append((pair.modified, time))
        if pair.modified == pair.created:
            break
        at = pair.modified - 1
    return found[::-1]


def pinned_again(cluster: Sandbox, count: int = 1) -> datetime:
    """Wait for so many more pins; the time of the last one."""
    key = store.read(cluster, CLOCK).keys.get("")
    first = key.modified if key else 0
    seen = {first}

    def more() -> datetime | None:
        pair = store.read(cluster, CLOCK).keys.get("")
        if pair is None:
            return None
        seen.add(pair.modified)
        done = len(seen) > count
        return datetime.fromisoformat(json.loads(pair.value)["time"]) if done else None

    return wait_until("more clock pins", more, 60)


def notes(out: str) -> list[str]:
    return [
        each["message"] for each in json.loads(out)["notes"] if each["code"] == "REVISION_TAKEN"
    ]


def ago(when: datetime) -> str:
    """That long ago, and less than a second more recently."""
    return f"{int((datetime.now(UTC) - when).total_seconds())}s"


def text(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def test_two_kernels_pin_side_by_side(operator: Operator, kernels: list[Kernel]) -> None:
    """Never more than one pin an interval, whoever writes it, and whoever is frozen or gone."""
    cluster = operator.sandbox
    pinned_again(cluster, 4)
    for kernel in kernels:
        kernel.freeze()
        pinned_again(cluster, 2)  # by the other one
        kernel.thaw()
        pinned_again(cluster, 2)
    kernels[1].kill()
    pinned_again(cluster, 2)
    kernels[1].start()
    wait_until("aerokernel answers", kernels[1].answers)
    pinned_again(cluster, 2)
    found = pins(cluster)
    assert len(found) > 10
    between = [after - before for (_, before), (_, after) in pairwise(found)]
    assert min(between) >= timedelta(seconds=INTERVAL - 0.05)
    logs = "".join(kernel.log.read_text() for kernel in kernels)
    assert logs.count("clock pins are not kept") <= 2  # of one that was frozen as it wrote


def test_a_state_is_never_of_another_moment(operator: Operator) -> None:
    """At every time around a switchover: who held the leader key then, or that it is not known."""
    cluster = operator.sandbox
    pinned_again(cluster, 2)
    truth: list[tuple[datetime, str, datetime]] = []

    def look() -> str:
        before = datetime.now(UTC)
        holder = store.read(cluster, store.ENGINE).keys.get("leader")
        truth.append((before, holder.value if holder else "", datetime.now(UTC)))
        return truth[-1][1]

    old = look()
    target = next(name for name in cluster.nodes if name != old)
    process = operator.start("promote", target, "--yes")
    wait_until("it is done", lambda: look() and process.poll() is not None, 120)
    assert operator.finish(process).code == 0
    cluster.wait_until_ready()
    for _ in range(3):
        look()
        pinned_again(cluster)
    look()
    answered = refused = 0
    when = truth[0][0]
    while when < truth[-1][0]:
        done = operator.ask("inspect", "cluster", "--at", text(when))
        if done.code == 0:
            held = done.data["leader"]
            shown = held["node"] if held else ""
            possible = {
                each
                for (asked, one, _), (_, other, seen) in pairwise(truth)
                if asked <= when <= seen
                for each in (one, other)
            }
            assert shown in possible, (when, shown, possible)
            (note,) = notes(done.out)
            assert "between them" in note
            answered += 1
        else:
            assert (done.code, done.error["code"]) == (7, "TIME_NOT_PINNED"), done
            refused += 1
        when += timedelta(seconds=1)
    assert answered >= 3
    assert refused >= 1


def test_a_crash_is_left_out_by_no_time(operator: Operator) -> None:
    """`--until` takes in all that may have happened by then, `--since` all that may have since."""
    cluster = operator.sandbox
    pinned_again(cluster, 2)
    leader = cluster.leader
    assert leader
    before = datetime.now(UTC)
    leader.kill()
    wait_until("another node leads", lambda: cluster.leader not in (None, leader), 90)
    after = datetime.now(UTC)
    leader.start()
    cluster.wait_until_ready()
    pinned_again(cluster, 2)

    def lost(*options: str) -> list[Any]:
        done = operator.ask("timeline", "--kind", "leader_lost", *options)
        assert done.code == 0, done
        return [
            each for each in done.data["entries"]
            if each["node"] == leader.name and each["cause"] == "lease_ended"
        ]  # fmt: skip

    (entry,) = lost()
    first, last = (datetime.fromisoformat(entry[key]) for key in ("not_before", "not_after"))
    assert first < last
    assert first <= after
    assert before <= last
    assert lost("--until", ago(after))
    assert lost("--until", text(after))
    assert lost("--since", text(before))
    assert not lost("--until", text(before - timedelta(seconds=2 * INTERVAL + 1)))
    assert not lost("--since", text(last + timedelta(seconds=0.001)))
    assert lost("--since", text(first), "--until", text(last))
    table = operator.run("timeline", "--since", text(before), "--kind", "leader_lost")
    words = [f"{when:%H:%M:%S}" for when in (first, last + timedelta(seconds=0.999999))]
    assert f"between {words[0]} and {words[1]} UTC" in table.out
    refused = operator.ask("inspect", "nodes", "--at", text(first + (last - first) / 2))
    assert (refused.code, refused.error["code"]) == (7, "TIME_NOT_PINNED")
    assert str(entry["revision"]) in refused.error["message"] or "more" in refused.error["message"]
    shown = operator.ask("inspect", "cluster", "--at", str(entry["revision"] - 1))
    assert shown.data["leader"]["node"] == leader.name


def test_a_young_cluster(operator: Operator) -> None:
    """The first example of timeline's own help."""
    done = operator.ask("timeline", "--since", "9999d")
    assert done.code == 0
    assert "all available history is shown" in notes(done.out)[0]
    assert (
        done.data["entries"][0]["revision"]
        == operator.ask("timeline").data["entries"][0]["revision"]
    )
    refused = operator.ask("inspect", "cluster", "--at", "9999d")
    assert (refused.code, refused.error["code"]) == (7, "TIME_NOT_PINNED")
    assert operator.ask("inspect", "cluster", "--at", "0s").code == 0


def test_a_case_file_knows_the_same_times(operator: Operator, tmp_path_factory: Any) -> None:
    pinned_again(operator.sandbox, 2)
    found = pins(operator.sandbox)  # before the file is written, which knows of no later ones
    case = tmp_path_factory.mktemp("case") / "case.json"
    case.write_text(operator.run("snapshot", "--full").out)
    for number in (1, 2, len(found) // 2):
        revision, when = found[-number]
        for moment in (text(when), text(when - timedelta(seconds=1))):
            for edges in (("--since", moment), ("--until", moment)):
                live = operator.ask("timeline", *edges)
                held = operator.ask("timeline", *edges, "--from", str(case))
                assert live.code == held.code == 0
                if "--until" in edges and revision != found[-1][0]:
                    assert held.data["until"] == live.data["until"]
                assert held.data["since"] == live.data["since"]


def test_pins_after_compaction(operator: Operator) -> None:
    cluster = operator.sandbox
    pinned_again(cluster, 2)
    found = pins(cluster)
    gone, when = found[len(found) // 2]
    store.tell(cluster, "/v3/kv/compaction", {"revision": str(gone), "physical": True})
    done = operator.ask("timeline")
    assert done.data["entries"][0]["kind"] == "gap"
    refused = operator.ask("inspect", "cluster", "--at", text(when - timedelta(seconds=60)))
    assert refused.code == 7
    assert refused.error["code"] in ("TIME_NOT_PINNED", "REVISION_COMPACTED")
    config = operator.sandbox.patronictl("edit-config", "--force", "--set", "ttl=21", "demo")
    assert config.returncode == 0, config.stderr
    pinned_again(cluster, 2)
    (entry,) = [
        each for each in operator.ask("timeline", "--kind", "configuration_changed").data["entries"]
        if each["subject"] == "ttl"
    ][-1:]  # fmt: skip
    assert entry["not_before"] < entry["not_after"]
    assert operator.ask("inspect", "cluster", "--at", "1s").code in (0, 7)


DAMAGE = {
    "deep": b"[" * 100_000,
    "bytes": b"\xff\xfe\x00garbage",
    "another shape": b'{"sequence": 2, "kind": "requested"}',
    "huge": b"x" * 1_000_000,
    "missing": None,
}


def test_one_record_written_over_takes_no_other_away(
    operator: Operator, tmp_path_factory: Any
) -> None:
    """Each way to damage one, upon the one before: `audit --verify` tells, the rest is shown."""
    cluster = operator.sandbox
    case = tmp_path_factory.mktemp("case") / "case.json"
    for place, (name, value) in enumerate(DAMAGE.items()):
        leader = cluster.leader
        assert leader
        target = next(each for each in cluster.nodes if each != leader.name)
        done = operator.ask("promote", target, "--yes")
        assert done.code == 0, done
        cluster.wait_until_ready()
        pinned_again(cluster)
        records = operator.trail()
        victim = [each for each in records if each["request_id"] == done.request_id][place % 4]
        sequence = victim["sequence"]
        key = base64.b64encode(f"{store.LEDGER}audit/{sequence:016d}".encode()).decode()
        if value is None:
            store.tell(cluster, "/v3/kv/deleterange", {"key": key})
        else:
            body = {"key": key, "value": base64.b64encode(value).decode()}
            store.tell(cluster, "/v3/kv/put", body)
        audit = operator.ask("audit")
        assert audit.code == 0, (name, audit)
        assert sequence in [each["sequence"] for each in audit.data["broken"]]
        assert len(audit.data["records"]) == len(operator._whole_trail()[0])
        verified = operator.ask("audit", "--verify")
        first = min(each["sequence"] for each in audit.data["broken"])
        assert verified.code == 8
        assert verified.data["verification"]["first_broken"] == first
        told = operator.ask("timeline", "--node", "none")
        assert told.code == 0
        assert sequence in [
            each["sequence"] for each in told.data["entries"] if each["kind"] == "broken"
        ]
        lines = operator.run("audit", "--verify", "-o", "jsonl")
        assert lines.code == 8
        assert f'"sequence":{sequence},"last":{sequence}' in lines.out.replace(": ", ":").replace(
            ", ", ","
        )
        assert f"audit record {sequence} can" in operator.run("report").out
        case.write_text(operator.run("snapshot", "--full").out)
        held = operator.ask("audit", "--verify", "--from", str(case))
        assert held.code == 8
        assert held.data == verified.data
        outcome = operator.ask("outcome", done.request_id)
        assert outcome.code in (0, 6), (name, outcome)
        if outcome.code == 6:
            assert outcome.data["final"] is False
        assert f"audit record {sequence}" in outcome.out
        assert operator.ask("inspect", "cluster", "--at", "0s").code in (0, 7)
        assert operator.ask("timeline", "--since", "1h").code == 0


def test_a_broken_head_is_named(operator: Operator) -> None:
    cluster = operator.sandbox
    head = base64.b64encode(f"{store.LEDGER}head".encode()).decode()
    kept = store.tell(cluster, "/v3/kv/range", {"key": head})["kvs"][0]["value"]
    store.tell(cluster, "/v3/kv/put", {"key": head, "value": base64.b64encode(b"[[[").decode()})
    try:
        leader = cluster.leader
        assert leader
        target = next(each for each in cluster.nodes if each != leader.name)
        for command in ("audit", "timeline", f"promote {target} --yes"):
            done = operator.ask(*command.split())
            assert done.code in (4, 7), done
            assert done.error["code"] == "KERNEL_STATE_UNREADABLE"
            assert f"{store.LEDGER}head" in done.error["message"]
        assert cluster.leader == leader
    finally:
        store.tell(cluster, "/v3/kv/put", {"key": head, "value": kept})
