"""An operator who runs aeroctl as real processes, and an auditor who believes none of them."""

import contextlib
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from aeroctl.contract.chain import Chain
from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.node import NodeHandle
from aeroctl.kernel.sandbox.tokens import Authority
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.live import store
from tests.live.faults import FAULTS, Row
from tests.support.terminal import Terminal, terminal

EXITS = {
    "executed": 0, "executed_other": 9, "rolled_back": 9, "rejected": 4, "not_executed": 5,
    "in_progress": 6, "unknown": 6,
}  # fmt: skip
POSTED = re.compile(r"received (?:switchover|failover) request with leader=")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Done:
    """How one aeroctl ended: its exit code, stdout, and what went to stderr or its terminal."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """`data` of the one document on stdout."""
        return json.loads(self.out)["data"]

    @property
    def observed_at(self) -> Any:
        """Of which state, and when, that document is."""
        return json.loads(self.out)["observed_at"]

    @property
    def error(self) -> Any:
        """The error that is the last line on stderr; stdout must be empty."""
        assert self.out == "", self.out
        return json.loads(self.err.splitlines()[-1])["error"]

    @property
    def request_id(self) -> str:
        """The request id that was announced before anything was sent."""
        return request_id_in(self.err)

    @property
    def says(self) -> str:
        """The outcome, or the code of the error, of a run with `-o json`."""
        return str(self.data["outcome"] if self.out else self.error["code"])


def request_id_in(text: str) -> str:
    """The first request id in what aeroctl said."""
    found = UUID.search(text)
    assert found, text
    return found[0]


class Operator:
    """Works with one cluster from an empty home, and knows what was true when the test began."""

    def __init__(self, sandbox: Sandbox, home: Path) -> None:
        self.sandbox = sandbox
        self.home = home
        self.began = store.read(sandbox, store.ENGINE).revision
        self._posts = self._counted()
        self._own_posts = 0
        self._started: list[subprocess.Popen[str]] = []

    # what an operator does

    def start(
        self, *arguments: str, kernel: str | None = None, authority: Authority = "operator"
    ) -> "subprocess.Popen[str]":
        """aeroctl in the background, without a terminal."""
        process = subprocess.Popen(
            self._command(arguments),
            env=self._environment(kernel, authority),
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def finish(self, process: "subprocess.Popen[str]", typed: str = "") -> Done:
        """Wait for an aeroctl that was started, with `typed` waiting on its stdin."""
        out, err = process.communicate(typed, timeout=60)
        assert "Traceback" not in err, err
        return Done(process.returncode, out, err)

    def run(
        self,
        *arguments: str,
        kernel: str | None = None,
        authority: Authority = "operator",
        typed: str = "",
    ) -> Done:
        """aeroctl from beginning to end, without a terminal."""
        return self.finish(self.start(*arguments, kernel=kernel, authority=authority), typed)

    def ask(self, *arguments: str, kernel: str | None = None) -> Done:
        """The same with `-o json`."""
        return self.run(*arguments, "-o", "json", kernel=kernel)

    @contextlib.contextmanager
    def terminal(self, *arguments: str, kernel: str | None = None) -> Iterator[Terminal]:
        """aeroctl at a terminal."""
        environment = self._environment(kernel, "operator")
        with terminal(self._command(arguments), environment, self.home) as shown:
            yield shown

    def announced(self, process: "subprocess.Popen[str]") -> str:
        """Wait until an aeroctl that was started has said its request id."""
        assert process.stderr
        while line := process.stderr.readline():
            if line.startswith(("request ", '{"request":')):
                return request_id_in(line)
        raise AssertionError("it ended without a request id")

    def post(
        self,
        path: str,
        body: object,
        authority: Authority = "operator",
        kernel: str | None = None,
    ) -> httpx.Response:
        """What curl would do: no aeroctl, and none of its checks."""
        with self._http(authority, kernel) as client:
            return client.post(path, json=body)

    def get(self, path: str) -> Any:
        """The data of an answer that an operator's token gets."""
        with self._http("operator") as client:
            answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def explain(self, command: str, target: str | None) -> Any:
        """The explanation of a command."""
        answer = self.post(f"/v1/explain/{command}", {"target": target})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def request(self, explanation: Any, **changes: Any) -> dict[str, Any]:
        """A complete request for what was explained, laid over with `changes`."""
        override = explanation["confirmation"] == "override"
        confirmation = {
            "kind": explanation["confirmation"],
            "given": "flags" if override else "yes",
            "token": explanation["confirmation_token"],
            "acknowledged": [each["invariant"] for each in explanation["overrides"]],
            "accepts_responsibility": override,
        }
        return {
            "request_id": str(uuid.uuid4()),
            "target": explanation["inputs"]["target"],
            "reason": "a test",
            "state_digest": explanation["observed_snapshot"]["state_digest"],
            "revision": explanation["observed_snapshot"]["revision"],
            "client": {"user": None, "host": None, "version": None},
            **changes,
            "confirmation": confirmation | changes.get("confirmation", {}),
        }

    def hand_over(self, target: NodeHandle) -> None:
        """Have somebody else give the leader key to that node, past every aerokernel."""
        self._own_posts += 1
        done = self.sandbox.patronictl("switchover", "--candidate", target.name, "--force")
        assert done.returncode == 0, done.stderr
        self.sandbox.wait_until_ready()

    def schedule(self) -> None:
        """Have somebody else schedule a transfer of the leader key for a far day."""
        self._own_posts += 1
        done = self.sandbox.patronictl("switchover", "--force", "--scheduled", "2100-01-01T00:00Z")
        assert done.returncode == 0, done.stderr

    def wait_for_dispatch(self, request_id: str | None = None) -> str:
        """Wait until a request is in flight, and return its id."""

        def dispatched() -> str | None:
            found = store.in_flight(self.sandbox)
            return found if request_id in (None, found) else None

        found = wait_until("a request is in flight", dispatched)
        assert found
        return found

    # what must be true afterwards

    def fault(self, name: str, done: Done, request_id: str | None = None) -> None:
        """Hold aeroctl to a row of the table of faults, and then to what really happened."""
        row = FAULTS[name]
        assert (done.code, done.says) == (row.exit, row.says), done
        self.followed(row, request_id)

    def followed(self, row: Row, request_id: str | None) -> None:
        """Do what the row says, and see that it leads to the truth."""
        if row.then:
            assert request_id
            wait = ["--wait"] if "--wait" in row.find_out else []
            self.agree(request_id, row.then, *wait)
        else:
            self.nothing_happened()

    def nothing_happened(self) -> None:
        """No record, no POST, and authority as it was."""
        assert self.trail() == []
        assert self.posts() == 0
        assert len(self.leader_terms()) == 1

    def agree(self, request_id: str, outcome: str, *options: str) -> Any:
        """`aeroctl outcome`, the audit trail and the cluster itself agree; the outcome's data."""
        done = self.ask("outcome", request_id, *options)
        assert done.says == outcome, done
        # That nothing was executed is said only where it can't be any more (P7-E2).
        open_still = outcome == "not_executed" and not done.data["final"]
        assert done.code == (EXITS["unknown"] if open_still else EXITS[outcome]), done
        return self.prove(request_id, outcome, done.data)

    def prove(self, request_id: str, outcome: str, data: Any = None) -> Any:
        """What the kernel says of a request (None: it is asked), held against everything else."""
        data = data or self.get(f"/v1/requests/{request_id}")
        assert data["outcome"] == outcome
        records = [record for record in self.trail() if record["request_id"] == request_id]
        assert data["recorded"] == bool(records)
        dispatched = [record for record in records if record["kind"] == "dispatched"]
        if outcome in {"executed", "executed_other", "rolled_back", "in_progress"}:
            assert dispatched
        if not dispatched:
            assert outcome in {"rejected", "not_executed"}
            return data
        assert outcome in self._possible(dispatched[0]), (outcome, self.leader_terms())
        after = data["leader_after"]
        if outcome == "executed" and after and after["since"] == self.leader_terms()[-1][1]:
            self._only_writer(after["node"])
        return data

    def check(self) -> None:
        """What holds after every test, whatever was asked for and whatever broke."""
        assert list(self.home.iterdir()) == [], "aeroctl left something behind (P7-F2)"
        assert self.posts() <= 1, "more than one request reached the engine (P7-F3)"
        chain = Chain()
        records, head = self._whole_trail()
        chain.follow(records)
        assert chain.end(head["sequence"], head["hash"]) is None, chain.broken
        for record in self.trail():
            if record["kind"] == "dispatched":
                self._recorded_before(record)

    def leave(self) -> None:
        """End what a test that failed has left running."""
        for process in self._started:
            if process.stdout and not process.stdout.closed:
                process.kill()
                process.communicate()

    def trail(self) -> list[Any]:
        """The audit records of requests that were made since the test began."""
        records = self._whole_trail()[0]
        older = {each["request_id"] for each in records if each["revision"] <= self.began}
        return [each for each in records if each["request_id"] not in older]

    def posts(self) -> int:
        """How many requests for a transfer of the leader key reached a Patroni since the test
        began, by Patroni's own count, without those of the test."""
        return self._counted() - self._posts - self._own_posts

    def leader_terms(self) -> list[tuple[str, int]]:
        """Who held the leader key since the test began, in order: node, and revision of its taking
        it.
        """
        found: list[tuple[str, int]] = []
        for state in store.history(self.sandbox, self.began):
            if leader := state.keys.get("leader"):
                since = (leader.value, leader.created)
                if found[-1:] != [since]:
                    found.append(since)
        return found

    def _possible(self, dispatched: Any) -> set[str]:
        """The outcomes that the history of the leader key allows."""
        if dispatched["command"] == "run_diagnostics":
            return {"executed"}
        later = [each for each in self.leader_terms() if each[1] > dispatched["revision"]]
        if not later:
            return {"rejected", "not_executed", "in_progress", "unknown"}
        before = dispatched["leader_before"]
        first, target = later[0][0], dispatched["target"]
        if before and first == before["node"]:
            return {"rolled_back", "not_executed"}
        if dispatched["command"] == "request_demotion":
            return {"executed"}
        return {"executed"} if first == target else {"executed_other"}

    def _only_writer(self, name: str) -> None:
        """P6-A1, asked of the databases themselves."""

        def writers() -> list[str]:
            found = []
            for node in self.sandbox.nodes.values():
                with contextlib.suppress(Exception):  # one that is down writes nothing
                    if node.sql("SELECT NOT pg_is_in_recovery()")[0][0]:
                        found.append(node.name)
            return found

        assert writers() == [name]

    def _recorded_before(self, dispatched: Any) -> None:
        """P7-O3: no record, no execution. Its three records are older than what they led to."""
        three = [
            record
            for record in self.trail()
            if record["request_id"] == dispatched["request_id"]
            and record["sequence"] <= dispatched["sequence"]
        ]
        assert [record["kind"] for record in three] == ["requested", "confirmed", "dispatched"]
        assert len({record["revision"] for record in three}) == 1
        if self._own_posts:
            return
        for state in store.history(self.sandbox, self.began):
            failover = state.keys.get("failover")
            if failover and failover.modified > self.began:
                assert dispatched["revision"] < failover.modified
                return

    def _whole_trail(self) -> tuple[list[Any], Any]:
        """Every record, and the kept end of the trail."""
        records: list[Any] = []
        after: int | None = 0
        head = None
        at = ""
        with self._http("auditor") as client:
            while after is not None:
                answer = client.get(f"/v1/audit?after={after}{at}")
                assert answer.status_code == 200, answer.text
                page = answer.json()
                at = f"&at={page['observed_at']['revision']}"
                records += page["data"]["records"]
                head, after = page["data"]["head"], page["data"]["next"]
        return records, head

    def _counted(self) -> int:
        logs = (node.patroni.log for node in self.sandbox.nodes.values())
        return sum(len(POSTED.findall(log.read_text(errors="replace"))) for log in logs)

    def _http(self, authority: Authority, kernel: str | None = None) -> httpx.Client:
        token = self.sandbox.token_file(authority).read_text().strip()
        return httpx.Client(
            base_url=kernel or self.sandbox.kernel_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
            trust_env=False,
        )

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "aeroctl", *arguments]

    def _environment(self, kernel: str | None, authority: Authority) -> dict[str, str]:
        everywhere = ("HOME", "TMPDIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        return {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.sandbox.environment,
            **dict.fromkeys(everywhere, str(self.home)),
            "AEROCTL_KERNEL": kernel or self.sandbox.kernel_url,
            "AEROCTL_TOKEN_FILE": str(self.sandbox.token_file(authority)),
        }
