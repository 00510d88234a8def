"""Evidence files: snapshot, events and audit trail of one revision, read in place of a kernel.

A file holds the kernel's own answers and a digest of them. aeroctl reads one only where the command
line names it (state model 5.2).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TextIO, cast

from aeroctl.contract.moments import Ago, Purpose, Time
from aeroctl.contract.pages import check_events, check_records
from aeroctl.contract.rfc3339 import shortest
from aeroctl.contract.terms import NODE_SECTIONS, SECTIONS, STORED, Section
from aeroctl.errors import Failure, failure
from aeroctl.sources.collect import Document, digest

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope
    from aeroctl.contract.envelope import SnapshotEnvelope
    from aeroctl.contract.events import EventsEnvelope, Logged, PinEnvelope

_STORED_NOTES = ("NODE_NOT_REGISTERED", "NODE_ADDRESS_UNKNOWN")
"""Notes that the store's own keys give rise to, also where a section says the same of a node."""


def load(path: str, stdin: TextIO | None) -> "EvidenceFile":
    """The evidence file or snapshot at `path`, or (`-`) on standard input.

    Raises EVIDENCE_UNREADABLE, EVIDENCE_DAMAGED, UNKNOWN_API_VERSION.
    """
    try:
        if path == "-":
            body = stdin.buffer.read() if stdin else b""
        else:
            with open(path, "rb") as file:  # noqa: PTH123 - pathlib costs a start-up
                body = file.read()
    except OSError as error:
        raise failure("EVIDENCE_UNREADABLE", f"{path}: {error.strerror}") from error
    return parsed(body, path)


def parsed(body: bytes, name: str) -> "EvidenceFile":
    """A file's content, if it is complete and keeps the contract. `name`: for errors."""
    from pydantic_core import from_json

    try:
        # As json reads a file, but with nothing nested deeper than what follows can go.
        document = from_json(body.decode(json.detect_encoding(body)), allow_inf_nan=False)
    except ValueError as error:
        raise failure("EVIDENCE_DAMAGED", f"{name}: not a JSON document: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        raise failure(
            "EVIDENCE_DAMAGED", f"{name}: neither an evidence file nor a snapshot of aeroctl"
        )
    if document.get("api_version") != "v1":
        raise failure(
            "UNKNOWN_API_VERSION",
            f"{name} has API version {document.get('api_version')}; aeroctl reads v1",
        )
    whole = "snapshot" in document["data"]
    if whole and document.get("digest") != digest(document):
        raise failure("EVIDENCE_DAMAGED", f"{name}: its content does not match its digest")
    file = EvidenceFile(name, document, whole)
    file.check()
    return file


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A source that answers from a file what the kernel would have answered at its revision.

    `whole`: the file holds events and audit trail too. Methods raise NOT_IN_EVIDENCE for
    what it lacks.
    """

    name: str
    content: Document
    whole: bool

    def check(self) -> None:
        """Raise EVIDENCE_DAMAGED unless every part keeps the contract, and the events fit
        together.
        """
        from aeroctl.contract.standing import followed

        try:
            self.snapshot(self.holds(None), None)
            if self.whole:
                page = self.events(0, None)[0].data
                check_events(page.events, 0, self.revision)
                begins = bool(page.events) and page.events[0].kind == "gap"
                steps = page.events[1:] if begins else page.events
                followed(page.base, filter(attrgetter("exact"), steps), self.revision)
                if self.content["data"]["audit"] is not None:
                    check_records(self.audit(0, None)[0])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise failure("EVIDENCE_DAMAGED", f"{self.name}: {error}") from error

    @property
    def revision(self) -> int:
        """The one revision whose state it holds."""
        return cast("int", self.content["observed_at"]["revision"])

    def holds(self, at: int | None) -> Sequence[Section]:
        """As Kernel.holds: of those, what is in the file."""
        could = SECTIONS if at is None else STORED
        return [name for name in could if self._snapshot.get(name) is not None]

    def snapshot(self, sections: Sequence[Section], at: int | None) -> "SnapshotEnvelope":
        """As Kernel.snapshot."""
        from aeroctl.contract.compiled import parse_snapshot

        return parse_snapshot(json.dumps(self.document(sections, at)).encode())

    def document(self, sections: Sequence[Section], at: int | None) -> Document:
        """As Kernel.document."""
        observed = self._observed(at)
        lacking = [
            name
            for name in sections
            if self._snapshot.get(name) is None or (at is not None and name in NODE_SECTIONS)
        ]
        if lacking:
            raise failure("NOT_IN_EVIDENCE", f"{self.name} does not hold {', '.join(lacking)}")
        silent = _silent(self._snapshot, SECTIONS) - _silent(self._snapshot, sections)
        known = set(SECTIONS)
        return {
            "api_version": self.content["api_version"],
            "observed_at": observed,
            "data": {
                name: value if name in sections or name not in known else None
                for name, value in self._snapshot.items()
            },
            "notes": [
                note
                for note in self.content["notes"]
                if note["code"] != "AUDIT_NOT_SHOWN"
                and (
                    note["code"] in _STORED_NOTES
                    or (note["code"], note["subject"], note["message"]) not in silent
                )
            ],
        }

    def audit(
        self, after: int, at: int | None, since: int | None = None
    ) -> "tuple[AuditEnvelope, list[dict[str, Any]]]":
        """As Kernel.audit, all in one page."""
        from aeroctl.contract.audit import AuditEnvelope

        trail = self._part("audit")
        if trail is None:
            raise self._not_authorized()
        records = [
            record
            for record in trail["records"]
            if record["sequence"] > after and record["revision"] >= (since or 0)
        ]
        broken = [
            hole
            for hole in trail["broken"]
            if (hole["sequence"] is None or hole["last"] > after)
            and hole["revision"] >= (since or 0)
        ]
        page = {"records": records, "broken": broken, "head": trail["head"], "next": None}
        return AuditEnvelope.model_validate_json(json.dumps(self._answer(page, at))), records

    def events(self, after: int, at: int | None) -> "tuple[EventsEnvelope, dict[str, Any]]":
        """As Kernel.events, all in one page."""
        from aeroctl.contract.events import Event, EventsEnvelope, Standing
        from aeroctl.contract.standing import followed

        log = self._part("events")
        if after > self.revision:
            words = f"{self.name} ends at revision {self.revision}, before revision {after}"
            raise failure("FUTURE_REVISION", words)
        base = Standing.model_validate_json(json.dumps(log["base"]))
        pins = [pin for pin in log["pins"] if pin["revision"] > after]
        page = {"base": log["base"], "events": log["events"], "pins": pins, "next": None}
        if after > base.revision:
            before = [event for event in log["events"] if event["revision"] <= after]
            steps = [Event.model_validate_json(json.dumps(event)) for event in before]
            exact = [event for event in steps if event.exact and event.kind != "gap"]
            base = followed(base, exact, after)
            page["base"] = base.model_dump(mode="json")
        # A gap that began earlier begins, for this reader, where the reading does.
        page["events"] = [
            {**event, "revision": max(event["revision"], after + 1), "before": after + 1}
            if event["kind"] == "gap" and event["before"] <= after < event["after"]
            else event
            for event in log["events"]
            if (event["after"] if event["kind"] == "gap" else event["revision"]) > after
        ]
        return EventsEnvelope.model_validate_json(json.dumps(self._answer(page, at))), page

    def pin(self, moment: Time | Ago, purpose: Purpose = "state") -> "PinEnvelope":
        """As Kernel.pin, from the logs that it holds. `Ago`: before it was written."""
        from aeroctl.contract.events import PinEnvelope
        from aeroctl.contract.pinning import NotPinned, Pinning, settled

        if self._part("audit") is None:  # without its times another revision might be taken
            words = f"{self.name} lacks the audit trail, whose times date the revisions"
            raise failure("NOT_IN_EVIDENCE", words)
        now = self.content["observed_at"]["time"]
        try:
            pinning = Pinning(_time(moment, now), now)
            for logged in self._logged():
                pinning.see(logged)
            pin = pinning.pinned(self.revision if now else 0, self.revision)
            if purpose == "state":
                pinning.check_bounded(pin, ends=now is None)
                pin = settled(pin, self._changes(pin.first, pin.last), 0)
        except NotPinned as error:
            raise failure("TIME_NOT_PINNED", f"{self.name}: {error}") from error
        except ValueError as error:  # such as the 31st of June
            raise failure(
                "EVIDENCE_DAMAGED", f"{self.name}: it holds an invalid time: {error}"
            ) from error
        return PinEnvelope.model_validate(self._answer(pin.model_dump(), None))

    def _changes(self, first: int, last: int) -> list[int]:
        """The revisions after `first` up to `last` that have an event or an audit record."""
        entries = [*self._part("events")["events"], *self._part("audit")["records"]]
        return sorted({entry["revision"] for entry in entries if first < entry["revision"] <= last})

    def _logged(self) -> "Iterator[Logged]":
        """The times that pins, records and the kernel's history give to revisions."""
        from aeroctl.contract.events import Logged

        def logged(entry: Document, reached: int, source: str) -> Logged:
            names = ("revision", "time", "clock")
            return Logged(**{name: entry[name] for name in names}, reached=reached, source=source)

        for pin in self._part("events")["pins"]:
            yield Logged(**{name: pin[name] for name in Logged.model_fields})
        reached = newest = 0
        for record in self._part("audit")["records"]:
            if record["revision"] > newest:  # those of one revision were written at once
                reached, newest = newest, record["revision"]
            yield logged(record, reached, "audit")
        for event in self._part("events")["events"]:
            if event["time"] is not None and event["exact"]:
                yield logged(event, 0, "history")

    @property
    def _snapshot(self) -> Document:
        data: Document = self.content["data"]
        return cast("Document", data["snapshot"]) if self.whole else data

    def _part(self, name: str) -> Any:
        if not self.whole:
            words = f"{self.name} is a snapshot only, without {name}"
            raise failure("NOT_IN_EVIDENCE", words)
        return self.content["data"][name]

    def _observed(self, at: int | None) -> Document:
        """`observed_at` as the kernel writes it for the revision `at`. Raises NOT_IN_EVIDENCE."""
        observed: Document = self.content["observed_at"]
        if at is None:
            return observed
        if at != self.revision:
            raise failure(
                "NOT_IN_EVIDENCE", f"{self.name} holds revision {self.revision}, not {at}"
            )
        return {**observed, "kind": "historical", "time": None, "clock": None}

    def _answer(self, page: object, at: int | None) -> Document:
        return {
            "api_version": self.content["api_version"],
            "observed_at": self._observed(at),
            "data": page,
            "notes": [],
        }

    def _not_authorized(self) -> Failure:
        reasons = {note["code"]: note["message"] for note in self.content["notes"]}
        message = reasons.get("AUDIT_NOT_SHOWN", "the file holds no audit trail")
        return failure("NOT_AUTHORIZED", message)


def _time(moment: Time | Ago, now: str | None) -> str:
    from aeroctl.contract.pinning import NotPinned

    if isinstance(moment, Time):
        return moment.text
    if now is None:
        raise NotPinned("the file does not say at what time it was taken")
    try:
        return shortest(datetime.fromisoformat(now) - timedelta(seconds=moment.seconds))
    except (OverflowError, ValueError) as error:
        raise NotPinned("that is before the year 1") from error


def _silent(snapshot: Document, sections: Sequence[Section]) -> set[tuple[str, str, str]]:
    """The notes that nodes give rise to which could not be asked for `sections`."""
    return {
        (row["unavailable"]["code"], row["node"], row["unavailable"]["message"])
        for section in sections
        if section in NODE_SECTIONS
        for row in snapshot.get(section) or ()
        if row["unavailable"] is not None
    }
