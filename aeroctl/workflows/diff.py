"""Two snapshots, each from a kernel or a file, and the differences between them."""

from typing import TYPE_CHECKING

from aeroctl.app import App
from aeroctl.contract.envelope import Note
from aeroctl.errors import failure
from aeroctl.output.output import Header
from aeroctl.sources.moment import Moment
from aeroctl.views.diff import diff, layout, remarks
from aeroctl.views.select import UnknownField, select
from aeroctl.workflows.read import reader_of

if TYPE_CHECKING:
    from aeroctl.views.diff import DiffView

Side = tuple[str | None, Moment | None]
"""The file that a snapshot is read from (None: the kernel), and the moment (None: now)."""


def compare(
    app: App, before: Side, after: Side, filters: tuple[str, ...], sort_by: str | None
) -> "DiffView":
    """Print the differences between the sections that both sides hold, and return them.

    Raises Failure: NOTHING_TO_COMPARE where there are no such sections.
    """
    # One reader for each source: standard input can be read only once.
    readers = {file: reader_of(app, file) for file in dict.fromkeys((before[0], after[0]))}
    old, new = readers[before[0]], readers[after[0]]
    old_at, old_notes = old.revision_of(before[1])
    new_at, new_notes = new.revision_of(after[1])
    in_new = new.source.holds(new_at)
    sections = [name for name in old.source.holds(old_at) if name in in_new]
    if not sections:
        raise failure("NOTHING_TO_COMPARE", "the two snapshots have no section in common")
    was, now = old.source.snapshot(sections, old_at), new.source.snapshot(sections, new_at)
    try:
        view = select(diff(was, now), "changes", filters, sort_by)
    except UnknownField as error:
        raise failure("UNKNOWN_FIELD", str(error)) from error
    notes = [Note(code=code, subject=node, message=text) for code, node, text in remarks(view)]
    header = Header(now.api_version, now.observed_at, [*old_notes, *new_notes, *notes])
    app.output.show(header, view, layout(view))
    return view
