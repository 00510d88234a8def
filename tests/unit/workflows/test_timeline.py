"""The timeline: one story of events and audit records, its filters, its picture, and following."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract.audit import BrokenRecord
from aeroctl.contract.cluster import Leader
from aeroctl.contract.terms import EVENT_KINDS, RECORD_KINDS
from aeroctl.kernel.sandbox.waiting import wait_until
from aeroctl.views.entries import Entry, merged, nodes_of, of_event
from aeroctl.views.entry_text import description, time_text
from aeroctl.views.pictures.lanes import MANY, drawn
from aeroctl.views.timeline import EntryFilter, Span
from aeroctl.workflows.follow import Place
from tests.factories.events import event, gap, node_standing
from tests.support.answering import Handler, Received, answer, answering
from tests.support.examples import examples
from tests.support.harness import Result, run
from tests.support.stories import (
    IDS,
    NOBODY,
    NODES,
    History,
    chained,
    envelope,
    histories,
    parsed,
    record,
    refusal,
)

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
few = examples(40)


def story(history: History) -> list[Entry]:
    return list(merged(history.events, parsed(history.records)))


# --- pure


@few
@given(histories())
def test_a_story_holds_every_entry_once_in_the_kernels_order(history: History) -> None:
    told = story(history)
    places = [(each.revision, each.index) for each in told]
    assert all(one < other for one, other in pairwise(places))
    assert all(index == 0 or (revision, index - 1) in places for revision, index in places)
    events = [each for each in told if each.source == "event"]
    records = [each for each in told if each.source == "audit"]
    assert [(each.revision, each.kind) for each in events] == [
        (each.revision, each.kind) for each in history.events
    ]
    assert [each.index for each in events] == [each.index for each in history.events]
    assert [each.sequence for each in records] == [each["sequence"] for each in history.records]


def wanteds() -> st.SearchStrategy[EntryFilter]:
    return st.builds(
        EntryFilter,
        st.frozensets(st.sampled_from(NODES), max_size=2),
        st.frozensets(st.sampled_from([*EVENT_KINDS, *RECORD_KINDS]), max_size=4),
        st.none() | st.sampled_from(IDS).map(Span),
    )


@few
@given(histories(), wanteds())
def test_filters_take_nothing_else_away_and_never_a_gap(
    history: History, wanted: EntryFilter
) -> None:
    told = story(history)
    if wanted.span:
        for each in told:
            wanted.span.follow(each)
    shown = list(filter(wanted.matches, told))
    assert [each for each in told if each.kind == "gap" and each not in shown] == []
    for each in told:
        if each.kind == "gap":
            continue
        fits = not wanted.kinds or each.kind in wanted.kinds
        fits &= not wanted.nodes or bool(wanted.nodes & nodes_of(each))
        if wanted.span:
            own = [e.revision for e in told if e.request_id == wanted.span.request_id]
            final = [e for e in told if e.request_id == wanted.span.request_id
                     and e.kind in ("outcome", "refused")]  # fmt: skip
            during = own and own[0] <= each.revision and (not final or each.revision <= own[-1])
            fits &= (
                each.request_id == wanted.span.request_id
                if each.source == "audit"
                else bool(during)
            )
        assert (each in shown) == fits


@few
@given(histories())
def test_the_picture_shows_what_stood(history: History) -> None:
    """Each lane of a revision's last row is what following the events says of that node."""
    told = story(history)
    picture = drawn([NOBODY, *history.found.values()], told, lambda _: True)
    gaps = [(each.revision, each.after) for each in told if each.kind == "gap"]
    for number, (entry, row) in enumerate(zip(told, picture.rows, strict=True)):
        assert len(row) == max(2 * len(picture.lanes) - 1, 0)
        last = number + 1 == len(told) or told[number + 1].revision > entry.revision
        blind = any(first <= entry.revision <= end for first, end in gaps)  # type: ignore[operator]
        if not last and not blind:
            continue
        stood = history.standing(entry.revision)
        there = {each.name for each in stood.nodes}
        for place, lane in enumerate(picture.lanes):
            mark = row[2 * place]
            if entry.node == lane:
                assert mark in "┏┗┌└✗●◆R"
            elif blind:
                assert mark == "~"
            else:
                holds = stood.leader is not None and stood.leader.node == lane
                assert mark == ("┃" if holds else "│" if lane in there else " ")


def test_many_nodes_leave_lanes_to_those_with_a_part_in_leader() -> None:
    names = [f"n{number:02}" for number in range(1, MANY + 4)]
    base = NOBODY.model_copy(
        update={
            "nodes": [node_standing(name) for name in names],
            "leader": Leader(node="n03", since=1),
        }
    )
    told = list(
        merged(
            [event(5, "state_changed", "n01", before="running", after="crashed"),
             event(6, "leader_lost", "n03", since=1),
             event(7, "leader_gained", "n09", since=7)],
            parsed(chained([record(4, "requested", target="n11")])),
        )
    )  # fmt: skip
    picture = drawn([base], told, lambda _: True)
    assert picture.lanes == ("n03", "n09", "n11")
    assert len(picture.left_out) == len(names) - 3
    assert picture.rows == ("┃ │ R", "┃ │ │", "┗ │ │", "│ ┏ │")


@pytest.mark.parametrize("kind", [*EVENT_KINDS, *RECORD_KINDS])
def test_every_kind_is_told_on_one_line(kind: str) -> None:
    (entry,) = (
        merged([event(5, kind, "n1")], [])
        if kind in EVENT_KINDS
        else merged([], parsed(chained([record(5, kind)])))
    )
    assert description(entry)
    assert "\n" not in description(entry)


def test_what_is_not_exact_says_so() -> None:
    told = list(merged([gap(1, 9), event(9, "timeline_ended", "n2", before=1, exact=False)], []))
    assert "no later than revision 9" in description(told[1])
    assert "revisions 1 to 9 are missing" in description(told[0])


# --- over the wire


def timeline(handler: Handler, *options: str, **settings: Any) -> tuple[Result, list[str]]:
    with answering(handler) as kernel:
        result = run("timeline", "--kernel", kernel.url, *options, **settings)
    return result, [path for path, _ in kernel.requests]


def failover(**settings: Any) -> History:
    """n1 dies, n2 takes over, somebody has it go back; before that, a gap."""
    cause = {"cause": "lease_ended"}
    after = NOBODY.model_copy(
        update={
            "revision": 20,
            "nodes": [
                node_standing("n1", role="primary"),
                node_standing("n2"),
                node_standing("n3"),
            ],
            "leader": Leader(node="n1", since=9),
        }
    )
    logged = {"time": "2026-11-23T10:00:09.5Z", "clock": "Patroni on n2"}
    events = [
        gap(1, 20),
        event(20, "timeline_ended", "n1", before=1, exact=False, detail="at 0/4: x"),
        event(30, "leader_lost", "n1", before="n1", since=9, **cause),
        event(30, "member_left", "n1", index=1, before="running", **cause),
        event(33, "leader_gained", "n2", after="n2", since=33),
        event(34, "role_changed", "n2", before="replica", after="primary"),
        event(36, "timeline_ended", "n2", before=2, detail="at 0/5000000: no target", **logged),
        event(40, "member_joined", "n1"),
        event(40, "state_changed", "n1", index=1, after="running"),
        event(51, "transfer_requested", "n1", after="n2 to n1"),
        event(55, "leader_lost", "n2", before="n2", since=33, cause="released"),
        event(56, "leader_gained", "n1", after="n1", since=56),
        event(57, "transfer_cleared", "n1", before="n2 to n1"),
        event(70, "paused", before=False, after=True),
    ]
    dispatch = {"action": "POST /switchover {}", "receiver": "n2", "failover_revision": 0,
                "deadline_seconds": 30}  # fmt: skip
    records = [
        record(15, "refused", IDS[1], target="n9", code="RULE_NOT_MET", message="no such node"),
        record(50, "requested", IDS[0], target="n1"),
        record(50, "dispatched", IDS[0], target="n1", dispatch=dispatch),
        record(60, "outcome", IDS[0], target="n1", outcome="executed", message="n1 holds it",
               leader_before={"node": "n2", "since": 33},
               leader_after={"node": "n1", "since": 56}),
        record(65, "requested", IDS[2], target=None, command="run_diagnostics"),
    ]  # fmt: skip
    return History(events, chained(records), 80, found={20: after}, **settings)


KINDS = [
    (1, "gap"), (15, "refused"), (20, "timeline_ended"), (30, "leader_lost"),
    (30, "member_left"), (33, "leader_gained"), (34, "role_changed"), (36, "timeline_ended"),
    (40, "member_joined"), (40, "state_changed"), (50, "requested"), (50, "dispatched"),
    (51, "transfer_requested"), (55, "leader_lost"), (56, "leader_gained"),
    (57, "transfer_cleared"), (60, "outcome"), (65, "requested"), (70, "paused"),
]  # fmt: skip


def kinds(result: Result) -> list[tuple[int, str]]:
    return [(each["revision"], each["kind"]) for each in map(json.loads, result.out.splitlines())]


@pytest.mark.parametrize("window", [1, 7, 5000])
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_pages_of_any_size_tell_the_same_story_of_one_revision(window: int, limit: int) -> None:
    whole, _ = timeline(failover(), "-o", "json")
    lines, paths = timeline(failover(window=window, limit=limit), "-o", "jsonl")
    assert (lines.code, lines.err) == (0, "")
    assert kinds(lines) == KINDS
    assert [json.loads(line) for line in lines.out.splitlines()] == whole.json["data"]["entries"]
    assert "at" not in paths[0]
    assert all("at=80" in path for path in paths[1:])
    assert whole.json["observed_at"]["revision"] == 80
    assert [each["revision"] for each in whole.json["data"]["standings"]] == [20]


def test_a_gap_on_a_later_page_has_a_standing_of_its_own() -> None:
    """Compacted while it was read: the story goes on from what the next page says stands."""
    history = failover(window=5)
    history.base = history.found.pop(20).model_copy(update={"revision": 0})
    history.events[:2] = [event(3, "paused"), gap(20, 29)]
    history.found[29] = history.base.model_copy(update={"revision": 29, "paused": True})
    result, _ = timeline(history, "-o", "json")
    assert [each["revision"] for each in result.json["data"]["standings"]] == [0, 29]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--since", "50"], KINDS[10:]),
        (["--since", "51"], KINDS[12:]),
        (["--until", "40"], KINDS[:10]),
        (["--since", "33", "--until", "36"], KINDS[5:8]),
        (["--kind", "leader_lost", "--kind", "outcome"],
         [KINDS[0], (30, "leader_lost"), (55, "leader_lost"), (60, "outcome")]),
        (["--request", IDS[0]], [KINDS[0], *KINDS[10:17]]),
        (["--request", IDS[0].upper()], [KINDS[0], *KINDS[10:17]]),
        (["--request", IDS[2]], [KINDS[0], *KINDS[17:]]),
        (["--request", IDS[1]], KINDS[:2]),
        (["--request", IDS[0], "--since", "56"], KINDS[14:17]),
        (["--node", "n2"], [KINDS[0], *KINDS[5:8], *KINDS[12:14], *KINDS[15:17]]),
        (["--node", "n9"], KINDS[:2]),
        (["--node", "n3", "--node", "n9"], KINDS[:2]),
    ],
)  # fmt: skip
def test_options_narrow_the_story(options: list[str], left: list[tuple[int, str]]) -> None:
    result, _ = timeline(failover(window=9, limit=2), "-o", "jsonl", *options)
    assert kinds(result) == left
    assert result.err == ""


def test_what_nobody_has_heard_of_is_said() -> None:
    unseen = "00000000-0000-4000-8000-00000000000f"
    result, _ = timeline(failover(), "--node", "n4", "--request", unseen, "-o", "jsonl")
    assert kinds(result) == KINDS[:1]
    notes = [json.loads(line)["note"]["code"] for line in result.err.splitlines()]
    assert notes == ["REQUEST_NOT_RECORDED", "NODE_NOT_SEEN"]


def test_who_may_not_read_the_trail_gets_the_rest_and_the_kernels_words() -> None:
    told, _ = timeline(failover(denied=True), "-o", "json")
    assert told.code == 0
    assert {each["source"] for each in told.json["data"]["entries"]} == {"event"}
    note = {"code": "AUDIT_NOT_SHOWN", "subject": None,
            "message": "observers don't read the audit trail"}  # fmt: skip
    assert told.json["notes"] == [note]
    lines, _ = timeline(failover(denied=True), "-o", "jsonl")
    assert json.loads(lines.err) == {"note": note}
    asked, _ = timeline(failover(denied=True), "-o", "json", "--request", IDS[0])
    assert (asked.code, asked.error["code"]) == (3, "NOT_AUTHORIZED")


def failing(history: History, path: str, code: str, domain: str, good: int = 1) -> Handler:
    """Serves it, but for the pages of this path after the first `good` ones."""
    asked: list[str] = []

    def handle(request: Received) -> None:
        asked.append(request.path)
        if sum(path in each for each in asked) > good and path in request.path:
            answer(refusal(code, "gone", domain), 503)(request)
        else:
            history(request)

    return handle


@pytest.mark.parametrize("path", ["/v1/events", "/v1/audit"])
def test_a_failure_midway_is_not_passed_off_as_the_end(path: str) -> None:
    for code, domain, exit_ in (
        ("STORE_UNAVAILABLE", "transport", 7), ("NOT_AUTHORIZED", "control_plane_validation", 3),
    ):  # fmt: skip
        handler = failing(failover(window=40, limit=2), path, code, domain)
        lines, _ = timeline(handler, "-o", "jsonl")
        assert lines.code == exit_
        assert kinds(lines) == KINDS[: len(kinds(lines))]
        assert 0 < len(kinds(lines)) < len(KINDS)
        assert json.loads(lines.err)["error"]["code"] == code
        handler = failing(failover(window=40, limit=2), path, code, domain)
        assert timeline(handler, "-o", "json")[0].error["code"] == code


def test_a_record_out_of_order_hides_nothing_that_comes_after_it() -> None:
    """Of a trail that was tampered with: the story ends with an error, not with silence."""
    late = [record(5, "requested"), record(35, "outcome"), record(20, "requested", IDS[1])]
    history = History([event(10, "paused"), event(30, "resumed")], chained(late))
    with answering(history) as kernel:
        for form in ("table", "jsonl"):
            done = run("timeline", "--until", "40", "--kernel", kernel.url, "-o", form)
            assert done.code == 7
            assert "audit record 3 is older than the one before it" in done.err


def test_a_record_of_a_later_state_is_refused() -> None:
    data = History(records=chained([record(101, "requested")]), revision=200).audit(0, 200, 0)
    with answering(answer(envelope(data, 100, live=True))) as kernel:
        done = run("audit", "--kernel", kernel.url, "-o", "json")
    assert (done.code, done.error["code"]) == (7, "CONTRACT_BROKEN")


@pytest.mark.parametrize(
    "wrong",
    [
        [event(101, "paused")],
        [event(20, "paused"), event(10, "resumed")],
        [event(10, "gap", before=10)],
        [gap(10, 5)],
    ],
)
def test_events_that_can_t_be_are_refused(wrong: Any) -> None:
    page = {"base": NOBODY.model_dump(), "events": [each.model_dump() for each in wrong],
            "pins": [], "next": None}  # fmt: skip
    with answering(answer(envelope(page, 100, live=True))) as kernel:
        done = run("timeline", "--kernel", kernel.url, "-o", "json")
    assert (done.code, done.error["code"]) == (7, "CONTRACT_BROKEN")


def test_only_a_lack_of_leader_makes_a_story_without_records() -> None:
    handler = failing(failover(), "/v1/audit", "STORE_UNAVAILABLE", "transport", good=0)
    result, _ = timeline(handler, "-o", "jsonl")
    assert (result.code, result.error["code"]) == (7, "STORE_UNAVAILABLE")


def test_a_time_is_taken_for_a_revision_and_says_for_which() -> None:
    history = failover()
    logged = {"revision": 50, "reached": 49, "time": "2026-11-23T10:00:00Z", "clock": "c",
              "source": "clock"}  # fmt: skip
    pin = {"asked": "2026-11-23T10:00:01Z", "first": 49, "last": 60, "before": logged,
           "after": None, "moved": None}  # fmt: skip

    def handle(request: Received) -> None:
        if request.path.startswith("/v1/revisions"):
            answer(envelope(pin, 80, live=True))(request)
        else:
            history(request)

    lines, paths = timeline(handle, "--since", "2026-11-23T11:00:01+01:00")
    assert "# note: REVISION_TAKEN: since 2026-11-23T10:00:01Z: from revision 50 on" in lines.out
    assert "the changes of revisions 50 to 60 may have happened before that time" in lines.out
    assert "for=edge" in paths[0]
    assert "time=2026-11-23T10%3A00%3A01Z" in paths[0]
    assert "after=49" in paths[1]
    lines, paths = timeline(handle, "--until", "2026-11-23T11:00:01+01:00")
    assert "# note: REVISION_TAKEN: until 2026-11-23T10:00:01Z: up to revision 60" in lines.out
    both = timeline(handle, "--since", "30s", "--until", "30s")[0]
    assert both.code == 0


HOLES = [
    BrokenRecord(
        sequence=sequence, last=sequence, key=f"/aerodb/demo/audit/{sequence or 'x'}",
        revision=revision, written=70, problem="it is nested too deep",
    )
    for sequence, revision in ((2, 35), (None, 36))
]  # fmt: skip


def test_a_broken_place_is_an_entry_that_no_filter_takes_away() -> None:
    history = failover(broken=HOLES)
    for options in ([], ["--node", "n9"], ["--kind", "paused"], ["--request", IDS[2]]):
        result, _ = timeline(history, "-o", "json", *options)
        found = [each for each in result.json["data"]["entries"] if each["kind"] == "broken"]
        assert [(each["sequence"], each["revision"]) for each in found] == [(2, 35), (None, 36)]
    table = timeline(history)[0].out
    assert "audit record 2 can't be read: it is nested too deep" in table
    assert "the key /aerodb/demo/audit/x can't be read" in table
    assert timeline(history, "-o", "jsonl")[0].out.count('"kind":"broken"') == 2
    assert "audit record 2 can" in run_report(history)
    audit = run_audit(history, "--verify")
    assert audit.code == 8
    assert audit.json["data"]["verification"]["first_broken"] == 2
    assert len(audit.json["data"]["broken"]) == 2
    lines = run_audit(history, "--verify", form="jsonl")
    assert [name for line in lines.out.splitlines() for name in json.loads(line)].count(
        "broken"
    ) == 2


def run_report(history: History) -> str:
    with answering(history) as kernel:
        return run("report", "--kernel", kernel.url).out


def run_audit(history: History, *options: str, form: str = "json") -> Result:
    with answering(history) as kernel:
        return run("audit", *options, "--kernel", kernel.url, "-o", form)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ("2026-11-24T09:28:12.9Z", "2026-11-24T09:29:11.1Z",
         "2026-11-24 between 09:28:12 and 09:29:12 UTC"),
        ("2026-11-24T09:28:12Z", "2026-11-24T09:29:12Z",
         "2026-11-24 between 09:28:12 and 09:29:12 UTC"),
        ("2026-11-24T23:59:30Z", "2026-11-25T00:00:30Z",
         "between 2026-11-24 23:59:30 and 2026-11-25 00:00:30 UTC"),
        ("2026-11-24T09:28:12.9Z", None, "not before 2026-11-24 09:28:12 UTC"),
        (None, "2026-11-24T09:28:12.9Z", "not after 2026-11-24 09:28:13 UTC"),
        (None, None, None),
    ],
)  # fmt: skip
def test_between_two_pins(first: str | None, last: str | None, words: str | None) -> None:
    """In whole seconds that leave nothing out."""
    entry = of_event(event(5, "paused", not_before=first, not_after=last), 0)
    assert time_text(entry) == words
    logged = of_event(
        event(5, "paused", not_before=first, not_after=last, time="2026-11-24T09:00:00Z"), 0
    )
    assert time_text(logged) == "2026-11-24T09:00:00Z"


def test_a_young_cluster_shows_all_that_history_holds() -> None:
    """`timeline --since 1h`: the first example of its own help."""
    pin = {"asked": "2026-11-23T09:00:01Z", "first": 0, "last": 3, "before": None, "after": None,
           "moved": None}  # fmt: skip
    history = failover()

    def handle(request: Received) -> None:
        if request.path.startswith("/v1/revisions"):
            answer(envelope(pin, 80, live=True))(request)
        else:
            history(request)

    result, _ = timeline(handle, "--since", "1h")
    assert result.code == 0
    assert "all available history is shown" in result.out
    assert result.out.count("\n") > len(KINDS)


@pytest.mark.parametrize(
    "options",
    ["--since 50 --until 40", "--follow --until 50", "--follow -o json", "--follow --from x.json",
     "--kind promoted", "--since yesterday", "--request n1", "--since 2026-11-23T10:00:00"],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(options: str) -> None:
    result, paths = timeline(failover(), *options.split())
    assert (result.code, result.out, paths) == (2, "", [])


def test_in_a_pipe_it_is_plain_aligned_text() -> None:
    result, _ = timeline(failover())
    lines = result.out.splitlines()
    assert lines[0] == "# revision 80  state digest e1  2026-11-23T10:15:19Z by the clock of here"
    assert lines[2].split() == ["REVISION", "KIND", "NODE", "WHAT", "TIME", "CLOCK", "REQUEST"]
    assert not re.search("[┃│┏✗●~]", result.out)
    assert "sent to Patroni: POST /switchover {}" in result.out
    assert "2026-11-23T10:00:09.5Z  Patroni on n2" in result.out
    assert "no later than revision 20" in result.out


PICTURE = """
n1
│ n2
│ │ n3
       REVISION  KIND                NODE
~~~~~         1  gap                 -
~ ~ ~        15  refused             n9
● ~ ~        20  timeline_ended      n1
✗ │ │        30  leader_lost         n1
✗ │ │        30  member_left         n1
  ┏ │        33  leader_gained       n2
  ◆ │        34  role_changed        n2
  ◆ │        36  timeline_ended      n2
┌ ┃ │        40  member_joined       n1
● ┃ │        40  state_changed       n1
R ┃ │        50  requested           n1
R ┃ │        50  dispatched          n1
● ┃ │        51  transfer_requested  n1
│ ┗ │        55  leader_lost         n2
┏ │ │        56  leader_gained       n1
◆ │ │        57  transfer_cleared    n1
R │ │        60  outcome             n1
┃ │ │        65  requested           -
┃ │ │        70  paused              -
"""


def plain(result: Result) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", result.out).splitlines()


def test_on_a_terminal_there_is_a_picture() -> None:
    result, _ = timeline(failover(), terminal=True)
    lines = plain(result)
    begin = lines.index("n1")
    width = len("       REVISION  KIND                NODE")
    shown = [line[:width].rstrip() for line in lines[begin : begin + len(KINDS) + 4]]
    assert shown == [line.rstrip() for line in PICTURE.strip("\n").splitlines()]
    assert lines[-1].startswith("lanes: ┃ holds the leader key")


def test_lanes_go_on_beside_what_a_filter_takes_away() -> None:
    result, _ = timeline(failover(), "--kind", "paused", terminal=True)
    assert [line[:5] for line in plain(result) if " paused " in line] == ["┃ │ │"]


def test_text_from_the_kernel_is_harmless() -> None:
    evil = "n1\x1b]0;x\x07\n\u202e"
    history = History(
        [event(5, "member_joined", evil), event(6, "state_changed", evil, after=evil, detail=evil)],
        chained([record(7, "requested", reason=evil, identity=evil)]),
    )
    for terminal in (False, True):
        result, _ = timeline(history, terminal=terminal)
        assert not re.search("[\x07\u202e]|\x1b[^[]", result.out)
    lines, _ = timeline(history, "-o", "jsonl")
    assert lines.out.isascii()
    assert len(lines.out.splitlines()) == 3


# --- following


class Going:
    """A history that goes on, behind a server that can be taken away."""

    def __init__(self) -> None:
        self.history = failover(window=3, limit=2)
        self.away = False
        self.dropped: set[int] = set()
        """Which requests get no answer, counted from 1."""
        self.count = 0

    def __call__(self, request: Received) -> None:
        self.count += 1
        if self.away or self.count in self.dropped:
            request.close_connection = True
            return
        self.history(request)

    def on(self, *events: Any, records: list[dict[str, Any]]) -> None:
        kept = [dict(each) for each in self.history.records]
        self.history.records = chained([*kept, *records])
        self.history.events = [*self.history.events, *events]
        self.history.revision += 20


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Any]:
    """Starts `timeline --follow` as a process of its own, its output in files."""
    started: list[subprocess.Popen[bytes]] = []

    def follow(url: str, *options: str) -> tuple[subprocess.Popen[bytes], Path, Path]:
        out, err = tmp_path / "out", tmp_path / "err"
        command = [sys.executable, "-m", "aeroctl", "timeline", "--follow", "--kernel", url]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen([*command, *options], stdout=stdout, stderr=stderr)
        started.append(process)
        return process, out, err

    yield follow
    for process in started:
        process.kill()
        process.wait()


@few
@given(histories(), st.data())
def test_what_is_read_again_is_not_told_again(history: History, data: st.DataObject) -> None:
    """However often a reading breaks off, and history is compacted in between."""
    place, told = Place(1), list[Entry]()
    whole = story(history)
    for _ in range(3):
        left = [each for each in whole if each.revision >= place.since or each.kind == "gap"]
        left = [
            replace(each, revision=max(each.revision, place.since))
            for each in left
            if each.kind != "gap" or int(each.after or 0) >= place.since
        ]
        told += list(place.news(left[: data.draw(st.integers(0, len(left)))]))
        assert [replace(each, index=0) for each in told] == [
            replace(each, index=0) for each in whole[: len(told)]
        ]
    told += list(place.news(each for each in whole if each.revision >= place.since))
    assert len(told) == len(whole)


def test_a_gap_that_grew_while_nothing_was_read_is_told() -> None:
    place = Place(1)
    first = list(merged([event(5, "paused"), event(5, "resumed", index=1)], []))
    again = list(merged([gap(5, 9), event(9, "timeline_ended", before=1, exact=False)], []))
    more = list(merged([gap(9, 20), event(21, "paused")], []))
    assert list(place.news(first[:1])) == first[:1]
    assert list(place.news(again)) == again
    assert list(place.news(again)) == []
    assert list(place.news(more)) == more


@pytest.mark.process
def test_following_outlasts_a_kernel_restart_and_repeats_nothing(following: Any) -> None:
    going = Going()
    going.dropped = {6, 25}  # amid the story so far
    with answering(going) as kernel:
        process, out, err = following(kernel.url, "--since", "1", "-o", "jsonl")
        wait_until("the story so far", lambda: len(out.read_text().splitlines()) == len(KINDS))
        wait_until("it waits", lambda: "after=80" in kernel.requests[-1][0])
        going.away = True
        wait_until("it says so", lambda: err.read_text().count("CONNECTION_LOST") == 3)
        going.on(
            event(82, "resumed"), event(90, "paused"),
            records=[record(85, "requested", IDS[1]), record(90, "outcome", IDS[1])],
        )  # fmt: skip
        going.away = False
        more = len(KINDS) + 4
        wait_until("what came after", lambda: len(out.read_text().splitlines()) == more)
        going.on(event(101, "resumed"), records=[])
        wait_until("what comes now", lambda: len(out.read_text().splitlines()) == more + 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    told = [
        (each["revision"], each["kind"]) for each in map(json.loads, out.read_text().splitlines())
    ]
    assert told == [*KINDS, (82, "resumed"), (85, "requested"), (90, "paused"), (90, "outcome"),
                    (101, "resumed")]  # fmt: skip
    said = [json.loads(line) for line in err.read_text().splitlines()]
    assert [next(iter(each)) for each in said] == ["error", "note"] * 3
    assert {each["note"]["code"] for each in said[1::2]} == {"GOING_ON"}
    assert not any("POST" in path for path, _ in kernel.requests)


@pytest.mark.process
def test_following_begins_now_in_plain_lines(following: Any) -> None:
    going, fresh = Going(), "00000000-0000-4000-8000-00000000000f"
    with answering(going) as kernel:
        process, out, _ = following(kernel.url, "--request", fresh)
        wait_until("it waits", lambda: sum("/v1/events" in p for p, _ in kernel.requests) > 1)
        going.on(
            event(82, "resumed"), event(86, "paused"), event(88, "resumed"),
            records=[record(85, "requested", fresh), record(86, "outcome", fresh)],
        )  # fmt: skip
        wait_until("what comes now", lambda: len(out.read_text().splitlines()) >= 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert [line.split()[:2] for line in out.read_text().splitlines()] == [
        ["85", "requested"], ["86", "paused"], ["86", "outcome"],
    ]  # fmt: skip


@pytest.mark.process
def test_following_ends_with_its_reader_and_with_what_does_not_pass(following: Any) -> None:
    going = Going()
    with answering(going) as kernel:
        command = [sys.executable, "-m", "aeroctl", "timeline", "--kernel", kernel.url]
        process = subprocess.Popen(
            [*command, "--follow", "--since", "1"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        going.on(*(event(revision, "paused") for revision in range(81, 99)), records=[])
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.stderr.close()
        kernel.requests.clear()
        process, out, err = following(kernel.url)
        wait_until("it waits", lambda: sum("/v1/events" in p for p, _ in kernel.requests) > 1)
        going.history.revision = 3
        assert process.wait(30) == 7
        assert "CONTRACT_BROKEN" in err.read_text()
        assert out.read_text() == ""


@pytest.mark.process
def test_following_ends_with_its_reader_though_nothing_happens() -> None:
    with answering(Going()) as kernel:
        command = [sys.executable, "-m", "aeroctl", "timeline", "--kernel", kernel.url]
        process = subprocess.Popen([*command, "--follow", "--since", "1"], stdout=subprocess.PIPE)
        assert process.stdout is not None
        for _ in KINDS:
            process.stdout.readline()
        wait_until("it waits", lambda: "after=80" in kernel.requests[-1][0])
        process.stdout.close()
        assert process.wait(30) == 0


# --- a million of them


def endless(count: int) -> Handler:
    """As many events, and half as many records, made up as they are asked for."""
    cells = chained([record(1, "requested")])[0]
    one = event(1, "state_changed", "n1", before="running", after="stopped").model_dump()

    def handle(request: Received) -> None:
        query = dict(part.split("=") for part in request.path.partition("?")[2].split("&"))
        after = int(query["after"])
        data: dict[str, Any]
        if "/v1/events" in request.path:
            end = min(after + 1000, count)
            events = [{**one, "revision": revision} for revision in range(after + 1, end + 1)]
            data = {"base": NOBODY.model_dump(), "events": events, "pins": [],
                    "next": end if end < count else None}  # fmt: skip
        else:
            end = min(after + 500, count // 2)
            records = [{**cells, "sequence": n, "revision": 2 * n}
                       for n in range(after + 1, end + 1)]  # fmt: skip
            data = {"records": records, "broken": [], "next": end if end < count // 2 else None,
                    "head": {"sequence": count // 2, "hash": "0" * 64}}  # fmt: skip
        answer(envelope(data, count, live="at" not in query))(request)

    return handle


def peak(command: str, count: int) -> tuple[int, int]:
    """Lines, and the most memory that a run took, in KiB."""
    with answering(endless(count)) as kernel:
        process = subprocess.Popen(
            [sys.executable, "-m", "aeroctl", command, "-o", "jsonl", "--kernel", kernel.url],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        lines = sum(1 for _ in process.stdout)
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
    return lines, usage.ru_maxrss


@pytest.mark.process
@pytest.mark.parametrize(("command", "each"), [("timeline", 1.5), ("audit", 0.5)])
def test_a_stream_takes_constant_memory(command: str, each: float) -> None:
    short, long = 4_000, 24_000
    lines, little = peak(command, short)
    assert lines == short * each
    lines, much = peak(command, long)
    assert lines == long * each
    assert much - little < 4 * 1024
