"""Peers that drip, hang, lie about TLS or send too much; tokens that never come."""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.adapter.transport import Connection, _checked_url
from aeroctl.errors import Failure
from aeroctl.kernel.sandbox.waiting import wait_until
from tests.support.answering import Received, answer, answering
from tests.support.examples import examples
from tests.support.harness import ENVIRONMENT, run
from tests.support.samples import document

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
NODES = ("inspect", "nodes", "-o", "json")


# A connection that is given up leaves nothing behind.


@contextlib.contextmanager
def serving(
    serve: Callable[[socket.socket, threading.Event], None],
) -> Iterator[tuple[str, list[int]]]:
    """Every connection has `serve`, in a thread; the address, and a list that grows by each."""
    over, seen = threading.Event(), [0]
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            serve(connection, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                seen[0] += 1
                thread = threading.Thread(target=one, args=(connection,))
                threads.append(thread)
                thread.start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}", seen
        finally:
            over.set()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            accepting.join()
            for thread in threads:
                thread.join()


def dripping(start: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(0.05):
            connection.sendall(b"x")

    return serve


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait()


@pytest.mark.process
@pytest.mark.parametrize(
    "start",
    [
        pytest.param(None, id="silence"),
        pytest.param(b"", id="status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx-", id="head"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n", id="chunk"),
        pytest.param(b"HTTP/1.1 500 No\r\ncontent-length: 99999\r\n\r\n", id="error"),
    ],
)
@pytest.mark.parametrize("way", ["", "tls", "proxy"])
def test_a_watch_leaves_no_thread_with_a_peer_that_drips(
    start: bytes | None, way: str, authority: Path
) -> None:
    plain = silent if start is None else dripping(start)

    def serve(connection: socket.socket, over: threading.Event) -> None:
        if way == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority / "server.pem", authority / "server.key")
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            plain(connection, over)

    with serving(serve) as (address, seen):
        where = {
            "": ["--kernel", f"http://{address}"],
            "tls": ["--kernel", f"https://{address}", "--ca-file", str(authority / "ca.pem")],
            "proxy": ["--kernel", "http://kernel.example", "--proxy", f"http://{address}"],
        }[way]
        process = subprocess.Popen(
            [sys.executable, "-m", "aeroctl", "inspect", "nodes", "--watch", "0.1",
             "--timeout", "0.3", *where],
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            wait_until("it asked again and again", lambda: seen[0] >= 8, 60)
            tasks = Path(f"/proc/{process.pid}/task")
            # Its own, that of the call under way, and one that has just been given up.
            wait_until("no thread is left", lambda: len(list(tasks.iterdir())) <= 3, 10)
            assert process.poll() is None
        finally:
            process.kill()
            _, said = process.communicate()
    assert b"KERNEL_TIMEOUT" in said


# Client certificates.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: of a server, a client, one that is expired, and of another authority."""
    directory = tmp_path_factory.mktemp("certificates")
    ours, other = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(directory / "ca.pem")
    then = datetime.now(UTC) - timedelta(days=1)
    for name, issuer, end in (
        ("server", ours, None), ("client", ours, None), ("expired", ours, then),
        ("stranger", other, None),
    ):  # fmt: skip
        begin = None if end is None else end - timedelta(days=1)
        issued = issuer.issue_cert("127.0.0.1", not_before=begin, not_after=end)
        issued.private_key_pem.write_to_path(directory / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(directory / f"{name}.pem")
    return directory


def wanting_a_certificate(authority: Path, newest: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    context.load_verify_locations(authority / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = newest
    return context


@contextlib.contextmanager
def alerting(context: ssl.SSLContext) -> Iterator[str]:
    """A server that says in TLS why it ends a connection."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(65536)
            body = document()
            wrapped.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    with serving(serve) as (address, _):
        yield address


@contextlib.contextmanager
def hanging_up(context: ssl.SSLContext) -> Iterator[str]:
    """One that just ends it, as asyncio's do, and with it aerokernel."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = document()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield "127.0.0.1:%d" % server.sockets[0].getsockname()[1]  # noqa: UP031
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("server", [alerting, hanging_up])
@pytest.mark.parametrize("shown", ["client", None, "expired", "stranger"])
def test_a_client_certificate_that_is_missed_or_refused_is_a_matter_of_tls(
    authority: Path, shown: str | None, server: Any, newest: ssl.TLSVersion
) -> None:
    words = ["--ca-file", str(authority / "ca.pem")]
    if shown:
        words += [
            "--cert",
            str(authority / f"{shown}.pem"),
            "--key",
            str(authority / f"{shown}.key"),
        ]
    with server(wanting_a_certificate(authority, newest)) as address:
        for _ in range(5):
            done = run(*NODES, "--kernel", f"https://{address}", *words)
            if shown == "client":
                assert done.code == 0, done.err
            else:
                assert (done.code, done.error["code"]) == (5, "TLS_FAILED")
                assert done.error["outcome"] == "not_executed"


def test_a_connection_that_is_lost_after_the_handshake_is_no_matter_of_tls(authority: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")

    def serve(connection: socket.socket, over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(65536)
            wrapped.shutdown(socket.SHUT_RDWR)

    with serving(serve) as (address, _):
        words = ("--kernel", f"https://{address}", "--ca-file", str(authority / "ca.pem"))
        done = run(*NODES, *words)
    assert (done.code, done.error["code"]) == (5, "CONNECTION_LOST")


def test_a_key_alone_is_refused(authority: Path) -> None:
    done = run(*NODES, "--kernel", "https://127.0.0.1:1", "--key", str(authority / "client.key"))
    assert (done.code, done.error["code"]) == (2, "BAD_TLS_FILE")


# Addresses.


@pytest.mark.parametrize(
    "host", ["xn--", "xn--a", "XN--A", "xn--ls8h.la", "xn--a:9191", "xn--\x00", "☃.example"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("environment", [{}, {"AEROCTL_TOKEN": "t"}])
def test_a_name_that_is_none_is_the_operators(
    host: str, scheme: str, environment: dict[str, str]
) -> None:
    done = run(*NODES, "--kernel", f"{scheme}://{host}", environment=environment)
    assert (done.code, done.error["code"]) == (2, "BAD_KERNEL_URL")


@examples(300)
@given(
    host=st.one_of(
        st.text(max_size=20),
        st.text("abxn-.:%[]0123456789/@é。", max_size=20),
        st.text("abcxyz0189-", max_size=20).map("xn--{}".format),
    ),
    token=st.sampled_from([None, "t"]),
)
def test_no_address_is_a_bug(host: str, token: str | None) -> None:
    with contextlib.suppress(Failure):
        _checked_url(Connection(f"http://{host}", token)).join("/v1/snapshot")


# Tokens.


@pytest.mark.process
@pytest.mark.parametrize("writer", [None, "idle", "drips"])
@pytest.mark.parametrize("way", ["fifo", "stdin"])
@pytest.mark.parametrize(
    "command",
    [
        "inspect nodes",
        "promote n2 --yes",
        "outcome --wait " + "0" * 8 + "-0000-4000-8000-" + "0" * 12,
    ],
)
def test_a_token_that_never_comes_has_the_time_of_the_call(
    tmp_path: Path, way: str, writer: str | None, command: str
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    reader = None
    if way == "stdin":
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(reader, True)
    process = None
    over = threading.Event()
    thread = None
    try:
        if writer or way == "stdin":  # a pipe that nobody has open for writing is at its end

            def write() -> None:
                with contextlib.suppress(OSError):
                    end = os.open(fifo, os.O_WRONLY)
                    while not over.wait(0.05):
                        if writer == "drips":
                            os.write(end, b"x")
                    os.close(end)

            thread = threading.Thread(target=write)
            thread.start()
        process = subprocess.Popen(
            [sys.executable, "-m", "aeroctl", *command.split(), "--kernel", "http://127.0.0.1:1",
             "--timeout", "0.7", "-o", "json", "--token-file", str(fifo) if way == "fifo" else "-"],
            env=ENVIRONMENT, stdin=reader if reader is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        out, err = process.communicate(timeout=30)
    finally:
        over.set()
        if process is not None:
            process.kill()
        if thread is not None:
            with contextlib.suppress(OSError):
                os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))  # the writer may wait for one
            thread.join()
        if reader is not None:
            os.close(reader)
    assert (process.returncode, out) == (2, "")
    error = json.loads(err)["error"]
    assert error["code"] == "TOKEN_UNREADABLE"
    assert "within 0.7 s" in error["message"]


def test_a_token_comes_by_a_pipe(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)

    def late() -> None:
        time.sleep(0.2)
        fifo.write_text("of-the-pipe\n")

    with answering(answer(document())) as kernel:
        thread = threading.Thread(target=late)
        thread.start()
        done = run(*NODES, "--kernel", kernel.url, "--token-file", str(fifo))
        thread.join()
        typed = run(*NODES, "--kernel", kernel.url, "--token-file", "-", typed="typed\nand more")
    assert (done.code, typed.code) == (0, 0)
    assert [headers["authorization"] for _, headers in kernel.requests] == [
        "Bearer of-the-pipe", "Bearer typed",
    ]  # fmt: skip


BLANKS = [
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x1f",
    "\x85",
    "\xa0",
    "\u2028",
    "\u2029",
    "\u3000",
    "\x00",
]


@pytest.mark.parametrize("blank", BLANKS, ids=ascii)
@pytest.mark.parametrize("form", ["token{}", "{}token", "one{}two", "token{}\n", "token\n{}"])
def test_a_line_of_a_token_file_ends_at_a_newline_only(
    tmp_path: Path, form: str, blank: str
) -> None:
    token = tmp_path / "token"
    token.write_text(form.format(blank), encoding="utf-8")
    token.chmod(0o600)
    done = run(*NODES, "--token-file", str(token))
    assert (done.code, done.error["code"]) == (2, "TOKEN_UNREADABLE")
    if "\n{}" not in form:
        done = run(*NODES, "--token-file", "-", typed=form.format(blank))
        assert (done.code, done.error["code"]) == (2, "TOKEN_UNREADABLE")
    if blank != "\x00":
        done = run(*NODES, environment={"AEROCTL_TOKEN": form.format(blank)})
        assert (done.code, done.error["code"]) == (2, "TOKEN_UNREADABLE")


@pytest.mark.parametrize("content", ["token", "token\n", "\n token \n\n", "token\r\n"])
def test_newlines_around_a_token_are_none_of_it(tmp_path: Path, content: str) -> None:
    token = tmp_path / "token"
    token.write_bytes(content.encode())
    token.chmod(0o600)
    with answering(answer(document())) as kernel:
        assert run(*NODES, "--kernel", kernel.url, "--token-file", str(token)).code == 0
    assert kernel.requests[0][1]["authorization"] == "Bearer token"


# Memory.

SIZE = 128 * 1000 * 1000


HEAVY = {
    "one-text": (document()[:-1] + b',"x":"', b"y" * 4096, b'"}', 200),
    "numbers": (document()[:-1] + b',"x":[0', b",0" * 2048, b"]}", 200),
    "empties": (document()[:-1] + b',"x":[[]', b",[]" * 1365, b"]}", 200),
    "objects": (document()[:-1] + b',"x":[{}', b',{"a":0}' * 512, b"]}", 200),
    "blanks": (b"", b" " * 4096, b"{}", 200),
    "an-error": (b"", b"x" * 4096, b"", 500),
}


@pytest.mark.process
@pytest.mark.parametrize("command", ["snapshot", "inspect nodes"])
@pytest.mark.parametrize("million", [128, 30, 1.5])
@pytest.mark.parametrize("kind", HEAVY)
def test_an_answer_costs_less_than_five_times_the_largest(
    kind: str, million: float, command: str
) -> None:
    start, unit, end, code = HEAVY[kind]
    count = int(million * 1000 * 1000) // len(unit)

    def handle(request: Received) -> None:
        request.send_response(code)
        request.send_header("content-length", str(len(start) + count * len(unit) + len(end)))
        request.end_headers()
        request.wfile.write(start)
        for _ in range(count):
            request.wfile.write(unit)
        request.wfile.write(end)

    with answering(handle) as kernel:
        process = subprocess.Popen(
            [sys.executable, "-m", "aeroctl", *command.split(), "--kernel", kernel.url,
             "--timeout", "100", "-o", "json"],
            env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        _, ended, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(ended)
    assert process.returncode in {0, 7}
    largest = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    assert largest < 5 * SIZE
