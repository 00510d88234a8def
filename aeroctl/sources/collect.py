"""The content of an evidence file: snapshot, events, audit trail of one revision, and a digest."""

from collections.abc import Mapping
from typing import Any

from aeroctl.contract.canonical import canonical_digest
from aeroctl.errors import Failure, failure
from aeroctl.sources.source import Source, check_count

Document = dict[str, Any]


def collect(source: Source, at: int | None) -> Document:
    """All that `source` holds of one revision, `at` or now. Raises Failure.

    Without the authority to read the audit trail the content lacks it, and a note says so.
    """
    taken = source.document(source.holds(at), at)
    revision = taken["observed_at"]["revision"]
    notes = list(taken["notes"])
    trail: Document | None = None
    try:
        trail = _audit(source, revision)
    except Failure as refusal:
        if refusal.code != "NOT_AUTHORIZED":
            raise
        notes.append({"code": "AUDIT_NOT_SHOWN", "subject": None, "message": refusal.message})
    data = {"snapshot": taken["data"], "events": _events(source, revision), "audit": trail}
    content = {
        "api_version": taken["api_version"],
        "observed_at": taken["observed_at"],
        "data": data,
        "notes": notes,
    }
    return {**content, "digest": digest(content)}


def digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of an evidence file in canonical form, without its digest; indentation is free."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    return canonical_digest(rest)


def _events(source: Source, revision: int) -> Document:
    answer, page = source.events(0, revision)
    whole: Document = {"base": page["base"], "events": page["events"], "pins": page["pins"]}
    while answer.data.next is not None:
        answer, page = source.events(answer.data.next, revision)
        if any(event["kind"] == "gap" for event in page["events"]):
            raise failure("REVISION_COMPACTED", "history was compacted while it was read")
        whole["events"] += page["events"]
        whole["pins"] += page["pins"]
        check_count(whole["events"])
        check_count(whole["pins"])
    return whole


def _audit(source: Source, revision: int) -> Document:
    answer, records = source.audit(0, revision)
    broken = list(answer.data.broken)
    while answer.data.next is not None:
        answer, more = source.audit(answer.data.next, revision)
        records += more
        broken += answer.data.broken
        check_count(records)
        check_count(broken)
    return {
        "records": records,
        "broken": [hole.model_dump(mode="json") for hole in broken],
        "head": answer.data.head.model_dump(mode="json"),
    }
