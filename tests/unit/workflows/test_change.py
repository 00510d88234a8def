"""One POST, whatever becomes of it, and an honest word about what is not known (P7-E2, P7-F3)."""

import fcntl
import http.server
import json
import shlex
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aeroctl.adapter.steps import Departure
from aeroctl.errors import Failure
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.support.answering import Answering, Handler, Received, answer, answering
from tests.support.harness import Result, run
from tests.support.samples import explanation, status

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


def cut(request: Received) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)


def cut_in_the_middle(request: Received) -> None:
    request.send_response(200)
    request.send_header("content-length", "1000")
    request.end_headers()
    request.wfile.write(b'{"api_version": "v1", ')
    cut(request)


def hang(request: Received) -> None:
    time.sleep(1.5)
    request.close_connection = True


def refusal(outcome: str, request_id: str | None = None) -> bytes:
    own: dict[str, Any] = {
        "domain": "kernel_rejection", "code": "ENGINE_REJECTED", "message": "no good candidates",
        "invariants": [], "outcome": outcome, "request_id": request_id,
        "engine_reply": {"status": 412, "body": "no good candidates"},
    }  # fmt: skip
    return json.dumps({"error": own}).encode()


def another(request: Received) -> None:
    answer(status("00000000-0000-4000-8000-000000000000"))(request)


def differing(**changes: Any) -> Handler:
    """Executed, but that was something else."""

    def handle(request: Received) -> None:
        answer(status(json.loads(request.body)["request_id"], **changes))(request)

    return handle


def explained(handler: Handler) -> Handler:
    """An explanation for whoever asks for one, else `handler`."""

    def handle(request: Received) -> None:
        explains = request.path.startswith("/v1/explain/")
        (answer(explanation()) if explains else handler)(request)

    return handle


def sent(handler: Handler, *options: str) -> tuple[Result, Answering]:
    """`promote n2 --yes` where the command, not the explanation, gets `handler` for an answer."""

    with answering(explained(handler)) as kernel:
        words = ("promote", "n2", "--yes", "--kernel", kernel.url, *options)
        result = run(*words, "-o", "json")
    return result, kernel


UNSURE: dict[str, tuple[Callable[[Received], None], str]] = {
    "cut": (cut, "CONNECTION_LOST"),
    "cut-in-the-middle": (cut_in_the_middle, "CONNECTION_LOST"),
    "late": (hang, "KERNEL_TIMEOUT"),
    "garbled": (answer(b"\x00{"), "CONTRACT_BROKEN"),
    "empty": (answer(b""), "CONTRACT_BROKEN"),
    "another-request": (another, "CONTRACT_BROKEN"),
    "another-command": (differing(command="request_demotion"), "CONTRACT_BROKEN"),
    "another-target": (differing(target="n3"), "CONTRACT_BROKEN"),
    "unrecorded": (differing(recorded=False), "CONTRACT_BROKEN"),
    "another's-refusal": (answer(refusal("not_executed", "\x1b]0;x\x07"), 409), "CONTRACT_BROKEN"),
    "a-proxys-502": (answer(b"<html>Bad Gateway</html>", 502), "CONTRACT_BROKEN"),
    "a-redirect": (answer(b"", 307, location="http://127.0.0.1:1/"), "REDIRECT_REFUSED"),
}


@pytest.mark.process
@pytest.mark.parametrize("fault", UNSURE)
def test_a_lost_answer_is_an_unknown_outcome_and_no_second_request(fault: str) -> None:
    handler, code = UNSURE[fault]
    result, kernel = sent(handler, "--timeout", "1")
    assert [path for path, _ in kernel.posted] == [
        "/v1/explain/request_promotion",
        "/v1/commands/request_promotion",
    ]
    _, first, last = map(json.loads, result.err.splitlines())  # the explanation comes first
    request_id = json.loads(kernel.posted[1][1])["request_id"]
    assert first["request"]["request_id"] == request_id
    error = last["error"]
    assert (error["code"], error["outcome"], error["request_id"]) == (code, "unknown", request_id)
    assert error["next"] == f"To learn what happened: aeroctl outcome {request_id}"
    assert (result.code, result.out) == (6, "")


def test_the_kernels_no_is_a_no_in_its_own_words() -> None:
    result, kernel = sent(answer(refusal("not_executed"), 409))
    assert result.code == 4
    assert result.error["message"] == "no good candidates"
    assert result.error["engine_reply"] == {"status": 412, "body": "no good candidates"}
    assert result.error["request_id"] == json.loads(kernel.posted[1][1])["request_id"]


def test_a_kernel_that_does_not_know_either_is_believed() -> None:
    result, _ = sent(answer(refusal("unknown"), 503))
    assert (result.code, result.error["outcome"]) == (6, "unknown")


def test_an_answer_that_cannot_be_handled_is_an_unknown_outcome() -> None:
    """Whatever fails in aeroctl after the request left: never "not executed" (P7-E2)."""

    def fail(*_: object) -> None:
        raise OverflowError("nobody thought of this")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aeroctl.adapter.kernel.matching_status", fail)
        result, kernel = sent(differing())
    assert (result.code, result.error["outcome"]) == (6, "unknown")
    assert len(kernel.posted) == 2


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("executed", 0), ("executed_other", 9), ("rolled_back", 9), ("rejected", 4),
     ("not_executed", 5), ("in_progress", 6), ("unknown", 6)],
)  # fmt: skip
def test_only_executed_is_success(outcome: str, code: int) -> None:
    def handle(request: Received) -> None:
        answer(status(json.loads(request.body)["request_id"], outcome))(request)

    result, _ = sent(handle)
    assert (result.code, result.json["data"]["outcome"]) == (code, outcome)


def test_nothing_was_executed_where_nobody_listened() -> None:
    def handle(request: Received) -> None:
        assert isinstance(request.server, http.server.ThreadingHTTPServer)
        request.server.socket.shutdown(socket.SHUT_RDWR)
        answer(explanation())(request)

    with answering(handle) as kernel:
        result = run("promote", "n2", "--yes", "--kernel", kernel.url, "-o", "json")
    assert (result.code, result.error["code"]) == (5, "KERNEL_UNREACHABLE")
    assert result.error["outcome"] == "not_executed"
    assert result.error["request_id"]


@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_outcome_that_cannot_be_shown_is_told_all_the_same() -> None:
    """A full disk after the change: the exit code must not say that nothing was executed."""

    with answering(explained(differing())) as kernel, Path("/dev/full").open("w") as full:
        words = ("promote", "n2", "--yes", "-o", "json", "--kernel", kernel.url)
        command = [sys.executable, "-m", "aeroctl", *words]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False
        )
        closed = subprocess.run(
            ["sh", "-c", f"{shlex.join(command)} >&-"], stderr=subprocess.PIPE, check=False
        )
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (error["code"], error["outcome"]) == ("OUTPUT_FAILED", "executed")
    assert error["request_id"]
    assert done.returncode == 9
    assert json.loads(closed.stderr)["error"]["outcome"] == "not_executed"
    assert closed.returncode == 5
    assert len([path for path, _ in kernel.posted if "/commands/" in path]) == 1


class Event:
    """What httpx hands to a trace, as far as it is looked at."""

    method = b"POST"


STARTED = "http11.send_request_headers.started"


def test_what_is_held_back_never_leaves() -> None:
    departure = Departure()
    departure.watch("connection.connect_tcp.started", {})
    assert departure.hold_back()
    with pytest.raises(Failure):
        departure.watch(STARTED, {"request": Event})
    assert departure.hold_back()


def test_what_has_left_is_not_held_back() -> None:
    departure = Departure()
    departure.watch(STARTED, {"request": Event})
    assert not departure.hold_back()


def test_a_tunnel_is_not_the_request() -> None:
    class Connect:
        method = b"CONNECT"

    departure = Departure()
    departure.watch(STARTED, {"request": Connect})
    assert departure.hold_back()


@pytest.mark.process
def test_a_name_that_is_never_found_ends_as_not_executed(monkeypatch: Any) -> None:
    real = socket.getaddrinfo
    asked: list[object] = []

    def slow(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        if len(asked) > 1:
            time.sleep(2)
        return real(host, *rest, **more)

    with answering(answer(explanation())) as kernel:
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        words = ("promote", "n2", "--yes", "--timeout", "1", "-o", "json")
        result = run(*words, "--kernel", kernel.url)
        time.sleep(1.5)  # the thread that was given up finds the name, and may still not send
    assert [path for path, _ in kernel.posted] == ["/v1/explain/request_promotion"]
    assert (result.code, result.error["outcome"]) == (5, "not_executed")


def process(kernel: Answering, **settings: Any) -> "subprocess.Popen[bytes]":
    words = ("promote", "n2", "--yes", "-o", "json", "--kernel", kernel.url)
    command = [sys.executable, "-m", "aeroctl", *words]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **{**streams, **settings})


@pytest.mark.process
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_stops_waiting_is_told_that_it_is_not_known(signum: signal.Signals) -> None:
    def stop(request: Received) -> None:
        running[0].send_signal(signum)
        running[0].wait(30)

    running: list[subprocess.Popen[bytes]] = []
    with answering(explained(stop)) as kernel:
        running.append(process(kernel))
        out, err = running[0].communicate(timeout=30)
    error = json.loads(err.splitlines()[-1])["error"]
    assert (running[0].returncode, out) == (6, b"")
    assert (error["code"], error["outcome"]) == ("INTERRUPTED", "unknown")
    assert error["request_id"] == json.loads(kernel.posted[1][1])["request_id"]


@pytest.mark.process
def test_what_is_ignored_stays_ignored() -> None:
    """Under nohup a terminal that goes away stops nothing."""

    def go_on(request: Received) -> None:
        running[0].send_signal(signal.SIGHUP)
        answer(status(json.loads(request.body)["request_id"]))(request)

    running: list[subprocess.Popen[bytes]] = []
    with answering(explained(go_on)) as kernel:
        running.append(
            process(kernel, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        )
        out, _ = running[0].communicate(timeout=30)
    assert (running[0].returncode, json.loads(out)["data"]["outcome"]) == (0, "executed")


@pytest.mark.process
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_the_outcome_is_shown(signum: signal.Signals) -> None:
    """Executed is executed: neither "nothing was sent" nor a death without a word."""
    done = differing(message="x" * 300_000)
    with answering(explained(done)) as kernel:
        running = process(kernel)
        assert running.stdout
        wait_until("the pipe is full", lambda: waiting_in(running.stdout) >= 65536)
        running.send_signal(signum)
        assert running.wait(30) == 9
        assert running.stderr
        error = json.loads(running.stderr.read().splitlines()[-1])["error"]
        running.stdout.close()
        running.stderr.close()
    assert (error["code"], error["outcome"]) == ("INTERRUPTED", "executed")


def waiting_in(pipe: Any) -> int:
    """Bytes that nobody has read yet."""
    count = fcntl.ioctl(pipe.fileno(), termios.FIONREAD, b"\0" * 4)
    return int.from_bytes(count, sys.byteorder)
