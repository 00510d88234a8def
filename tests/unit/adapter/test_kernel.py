"""The kernel boundary: what is sent, what is refused, and how each failure is named."""

import ast
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import aeroctl.kernel
from aeroctl.adapter import transport
from aeroctl.contract.error_codes import ERROR_CODES
from aeroctl.errors import Failure
from tests.support.answering import Handler, answer, answering
from tests.support.harness import run
from tests.support.samples import ENVELOPE, document

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])

NODES = ("inspect", "nodes", "-o", "json")
TOKEN = {"AEROCTL_TOKEN": "t"}
DATA = ENVELOPE.data.model_dump()


def nodes(handler: Handler, *arguments: str) -> Any:
    """The error of `inspect nodes` against a kernel that answers so, with its exit code."""
    with answering(handler) as kernel:
        result = run(*NODES, "--kernel", kernel.url, *arguments)
    assert len(kernel.requests) <= 1
    return {**result.error, "exit": result.code}


def refused(code: str, exit_code: int, domain: str) -> Any:
    """What an error must hold."""

    class Refused:
        def __eq__(self, other: object) -> bool:
            assert isinstance(other, dict)
            assert set(other) == {
                "domain", "code", "message", "invariants", "outcome", "request_id",
                "engine_reply", "next", "exit",
            }  # fmt: skip
            found = (other["code"], other["exit"], other["domain"], other["outcome"])
            return found == (code, exit_code, domain, "not_executed")

    return Refused()


@pytest.mark.parametrize(
    "command",
    [
        "inspect cluster", "inspect nodes", "inspect node n1", "inspect replication",
        "inspect promotion", "inspect wal", "inspect mvcc", "inspect snapshots", "health",
        "snapshot",
    ],
)  # fmt: skip
def test_every_view_gets_exactly_one_request(command: str) -> None:
    with answering(answer(document())) as kernel:
        result = run(*command.split(), "-o", "json", "--kernel", kernel.url)
    assert result.code == 0
    assert set(result.json) == {"api_version", "observed_at", "data", "notes"}
    ((path, headers),) = kernel.requests
    assert path.startswith("/v1/snapshot?include=")
    assert "authorization" not in headers


def test_options_stand_before_or_after_the_command(tmp_path: Path) -> None:
    with answering(answer(document())) as kernel:
        after = run("inspect", "nodes", "-o", "json", "--kernel", kernel.url)
        before = run("-o", "json", "--kernel", kernel.url, "inspect", "nodes")
        variable = {"AEROCTL_KERNEL": kernel.url}
        between = run("inspect", "-o", "json", "nodes", environment=variable)
    assert before == after == between


def test_the_token_is_sent_and_never_shown(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-token\n")
    token.chmod(0o600)
    with answering(answer(document())) as kernel:
        common = (*NODES, "--kernel", kernel.url, "--debug")
        results = [
            run(*common, "--token-file", str(token)),
            run(*common, environment={"AEROCTL_TOKEN_FILE": str(token)}),
            run(*common, environment={"AEROCTL_TOKEN": "s3cret-token"}),
        ]
    assert [headers["authorization"] for _, headers in kernel.requests] == [
        "Bearer s3cret-token"
    ] * 3
    assert all(result.code == 0 and "s3cret" not in result.out + result.err for result in results)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-token")
    token.chmod(mode)
    result = run(*NODES, "--token-file", str(token))
    assert (result.code, result.error["code"]) == (2, "TOKEN_EXPOSED")


@pytest.mark.parametrize("content", ["", "two words", "caf\u00e9", "a\x1bb"])
def test_what_is_no_token_is_refused(tmp_path: Path, content: str) -> None:
    token = tmp_path / "token"
    token.write_text(content)
    token.chmod(0o600)
    result = run(*NODES, "--token-file", str(token))
    assert (result.code, result.error["code"]) == (2, "TOKEN_UNREADABLE")


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:9191", "http://kernel.example", "http://10.0.0.1",
        "http://localhost.example", "http://127.0.0.1.example",
    ],
)  # fmt: skip
def test_no_token_goes_out_unencrypted(url: str) -> None:
    result = run(*NODES, "--kernel", url, environment=TOKEN)
    assert (result.code, result.error["code"]) == (3, "TOKEN_OVER_PLAINTEXT")
    proxied = ("--kernel", "http://127.0.0.1:1", "--proxy", "http://127.0.0.1:2")
    assert run(*NODES, *proxied, environment=TOKEN).error["code"] == "TOKEN_OVER_PLAINTEXT"


def test_proxy_variables_divert_nothing() -> None:
    proxy = {"HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}
    with answering(answer(document())) as kernel:
        assert run(*NODES, "--kernel", kernel.url, environment=proxy).code == 0
        assert run(*NODES, "--kernel", "http://kernel.example", "--proxy", kernel.url).code == 0
    assert kernel.requests[1][0].startswith("http://kernel.example/v1/snapshot")


def test_redirects_are_not_followed() -> None:
    error = nodes(answer(b"", 302, location="http://evil.example/"))
    assert error == refused("REDIRECT_REFUSED", 5, "transport")
    assert "http://evil.example/" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>hello</html>", id="html"),
        pytest.param(b'{"api_version": "v1"}', id="nothing-else"),
        pytest.param(document(data=None), id="no-data"),
        pytest.param(document(data={**ENVELOPE.data.model_dump(), "nodes": None}), id="no-nodes"),
        pytest.param(document(observed_at={"revision": "57"}), id="wrong-type"),
        pytest.param(document(data={**DATA, "nodes": DATA["nodes"] * 2}), id="a-node-twice"),
        pytest.param(document(data={**DATA, "nodes": []}), id="measured-unlisted-node"),
        pytest.param(document(data={**DATA, "replication": []}), id="unmeasured-node"),
        pytest.param(
            document(data={**DATA, "cluster": {**DATA["cluster"], "leader": None}}),
            id="two-minds-about-the-leader",
        ),
        pytest.param(document().replace(b'"tags": {}', b'"tags": {"a": NaN}'), id="nan"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"api_version": "v1", "api_version\xff": 1}', id="not-utf8"),
        pytest.param(b'{"api_version": "\\ud800"}', id="lone-surrogate"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_refused(body: bytes) -> None:
    assert nodes(answer(body)) == refused("CONTRACT_BROKEN", 7, "control_plane_validation")


def test_another_version_is_refused() -> None:
    error = nodes(answer(document(api_version="v2")))
    assert error == refused("UNKNOWN_API_VERSION", 7, "control_plane_validation")


def test_fields_of_a_newer_kernel_are_ignored() -> None:
    with answering(answer(document(extra={"a": 1}))) as kernel:
        assert run(*NODES, "--kernel", kernel.url).code == 0


def test_another_revision_than_the_one_asked_for_is_refused() -> None:
    explicit = {**ENVELOPE.observed_at.model_dump(), "kind": "historical"}
    assert nodes(answer(document()), "--at", "57")["code"] == "CONTRACT_BROKEN"
    assert nodes(answer(document(observed_at=explicit)))["code"] == "CONTRACT_BROKEN"
    assert nodes(answer(document(observed_at=explicit)), "--at", "56")["code"] == "CONTRACT_BROKEN"


def test_the_kernels_own_error_passes_verbatim() -> None:
    own = {
        "domain": "kernel_rejection",
        "code": "SOMETHING_NEW",
        "message": " in the kernel's \x1b[31mown words ",
        "invariants": ["P6-F1"],
        "outcome": "not_executed",
        "request_id": "r-1",
    }
    body = json.dumps({"error": own}).encode()
    assert nodes(answer(body, 409)) == {"engine_reply": None, **own, "next": None, "exit": 4}
    with answering(answer(body, 409)) as kernel:
        text = run("inspect", "nodes", "--kernel", kernel.url).err
    assert "SOMETHING_NEW:  in the kernel's \\x1b[31mown words" in text


OWN = {code for code, row in ERROR_CODES.items() if row.status is None}
BY_DOMAIN = {
    "operator_input": 2, "control_plane_validation": 3, "kernel_rejection": 4, "transport": 5,
}  # fmt: skip


@pytest.mark.parametrize("domain", BY_DOMAIN)
@pytest.mark.parametrize("code", sorted(OWN))
def test_a_kernel_can_not_make_itself_a_fault_or_an_interrupt_of_aeroctl(
    code: str, domain: str
) -> None:
    own: dict[str, Any] = {
        "domain": domain, "code": code, "message": "m", "invariants": [],
        "outcome": "not_executed", "request_id": None,
    }  # fmt: skip
    error = nodes(answer(json.dumps({"error": own}).encode(), 409))
    assert error == {"engine_reply": None, **own, "next": None, "exit": BY_DOMAIN[domain]}


@pytest.mark.parametrize("domain", BY_DOMAIN)
@pytest.mark.parametrize(
    "code", [*ERROR_CODES, "exit", "130", "SystemExit", "KeyboardInterrupt", ""]
)
@pytest.mark.parametrize("outcome", ["not_executed", "unknown", "executed"])
def test_no_error_of_a_kernel_has_an_exit_code_that_means_something_here(
    code: str, domain: Any, outcome: Any
) -> None:
    found = Failure(code, "m", domain, (), outcome, from_kernel=True).exit
    assert found in {2, 3, 4, 5, 6, 7, 9}


def test_which_codes_are_aeroctls_own() -> None:
    """Exactly those that no module of the kernel mentions."""
    kernel = Path(str(aeroctl.kernel.__file__)).parent
    said = {
        node.value
        for path in kernel.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {code for code in ERROR_CODES if code not in said} == OWN


@pytest.mark.parametrize("status", [404, 500, 502])
def test_an_error_that_is_not_a_kernels_is_refused(status: int) -> None:
    error = nodes(answer(b"<h1>Bad Gateway</h1>", status))
    assert error == refused("CONTRACT_BROKEN", 7, "control_plane_validation")
    assert f"HTTP {status}" in error["message"]


def test_an_unknown_outcome_is_never_less_than_that() -> None:
    own: dict[str, Any] = {
        "domain": "transport", "code": "STORE_UNAVAILABLE", "message": "gone",
        "invariants": [], "outcome": "unknown", "request_id": None,
    }  # fmt: skip
    assert nodes(answer(json.dumps({"error": own}).encode(), 503))["exit"] == 6


def test_a_file_is_preferred_to_the_variable(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("from-file")
    token.chmod(0o600)
    with answering(answer(document())) as kernel:
        run(*NODES, "--kernel", kernel.url, "--token-file", str(token), environment=TOKEN)
    assert kernel.requests[0][1]["authorization"] == "Bearer from-file"


def test_what_a_newer_kernel_adds_is_in_the_snapshot_as_it_is() -> None:
    with answering(answer(document(extra={"a": 1}))) as kernel:
        assert run("snapshot", "--kernel", kernel.url).json["extra"] == {"a": 1}


def test_no_section_that_was_asked_for_is_dropped() -> None:
    with answering(answer(document())) as kernel:
        run(
            "snapshot",
            "--include",
            "cluster",
            "--include",
            "wal",
            "--at",
            "5",
            "--kernel",
            kernel.url,
        )
    assert kernel.requests[0][0] == "/v1/snapshot?include=cluster%2Cwal&at=5"


def test_a_check_of_nothing_and_of_the_unknown_does_not_pass() -> None:
    """P7-F1. n1 of the sample does not answer."""
    for rule, code in {
        "single_writr": 8,
        "all_answer": 8,
        "all_running": 8,
        "one_leader": 0,
    }.items():
        with answering(answer(document())) as kernel:
            done = run("health", "--check", "--filter", f"rule_id={rule}", "--kernel", kernel.url)
        assert done.code == code, rule


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 1000)
    error = nodes(answer(b" " * 2000))
    assert error == refused("ANSWER_TOO_LARGE", 7, "control_plane_validation")


def test_the_timeout_binds_the_whole_answer() -> None:
    """A body that drips keeps every single read short."""
    over = threading.Event()

    def drip(request: Any) -> None:
        request.send_response(200)
        request.send_header("content-length", "1000")
        request.end_headers()
        while not over.wait(0.05):
            request.wfile.write(b" ")

    with answering(drip) as kernel:
        started = time.monotonic()
        result = run(*NODES, "--kernel", kernel.url, "--timeout", "0.4")
        assert time.monotonic() - started < 5
        over.set()
    assert (result.code, result.error["code"]) == (5, "KERNEL_TIMEOUT")


def test_a_connection_that_is_cut_is_a_transport_failure() -> None:
    def cut(request: Any) -> None:
        request.send_response(200)
        request.send_header("content-length", "1000")
        request.end_headers()
        request.wfile.write(b"{")
        request.close_connection = True

    assert nodes(cut) == refused("CONNECTION_LOST", 5, "transport")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    result = run(*NODES, "--kernel", f"http://127.0.0.1:{port}")
    assert (result.code, result.error["code"]) == (5, "KERNEL_UNREACHABLE")


def test_plain_text_where_tls_is_asked_for() -> None:
    with answering(answer(document())) as kernel:
        result = run(*NODES, "--kernel", kernel.url.replace("http", "https"))
    assert (result.code, result.error["code"]) == (5, "TLS_FAILED")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "kernel",
        "ftp://kernel",
        "http://",
        "http://u:p@127.0.0.1",
        "http://127.0.0.1/x",
        "http://[::1",
        "http://127.0.0.1:65537",
        "http://a..b",
        f"http://{'a' * 70}",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    result = run(*NODES, "--kernel", url)
    assert (result.code, result.error["code"]) == (2, "BAD_KERNEL_URL")


def test_an_unreadable_authority_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        result = run(*NODES, "--kernel", "https://127.0.0.1:1", "--ca-file", str(tmp_path / name))
        assert (result.code, result.error["code"]) == (2, "BAD_TLS_FILE")


def test_an_unknown_node_and_an_unknown_field_are_the_operators() -> None:
    with answering(answer(document())) as kernel:
        node = run("inspect", "node", "n9", "-o", "json", "--kernel", kernel.url)
        field = run(*NODES, "--filter", "nme=n1", "--kernel", kernel.url)
    assert (node.code, node.error["code"]) == (2, "UNKNOWN_NODE")
    assert (field.code, field.error["code"]) == (2, "UNKNOWN_FIELD")
