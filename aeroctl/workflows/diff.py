"""Two snapshots, from wherever each of them comes, and what is different between them."""

from typing import TYPE_CHECKING

from aeroctl.contract.envelope import Note
from aeroctl.errors import failure
from aeroctl.sources.moment import Moment
from aeroctl.views.diff import diff, layout, remarks
from aeroctl.views.select import UnknownField, select
from aeroctl.workflows.read import Noted, Reader

if TYPE_CHECKING:
    from aeroctl.views.diff import DiffView

Side = tuple[Reader, Moment | None]
"""Where a snapshot is read, and of when."""


def compare(before: Side, after: Side, filters: tuple[str, ...], sort_by: str | None) -> "DiffView":
    """Read what both sides hold, print what is different, and return it.

    Raises Failure: NOTHING_TO_COMPARE rather than the answer that nothing differs.
    """
    (one, then), (other, since) = before, after
    at, taken = one.revision_of(then)
    until, also = other.revision_of(since)
    held = other.source.holds(until)
    sections = [name for name in one.source.holds(at) if name in held]
    if not sections:
        raise failure("NOTHING_TO_COMPARE", "there is no section that both hold")
    was, now = one.source.snapshot(sections, at), other.source.snapshot(sections, until)
    try:
        view = select(diff(was, now), "changes", filters, sort_by)
    except UnknownField as error:
        raise failure("UNKNOWN_FIELD", str(error)) from error
    notes = [Note(code=code, subject=node, message=text) for code, node, text in remarks(view)]
    shown = Noted(now.api_version, now.observed_at, [*taken, *also, *notes])
    other.output.show(shown, view, layout(view))
    return view
