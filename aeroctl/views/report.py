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
from aeroctl.views.pictures.lanes_svg import LEGEND, Told, bands, icon, line_icon
from aeroctl.views.pictures.report_style import STYLE
from aeroctl.views.pictures.topology_svg import topology_svg
from aeroctl.views.timeline import Entry, flagged, merged, when, words

if TYPE_CHECKING:
    from aeroctl.contract.audit import AuditRecord, BrokenRecord, Head
    from aeroctl.contract.envelope import Note, ObservedAt, Snapshot, SnapshotEnvelope
    from aeroctl.contract.events import Event, Standing

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load: nothing but the style that it holds."""
_STORY = ("REVISION", "KIND", "NODE", "WHAT", "TIME AND ITS CLOCK", "REQUEST")
_REQUESTS = (
    "REQUEST", "WHO", "COMMAND", "TARGET", "REASON", "CONFIRMED", "ACKNOWLEDGED", "REVISIONS",
    "WHAT CAME OF IT",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trail:
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
    trail: Trail | None
    notes: "Sequence[Note]"


def render(evidence: Evidence) -> str:
    """The page, in ASCII."""
    snapshot, observed = evidence.envelope.data, evidence.envelope.observed_at
    assert snapshot.cluster is not None
    # A trail that was tampered with may be out of order; the verdict on its chain says so.
    trail = evidence.trail.view if evidence.trail else None
    records: list[AuditRecord | BrokenRecord] = []
    if trail is not None:
        records = [*trail.records, *trail.broken]
    entries = list(merged(evidence.events, sorted(records, key=attrgetter("revision"))))
    told = Told(
        evidence.base,
        entries,
        [f"entry-{number}" for number in range(1, len(entries) + 1)],
        [words(entry) for entry in entries],
    )
    sections = (
        ("notes", "Notes", _notes(evidence.notes)),
        ("health", "Health", _blocks(health.layout(health.derive(snapshot)))),
        ("topology", "Topology", _topology(snapshot)),
        ("lanes", "Lanes", _lanes(told)),
        ("story", "Story", _story(told)),
        ("requests", "Requests", _requests(told, evidence)),
        ("audit", "Audit trail", _audit(evidence)),
        ("nodes", "Nodes", _blocks(nodes.layout(nodes.derive(snapshot)))),
        ("replication", "Replication", _replication(snapshot)),
    )
    title = f"Cluster {snapshot.cluster.name} at revision {observed.revision}"
    contents = (element("li", link(name, ident)) for ident, name, _ in sections)
    body = (
        _hatch(),
        element("h1", title),
        _heading(snapshot, observed),
        element("nav", element("ul", *contents), aria_label="Contents"),
        element(
            "main",
            *(
                element("section", element("h2", name), content, id=ident)
                for ident, name, content in sections
            ),
        ),
    )
    head = (
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    page = element("html", element("head", *head), element("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


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
    held = snapshot.cluster.leader
    about = "Every node is below the one that it streams from, as its own receiver says."
    if snapshot.replication is None:
        about = "Who streams from whom is not known: history does not hold it."
    picture = element(
        "div", topology_svg(rows, held.since if held else None), class_="wide", tabindex=0
    )
    return joined([_about(about), picture])


def _lanes(told: Told) -> Markup:
    drawn = bands(told)
    if not drawn:
        return _none("nothing happened")
    lines = (
        ("holds", "holds the leader key"),
        ("there", "registered; no line: not registered"),
        ("gap", "gap: history was compacted, not all is known"),
    )
    legend = [element("li", line_icon(style), said) for style, said in lines]
    legend += [element("li", icon(shape), said) for shape, said in LEGEND]
    parts = [
        _about(
            "A column is a revision, in the kernel's order; columns are no measure of time. Above "
            "it is the time of day where one was logged, by the clock that the story names. Every "
            "mark leads to its line in the story."
        ),
        element("ul", *legend, class_="legend"),
    ]
    for band in drawn:
        parts.append(element("div", band.picture, class_="wide", tabindex=0))
        if band.left_out:
            said = f"{band.left_out} nodes have no lane above: nothing happened to them there."
            parts.append(_about(said))
    return joined(parts)


def _story(told: Told) -> Markup:
    """A row per entry; those of one revision are drawn together."""
    rows = []
    last = None
    for entry, ident, said in zip(told.entries, told.ids, told.words, strict=True):
        style = "gap" if entry.kind == "gap" else "same" if entry.revision == last else None
        last = entry.revision
        request = entry.request_id
        cells: tuple[HtmlCell, ...] = (
            entry.revision,
            entry.kind,
            entry.node,
            Flagged(said) if flagged(entry) else said,
            _time(entry),
            None if request is None else Link(request, f"request-{request}"),
        )
        rows.append(Row(cells, ident, style))
    return table(_STORY, rows, None, "nothing happened")


def _time(entry: Entry) -> HtmlCell:
    if (shown := when(entry)) is None:
        return None
    time = element("div", shown, class_="id")
    return joined([time, element("div", entry.clock or "", class_="none")])


def _requests(told: Told, evidence: Evidence) -> Markup:
    """A row per request id, in the order in which they came."""
    if evidence.trail is None:
        return _not_shown(evidence.notes)
    places = {
        entry.sequence: ident
        for entry, ident in zip(told.entries, told.ids, strict=True)
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
        _lines(dict.fromkeys(f"{each.identity} ({each.leader})" for each in records)),
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
