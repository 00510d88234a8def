"""What an entry of a timeline says: its description and its time, as text. Pure.

To word a new kind of event, add its text to `_TEXTS`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from aeroctl.views.entries import Entry


def description(entry: Entry) -> str:
    """What happened, on one line, without what the entry's other columns show."""
    text = _TEXTS[entry.kind](entry) if entry.kind in _TEXTS else _change(entry)
    if entry.source == "event" and entry.detail:
        text += f" ({entry.detail})"
    if not entry.exact and entry.kind != "broken":
        text += f"; no later than revision {entry.revision}, its place is not known"
    return text


def _change(entry: Entry) -> str:
    subject = entry.subject or entry.kind.removesuffix("_changed").replace("_", " ")
    return f"{subject}: {_value(entry.before)} -> {_value(entry.after)}"


def _value(value: int | bool | str | None) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cause(entry: Entry) -> str:
    return {"released": "released", "lease_ended": "its lease ended"}.get(
        entry.cause or "", "cause not known"
    )


def _requested(entry: Entry) -> str:
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{entry.identity} asks for {entry.command}{reason}"


def _broken(entry: Entry) -> str:
    place = f"audit record {entry.sequence}" if entry.sequence else f"the key {entry.subject}"
    return f"{place} can't be read: {_value(entry.message)}"


def _outcome(entry: Entry) -> str:
    parts = (entry.outcome, entry.code, entry.message)
    return "outcome: " + ": ".join(part for part in parts if part)


_TEXTS: dict[str, Callable[[Entry], str]] = {
    "leader_gained": lambda _: "takes the leader key",
    "leader_lost": lambda entry: (
        f"loses the leader key, held since revision {_value(entry.since)}: {_cause(entry)}"
    ),
    "member_joined": lambda _: "registers",
    "member_left": lambda entry: f"is gone, was {_value(entry.before)}: {_cause(entry)}",
    "transfer_requested": lambda entry: f"transfer pending: {_value(entry.after)}",
    "transfer_cleared": lambda entry: f"transfer no longer pending: {_value(entry.before)}",
    "paused": lambda _: "automatic failover is paused",
    "resumed": lambda _: "automatic failover is resumed",
    "timeline_changed": lambda entry: f"PostgreSQL {_change(entry)}",
    "timeline_ended": lambda entry: f"ends PostgreSQL timeline {_value(entry.before)}",
    "gap": lambda entry: (
        f"revisions {_value(entry.before)} to {_value(entry.after)} are missing: "
        "history was compacted, only its result is known"
    ),
    "requested": _requested,
    "confirmed": lambda entry: f"confirmed: {_value(entry.given)}",
    "dispatched": lambda entry: f"sent to Patroni: {_value(entry.detail)}",
    "outcome": _outcome,
    "broken": _broken,
    "refused": lambda entry: f"refused: {_value(entry.code)}: {_value(entry.message)}",
}


def time_text(entry: Entry) -> str | None:
    """When it happened: the time that was logged, or the two times between which it happened, in
    whole seconds that leave nothing out; None: not known.
    """
    if entry.time is not None:
        return entry.time
    first = _second(entry.not_before, up=False) if entry.not_before else None
    last = _second(entry.not_after, up=True) if entry.not_after else None
    if first and last:
        same_day = first.date() == last.date()
        day = f"{first:%Y-%m-%d} " if same_day else ""
        form = "%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S"
        return f"{day}between {first:{form}} and {last:{form}} UTC"
    if first:
        return f"not before {first:%Y-%m-%d %H:%M:%S} UTC"
    return f"not after {last:%Y-%m-%d %H:%M:%S} UTC" if last else None


def _second(time: str, *, up: bool) -> datetime:
    exact = datetime.fromisoformat(time)
    second = exact.replace(microsecond=0)
    return second + timedelta(seconds=1) if up and second != exact else second
