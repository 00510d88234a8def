"""The kernel boundary adapter: the only caller of the kernel, one method per kernel operation.

It never batches, chains or retries (P7-F1, P7-F3), follows no redirect, keeps nothing between
calls, and hands on only what keeps the contract.
"""

import json
import queue
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aeroctl import __version__
from aeroctl.contract.commands import COMMANDS, CommandName
from aeroctl.contract.terms import SECTIONS, STORED, Outcome, Section
from aeroctl.errors import Failure, failure
from aeroctl.sources.moment import Ago, Moment, Time
from aeroctl.workflows.read import Purpose, check_events, check_records

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope
    from aeroctl.contract.envelope import Envelope, SnapshotEnvelope
    from aeroctl.contract.events import EventsEnvelope, PinEnvelope
    from aeroctl.contract.explanation import ExplanationEnvelope
    from aeroctl.contract.requests import CommandRequest, RequestEnvelope

# httpx takes its own fallback for a missing command line: importing it would pull in rich and
# click, a third of its start-up time.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_ERROR_BYTES = 1024 * 1024
MAX_ANSWER_VALUES = 500_000
"""Values in one answer: each takes some 300 B, or 1 kB where it is wrong, however short it is."""
Result = TypeVar("Result")
Reply = tuple[int, str | None, bytearray]
"""Status, Location and body."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a kernel. `timeout` bounds a whole call, in seconds."""

    url: str
    token: str | None = None
    timeout: float = 10.0
    proxy: str | None = None
    ca_file: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel, as one connection reaches it. `trace` gets a line per request and answer."""

    connection: Connection
    trace: Callable[[str], None]

    def holds(self, at: int | None) -> Sequence[Section]:
        """Every section of now; of the revision `at`, those that history holds."""
        return SECTIONS if at is None else STORED

    def snapshot(self, sections: Sequence[Section], at: int | None) -> "SnapshotEnvelope":
        """One consistent snapshot holding `sections`, live or of the revision `at`.

        Exactly one request. Raises Failure; a section that was asked for and is missing, or a
        snapshot of another revision than the one asked for, breaks the contract.
        """
        exchange = self._begin("GET", "/v1/snapshot", _query(sections, at))
        # Loaded while the kernel answers.
        from aeroctl.contract.compiled import parse_snapshot

        return _checked(_parsed(self._body(exchange), parse_snapshot), sections, at)

    def document(self, sections: Sequence[Section], at: int | None) -> dict[str, Any]:
        """The same, as the kernel's own JSON: with what a newer kernel may have added."""
        exchange = self._begin("GET", "/v1/snapshot", _query(sections, at))
        from pydantic_core import from_json

        from aeroctl.contract.compiled import parse_snapshot

        body = self._body(exchange)
        _checked(_parsed(body, parse_snapshot), sections, at)
        document: dict[str, Any] = from_json(body)
        return document

    def explain(self, command: CommandName, target: str | None) -> "ExplanationEnvelope":
        """What `command` on `target` would do, as the kernel proves it. Changes nothing.

        Exactly one request. Raises Failure; an explanation of something else breaks the contract.
        """
        content = json.dumps({"target": target}).encode()
        exchange = self._begin("POST", f"/v1/explain/{command}", {}, content)
        from aeroctl.contract.explanation import ExplanationEnvelope

        answer = _parsed(self._body(exchange), ExplanationEnvelope.model_validate_json)
        found = answer.data
        about = (found.explanation_type, found.inputs.command, found.inputs.target)
        if about != (command, command, target):
            raise failure("CONTRACT_BROKEN", f"asked about {command} {target}, got {about}")
        if found.confirmation != COMMANDS[command].confirmation:  # never less than it takes (P7-A2)
            raise failure("CONTRACT_BROKEN", f"{command} is not a matter of {found.confirmation}")
        return answer

    def command(
        self, command: CommandName, request: "CommandRequest", departure: "Departure", wait: "Wait"
    ) -> "RequestEnvelope":
        """Ask the kernel for one action, once (P7-E1, P7-F3): exactly one POST, whatever happens.

        Raises Failure. Its outcome is `unknown` as soon as the request may have left and no answer
        of the kernel's own says otherwise (P7-E2); `departure` knows whether it has.
        """
        path, content = f"/v1/commands/{command}", request.model_dump_json().encode()
        exchange = self._begin("POST", path, {}, content, departure, wait.seconds)
        from aeroctl.contract.requests import RequestEnvelope

        try:
            status, location, body = exchange.result(wait.tick)
            if status == 200 or 300 <= status < 400:
                answer = _parsed(
                    self._accepted(status, location, body), RequestEnvelope.model_validate_json
                )
                return _about(answer, command, request)
            refusal = _own_refusal(status, body, request)
        except Exception as error:
            known = error if isinstance(error, Failure) else failure("BUG", repr(error))
            outcome: Outcome = "not_executed" if departure.hold_back() else "unknown"
            raise replace(known, outcome=outcome, request_id=request.request_id) from error
        raise refusal

    def request(self, request_id: str) -> "RequestEnvelope":
        """What became of a request, as kernel state proves it. Exactly one request, read-only."""
        exchange = self._begin("GET", f"/v1/requests/{request_id}", {})
        from aeroctl.contract.requests import RequestEnvelope

        answer = _parsed(self._body(exchange), RequestEnvelope.model_validate_json)
        if answer.data.request_id != request_id:
            raise failure("CONTRACT_BROKEN", "the answer is about another request")
        return answer

    def audit(
        self, after: int, at: int | None, since: int | None = None
    ) -> "tuple[AuditEnvelope, list[dict[str, Any]]]":
        """The audit records after the sequence `after`, a page of them, at most, of the revision
        `at`, and none before the revision `since`; and the same as they came, for what a newer
        kernel hashed into them.

        Exactly one request, read-only.
        """
        query = {"after": str(after), **_given(at=at, since=since)}
        exchange = self._begin("GET", "/v1/audit", query)
        from pydantic_core import from_json

        from aeroctl.contract.audit import AuditEnvelope

        body = self._body(exchange)
        answer = _parsed(body, AuditEnvelope.model_validate_json)
        _same_page(answer, at, after, answer.data.next)
        try:
            check_records(answer)
        except ValueError as error:
            raise failure("CONTRACT_BROKEN", str(error)) from error
        return answer, from_json(body)["data"]["records"]

    def events(self, after: int, at: int | None) -> "tuple[EventsEnvelope, dict[str, Any]]":
        """What changed after the revision `after`, a page of it, up to now or to the revision `at`;
        and the page as it came.

        Exactly one request, read-only.
        """
        exchange = self._begin("GET", "/v1/events", {"after": str(after), **_given(at=at)})
        from pydantic_core import from_json

        from aeroctl.contract.events import EventsEnvelope

        body = self._body(exchange)
        answer = _parsed(body, EventsEnvelope.model_validate_json)
        _same_page(answer, at, after, answer.data.next)
        try:
            check_events(answer.data.events, after, answer.observed_at.revision)
        except ValueError as error:
            raise failure("CONTRACT_BROKEN", str(error)) from error
        return answer, from_json(body)["data"]

    def pin(self, moment: Moment, purpose: Purpose = "state") -> "PinEnvelope":
        """Which revisions may have stood at a time, as the kernel's logs pin it.

        Exactly one request, read-only.
        """
        query: dict[str, str] = {"for": purpose}
        query |= {"time": moment.text} if isinstance(moment, Time) else {}
        query |= {"ago": str(moment.seconds)} if isinstance(moment, Ago) else {}
        exchange = self._begin("GET", "/v1/revisions", query)
        from aeroctl.contract.events import PinEnvelope

        answer = _parsed(self._body(exchange), PinEnvelope.model_validate_json)
        pin = answer.data
        if pin.first > pin.last or (purpose == "state" and pin.first == 0):
            raise failure("CONTRACT_BROKEN", "the answer is no revision's")
        return answer

    def _begin(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        content: bytes | None = None,
        departure: "Departure | None" = None,
        seconds: float | None = None,
    ) -> "Call[Reply]":
        connection = replace(self.connection, timeout=seconds or self.connection.timeout)
        line = Line()
        asked = _Asked(method, path, query, content, departure or Departure(), line)
        words = f"{connection.url}: no answer within {connection.timeout:g} s"
        late = failure("KERNEL_TIMEOUT", words)
        return Call(lambda: self._exchange(connection, asked), connection.timeout, late, line.cut)

    def _body(self, exchange: "Call[Reply]") -> bytearray:
        """The body of a 200. Raises Failure for everything else."""
        return self._accepted(*exchange.result())

    def _accepted(self, status: int, location: str | None, body: bytearray) -> bytearray:
        if 300 <= status < 400 and location is not None:
            raise failure(
                "REDIRECT_REFUSED", f"{self.connection.url} redirects to {location}: not followed"
            )
        if status != 200:
            raise _rejection(status, body)
        return body

    def _exchange(self, connection: Connection, asked: "_Asked") -> Reply:
        """One HTTP exchange."""
        headers = {"accept": "application/json", "accept-encoding": "identity"}
        headers["user-agent"] = f"aeroctl/{__version__}"
        if asked.content is not None:
            headers["content-type"] = "application/json"
        url = _checked_url(connection)
        if connection.token is not None:
            headers["authorization"] = f"Bearer {connection.token}"
        target = url.join(asked.path).copy_merge_params(asked.query)
        self.trace(f"{asked.method} {target}")
        started = time.monotonic()
        try:
            with (
                httpx.Client(
                    verify=_tls(connection, url.scheme),
                    trust_env=False,  # a proxy variable must not divert the token
                    proxy=connection.proxy,
                    timeout=connection.timeout,
                ) as client,
                client.stream(
                    asked.method,
                    target,
                    content=asked.content,
                    headers=headers,
                    follow_redirects=False,
                    extensions={"trace": asked.trace},
                ) as response,
            ):
                largest = MAX_ANSWER_BYTES if response.status_code == 200 else MAX_ERROR_BYTES
                body = bytearray()
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > largest:
                        words = f"the answer is larger than {largest} B"
                        raise failure("ANSWER_TOO_LARGE", words)
        except httpx.UnsupportedProtocol as error:
            raise failure("BAD_KERNEL_URL", f"{connection.url}: {error}") from error
        except httpx.HTTPError as error:
            raise _transport(error, connection, asked.line.tls_refused) from error
        except (httpx.InvalidURL, ValueError, ImportError) as error:
            # A name that can't be looked up (IDNA), a proxy that is no address.
            raise failure("BAD_KERNEL_URL", f"{connection.url}: {error}") from error
        self.trace(f"{response.status_code}, {len(body)} B in {time.monotonic() - started:.3f} s")
        return response.status_code, response.headers.get("location"), body


class Departure:
    """Whether a request has left this process. Until then it can be held back for good.

    Between the two there is nothing: the request's first byte is written only after `leave`.
    """

    def __init__(self) -> None:
        """Not left, not held back."""
        self._lock = threading.RLock()  # a signal may come while it is held
        self._left = self._held = False

    def watch(self, event: str, details: Mapping[str, Any]) -> None:
        """A trace for httpx: called before it writes the first byte of a request."""
        if event.endswith(".send_request_headers.started"):
            if details["request"].method == b"CONNECT":
                return  # to a proxy: of the request itself nothing has left yet
            with self._lock:
                if self._held:
                    raise failure("KERNEL_TIMEOUT", "held back")
                self._left = True

    def hold_back(self) -> bool:
        """Never let it leave. False: it has left already."""
        with self._lock:
            self._held = not self._left
            return self._held


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait for an answer, and whom to tell how many seconds have gone by."""

    seconds: float
    tick: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One HTTP request."""

    method: str
    path: str
    query: dict[str, str]
    content: bytes | None
    departure: Departure
    line: "Line"

    def trace(self, event: str, details: Mapping[str, Any]) -> None:
        """What httpx tells of its steps, as it takes them."""
        self.line.watch(event, details)
        self.departure.watch(event, details)


class Line:
    """The connection of one exchange, which another thread can cut at any moment.

    httpx bounds each read, not the whole: a peer that drips would keep a thread for ever.
    """

    def __init__(self) -> None:
        """Nothing is connected, nothing is cut."""
        self._lock = threading.RLock()  # a signal may come while it is held
        self._stream: Any = None
        self._unheard: Any = None
        self._cut = False
        self.tls_refused = False
        """It ended before the TLS handshake did, on our side or on the peer's."""

    def watch(self, event: str, details: Mapping[str, Any]) -> None:
        """A trace for httpx: what was connected last, bare or in TLS, and how it ended."""
        *_, act, step = event.split(".")
        if hasattr(details.get("return_value"), "get_extra_info"):
            with self._lock:
                self._stream = details["return_value"]
                if self._cut:
                    self.cut()
            tls = self._stream.get_extra_info("ssl_object")
            self._unheard = tls if tls is not None and tls.version() == "TLSv1.3" else None
        if step == "failed" and act == "start_tls":
            self.tls_refused = True
        if step == "failed" and act == "receive_response_headers" and self._unheard is not None:
            # In TLS 1.3 the client's side of the handshake ends first. That its certificate is
            # missed or refused, it hears only when it reads, and from many servers not even that:
            # the connection just ends. One that accepts a client sends it a session ticket first.
            session = self._unheard.session
            self.tls_refused = session is None or not session.has_ticket

    def cut(self) -> None:
        """End what is under way, and whatever would follow."""
        with self._lock:
            self._cut = True
            peer = self._stream and self._stream.get_extra_info("socket")
            if peer is not None:
                with suppress(OSError):  # it is closed already
                    # Not the method of ssl, which forgets the encryption under a reader's hands.
                    socket.socket.shutdown(peer, socket.SHUT_RDWR)


class Call(Generic[Result]):
    """A call that has begun, in a thread that the process does not wait for: what it does (names
    looked up, a pipe opened) may never come back.
    """

    def __init__(
        self,
        call: Callable[[], Result],
        seconds: float,
        late: Failure,
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin `call`. When `seconds` are over, `give_up` has it end, and `late` is raised."""
        self._outcomes: queue.SimpleQueue[Callable[[], Result]] = queue.SimpleQueue()
        self._seconds, self._late, self._give_up = seconds, late, give_up
        self._began = time.monotonic()
        threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Callable[[], Result]) -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the caller
            raised = error

            def fail() -> Result:
                raise raised

            self._outcomes.put(fail)
        else:
            self._outcomes.put(lambda: result)

    def result(self, tick: Callable[[int], None] = lambda _: None) -> Result:
        """What the call returned or raised."""
        while (gone := time.monotonic() - self._began) < self._seconds:
            tick(int(gone))
            with suppress(queue.Empty):
                return self._outcomes.get(timeout=min(1 - gone % 1, self._seconds - gone))()
        self._give_up()
        raise self._late


def _query(sections: Sequence[Section], at: int | None) -> dict[str, str]:
    return {"include": ",".join(sections), **_given(at=at)}


def _given(**parameters: int | None) -> dict[str, str]:
    """The query parameters that have a value."""
    return {name: str(value) for name, value in parameters.items() if value is not None}


def _same_page(answer: "Envelope[Any]", at: int | None, after: int, following: int | None) -> None:
    """Raises CONTRACT_BROKEN where the answer is of another revision than was asked for (P7-D1), or
    the page that follows it does not.
    """
    if at is not None and answer.observed_at.revision != at:
        raise failure("CONTRACT_BROKEN", f"asked for revision {at}, got another one's state")
    if following is not None and following <= after:  # or it would never end
        raise failure("CONTRACT_BROKEN", "the next page does not follow this one")


def _about(
    answer: "RequestEnvelope", command: CommandName, request: "CommandRequest"
) -> "RequestEnvelope":
    """The answer to a command, if it is about that command. Raises CONTRACT_BROKEN."""
    status = answer.data
    found = (status.recorded, status.request_id, status.command, status.target)
    if found != (True, request.request_id, command, request.target):
        raise failure("CONTRACT_BROKEN", "the answer is about another request")
    return answer


def _own_refusal(status: int, body: bytearray, request: "CommandRequest") -> Failure:
    """The kernel's refusal of a command. Raises CONTRACT_BROKEN where it is somebody else's."""
    refusal = _rejection(status, body)
    if refusal.code == "CONTRACT_BROKEN":
        raise refusal
    if refusal.request_id not in (None, request.request_id):
        raise failure("CONTRACT_BROKEN", "the refusal is about another request")
    return replace(refusal, request_id=request.request_id)


def _checked(
    answer: "SnapshotEnvelope", sections: Sequence[Section], at: int | None
) -> "SnapshotEnvelope":
    """The answer, if it is one to this question."""
    missing = [name for name in sections if getattr(answer.data, name) is None]
    if missing:
        raise failure("CONTRACT_BROKEN", f"the answer lacks {', '.join(missing)}")
    seen = answer.observed_at
    if (seen.kind, seen.revision) != (
        ("live", seen.revision) if at is None else ("historical", at)
    ):
        raise failure(
            "CONTRACT_BROKEN",
            f"asked for {'live state' if at is None else f'revision {at}'}, "
            f"got {seen.kind} revision {seen.revision}",
        )
    return answer


def _checked_url(connection: Connection) -> httpx.URL:
    """The kernel's address. The token is shown to no one who listens on the way (P7-F1)."""
    if "@" in connection.url:  # not shown again: it may hold a password
        raise failure("BAD_KERNEL_URL", "give only scheme, host and port; tokens go in a file")
    try:
        url = httpx.URL(connection.url)
        host = url.host  # decoded only here, where an `xn--` name can turn out to be none
    except (httpx.InvalidURL, ValueError) as error:
        raise failure("BAD_KERNEL_URL", f"{connection.url}: {error}") from error
    if url.scheme not in ("http", "https") or not host:
        raise failure("BAD_KERNEL_URL", f"not an http or https address: {connection.url}")
    if url.query or url.fragment or url.path not in ("", "/"):
        raise failure("BAD_KERNEL_URL", f"more than scheme, host and port: {connection.url}")
    if url.port is not None and not 0 < url.port < 65536:
        raise failure("BAD_KERNEL_URL", f"no port of TCP: {url.port}")
    exposed = url.scheme == "http" and (connection.proxy or not _is_loopback(host))
    if connection.token is not None and exposed:
        raise failure(
            "TOKEN_OVER_PLAINTEXT", f"will not send a token unencrypted to {connection.url}"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(connection: Connection, scheme: str) -> ssl.SSLContext:
    if scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used; a real one costs 30 ms
    if connection.key is not None and connection.cert is None:
        raise failure("BAD_TLS_FILE", "--key needs --cert: a key without its certificate")
    try:
        # The system's trust store: the one that an operator's own authority is installed in.
        context = ssl.create_default_context(cafile=_named("--ca-file", connection.ca_file))
        if connection.cert is not None:
            key = _named("--key", connection.key)
            context.load_cert_chain(str(_named("--cert", connection.cert)), key)
    except (OSError, ssl.SSLError) as error:
        raise failure("BAD_TLS_FILE", f"{error}") from error
    return context


def _named(option: str, path: str | None) -> str | None:
    """A file that was named, or None. To ssl an empty name is as good as none at all."""
    if path == "":
        raise failure("BAD_TLS_FILE", f"{option} names no file")
    return path


def _transport(error: httpx.HTTPError, connection: Connection, tls_refused: bool) -> Failure:
    """Which failure an httpx error is."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    words = str(error).rstrip(".") or type(error).__name__
    if cause is not None:
        code = "TLS_FAILED"
    elif isinstance(error, httpx.TimeoutException):
        connecting = isinstance(error, httpx.ConnectTimeout)
        code = "KERNEL_UNREACHABLE" if connecting else "KERNEL_TIMEOUT"
    elif tls_refused:
        code = "TLS_FAILED"
        words += "; the other end closed the connection during the TLS handshake: it may want"
        words += " another client certificate, or one at all"
    elif isinstance(error, httpx.ConnectError):
        code = "KERNEL_UNREACHABLE"
    else:
        code = "CONNECTION_LOST"
    return failure(code, f"{connection.url}: {words}")


def _parsed(body: bytearray, parse: Callable[[bytearray], Result]) -> Result:
    """The answer, if it keeps the contract. Raises UNKNOWN_API_VERSION, CONTRACT_BROKEN, and
    ANSWER_TOO_LARGE for one that would take many times its size.
    """
    from pydantic_core import ValidationError

    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_ANSWER_VALUES:
        words = f"the answer holds more than {MAX_ANSWER_VALUES} values"
        raise failure("ANSWER_TOO_LARGE", words)
    try:
        return parse(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if any(detail["loc"] == ("api_version",) for detail in found):
            raise _other_version(body) from error
        where = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc']) or 'body'}: {detail['msg']}"
            for detail in found[:3]
        )
        raise failure("CONTRACT_BROKEN", where) from error


def _other_version(body: bytearray) -> Failure:
    """The answer's api_version is not ours."""
    from pydantic_core import from_json

    spoken = from_json(body).get("api_version")
    if isinstance(spoken, str):
        words = f"the kernel speaks {spoken}, aeroctl v1"
        return failure("UNKNOWN_API_VERSION", words)
    return failure("CONTRACT_BROKEN", "api_version: it is no text, or missing")


def _rejection(status: int, body: bytearray) -> Failure:
    """The kernel's own error, verbatim; CONTRACT_BROKEN where it sent none."""
    from pydantic import ValidationError

    from aeroctl.contract.errors import ErrorBody

    try:
        error = ErrorBody.model_validate_json(body).error
    except ValidationError:
        start = body[:200].decode("utf-8", "backslashreplace")
        return failure("CONTRACT_BROKEN", f"HTTP {status} without an error of ours: {start}")
    return Failure(
        error.code,
        error.message,
        error.domain,
        tuple(error.invariants),
        error.outcome,
        error.request_id,
        (error.engine_reply.status, error.engine_reply.body) if error.engine_reply else None,
        from_kernel=True,
    )
