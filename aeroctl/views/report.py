"""View `report`: one page, complete in itself, of what happened to a cluster and how it stands.

The page runs nothing and fetches nothing. The same input gives the same bytes (P7-D1): it has no
time of its own, and every order in it is the kernel's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from aeroctl.views import audit, cluster, health, nodes, replication
from aeroctl.views.blocks import Block, Cell, Flagged
from aeroctl.views.entries import Entry, merged
from aeroctl.views.entry_text import description, time_text
from aeroctl.views.pictures.html import (
    HtmlCell,
    Link,
    Markup,
    Row,
    block,
    element,
    facts,
    joined,
    link,
    table,
    void,
)
from aeroctl.views.pictures.lanes_svg import LEGEND, PageEntries, bands, icon, line_icon
from aeroctl.views.pictures.report_style import STYLE
from aeroctl.views.pictures.topology_svg import topology_svg
from aeroctl.views.timeline import description_cell

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditRecord, BrokenRecord, Head
    from aeroctl.contract.envelope import Note, ObservedAt, Snapshot, SnapshotEnvelope
    from aeroctl.contract.events import Event, Standing

Section = tuple[str, str, Markup]
"""A section's anchor, its heading and its content."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load: nothing but the style that it holds."""
_STORY = ("REVISION", "KIND", "NODE", "WHAT", "TIME AND ITS CLOCK", "REQUEST")
_REQUESTS = (
    "REQUEST", "IDENTITY", "COMMAND", "TARGET", "REASON", "CONFIRMED", "ACKNOWLEDGED", "REVISIONS",
    "WHAT CAME OF IT",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class VerifiedTrail:
    """The audit trail, where it may be read: the records, the verdict on them, the kept end."""

    view: audit.AuditView
    head: "Head"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a report is made of, all of one revision. `envelope`: with its sections cluster, nodes
    and promotion at least. `notes`: the envelope's, and what else is to be said.
    """

    envelope: "SnapshotEnvelope"
    base: "Standing"
    events: "Sequence[Event]"
    trail: VerifiedTrail | None
    notes: "Sequence[Note]"


def render(evidence: Evidence) -> str:
    """The page, in ASCII."""
    snapshot, observed = evidence.envelope.data, evidence.envelope.observed_at
    assert snapshot.cluster is not None
    title = f"Cluster {snapshot.cluster.name} at revision {observed.revision}"
    body = _body(title, _heading(snapshot, observed), _sections(evidence, snapshot))
    page = element("html", _head(title), body, lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _sections(evidence: Evidence, snapshot: "Snapshot") -> Sequence[Section]:
    """The page's sections, in order. To add one, write its function and add it here."""
    entries = _entries(evidence)
    return (
        ("notes", "Notes", _notes(evidence.notes)),
        ("health", "Health", _blocks(health.layout(health.derive(snapshot)))),
        ("topology", "Topology", _topology(snapshot)),
        ("lanes", "Lanes", _lanes(entries)),
        ("story", "Story", _story(entries)),
        ("requests", "Requests", _requests(entries, evidence)),
        ("audit", "Audit trail", _audit(evidence)),
        ("nodes", "Nodes", _blocks(nodes.layout(nodes.derive(snapshot)))),
        ("replication", "Replication", _replication(snapshot)),
    )


def _entries(evidence: Evidence) -> PageEntries:
    """Events and records in one order, each with its place in the page and its description."""
    records: list[AuditRecord | BrokenRecord] = []
    if evidence.trail is not None:
        records = [*evidence.trail.view.records, *evidence.trail.view.broken]
    # A trail that was tampered with may be out of order; the verdict on its chain says so.
    entries = list(merged(evidence.events, sorted(records, key=attrgetter("revision"))))
    return PageEntries(
        evidence.base,
        entries,
        [f"entry-{number}" for number in range(1, len(entries) + 1)],
        [description(entry) for entry in entries],
    )


def _body(title: str, heading: Markup, sections: Sequence[Section]) -> Markup:
    contents = (element("li", link(name, ident)) for ident, name, _ in sections)
    main = (
        element("section", element("h2", name), content, id=ident)
        for ident, name, content in sections
    )
    return element(
        "body",
        _hatch(),
        element("h1", title),
        heading,
        element("nav", element("ul", *contents), aria_label="Contents"),
        element("main", *main),
    )


def _head(title: str) -> Markup:
    return element(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(STYLE)),
    )


def _heading(snapshot: "Snapshot", observed: "ObservedAt") -> Markup:
    """Which cluster, and which state of it."""
    assert snapshot.cluster is not None
    time: Cell = "not known: history keeps no clock"
    if observed.time is not None:
        time = f"{observed.time} by the clock of {observed.clock}"
    return facts(
        (
            ("cluster", snapshot.cluster.name),
            ("system id", snapshot.cluster.system_id),
            ("revision", observed.revision),
            ("state_digest", observed.state_digest),
            ("time", time),
            ("leader", cluster.leader_cell(cluster.leader_fact(snapshot.cluster))),
        )
    )


def _blocks(laid_out: Iterable[Block]) -> Markup:
    return joined(map(block, laid_out))


def _notes(notes: "Sequence[Note]") -> Markup:
    if not notes:
        return _none("none")
    lines = (
        element(
            "li",
            element("strong", f"{note.code}{'' if note.subject is None else ' ' + note.subject}"),
            f": {note.message}",
        )
        for note in notes
    )
    return element("ul", *lines, class_="notes")


def _topology(snapshot: "Snapshot") -> Markup:
    rows = nodes.node_rows(snapshot)
    if not rows:
        return _none("no nodes")
    assert snapshot.cluster is not None
    leader = snapshot.cluster.leader
    about = "Every node is below the one that it streams from, as its own receiver reports."
    if snapshot.replication is None:
        about = "The replication connections of an earlier state are unknown."
    picture = element(
        "div", topology_svg(rows, leader.since if leader else None), class_="wide", tabindex=0
    )
    return joined([_about(about), picture])


def _lanes(entries: PageEntries) -> Markup:
    pictures = bands(entries)
    if not pictures:
        return _none("nothing happened")
    lines = (
        ("holds", "holds the leader key"),
        ("there", "registered; no line: not registered"),
        ("gap", "gap: history was compacted, not all is known"),
    )
    legend = [element("li", line_icon(style), text) for style, text in lines]
    legend += [element("li", icon(shape), text) for shape, text in LEGEND]
    parts = [
        _about(
            "A column is a revision, in the kernel's order; columns are no measure of time. Above "
            "it is the time of day where one was logged, by the clock that the story names. Every "
            "mark leads to its line in the story."
        ),
        element("ul", *legend, class_="legend"),
    ]
    for band in pictures:
        parts.append(element("div", band.picture, class_="wide", tabindex=0))
        if band.left_out:
            text = f"{band.left_out} nodes have no lane above: nothing happened to them there."
            parts.append(_about(text))
    return joined(parts)


def _story(entries: PageEntries) -> Markup:
    """A row per entry; those of one revision are drawn together."""
    rows = []
    last = None
    for entry, ident in zip(entries.entries, entries.ids, strict=True):
        style = "gap" if entry.kind == "gap" else "same" if entry.revision == last else None
        last = entry.revision
        request = entry.request_id
        cells: tuple[HtmlCell, ...] = (
            entry.revision,
            entry.kind,
            entry.node,
            description_cell(entry),
            _time(entry),
            None if request is None else Link(request, f"request-{request}"),
        )
        rows.append(Row(cells, ident, style))
    return table(_STORY, rows, None, "nothing happened")


def _time(entry: Entry) -> HtmlCell:
    if (time := time_text(entry)) is None:
        return None
    return joined(
        [element("div", time, class_="id"), element("div", entry.clock or "", class_="none")]
    )


def _requests(entries: PageEntries, evidence: Evidence) -> Markup:
    """A row per request id, in the order in which they came."""
    if evidence.trail is None:
        return _not_shown(evidence.notes)
    places = {
        entry.sequence: ident
        for entry, ident in zip(entries.entries, entries.ids, strict=True)
        if entry.source == "audit"
    }
    requests: dict[str, list[AuditRecord]] = {}
    for record in evidence.trail.view.records:
        requests.setdefault(record.request_id, []).append(record)
    rows = [Row(_request(each, places), f"request-{request}") for request, each in requests.items()]
    return table(_REQUESTS, rows, None, "nothing was asked for")


def _request(
    records: "Sequence[AuditRecord]", places: dict[int | None, str]
) -> tuple[HtmlCell, ...]:
    first = records[0]
    confirmed = next((each.confirmation for each in records if each.confirmation), None)
    ends = [each for each in records if each.kind in ("outcome", "refused")]
    came: HtmlCell = Flagged("no outcome is recorded")
    if ends:
        came = _lines(
            ": ".join(part for part in (each.outcome or each.kind, each.code, each.message) if part)
            for each in ends
        )
    revisions = _lines(
        (
            joined([f"{each.kind} ", link(str(each.revision), places[each.sequence])])
            for each in records
        ),
        "id",
    )
    return (
        first.request_id,
        # An id that is not fresh may have been sent by another caller.
        _lines(dict.fromkeys(f"{each.identity} ({each.authority})" for each in records)),
        first.command,
        first.target,
        first.reason,
        None if confirmed is None else f"{confirmed.kind}, {confirmed.given}",
        None if confirmed is None else ", ".join(confirmed.acknowledged) or None,
        revisions,
        came,
    )


def _lines(texts: Iterable[str], style: str | None = None) -> Markup:
    """Several texts in one cell."""
    return joined(element("div", text, class_=style) for text in texts)


def _audit(evidence: Evidence) -> Markup:
    if evidence.trail is None:
        return _not_shown(evidence.notes)
    head = evidence.trail.head
    kept = (("kept end, record", head.sequence), ("kept end, hash", head.hash))
    return joined([_blocks(audit.layout(evidence.trail.view)), facts(kept)])


def _not_shown(notes: "Sequence[Note]") -> Markup:
    said = [note.message for note in notes if note.code == "AUDIT_NOT_SHOWN"]
    return _none(f"audit trail not shown: {'; '.join(said) or 'it was not read'}")


def _replication(snapshot: "Snapshot") -> Markup:
    if snapshot.replication is None:
        return _none("not shown: it is measured on the nodes, and history does not hold it.")
    return _blocks(replication.layout(replication.derive(snapshot)))


def _about(text: str) -> Markup:
    return element("p", text, class_="about")


def _none(text: str) -> Markup:
    return element("p", text, class_="none")


def _hatch() -> Markup:
    """The pattern of gaps, for every picture of the page."""
    line = element("path", d="M0 8L8 0", class_="hatch")
    pattern = element("pattern", line, id="hatch", width=8, height=8, patternUnits="userSpaceOnUse")
    return element(
        "svg",
        element("defs", pattern),
        width=0,
        height=0,
        class_="defined",
        aria_hidden="true",
    )
