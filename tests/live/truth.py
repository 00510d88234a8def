"""What really happens on a cluster, written down from outside while it happens.

No aerokernel is asked: etcd's own client follows the keys, every PostgreSQL and every Patroni's log
are asked themselves, and whoever does something to the cluster says so (acts).
"""

import base64
import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import psycopg

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live import store
from tests.live.reconstruction import OF_A_NODE, Account, Act, Evidence, Fact
from tests.recorded.scenarios import etcdctl_program

TAKEN = re.compile(
    r"^([-0-9]+ [:,0-9]+) .*(?:initialized a new cluster|acquired session lock as a leader"
    r"|promoted self to leader by acquiring session lock)",
    re.MULTILINE,
)
WHERE = """
    SELECT NOT pg_is_in_recovery(),
           CASE WHEN pg_is_in_recovery() THEN (SELECT received_tli FROM pg_stat_wal_receiver)
                ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END
"""
RECORDS = f"{store.LEDGER}audit/"

Thing = tuple[str, str]
"""The kind of the event that tells of its change, and what it is about."""


@dataclass(frozen=True)
class Write:
    """One key, as it was written at one revision; value None: it was removed."""

    revision: int
    key: str
    value: str | None
    created: int
    lease: int


@dataclass
class Truth:
    """All that was written down. `lines`: what etcd's client says, as it says it."""

    sandbox: Sandbox
    lines: Path
    acts: list[Act] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)

    def follow(self) -> None:
        """From the first revision on, in a process of its own, which ends with the sandbox if not
        by
        `leave`.
        """
        command = [etcdctl_program(), "--endpoints", self.sandbox.etcd_url, "watch", "--prefix"]
        with self.lines.open("wb") as lines:
            self._watching = subprocess.Popen(
                [*command, "/", "--rev=1", "-w", "json"],
                stdin=subprocess.DEVNULL,
                stdout=lines,
                env={"ETCDCTL_API": "3"},
                start_new_session=True,
            )
        self.sandbox.watch(self._watching.pid)

    def leave(self) -> None:
        """End it."""
        self._watching.kill()
        self._watching.wait()

    @contextmanager
    def act(self, what: str, node: str | None = None) -> Iterator[dict[str, Any]]:
        """Between two revisions. What is put into the dictionary is of the Act.

        Then all nodes must be there again, and each database gives its account.
        """
        more: dict[str, Any] = {
            "what": what,
            "node": node,
            "holder": self.sandbox.stored().get("leader"),
            "began": self.revision(),
        }
        yield more
        self.sandbox.wait_until_ready()
        self.accounts.append(self._account())
        self.acts.append(Act(ended=self.revision(), **more))

    def revision(self) -> int:
        """The store's revision now."""
        return store.read(self.sandbox, store.ENGINE).revision

    def writes(self, until: int) -> list[Write]:
        """Everything that was seen up to that revision, in order."""

        def seen() -> list[Write] | None:
            found = self._seen()
            return found if found and found[-1].revision >= until else None

        return [each for each in wait_until("it was seen", seen) if each.revision <= until]

    def evidence(self, until: int) -> Evidence:
        """All of it, up to that revision."""
        writes = self.writes(until)
        records = [
            {**json.loads(each.value or ""), "revision": each.revision}
            for each in writes
            if each.key.startswith(RECORDS)
        ]
        return Evidence(facts(writes), self.acts, self.accounts, self._takings(), records)

    def _takings(self) -> list[str]:
        """Who took the leader key, in order, in the words of each Patroni; they share a clock."""
        found = [
            (time, node.name)
            for node in self.sandbox.nodes.values()
            for time in TAKEN.findall(node.patroni.log.read_text(errors="replace"))
        ]
        return [name for _, name in sorted(found)]

    def _account(self) -> Account:
        """Asked again until all answer, every replica receives, and nothing changed meanwhile."""

        def asked() -> Account | None:
            before = self._standing()
            try:
                nodes = {name: each.sql(WHERE)[0] for name, each in self.sandbox.nodes.items()}
            except psycopg.Error:  # it is not up yet
                return None
            ready = all(timeline for _, timeline in nodes.values()) and not self.sandbox.missing()
            return Account(self.revision(), nodes) if ready and self._standing() == before else None

        return wait_until("nothing goes on", asked, 60)

    def _standing(self) -> Any:
        keys = store.read(self.sandbox, store.ENGINE).keys
        leader = keys.get("leader")
        return leader and leader.created, stands({key: each.value for key, each in keys.items()})

    def _seen(self) -> list[Write]:
        whole = self.lines.read_text().rpartition("\n")[0]
        answers = [json.loads(line) for line in whole.splitlines()]
        assert not any(each["Canceled"] or each["CompactRevision"] for each in answers)
        return [_write(event) for each in answers for event in each["Events"]]


def _write(event: Any) -> Write:
    pair = event["kv"]
    return Write(
        pair["mod_revision"],
        _text(pair["key"]),
        None if event.get("type") == 1 else _text(pair.get("value", "")),
        pair.get("create_revision", 0),
        pair.get("lease", 0),
    )


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


def facts(writes: Iterable[Write]) -> list[Fact]:
    """Every change that means something, in order of revision, by what etcd's client saw."""
    found: list[Fact] = []
    keys: dict[str, Write] = {}
    rows: dict[int, tuple[int, bool, list[Any]]] = {}
    for revision, together in groupby(writes, key=lambda each: each.revision):
        before = dict(keys)
        for each in together:
            if each.value is None:
                keys.pop(each.key, None)
            else:
                keys[each.key] = each
        found += [Fact(revision, *what) for what in _changed(before, keys)]
        history = keys.get(f"{store.ENGINE}history")
        ended = json.loads(history.value or "") if history else []
        for row in ended:  # by the timeline that ended; Patroni may say more of it later
            first, exact, _ = rows.get(row[0], (revision, row is ended[-1], row))
            rows[row[0]] = first, exact, row
    for revision, exact, (timeline, position, reason, time, node) in rows.values():
        words = f"at {position >> 32:X}/{position & 0xFFFFFFFF:X}: {reason}"
        then = datetime.fromisoformat(time)
        value = (node, words, then, f"Patroni on {node}", exact)
        found.append(Fact(revision, "timeline_ended", str(timeline), value))
    return sorted(found, key=lambda fact: fact.revision)


def keys_at(writes: Iterable[Write], revision: int) -> dict[str, Write]:
    """The engine's keys as they were at one revision."""
    keys = {
        each.key.removeprefix(store.ENGINE): each for each in writes if each.revision <= revision
    }
    return {key: each for key, each in keys.items() if each.value is not None}


def stands(keys: Mapping[str, str]) -> dict[Thing, Any]:
    """What the engine's keys say, beside who holds the leader key and who is registered."""
    found: dict[Thing, Any] = {}
    for key, value in keys.items():
        if key.startswith("members/"):
            said, name = json.loads(value), key.removeprefix("members/")
            found |= {(kind, name): said.get(word) for kind, word in OF_A_NODE.items()}
        elif key == "config":
            config = json.loads(value)
            found["paused", ""] = config.pop("pause", None) or None  # false is as good as none
            found |= {("configuration_changed", name): each for name, each in _dotted(config)}
        elif key == "initialize":
            found["system_id_changed", ""] = value or None
        elif key == "sync" and (sync := json.loads(value)).get("leader"):
            standbys = ",".join(sorted((sync["sync_standby"] or "").split(",")))
            found["synchronous_changed", ""] = f"{sync['leader']}: {standbys}"
        elif key == "failover" and (asked := json.loads(value)):
            who = (asked.get("leader") or "any", asked.get("member") or "any")
            found["transfer", asked.get("member") or ""] = " to ".join(who)
    return {thing: value for thing, value in found.items() if value is not None}


def _dotted(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{below}", each) for below, each in _dotted(value))
        else:
            yield name, value


def _changed(
    before: Mapping[str, Write], after: Mapping[str, Write]
) -> Iterator[tuple[str, str, Any]]:
    """What became different between two revisions that follow each other."""
    for key, each in after.items():
        if key.startswith(RECORDS) and key not in before:
            record = json.loads(each.value or "")
            yield "record", record["request_id"], record["kind"]
    was, now = _engine(before), _engine(after)
    held, holds = was.get("leader"), now.get("leader")
    if (held and (held.value, held.created)) != (holds and (holds.value, holds.created)):
        if held:
            yield "leader_lost", held.value or "", (held.created, _why("leader", was, now))
        if holds:
            yield "leader_gained", holds.value or "", (holds.value, holds.created)
    members = {key for key in was.keys() | now.keys() if key.startswith("members/")}
    for key in sorted(members):
        name = key.removeprefix("members/")
        if key not in now:
            yield "member_left", name, _why(key, was, now)
        elif key not in was:
            yield "member_joined", name, None
    stood, standing = (
        stands({key: each.value or "" for key, each in keys.items()}) for keys in (was, now)
    )
    for kind, about in sorted(stood.keys() | standing.keys()):
        old, new = stood.get((kind, about)), standing.get((kind, about))
        if old == new or f"members/{about}" in members - now.keys():
            continue
        if kind == "transfer":
            if old:
                yield "transfer_cleared", about, old
            if new:
                yield "transfer_requested", about, new
        elif kind == "paused":
            yield ("paused" if new else "resumed"), "", bool(new)
        else:
            yield kind, about, new


def _engine(keys: Mapping[str, Write]) -> dict[str, Write]:
    return {
        key.removeprefix(store.ENGINE): each
        for key, each in keys.items()
        if key.startswith(store.ENGINE)
    }


def _why(gone: str, before: Mapping[str, Write], after: Mapping[str, Write]) -> str | None:
    """A lease takes along all that is on it; what goes alone was removed."""
    lease = before[gone].lease
    others = [key for key, each in before.items() if each.lease == lease and key != gone]
    if gone.startswith("members/"):
        return "lease_ended"  # Patroni removes no entry of a node
    if not others:
        return None
    return "released" if any(key in after for key in others) else "lease_ended"
