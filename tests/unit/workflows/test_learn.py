"""Learning what became of a request, and whether the audit trail is whole: the wire's side."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from aeroctl.contract.chain import NO_HASH, Break, Chain, digest
from tests.support.answering import Handler, Received, answer, answering
from tests.support.harness import Result, run
from tests.support.samples import OBSERVED, status

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])

ID = "00000000-0000-4000-8000-000000000001"


def asked(handler: Handler, *options: str) -> tuple[Result, int]:
    """`outcome ID`, and how often the kernel was asked."""
    with answering(handler) as kernel:
        result = run("outcome", ID, "--kernel", kernel.url, "-o", "json", *options)
    return result, len(kernel.requests)


@pytest.mark.parametrize(
    ("outcome", "final", "code"),
    [("executed", True, 0), ("executed_other", True, 9), ("rolled_back", True, 9),
     ("rejected", True, 4), ("not_executed", True, 5), ("not_executed", False, 6),
     ("in_progress", False, 6), ("unknown", True, 6)],
)  # fmt: skip
def test_the_exit_code_says_no_more_than_is_known(outcome: str, final: bool, code: int) -> None:
    result, times = asked(answer(status(ID, outcome, final=final)))
    assert (result.code, times) == (code, 1)
    assert result.json["data"]["outcome"] == outcome


def test_what_cannot_be_learned_is_unknown() -> None:
    """Not "not executed": the kernel's being away says nothing about the request (P7-E2)."""
    gone = run("outcome", ID, "--kernel", "http://127.0.0.1:1", "-o", "json")
    other, _ = asked(answer(status("00000000-0000-4000-8000-000000000002")))
    for result, code in ((gone, "KERNEL_UNREACHABLE"), (other, "CONTRACT_BROKEN")):
        assert result.code == 6
        assert (result.error["code"], result.error["outcome"]) == (code, "unknown")
        assert result.error["request_id"] == ID


def in_turn(*handlers: Handler) -> Handler:
    """One after the other; the last one stays."""
    left = list(handlers)

    def handle(request: Received) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return handle


BUSY = json.dumps(
    {"error": {"domain": "transport", "code": "STORE_UNAVAILABLE", "message": "", "invariants": [],
               "outcome": "not_executed", "request_id": None, "engine_reply": None}}
).encode()  # fmt: skip


@pytest.mark.process
def test_waiting_ends_when_it_is_decided() -> None:
    handlers = (
        answer(status(ID, "in_progress", final=False)), answer(BUSY, 503), answer(status(ID)),
    )  # fmt: skip
    result, times = asked(in_turn(*handlers), "--wait", "--timeout", "20")
    assert (result.code, times) == (0, 3)


@pytest.mark.parametrize("code", ["CONTRACT_BROKEN", "UNAUTHENTICATED"])
def test_waiting_does_not_repeat_what_cannot_pass(code: str) -> None:
    body = BUSY.replace(b"STORE_UNAVAILABLE", code.encode())
    result, times = asked(answer(body, 503), "--wait", "--timeout", "20")
    assert (result.code, times) == (6, 1)


@pytest.mark.process
def test_waiting_has_an_end() -> None:
    never = answer(status(ID, "not_executed", final=False, recorded=False))
    result, times = asked(never, "--wait", "--timeout", "1.5")
    assert result.code == 6
    assert 1 < times < 4
    given_up = answer(status(ID, "not_executed", final=False))
    assert asked(given_up, "--wait", "--timeout", "20")[1] == 1


def record(sequence: int, before: str, **changes: Any) -> dict[str, Any]:
    """A record in its place."""
    found = {
        "kind": "requested", "request_id": ID, "time": "2026-11-23T10:00:00Z", "clock": "c",
        "cluster": "demo", "system_id": "7", "command": "run_diagnostics", "target": None,
        "identity": "ada", "authority": "operator",
        "client": {"user": None, "host": None, "version": None}, "reason": f"r{sequence}",
        "state_digest": "e", "observed_revision": 1, "token_digest": None, "confirmation": None,
        "leader_before": None,
        "leader_after": None, "dispatch": None, "outcome": None, "code": None, "message": None,
        "engine_reply": None, "sequence": sequence, "revision": 4 * sequence,
        "previous_hash": before, **changes,
    }  # fmt: skip
    return {**found, "hash": digest(found)}


def trail(length: int) -> list[dict[str, Any]]:
    """A whole chain."""
    records: list[dict[str, Any]] = []
    for sequence in range(1, length + 1):
        records.append(record(sequence, records[-1]["hash"] if records else NO_HASH))
    return records


def pages(records: list[dict[str, Any]], size: int = 2, head: int | None = None) -> Handler:
    """Serves them as a kernel would."""

    def handle(request: Received) -> None:
        query = dict(part.split("=") for part in request.path.partition("?")[2].split("&"))
        after = int(query["after"])
        shown = [each for each in records if each["sequence"] > after][:size]
        more = shown and shown[-1]["sequence"] < records[-1]["sequence"]
        end = {"sequence": head or len(records), "hash": records[-1]["hash"]}
        following = shown[-1]["sequence"] if more else None
        data = {"records": shown, "broken": [], "head": end, "next": following}
        answer(json.dumps({"api_version": "v1", "observed_at": OBSERVED, "data": data,
                           "notes": []}).encode())(request)  # fmt: skip

    return handle


def verified(
    records: list[dict[str, Any]], *options: str, **settings: Any
) -> tuple[Result, list[str]]:
    with answering(pages(records, **settings)) as kernel:
        result = run("audit", "--verify", "--kernel", kernel.url, "-o", "json", *options)
    return result, [path for path, _ in kernel.requests]


def test_a_whole_trail_verifies_page_by_page_at_one_revision() -> None:
    result, paths = verified(trail(5))
    assert result.code == 0
    found = result.json["data"]
    assert [each["sequence"] for each in found["records"]] == [1, 2, 3, 4, 5]
    assert found["verification"] == {
        "verdict": "intact", "records": 5, "first_broken": None, "reason": None,
        "head": f"5:{trail(5)[-1]['hash']}", "expected_head": None,
    }  # fmt: skip
    assert paths == [
        "/v1/audit?after=0", "/v1/audit?after=2&at=21", "/v1/audit?after=4&at=21",
    ]  # fmt: skip


def altered(records: list[dict[str, Any]]) -> None:
    records[2]["reason"] = "something else"


def cut_out(records: list[dict[str, Any]]) -> None:
    del records[2]


def put_between(records: list[dict[str, Any]]) -> None:
    records[2] = record(3, NO_HASH)


def out_of_order(records: list[dict[str, Any]]) -> None:
    records[2]["revision"] = 2


@pytest.mark.parametrize("harm", [altered, cut_out, put_between, out_of_order])
def test_the_first_record_that_does_not_fit_is_named(
    harm: Callable[[list[dict[str, Any]]], None],
) -> None:
    records = trail(5)
    harm(records)
    result, _ = verified(records, head=5)
    assert result.code == 8
    found = result.json["data"]["verification"]
    assert (found["verdict"], found["first_broken"]) == ("broken", 3)
    with answering(pages(records, head=5)) as kernel:
        lines = run("audit", "--verify", "--kernel", kernel.url, "-o", "jsonl")
    assert lines.code == 8
    assert json.loads(lines.out.splitlines()[-1])["verification"]["verdict"] == "broken"


def test_a_trail_that_was_cut_short_does_not_reach_its_end() -> None:
    result, _ = verified(trail(5)[:4], head=5)
    assert result.code == 8
    assert result.json["data"]["verification"]["first_broken"] == 5
    chain = Chain()
    chain.follow(trail(3))
    assert chain.end(3, "f" * 64) == Break(4, "the kept end of the trail names another hash")


def rewritten(records: list[dict[str, Any]], sequence: int) -> list[dict[str, Any]]:
    """The trail as who can write all of it would leave it: whole by its own account."""
    changed = [dict(each) for each in records]
    before = changed[sequence - 2]["hash"] if sequence > 1 else NO_HASH
    changed[sequence - 1]["reason"] = "something else"
    for each in changed[sequence - 1 :]:
        each["previous_hash"] = before
        before = each["hash"] = digest(each)
    return changed


@pytest.mark.parametrize("size", [2])
@pytest.mark.parametrize("bare", [True, False])
def test_a_trail_without_its_tail_is_not_the_one_whose_head_was_noted(
    bare: bool, size: int
) -> None:
    whole = trail(5)

    def noted(count: int) -> str:
        text, _ = verified(whole[:count])
        head = text.json["data"]["verification"]["head"]
        assert head == f"{count}:{whole[count - 1]['hash']}"
        return str(head).partition(":")[2] if bare else str(head)

    for then in range(1, 6):
        for now in range(1, 6):
            result, _ = verified(whole[:now], "--head", noted(then), size=size)
            found = result.json["data"]["verification"]
            assert found["expected_head"] == noted(then)
            if now >= then:
                assert (result.code, found["verdict"]) == (0, "intact")
                assert found["head"] == f"{now}:{whole[now - 1]['hash']}"
            else:
                assert (result.code, found["verdict"], found["head"]) == (8, "broken", None)
                assert found["first_broken"] == (None if bare else now + 1)
                assert f"{now}" in found["reason"]
        for changed in range(1, 6):
            result, _ = verified(rewritten(whole, changed), "--head", noted(then), size=size)
            assert result.code == (8 if changed <= then else 0)


def test_a_head_that_was_noted_of_another_place_or_of_nothing() -> None:
    whole = trail(3)
    assert verified(whole, "--head", f"2:{whole[2]['hash']}")[0].code == 8
    assert verified(whole, "--head", f"0:{NO_HASH}")[0].code == 0  # it was empty then
    assert verified(whole, "--head", NO_HASH)[0].code == 0
    assert verified(whole, "--head", f" 3:{whole[2]['hash'].upper()} ")[0].code == 0
    assert (
        verified(
            whole,
            "--head",
            f"3:{whole[2]['hash']}",
            "--request",
            "6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b",
        )[0].code
        == 0
    )
    with answering(pages(whole)) as kernel:
        where = ("--kernel", kernel.url, "--head", f"9:{whole[2]['hash']}")
        lines = run("audit", "--verify", *where, "-o", "jsonl")
        text = run("audit", "--verify", *where)
        alone = run("audit", *where)
    assert (lines.code, text.code, alone.code) == (8, 8, 2)
    assert json.loads(lines.out.splitlines()[-1])["verification"]["verdict"] == "broken"
    assert (
        f"the trail ends at record 3; --head was noted when it reached 9:{whole[2]['hash']}"
        in text.out
    )
    for wrong in ("", "x", "3:", whole[2]["hash"][:-1], f"-1:{NO_HASH}", f"3:{NO_HASH}0"):
        assert run("audit", "--verify", "--head", wrong).code == 2


def test_pages_that_go_round_in_circles_are_refused() -> None:
    records = trail(2)
    end = {"sequence": 2, "hash": records[-1]["hash"]}
    data = {"records": records, "broken": [], "head": end, "next": 2}
    body = {"api_version": "v1", "observed_at": OBSERVED, "data": data, "notes": []}
    with answering(answer(json.dumps(body).encode())) as kernel:
        result = run("audit", "--kernel", kernel.url, "-o", "json")
    assert (result.code, result.error["code"]) == (7, "CONTRACT_BROKEN")
    assert len(kernel.requests) == 2


def test_another_revisions_page_is_refused() -> None:
    with answering(pages(trail(2))) as kernel:
        result = run("audit", "--at", "20", "--kernel", kernel.url, "-o", "json")
    assert (result.code, result.error["code"]) == (7, "CONTRACT_BROKEN")


def test_explain_check_passes_only_where_every_rule_holds() -> None:
    from tests.support.samples import explanation

    for conclusion, code in (
        ("all_rules_hold", 0), ("not_all_rules_hold", 8), ("undetermined", 8), ("refused", 8),
    ):  # fmt: skip
        with answering(answer(explanation(conclusion=conclusion))) as kernel:
            words = ("explain", "promote", "n2", "--kernel", kernel.url)
            assert run(*words, "--check").code == code
            assert run(*words).code == 0
