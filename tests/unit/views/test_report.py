"""The incident report: one page that holds all of it, and obeys nobody whose words it shows."""

import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from aeroctl.contract.envelope import SnapshotEnvelope
from aeroctl.contract.events import Event, Standing
from aeroctl.safe_text import safe
from aeroctl.views.entries import merged
from aeroctl.views.entry_text import description
from aeroctl.views.pictures.lanes_svg import PageEntries, bands
from aeroctl.views.report import POLICY, Evidence, VerifiedTrail, render
from tests.factories.events import event, standing
from tests.support import incident
from tests.support.answering import answering
from tests.support.arbitrary import ENVELOPES, NAMES, TEXT, model
from tests.support.examples import examples
from tests.support.harness import run
from tests.unit.sources.test_evidence_file import kernel

VOID = {"meta"}
EVENTS = st.lists(
    model(
        Event,
        revision=st.integers(1, 40),
        node=st.none() | NAMES | TEXT,
        before=st.none() | st.integers(0, 40) | TEXT,
        after=st.none() | st.integers(0, 40) | TEXT,
    ),
    max_size=12,
).map(lambda events: sorted(events, key=lambda each: each.revision))
few = examples(
    15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Page(HTMLParser):
    """A page as a browser takes it apart; raises where elements don't close in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.said.append(data)

    def values(self, name: str) -> list[str]:
        """What every element that has it has for the attribute of that name."""
        found = (attributes.get(name) for _, attributes in self.elements)
        return [value for value in found if value is not None]

    @property
    def text(self) -> str:
        return "\n".join(self.said)


def page_of(**changes: Any) -> str:
    """The report on the incident, with parts of it replaced."""
    envelope = incident.snapshot()
    parts: dict[str, Any] = {
        "envelope": envelope, "base": incident.BASE, "events": incident.EVENTS,
        "trail": incident.checked(), "notes": envelope.notes, **changes,
    }  # fmt: skip
    return render(Evidence(**parts))


def pictures(html: str) -> list[ElementTree.Element]:
    """Every SVG of the page, which must be well-formed by itself."""
    found = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    return [ElementTree.fromstring(each) for each in found]


def check(html: str) -> Page:
    """What holds of every report: it is ASCII, hangs together, and leads nowhere outside."""
    assert html.isascii()
    assert html.replace("\n", "").isprintable()
    page = Page(html)
    ids = page.values("id")
    assert [each for each, times in Counter(ids).items() if times > 1] == []
    assert {href.removeprefix("#") for href in page.values("href")} <= set(ids)
    assert {name for each in page.values("aria-labelledby") for name in each.split()} <= set(ids)
    allowed = {"a", "body", "caption", "circle", "defs", "desc", "div", "h1", "h2", "head", "html",
               "li", "main", "meta", "nav", "p", "path", "pattern", "rect", "section", "strong",
               "style", "svg", "table", "tbody", "td", "text", "th", "thead", "title", "tr",
               "ul"}  # fmt: skip
    assert {tag for tag, _ in page.elements} <= allowed
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "style")}
    for tag, attributes in page.elements:
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
    for picture in pictures(html):
        assert picture.get("aria-hidden") == "true" or picture.find("title") is not None
    return page


def rows(page: Page) -> list[str]:
    """The ids of the story's rows."""
    return [each for each in page.values("id") if each.startswith("entry-")]


def test_all_of_the_incident_is_in_it() -> None:
    html = page_of()
    page = check(html)
    assert len(rows(page)) == len(incident.EVENTS) + 5
    for entry in merged(incident.EVENTS, incident.records()[0]):
        assert str(entry.revision) in page.said
        assert safe(description(entry)) in page.text
    for said in (
        "intact",
        "mallory (operator)",
        "drill 7",
        incident.FIRST,
        incident.records()[1].hash,
    ):
        assert said in page.text
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in page.elements
    assert ("html", {"lang": "en"}) in page.elements
    assert "http:" not in html
    assert "https:" not in html
    assert re.findall(r"url\(.*?\)|@import|@font-face", html) == ["url(#hatch)"]


def test_nobody_whose_words_it_shows_can_write_in_it() -> None:
    evil = '</script></title></style></svg><b onload="x">&amp;\u202e\x1b[2J\\\ud800'
    base = standing(812, (evil,), evil)
    events = [event(900, "state_changed", evil, before=evil, after=evil, detail=evil)]
    envelope = incident.snapshot()
    data = envelope.data
    assert data.nodes is not None
    assert data.cluster is not None
    nodes = [data.nodes[0].model_copy(update={"name": evil, "state": evil}), *data.nodes[1:]]
    cluster = data.cluster.model_copy(update={"name": evil})
    told = data.model_copy(update={"nodes": nodes, "cluster": cluster})
    named = envelope.model_copy(update={"data": told})
    html = page_of(envelope=named, base=base, events=events)
    page = check(html)
    assert html.count("<b") == html.count("<body")
    assert page.text.count(safe(evil)) >= 8
    assert check(page_of()).text.count("</script><b> \\u202e here") >= 2


@few
@given(envelope=ENVELOPES, base=model(Standing), events=EVENTS, trail=st.booleans())
def test_whatever_a_kernel_says_the_page_holds_together(
    envelope: SnapshotEnvelope, base: Standing, events: list[Event], trail: bool
) -> None:
    kept: VerifiedTrail | None = incident.checked() if trail else None
    parts: dict[str, Any] = {"envelope": envelope, "base": base, "events": events, "trail": kept}
    html = page_of(notes=envelope.notes, **parts)
    page = check(html)
    assert html == page_of(notes=envelope.notes, **parts)
    told = list(merged(events, kept.view.records if kept else ()))
    assert len(rows(page)) == len(told)
    assert {str(each.revision) for each in told} <= set(page.said)
    for note in envelope.notes:
        assert safe(note.message) in page.text


def drawn(base: Standing, events: list[Event]) -> list[ElementTree.Element]:
    """The bands of some events."""
    entries = list(merged(events, []))
    ids = [f"entry-{number}" for number in range(len(entries))]
    told = PageEntries(base, entries, ids, [description(entry) for entry in entries])
    return [ElementTree.fromstring(band.picture) for band in bands(told)]


@few
@given(base=model(Standing), events=EVENTS)
def test_every_entry_has_its_mark_and_every_revision_its_column(
    base: Standing, events: list[Event]
) -> None:
    links = [link for band in drawn(base, events) for link in band.iter("a")]
    columns = [
        int(text.text.split()[0]) for link in links for text in link.iter("text") if text.text
    ]
    assert columns == sorted({event.revision for event in events})
    said = "; ".join(title.text or "" for link in links for title in link.iter("title"))
    for entry in merged(events, []):
        assert entry.kind == "gap" or safe(description(entry)) in said


def lines(picture: ElementTree.Element, style: str) -> list[tuple[int, int, int]]:
    """The lines of a style: where each begins, how high it is, where it ends."""
    found = [path.get("d", "") for path in picture.iter("path") if path.get("class") == style]
    steps = [re.fullmatch(r"M(\d+) (\d+)H(\d+)", each) for each in found]
    return [(int(s[1]), int(s[2]), int(s[3])) for s in steps if s]


def test_lanes_say_who_held_leader_and_who_was_there() -> None:
    base = standing(10, ("n1", "n2"), "n1")
    (picture,) = drawn(
        base,
        [
            event(11, "leader_lost", "n1", cause="lease_ended"),
            event(11, "member_left", "n1", cause="lease_ended"),
            event(12, "leader_gained", "n2", after="n2", since=12),
            event(13, "member_joined", "n1"),
        ],
    )
    (first, second) = sorted(lines(picture, "holds"), key=lambda line: line[1])
    there = lines(picture, "there")
    n1, n2 = first[1], second[1]
    left = min(start for start, _, _ in there)
    right = max(end for _, _, end in there)
    assert first[0] == left  # since before all of it
    assert first[2] < second[0]  # nobody, in between
    assert second[2] == right  # to the end of it
    assert [start for start, high, _ in there if high == n1] == [second[0] + 20]
    assert (left, n2, second[0]) in there
    assert [each for each in picture.iter("path") if each.get("class") == "mark crash"]


def test_in_a_gap_nothing_is_known() -> None:
    base = standing(40, ("n1",), "n1")
    gap = event(1, "gap", before=1, after=40)
    late = event(40, "timeline_ended", "n1", before=1, exact=False)
    (picture,) = drawn(base, [gap, late, event(41, "paused")])
    hatched = [rect for rect in picture.iter("rect") if rect.get("class") == "gap"]
    assert len(hatched) == 2
    ends = max(int(rect.get("x", "")) + int(rect.get("width", "")) for rect in hatched)
    assert [start for start, _, _ in lines(picture, "holds")] == [ends]


def test_a_long_story_is_cut_into_bands_that_leave_nothing_out() -> None:
    base = standing(1, ("n1",), "n1")
    events = [event(revision, "paused") for revision in range(2, 500)]
    found = drawn(base, events)
    assert len(found) > 5
    assert all(int(band.get("width", "")) <= 1200 for band in found)
    assert all(lines(band, "holds") for band in found)


def test_of_many_nodes_those_without_a_part_have_no_lane_and_it_says_so() -> None:
    base = standing(812, tuple(f"n{number}" for number in range(200)), "n1")
    page = check(page_of(base=base, events=[event(900, "member_left", "n7")], trail=None))
    assert "198 nodes have no lane above: nothing happened to them there." in page.text


def test_it_says_what_is_absent() -> None:
    note = incident.snapshot().notes
    assert "audit trail not shown: it was not read" in check(page_of(trail=None, notes=note)).text
    data = incident.snapshot().data.model_copy(update={"replication": None})
    envelope = incident.snapshot().model_copy(update={"data": data})
    said = check(page_of(envelope=envelope)).text
    assert "history does not hold it" in said


def test_a_broken_chain_is_told() -> None:
    whole = incident.checked()
    found = whole.view.verification
    assert found is not None
    from aeroctl.views.audit import AuditView, Verification

    reason = "its content does not match its hash"
    broken = Verification("broken", found.records, 3, reason, None, None)
    trail = VerifiedTrail(AuditView(whole.view.records, (), broken), whole.head)
    assert "its content does not match its hash" in check(page_of(trail=trail)).text


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "case.json"
    path.write_text(incident.case())
    return path


@pytest.mark.process
def test_the_same_file_gives_the_same_bytes_wherever_it_is_read(case: Path) -> None:
    here = run("report", "--from", str(case))
    assert here.code == 0, here.err
    assert here.out == page_of()
    elsewhere = {"TZ": "Asia/Kolkata", "LC_ALL": "C", "COLUMNS": "40", "PYTHONHASHSEED": "7",
                 "PYTHONIOENCODING": "latin-1"}  # fmt: skip
    command = [sys.executable, "-m", "aeroctl", "report", "--from", str(case)]
    there = subprocess.run(command, env=elsewhere, capture_output=True, check=True, timeout=60)
    assert there.stdout.decode("ascii") == here.out
    assert run("report", "--from", str(case), terminal=True, columns=30).out == here.out


@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
def test_the_kernel_and_a_file_of_it_give_the_same_page(tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    with answering(kernel()) as served:
        live = run("report", "--kernel", served.url)
        path.write_text(run("snapshot", "--full", "--kernel", served.url).out)
    assert live.code == 0, live.err
    assert run("report", "--from", str(path)).out == live.out
    assert len(rows(check(live.out))) == 5


@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
def test_whoever_may_not_read_the_trail_gets_a_report_that_says_so() -> None:
    refusal = (
        b'{"error": {"domain": "control_plane_validation", "code": "NOT_AUTHORIZED", "message":'
        b' "an observer may not", "invariants": [], "outcome": "not_executed", "request_id": null}}'
    )
    with answering(kernel(audit=refusal)) as served:
        live = run("report", "--kernel", served.url)
    assert check(live.out).text.count("audit trail not shown: an observer may not") == 2


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_page_has_no_other_format(case: Path, form: str) -> None:
    refused = run("report", "--from", str(case), "-o", form)
    assert (refused.code, refused.error["code"]) == (2, "USAGE")
