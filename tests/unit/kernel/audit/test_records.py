"""What requests write, whoever comes first: one confirmation dispatches once at most (P7-F3).

Writers read, decide and write in any order that there is; between a read and its write others may
have written. The store is a table in memory that compares as etcd does.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract.commands import COMMANDS
from aeroctl.contract.requests import CommandRequest
from aeroctl.kernel.audit import ledger, records
from aeroctl.kernel.audit.ledger import Ledger
from aeroctl.kernel.audit.records import Submission, Transaction
from aeroctl.kernel.callers import Caller
from aeroctl.kernel.decide import commands, decision
from aeroctl.kernel.decide.confirmation import Clock, Issue
from aeroctl.kernel.decide.state import State
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.store.keyspace import KeyValue
from aeroctl.kernel.store.requests import Compare, Delete
from tests.support.examples import examples
from tests.support.keyspaces import PREFIX, cluster_keys

KERNEL = cluster_keys()
CLOCK = Clock(datetime(2026, 11, 23, 10, 15, 19, tzinfo=UTC), 300)
ABOUT = commands.confirmable("run_diagnostics", None, KERNEL)
TOKENS = [Issue(CLOCK, bytes([number] * 8)).token(ABOUT) for number in range(3)]
IDS = [f"6f2b7a4e-4a0c-4a8e-9d1c-00000000000{number}" for number in range(5)]
AUTHORITIES: Any = ["operator", "operator", "operator", "observer", "auditor"]


@dataclass
class Table:
    """etcd, as far as the ledger's keys go; the engine's own stay as they are."""

    keys: dict[str, KeyValue] = field(default_factory=dict)
    revision: int = KERNEL.revision

    def transact(self, written: Transaction) -> bool:
        if not all(self._same(compare) for compare in written.compares):
            return False
        self.revision += 1
        for change in written.changes:
            if isinstance(change, Delete):
                self.keys.pop(change.key, None)
            else:
                before = self.keys.get(change.key)
                created = before.created if before else self.revision
                self.keys[change.key] = KeyValue(change.value, created, self.revision)
        return True

    def _same(self, compare: Compare) -> bool:
        if compare.key.startswith(PREFIX):
            return True
        found = self.keys.get(compare.key)
        is_now = {"created": found.created, "modified": found.modified} if found else {}
        return compare.equals == is_now.get(compare.field, 0)


@dataclass
class Writer:
    """One request on its way through one server."""

    asked: Submission
    read: Ledger | None = None
    dispatched: bool = False
    refused: str | None = None

    def step(self, table: Table) -> None:
        """Read, or decide over what was read and write; what lost a race begins again."""
        if self.dispatched or self.refused:
            return
        token = self.asked.request.confirmation.token
        if self.read is None:
            self.read = ledger.parse(
                "demo", self.asked.request_id, dict(table.keys), prefix=PREFIX, token=token
            )
            return
        kept, self.read = self.read, None
        try:
            decision.authorise(self.asked)
            refusal, confirmed = decision.decide(self.asked, State(KERNEL, None), kept, CLOCK)
        except Failure as failure:
            refusal, confirmed = failure, None
        if refusal is None:
            planned = records.dispatch_facts(None, KERNEL, 8)
            written = records.dispatch(self.asked, PREFIX, KERNEL, kept, planned, None)
            self.dispatched = table.transact(written)
        else:
            error = refusal.error
            if table.transact(records.refusal(self.asked, KERNEL, kept, error, confirmed)):
                self.refused = error.code


def asked(request_id: str, token: str, leader: Any, state_digest: str) -> Submission:
    request = {
        "request_id": request_id,
        "target": None,
        "reason": None,
        "state_digest": state_digest,
        "revision": KERNEL.revision,
        "confirmation": {
            "kind": "standard",
            "given": "yes",
            "token": token,
            "acknowledged": [],
            "accepts_responsibility": False,
        },
        "client": {"user": None, "host": None, "version": None},
    }
    return Submission(
        COMMANDS["run_diagnostics"],
        CommandRequest.model_validate(request),
        Caller(f"the-{leader}", leader),
    )


REQUESTS = st.builds(
    asked,
    st.sampled_from(IDS),
    st.sampled_from(TOKENS),
    st.sampled_from(AUTHORITIES),
    st.sampled_from([ABOUT.state_digest, ABOUT.state_digest, "another"]),
)


@examples(300)
@given(st.lists(REQUESTS, min_size=1, max_size=7), st.lists(st.integers(0, 6), max_size=60))
def test_one_token_serves_one_request(requests: list[Submission], order: list[int]) -> None:
    table, writers = Table(), [Writer(request) for request in requests]
    for place in order:
        writers[place % len(writers)].step(table)
    for _ in range(2 * len(writers) + 2):  # and then everybody to the end, one after the other
        for writer in writers:
            writer.step(table)
    assert all(writer.dispatched or writer.refused for writer in writers)
    for token in TOKENS:
        users = [
            writer
            for writer in writers
            if writer.asked.request.confirmation.token == token
            and writer.asked.caller.authority == "operator"
        ]
        key = ledger.consent_key("demo", token)
        assert (key in table.keys) == bool(users)  # nobody else has used it up
        assert sum(writer.dispatched for writer in users) <= 1
        if not users:
            continue
        by = table.keys[key]
        assert by.created == by.modified  # written once
        for writer in users:
            if writer.dispatched:
                assert by.value == ledger.consent_value(writer.asked.request_id)
            elif (
                writer.asked.request.state_digest == ABOUT.state_digest
            ):  # it would have been dispatched
                assert writer.refused in ("CONFIRMATION_REUSED", "REQUEST_SEEN")
    dispatched = [writer.asked.request_id for writer in writers if writer.dispatched]
    assert len(set(dispatched)) == len(dispatched)
    assert not any(
        writer.dispatched for writer in writers if writer.asked.caller.authority != "operator"
    )


def test_the_mark_itself_keeps_a_second_one_out() -> None:
    """And not only the trail's end, which every record moves."""
    kept = ledger.parse("demo", IDS[0], {}, prefix=PREFIX, token=TOKENS[0])
    table = Table()
    for request_id, written in zip(IDS, (True, False), strict=False):
        request = asked(request_id, TOKENS[0], "operator", ABOUT.state_digest)
        planned = records.dispatch_facts(None, KERNEL, 8)
        all_of_it = records.dispatch(request, PREFIX, KERNEL, kept, planned, None)
        marks = [each for each in all_of_it.compares if each.key == kept.unspent]
        assert table.transact(Transaction(marks, all_of_it.changes)) == written
