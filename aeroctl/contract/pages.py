"""Whether a page of events or of audit records is in order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope
    from aeroctl.contract.events import Event


def check_events(events: "Sequence[Event]", after: int, commit: int) -> None:
    """Raise ValueError unless they come in the order of revisions, after `after` and up to
    `commit`, and a gap says where it ends.
    """
    last = after + 1
    for event in events:
        if not last <= event.commit_id <= commit:
            raise ValueError(f"an event of revision {event.commit_id} is astray")
        last = event.commit_id
        end = event.after
        if event.kind == "gap" and (type(end) is not int or not last <= end <= commit):
            raise ValueError(f"the gap at revision {event.commit_id} has no end")


def check_records(answer: "AuditEnvelope") -> None:
    """Raise ValueError where one is later than the state that it is of. Whether they are whole and
    in order is for the chain to say.
    """
    commits = [record.commit_id for record in answer.data.records]
    for commit in (*commits, *(hole.commit_id for hole in answer.data.broken)):
        if commit > answer.observed_at.commit_id:
            raise ValueError(f"a record of revision {commit} is astray")
