"""Whether a page of events or of audit records is in order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditEnvelope
    from aeroctl.contract.events import Event


def check_events(events: "Sequence[Event]", after: int, revision: int) -> None:
    """Raise ValueError unless they come in the order of revisions, after `after` and up to
    `revision`, and a gap says where it ends.
    """
    last = after + 1
    for event in events:
        if not last <= event.revision <= revision:
            raise ValueError(f"an event of revision {event.revision} is astray")
        last = event.revision
        end = event.after
        if event.kind == "gap" and (type(end) is not int or not last <= end <= revision):
            raise ValueError(f"the gap at revision {event.revision} has no end")


def check_records(answer: "AuditEnvelope") -> None:
    """Raise ValueError where one is later than the state that it is of. Whether they are whole and
    in order is for the chain to say.
    """
    revisions = [record.revision for record in answer.data.records]
    for revision in (*revisions, *(hole.revision for hole in answer.data.broken)):
        if revision > answer.observed_at.revision:
            raise ValueError(f"a record of revision {revision} is astray")
