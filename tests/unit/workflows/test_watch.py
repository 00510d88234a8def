"""--watch: frames in place on a terminal, one after the other elsewhere, over a restart."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract.error_codes import ERROR_CODES
from aeroctl.errors import Exit, Failure, failure
from aeroctl.kernel.sandbox.waiting import wait_until
from aeroctl.safe_text import safe, width
from aeroctl.views.blocks import Block, Facts, Flagged, Grid
from aeroctl.views.changed_cells import compared
from aeroctl.workflows.watch import drawn, passing
from tests.support.answering import Received, answer, answering
from tests.support.arbitrary import TEXT
from tests.support.examples import examples
from tests.support.harness import ENVIRONMENT, run
from tests.support.samples import ENVELOPE, NODE, document
from tests.support.terminal import INTERRUPT, terminal

allowed = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
WATCH = [sys.executable, "-m", "aeroctl", "inspect", "nodes", "--watch", "0.1"]
REFUSED = json.dumps(
    {
        "error": {
            "domain": "control_plane_validation", "code": "NOT_AUTHORIZED", "message": "no more",
            "invariants": [], "outcome": "not_executed", "request_id": None, "engine_reply": None,
        }
    }
).encode()  # fmt: skip
BUSY = REFUSED.replace(b"control_plane_validation", b"kernel_rejection").replace(
    b"NOT_AUTHORIZED", b"SNAPSHOT_UNSTABLE"
)


def state(revision: int, *states: str) -> bytes:
    """A snapshot of this revision, in which n1, n2, ... are in these states."""
    nodes = [
        NODE.model_copy(
            update={"name": f"n{number}", "state": said, "is_leader": number == 1}
        ).model_dump()
        for number, said in enumerate(states, 1)
    ]
    silent = {"value": None, "unavailable": {"code": "NODE_TIMEOUT", "message": "none"}}
    data = ENVELOPE.data.model_dump() | {"nodes": nodes}
    for section in ("replication", "wal", "mvcc", "checkpoints", "snapshots"):
        data[section] = [{"node": node["name"], **silent} for node in nodes]
    observed = ENVELOPE.observed_at.model_dump() | {"revision": revision}
    return document(data=data, observed_at=observed)


def telling(*answers: bytes) -> Any:
    """A handler that gives these answers in turn, then refuses for good."""
    turns: Iterator[bytes] = iter(answers)

    def handle(request: Received) -> None:
        body = next(turns, REFUSED)
        answer(body, 200 if b'"observed_at"' in body else 503)(request)

    return handle


class Screen:
    """What a terminal of this size shows of what is written to it (as xterm does it)."""

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self.cells = [[" "] * columns for _ in range(lines)]
        self.row = self.column = 0

    def write(self, text: str) -> None:
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.|\n", text):
            if part == "\n":
                self.column = 0
                self._down()
            elif part == "\x1b[H":
                self.row = self.column = 0
            elif part == "\x1b[K":
                start = min(self.column, self.columns - 1)  # after the last column: on it
                self.cells[self.row][start:] = [" "] * (self.columns - start)
            elif part == "\x1b[J":
                self.write("\x1b[K")
                for row in range(self.row + 1, self.lines):
                    self.cells[row] = [" "] * self.columns
            elif not part.startswith("\x1b"):
                self._put(part)

    def shows(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.cells]

    def _put(self, char: str) -> None:
        wide = width(char)
        if wide == 0:
            return
        if self.column + wide > self.columns:
            self.column = 0
            self._down()
        self.cells[self.row][self.column : self.column + wide] = [char] + [""] * (wide - 1)
        self.column += wide

    def _down(self) -> None:
        if self.row + 1 < self.lines:
            self.row += 1
        else:
            self.cells = [*self.cells[1:], [" "] * self.columns]


SHORT = st.text("ab 日é", max_size=30).map(str.rstrip)


@examples(100)
@given(
    frames=st.lists(st.lists(SHORT, max_size=9), min_size=1, max_size=4),
    columns=st.integers(2, 20),
    lines=st.integers(2, 14),
)
def test_each_frame_covers_the_one_before(
    frames: list[list[str]], columns: int, lines: int
) -> None:
    """No rest of an older frame stays, none of this one is lost without a word, none scrolls."""
    screen = Screen(columns, lines)
    screen.write("x" * columns * lines)
    for frame in frames:
        screen.write("\x1b[H" + drawn(frame, columns, lines - 1))
        alone = Screen(columns, 400)
        alone.write("".join(f"{line}\n" for line in frame))
        whole = alone.shows()[: alone.row]
        if len(whole) < lines:
            assert screen.shows() == whole + [""] * (lines - len(whole))
            continue
        shown = screen.shows()
        (remark,) = (number for number, line in enumerate(shown) if line.startswith("."))
        assert shown[:remark] == whole[:remark]
        assert shown[remark + 1 :] == [""] * (lines - 1 - remark)
        hidden = next(n for n in range(len(frame) + 1) if rows_of(frame[:n], columns) == remark)
        assert shown[remark] == f"... {len(frame) - hidden} lines not shown"[:columns].rstrip()


def rows_of(lines: list[str], columns: int) -> int:
    screen = Screen(columns, 400)
    screen.write("".join(f"{line}\n" for line in lines))
    return screen.row


CELLS = st.one_of(st.none(), st.booleans(), st.integers(0, 3), TEXT, TEXT.map(Flagged))
ROWS = st.lists(st.tuples(TEXT, CELLS, CELLS), max_size=5).map(tuple)
BLOCKS = st.lists(
    st.one_of(
        st.builds(Grid, st.just("A B C"), ROWS, st.sampled_from(["one", "two"])),
        st.builds(Facts, st.lists(st.tuples(TEXT, CELLS), min_size=1, max_size=4).map(tuple)),
    ),
    max_size=3,
)


@examples(50)
@given(before=BLOCKS, now=BLOCKS)
def test_what_is_not_marked_is_as_it_was(before: list[Block], now: list[Block]) -> None:
    same = compared(now, now)
    assert (same.gone, [mark for marks in same.changed for mark in marks]) == ((), [])
    known = [row for block in before if isinstance(block, Grid | Facts) for row in block.rows]
    for block, marks in zip(now, compared(before, now).changed, strict=True):
        assert isinstance(block, Grid | Facts)
        for number, row in enumerate(block.rows):
            if not {(number, column) for column in range(len(row))} & marks:
                assert row in known


def test_marks_follow_names_and_say_what_is_gone() -> None:
    before = Grid("NODE STATE", (("n1", "running"), ("n2", "running"), ("n3", "running")))
    now = Grid("NODE STATE", (("n1", "running"), ("n3", "stopped"), ("n4", "running")))
    found = compared([before], [now])
    assert found.changed == (frozenset({(1, 1), (2, 0), (2, 1)}),)
    assert found.gone == ("n2",)
    slots = Grid("NODE SLOT SIZE", (("n1", "a", 1), ("n1", "b", 1)))
    fewer = Grid("NODE SLOT SIZE", (("n1", "b", 2),))
    assert compared([slots], [fewer]).changed == (frozenset({(0, 2)}),)


@pytest.mark.parametrize("code", ERROR_CODES)
def test_which_failures_pass(code: str) -> None:
    row = ERROR_CODES[code]
    ends = {"OUTPUT_FAILED", "SECTION_NOT_IN_HISTORY", "REVISION_COMPACTED", "NOT_IN_EVIDENCE"}
    no_state = row.domain == "transport" or row.exit == Exit.NO_SNAPSHOT
    assert passing(failure(code, "")) == (no_state and code not in ends)
    assert not passing(Failure("NEW", "", "kernel_rejection"))
    assert passing(Failure("NEW", "", "transport"))


@pytest.mark.process
@allowed
class TestElsewhere:
    """In a pipe and in files: frames one after the other."""

    def test_frames_follow_one_another(self) -> None:
        with answering(answer(state(57, "running"))) as kernel:
            once = run("inspect", "nodes", "--kernel", kernel.url).out
        later = state(58, "running", "starting")
        with answering(telling(state(57, "running"), later)) as kernel:
            done = run("inspect", "nodes", "--kernel", kernel.url, "--watch", "0.1")
        first, second = done.out[: len(once)], done.out[len(once) :]
        assert first == once
        assert second.startswith("\n# revision 58")
        assert (done.code, "NOT_AUTHORIZED: no more" in done.err) == (3, True)

    def test_a_document_on_each_line(self) -> None:
        with answering(telling(state(57, "running"), BUSY, BUSY, state(58, "running"))) as kernel:
            done = run("inspect", "nodes", "--kernel", kernel.url, "--watch", "0.1", "-o", "jsonl")
        documents = [json.loads(line) for line in done.out.splitlines()]
        assert [each["observed_at"]["revision"] for each in documents] == [57, 58]
        said = [json.loads(line)["error"]["code"] for line in done.err.splitlines()]
        assert said == ["SNAPSHOT_UNSTABLE", "NOT_AUTHORIZED"]  # once for as long as it lasted

    def test_documents_are_lines_on_a_terminal_too(self) -> None:
        with answering(telling(state(57, "running"), state(58, "running"))) as kernel:
            done = run(
                "inspect", "nodes", "--kernel", kernel.url, "--watch", "0.1", "-o", "jsonl",
                terminal=True,
            )  # fmt: skip
        documents = [json.loads(line) for line in done.out.splitlines()]
        assert [each["observed_at"]["revision"] for each in documents] == [57, 58]

    def test_a_dumb_terminal_is_no_screen(self) -> None:
        with answering(telling(state(57, "running"))) as kernel:
            done = run(
                "inspect", "nodes", "--kernel", kernel.url, "--watch", "0.1",
                terminal=True, environment={"TERM": "dumb"},
            )  # fmt: skip
        assert "revision 57" in done.out
        assert "\x1b" not in done.out

    @pytest.mark.parametrize("asked", ["inspect nodes -o json", "audit -o jsonl"])
    def test_what_is_no_single_document_is_not_called_json(self, asked: str) -> None:
        done = run(*asked.split(), "--watch")
        assert (done.code, done.error["code"]) == (2, "USAGE")

    def test_a_node_that_is_not_there_ends_it(self) -> None:
        with answering(answer(state(57, "running"))) as kernel:
            done = run("inspect", "node", "n9", "--kernel", kernel.url, "--watch", "0.1")
        assert (done.code, "UNKNOWN_NODE" in done.err) == (2, True)

    def test_a_reader_that_has_enough_ends_it(self) -> None:
        with answering(answer(state(57, "running"))) as kernel:
            process = subprocess.Popen(
                [*WATCH, "--kernel", kernel.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.wait(60) == 0
            assert process.stderr.read() == b""
            process.stderr.close()

    def test_a_reader_that_went_while_there_was_nothing_to_show_ends_it(self) -> None:
        """Nobody looks any more: it would go on in the background for ever (P7-S1)."""
        with answering(answer(state(57, "running"))) as kernel:
            process = subprocess.Popen(
                [*WATCH[:-1], "86400", "--kernel", kernel.url], stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
            assert process.wait(30) == 0
            assert len(kernel.requests) == 1

    def test_it_survives_a_restart_and_an_interrupt_ends_it(self, tmp_path: Path) -> None:
        out, err = tmp_path / "out", tmp_path / "err"
        with answering(answer(state(57, "running"))) as kernel:
            with out.open("w") as stdout, err.open("w") as stderr:
                process = subprocess.Popen(
                    [*WATCH, "-o", "jsonl", "--kernel", kernel.url], stdout=stdout, stderr=stderr
                )
            wait_until("a frame", lambda: out.stat().st_size > 0, 60)
        wait_until("word of it", lambda: "KERNEL_UNREACHABLE" in err.read_text(), 60)
        port = int(kernel.url.rpartition(":")[2])
        with answering(answer(state(99, "running")), port):
            wait_until("a new frame", lambda: '"revision":99' in out.read_text(), 60)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        codes = [json.loads(line)["error"]["code"] for line in err.read_text().splitlines()]
        assert codes[-1] == "KERNEL_UNREACHABLE"
        assert set(codes) <= {"KERNEL_UNREACHABLE", "CONNECTION_LOST"}


@pytest.mark.process
@allowed
class TestTerminal:
    """On a terminal: in place."""

    def test_frames_replace_one_another_and_changes_are_marked(self) -> None:
        answers = state(57, "running", "running"), state(58, "stopped"), state(58, "stopped")
        with answering(telling(*answers)) as kernel:
            done = run(
                "inspect", "nodes", "--kernel", kernel.url, "--watch", "0.1", "--no-color",
                terminal=True, columns=200,
            )  # fmt: skip
        before, first, second, third = done.out.split("\x1b[H")
        assert before == "\n" * 24
        screen = Screen(200, 24)
        screen.write(before + "\x1b[H" + first)
        assert screen.shows()[0] == "aeroctl inspect nodes, every 0.1 s: revision 57"
        assert marked(screen) == []
        screen.write("\x1b[H" + second)
        assert screen.shows()[0] == (
            "aeroctl inspect nodes, every 0.1 s: revision 58, previous frame 57; "
            "* marks changes; removed: n2"
        )
        (row,) = marked(screen)
        assert row.split()[1:4] == ["n1", "primary", "stopped,"]
        screen.write("\x1b[H" + third)
        assert marked(screen) == []
        assert done.code == 3
        assert not re.search(r"\x1b\[\?|\x1b\[[0-9;]*m", done.out)

    def test_a_change_is_marked_in_colour_too(self) -> None:
        with answering(telling(state(57, "running"), state(58, "stopped"))) as kernel:
            done = run("inspect", "node", "n1", "--kernel", kernel.url, "--watch", "0.1",
                       terminal=True)  # fmt: skip
        *_, last = done.out.split("\x1b[H")
        line = next(line for line in last.splitlines() if "stopped" in line)
        assert line.startswith("* ")
        assert re.search(r"\x1b\[([0-9]+;)*7(;[0-9]+)*mstopped", line)

    def test_what_the_screen_can_t_show_is_said(self) -> None:
        with answering(telling(state(57, *["running"] * 40))) as kernel:
            done = run(
                "inspect", "nodes", "--kernel", kernel.url, "--watch", "0.1", "--no-color",
                terminal=True, columns=200, environment={"LINES": "20"},
            )  # fmt: skip
        screen = Screen(200, 20)
        screen.write(done.out)
        *_, remark, last = screen.shows()
        assert last == ""
        assert screen.shows()[0].startswith("aeroctl inspect nodes")
        assert re.fullmatch(r"\.\.\. \d+ lines not shown", remark)

    def test_an_old_frame_is_never_passed_off_as_current(self) -> None:
        answers = state(57, "running"), BUSY, state(58, "running")
        with answering(telling(*answers)) as kernel:
            done = run(
                "inspect", "nodes", "--kernel", kernel.url, "--watch", "0.1", "--no-color",
                terminal=True, columns=200,
            )  # fmt: skip
        _, _, old, current = done.out.split("\x1b[H")
        screen = Screen(200, 24)
        screen.write(old)
        shown = screen.shows()
        assert shown[0] == (
            "aeroctl inspect nodes, every 0.1 s: NO NEW STATE; ~ marks old lines, of revision 57"
        )
        assert shown[1] == "error: SNAPSHOT_UNSTABLE: no more"
        body = shown[shown.index("") + 1 :]
        assert all(line.startswith("~") for line in body if line)
        assert any("n1" in line for line in body)
        assert "revision 58, previous frame 57" in current

    def test_no_state_yet(self) -> None:
        with answering(telling(BUSY)) as kernel:
            done = run("inspect", "nodes", "--kernel", kernel.url, "--watch", "0.1",
                       "--no-color", terminal=True)  # fmt: skip
        assert "every 0.1 s: NO NEW STATE\x1b[K\nerror: SNAPSHOT_UNSTABLE: no more" in done.out

    def test_text_of_the_kernel_is_harmless(self) -> None:
        hostile = [state(57, "\x1b]52;c;aGk=\x07"), BUSY.replace(b"no more", b"\\u001b[2J")]
        with answering(telling(*hostile)) as kernel:
            done = run("inspect", "nodes", "--kernel", kernel.url, "--watch", "0.1", terminal=True)
        assert not re.search(r"\x1b(?!\[[0-9;]*[mHKJ])|\x07|\x1b\[2J", done.out)
        assert safe("\x1b]52;c;aGk=\x07") in done.out

    def test_it_survives_a_restart(self, tmp_path: Path) -> None:
        with answering(answer(state(57, "running"))) as kernel, ExitStack() as stack:
            command = [*WATCH, "--kernel", kernel.url]
            shown = stack.enter_context(terminal(command, ENVIRONMENT, tmp_path, whole=True))
            shown.expect("revision 57")
            later = stack.pop_all()
        with later:
            shown.expect("~ marks old lines, of revision 57")
            shown.expect("KERNEL_UNREACHABLE")
            with answering(answer(state(99, "running")), int(kernel.url.rpartition(":")[2])):
                shown.expect("revision 99, previous frame 57")
                shown.type(INTERRUPT)
                assert shown.finish()[0] == 130

    def test_it_follows_the_size_of_the_window(self, tmp_path: Path) -> None:
        with answering(answer(state(57, *["running"] * 40))) as kernel:
            command = [*WATCH, "--kernel", kernel.url, "--no-color"]
            with terminal(command, ENVIRONMENT, tmp_path, whole=True) as shown:
                for lines in (12, 31):
                    shown.resize(300, lines)
                    shown.expect(f"... {47 - (lines - 2)} lines not shown")

    @pytest.mark.parametrize("end", ["SIGINT", "SIGTERM", "SIGKILL", "SIGHUP"])
    def test_whatever_ends_it_leaves_the_terminal_usable(self, end: str, tmp_path: Path) -> None:
        """No other screen, no hidden cursor, no mode: there is nothing to restore."""
        with answering(answer(state(57, "running"))) as kernel:
            command = [*WATCH, "--kernel", kernel.url, "--no-color"]
            with terminal(command, ENVIRONMENT, tmp_path, whole=True) as shown:
                shown.expect("revision 57")
                shown.expect("\x1b[J")
                shown.process.send_signal(getattr(signal, end))
                code, _ = shown.finish()
                assert kernel.posted == []
        assert code == (130 if end == "SIGINT" else -getattr(signal, end))
        assert set(re.findall(r"\x1b.[0-9;?]*.", shown.shown)) <= {"\x1b[H", "\x1b[K", "\x1b[J"}


def marked(screen: Screen) -> list[str]:
    return [line for line in screen.shows() if line.startswith("*")]
