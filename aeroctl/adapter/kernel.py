"""The kernel boundary adapter: the only caller of the kernel, one method per kernel operation.

It never batches, chains or retries (P7-F1, P7-F3), follows no redirect, keeps nothing between
calls, and hands on only what keeps the contract.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from aeroctl.adapter.answers import (
    check_page,
    matching_snapshot,
    matching_status,
    parsed,
    refusal_of,
    rejection,
)
from aeroctl.adapter.call import Call, Wait
from aeroctl.adapter.steps import Departure, Line
from aeroctl.adapter.transport import Connection, Reply, Request, exchange
from aeroctl.contract.commands import COMMANDS, CommandName
from aeroctl.contract.moments import Ago, Purpose, Time
from aeroctl.contract.pages import check_events, check_records
from aeroctl.contract.terms import SECTIONS, STORED, Outcome, Section
from aeroctl.errors import Failure, failure

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope
    from aeroctl.contract.envelope import SnapshotEnvelope
    from aeroctl.contract.events import EventsEnvelope, PinEnvelope
    from aeroctl.contract.explanation import ExplanationEnvelope
    from aeroctl.contract.requests import CommandRequest, RequestEnvelope


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
        call = self._begin("GET", "/v1/snapshot", _query(sections, at))
        # Loaded while the kernel answers.
        from aeroctl.contract.compiled import parse_snapshot

        return matching_snapshot(parsed(self._body(call), parse_snapshot), sections, at)

    def document(self, sections: Sequence[Section], at: int | None) -> dict[str, Any]:
        """The same, as the kernel's own JSON: with what a newer kernel may have added."""
        call = self._begin("GET", "/v1/snapshot", _query(sections, at))
        from pydantic_core import from_json

        from aeroctl.contract.compiled import parse_snapshot

        body = self._body(call)
        matching_snapshot(parsed(body, parse_snapshot), sections, at)
        document: dict[str, Any] = from_json(body)
        return document

    def explain(self, command: CommandName, target: str | None) -> "ExplanationEnvelope":
        """What `command` on `target` would do, as the kernel proves it. Changes nothing.

        Exactly one request. Raises Failure; an explanation of something else breaks the contract.
        """
        content = json.dumps({"target": target}).encode()
        call = self._begin("POST", f"/v1/explain/{command}", {}, content)
        from aeroctl.contract.explanation import ExplanationEnvelope

        answer = parsed(self._body(call), ExplanationEnvelope.model_validate_json)
        explained = answer.data
        inputs = explained.inputs
        about = (explained.explanation_type, inputs.command, inputs.target)
        if about != (command, command, target):
            raise failure("CONTRACT_BROKEN", f"asked about {command} {target}, got {about}")
        required = COMMANDS[command].confirmation  # never less, whatever the kernel asks (P7-A2)
        if explained.confirmation != required:
            raise failure(
                "CONTRACT_BROKEN", f"{command} with confirmation {explained.confirmation}"
            )
        return answer

    def command(
        self, command: CommandName, request: "CommandRequest", departure: Departure, wait: Wait
    ) -> "RequestEnvelope":
        """Ask the kernel for one action, once (P7-E1, P7-F3): exactly one POST, whatever happens.

        Raises Failure. Its outcome is `unknown` as soon as the request may have left and no answer
        of the kernel's own says otherwise (P7-E2); `departure` knows whether it has.
        """
        path, content = f"/v1/commands/{command}", request.model_dump_json().encode()
        call = self._begin("POST", path, {}, content, departure, wait.seconds)
        from aeroctl.contract.requests import RequestEnvelope

        try:
            status, location, body = call.result(wait.tick)
            if status == 200 or 300 <= status < 400:
                answer = parsed(
                    self._accepted(status, location, body), RequestEnvelope.model_validate_json
                )
                return matching_status(answer, command, request)
            refusal = refusal_of(status, body, request)
        except Exception as error:
            known = error if isinstance(error, Failure) else failure("BUG", repr(error))
            outcome: Outcome = "not_executed" if departure.hold_back() else "unknown"
            raise replace(known, outcome=outcome, request_id=request.request_id) from error
        raise refusal

    def request(self, request_id: str) -> "RequestEnvelope":
        """What became of a request, as kernel state proves it. Exactly one request, read-only."""
        call = self._begin("GET", f"/v1/requests/{request_id}", {})
        from aeroctl.contract.requests import RequestEnvelope

        answer = parsed(self._body(call), RequestEnvelope.model_validate_json)
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
        call = self._begin("GET", "/v1/audit", query)
        from pydantic_core import from_json

        from aeroctl.contract.audit import AuditEnvelope

        body = self._body(call)
        answer = parsed(body, AuditEnvelope.model_validate_json)
        check_page(answer, at, after, answer.data.next)
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
        call = self._begin("GET", "/v1/events", {"after": str(after), **_given(at=at)})
        from pydantic_core import from_json

        from aeroctl.contract.events import EventsEnvelope

        body = self._body(call)
        answer = parsed(body, EventsEnvelope.model_validate_json)
        check_page(answer, at, after, answer.data.next)
        try:
            check_events(answer.data.events, after, answer.observed_at.revision)
        except ValueError as error:
            raise failure("CONTRACT_BROKEN", str(error)) from error
        return answer, from_json(body)["data"]

    def pin(self, moment: Time | Ago, purpose: Purpose = "state") -> "PinEnvelope":
        """Which revisions may have stood at a time, as the kernel's logs pin it.

        Exactly one request, read-only.
        """
        when = {"time": moment.text} if isinstance(moment, Time) else {"ago": str(moment.seconds)}
        call = self._begin("GET", "/v1/revisions", {"for": purpose, **when})
        from aeroctl.contract.events import PinEnvelope

        answer = parsed(self._body(call), PinEnvelope.model_validate_json)
        pin = answer.data
        if pin.first > pin.last or (purpose == "state" and pin.first == 0):
            raise failure("CONTRACT_BROKEN", "the answer does not name a revision")
        return answer

    def _begin(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        content: bytes | None = None,
        departure: Departure | None = None,
        seconds: float | None = None,
    ) -> Call[Reply]:
        connection = replace(self.connection, timeout=seconds or self.connection.timeout)
        line = Line()
        request = Request(method, path, query, content, departure or Departure(), line)
        words = f"{connection.url}: no answer within {connection.timeout:g} s"
        late = failure("KERNEL_TIMEOUT", words)
        send = partial(exchange, connection, request, self.trace)
        return Call(send, connection.timeout, late, line.cut)

    def _body(self, call: Call[Reply]) -> bytearray:
        """The body of a 200. Raises Failure for everything else."""
        return self._accepted(*call.result())

    def _accepted(self, status: int, location: str | None, body: bytearray) -> bytearray:
        if 300 <= status < 400 and location is not None:
            raise failure(
                "REDIRECT_REFUSED", f"{self.connection.url} redirects to {location}: not followed"
            )
        if status != 200:
            raise rejection(status, body)
        return body


def _query(sections: Sequence[Section], at: int | None) -> dict[str, str]:
    return {"include": ",".join(sections), **_given(at=at)}


def _given(**parameters: int | None) -> dict[str, str]:
    """The query parameters that have a value."""
    return {name: str(value) for name, value in parameters.items() if value is not None}
