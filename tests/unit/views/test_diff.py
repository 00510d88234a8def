"""What changed between two snapshots: the comparison itself, and the command."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from pydantic import BaseModel

from aeroctl.contract.base import Observation
from aeroctl.contract.compiled import parse_snapshot
from aeroctl.contract.envelope import Snapshot, SnapshotEnvelope
from aeroctl.contract.terms import SECTIONS, STORED, Section
from aeroctl.views import diff as module
from aeroctl.views.diff import Change, Place, Scalar, diff, remarks, values
from aeroctl.views.schemas import schema_of
from tests.support.answering import Received, answer, answering
from tests.support.arbitrary import ENVELOPES
from tests.support.examples import examples
from tests.support.harness import run
from tests.support.samples import ENVELOPE, NODE, document

thorough = examples(
    12,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ENVELOPE_PAIRS = st.tuples(ENVELOPES, ENVELOPES)


Values = dict[tuple[Section, *Place], Scalar]


def everything(snapshot: Snapshot, silent: set[tuple[Section, str]]) -> Values:
    return {
        (section, *place): value
        for section in SECTIONS
        for place, value in values(snapshot, section, silent).items()
    }


def there(found: Values) -> Values:
    """Without what has no value: a model's field says no more by that; a tag does."""
    return {
        place: value
        for place, value in found.items()
        if value is not None or place[2].endswith("]")
    }


def typed(found: Values) -> dict[object, tuple[type, Scalar]]:
    """1 is not true."""
    return {place: (type(value), value) for place, value in found.items()}


def mirrored(change: Change) -> Change:
    other: Any = {"added": "removed", "removed": "added", "changed": "changed"}
    place = (change.section, change.node, change.path)
    return Change(*place, other[change.change], change.after, change.before)


@thorough
@given(envelope=ENVELOPES)
def test_nothing_differs_from_itself(envelope: SnapshotEnvelope) -> None:
    assert diff(envelope, envelope).changes == ()
    compiled = parse_snapshot(envelope.model_dump_json().encode())
    assert diff(envelope, compiled).changes == ()


@thorough
@given(pair=ENVELOPE_PAIRS)
def test_the_way_back_is_the_way_mirrored(pair: tuple[SnapshotEnvelope, SnapshotEnvelope]) -> None:
    there_and, back = diff(*pair), diff(pair[1], pair[0])
    assert [mirrored(change) for change in there_and.changes] == list(back.changes)
    assert (there_and.before, there_and.after) == (back.after, back.before)
    assert there_and.unanswered == back.unanswered


@thorough
@given(pair=ENVELOPE_PAIRS)
def test_the_changes_make_the_one_into_the_other(
    pair: tuple[SnapshotEnvelope, SnapshotEnvelope],
) -> None:
    found = diff(*pair)
    silent = {(section, each.node) for each in found.unanswered for section in each.sections}
    was, now = (everything(each.data, silent) for each in pair)
    for change in found.changes:
        place = (change.section, change.node, change.path)
        assert typed({place: was.get(place)}) == typed({place: change.before})
        if change.change == "removed":
            del was[place]
        else:
            assert (place in was) == (change.change == "changed")
            was[place] = change.after
    assert typed(there(was)) == typed(there(now))


@thorough
@given(pair=ENVELOPE_PAIRS)
def test_places_tell_every_value_apart(pair: tuple[SnapshotEnvelope, SnapshotEnvelope]) -> None:
    """No two values share a place, whatever names the kernel sends."""
    one, _ = pair

    def scalars(value: Any) -> int:
        if isinstance(value, BaseModel):
            value = dict(value)
        if isinstance(value, dict):
            return sum(map(scalars, value.values()))
        return sum(map(scalars, value)) if isinstance(value, list) else 1

    seen = {
        section: [row for row in getattr(one.data, section) if row.unavailable is None]
        for section in SECTIONS
        if section not in STORED
    }
    counted = sum(scalars(getattr(one.data, section)) for section in STORED)
    counted += sum(scalars(row.value) for rows in seen.values() for row in rows)
    silent = {
        (section, row.node)
        for section in SECTIONS
        if section not in STORED
        for row in getattr(one.data, section)
        if row.unavailable is not None
    }
    found = everything(one.data, silent)
    assert len(found) == counted + 2 * len(silent)


def test_every_list_of_the_contract_has_an_identity() -> None:
    """A list that the contract gains must say by what its members are the same."""
    lists: set[str] = set()
    known: set[type] = set()

    def walk(kind: Any) -> None:
        for inner in getattr(kind, "__args__", ()):
            walk(inner)
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in known:
            known.add(kind)
            for name, field in kind.model_fields.items():
                if "list[" in str(field.annotation) and kind is not Snapshot:
                    lists.add(name)
                walk(field.annotation)

    walk(Snapshot)
    assert Observation in {base for kind in known for base in kind.__mro__}
    names = {"standbys", "known_from", "shares_address_with", "expected_members"}
    assert lists == {*module._IDENTITY, *names}


def with_node(**changes: Any) -> dict[str, Any]:
    """Changes of the only node, for `document`."""
    return {**ENVELOPE.data.model_dump(), "nodes": [NODE.model_dump() | changes]}


def changes_to(**changes: Any) -> list[tuple[str, str, Scalar, Scalar]]:
    other = SnapshotEnvelope.model_validate_json(document(data=with_node(**changes)))
    found = diff(ENVELOPE, other).changes
    return [(each.path, each.change, each.before, each.after) for each in found]


def test_values_are_what_the_kernel_says() -> None:
    assert changes_to(state="stopped", timeline=2) == [
        ("state", "changed", "running", "stopped"),
        ("timeline", "changed", 1, 2),
    ]
    assert changes_to(state=None) == [("state", "changed", "running", None)]
    assert changes_to(tags={"a.b]": True, "": None, "plain": 1}) == [
        ('tags[""]', "added", None, None),
        ('tags["a.b]"]', "added", None, True),
        ("tags[plain]", "added", None, 1),
    ]


def test_one_is_not_true() -> None:
    one, other = (
        SnapshotEnvelope.model_validate_json(document(data=with_node(tags={"tag": value})))
        for value in (1, True)
    )
    (change,) = diff(one, other).changes
    assert (change.path, change.before, change.after) == ("tags[tag]", 1, True)


def test_another_cluster_comes_first() -> None:
    data = ENVELOPE.data.model_dump()
    data["cluster"] |= {"system_id": "1", "name": "a", "leader_lsn": None}
    other = SnapshotEnvelope.model_validate_json(document(data=data))
    assert [change.path for change in diff(ENVELOPE, other).changes] == [
        "system_id",
        "leader_lsn",
        "name",
    ]


def test_members_of_a_list_go_by_name_not_by_place() -> None:
    data = ENVELOPE.data.model_dump()
    slot = {
        "kind": "physical", "database": None, "active": True, "restart_lsn": "0/1",
        "confirmed_lsn": None, "wal_status": None, "safe_bytes": None, "retained_bytes": 0,
    }  # fmt: skip
    node = {
        "in_recovery": False, "level": "replica", "segment_bytes": 1, "lsn": None,
        "insert_lsn": None, "flushed_lsn": None, "received_lsn": None, "replayed_lsn": None,
        "directory": {"files": 0, "bytes": 0, "oldest_segment": None, "newest_segment": None},
        "archiver": {
            "mode": "off", "archived": 0, "last_archived_segment": None, "last_archived_at": None,
            "failed": 0, "last_failed_segment": None, "last_failed_at": None,
        },
        "max_wal_bytes": 0, "keep_bytes": 0, "slot_limit_bytes": None,
    }  # fmt: skip

    def having(*slots: dict[str, Any]) -> SnapshotEnvelope:
        value = {**node, "slots": [slot | each for each in slots]}
        rows = [{"node": "n1", "value": value, "unavailable": None}]
        return SnapshotEnvelope.model_validate_json(document(data={**data, "wal": rows}))

    one = having({"name": "n2"}, {"name": "n3"})
    other = having({"name": "n3", "restart_lsn": "0/2"})
    found = diff(one, other).changes
    assert {change.node for change in found} == {"n1"}
    assert [(each.path, each.change) for each in found] == [
        ("slots[n2].active", "removed"),
        ("slots[n2].kind", "removed"),
        ("slots[n2].name", "removed"),
        ("slots[n2].restart_lsn", "removed"),
        ("slots[n2].retained_bytes", "removed"),
        ("slots[n3].restart_lsn", "changed"),
    ]

    silent = diff(one, ENVELOPE)  # in which n1 could not be asked
    assert [(each.path, each.after) for each in silent.changes] == [
        ("unavailable.code", "NODE_TIMEOUT"),
        ("unavailable.message", "no answer within 3 seconds"),
    ]
    assert silent.not_compared == ()
    assert ("NODE_NOT_COMPARED", "n1") in [note[:2] for note in remarks(silent)]


class TestCommand:
    """`aeroctl diff`, on files and on what a kernel answers."""

    pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])

    @pytest.fixture
    def files(self, tmp_path: Path) -> tuple[str, str]:
        one, other = tmp_path / "one.json", tmp_path / "other.json"
        one.write_bytes(document())
        other.write_bytes(document(data=with_node(state="stopped", timeline=2)))
        return str(one), str(other)

    def test_files(self, files: tuple[str, str]) -> None:
        found = run("diff", *files, "-o", "json").json
        jsonschema.Draft202012Validator(schema_of("diff")).validate(found)
        assert [change["path"] for change in found["data"]["changes"]] == ["state", "timeline"]
        assert found["data"]["before"]["revision"] == found["observed_at"]["revision"] == 57

    @pytest.mark.parametrize(
        ("chosen", "code"),
        [
            ((), 8),
            (("--filter", "path=timeline"), 8),
            (("--filter", "section=wal"), 0),
        ],
    )
    def test_check_is_about_what_is_shown(
        self, files: tuple[str, str], chosen: tuple[str, ...], code: int
    ) -> None:
        assert run("diff", *files, *chosen).code == 0
        assert run("diff", *files, "--check", *chosen).code == code
        assert run("diff", files[0], files[0], "--check").code == 0

    def test_text(self, files: tuple[str, str]) -> None:
        assert run("diff", *files, "--filter", "node=n1").out.splitlines()[6:9] == [
            "SECTION  NODE  PATH      CHANGE   BEFORE   AFTER",
            "nodes    n1    state     changed  running  stopped",
            "nodes    n1    timeline  changed  1        2",
        ]
        assert run("diff", *files, "--filter", "colour=red").code == 2

    def test_revisions_and_now(self, files: tuple[str, str]) -> None:
        """A revision has what the store held, and no more is asked for on the other side."""

        def answers(request: Received) -> None:
            asked = request.path.partition("include=")[2].partition("&")[0].split("%2C")
            data = {
                name: value if name in asked else None
                for name, value in ENVELOPE.data.model_dump().items()
            }
            observed = ENVELOPE.observed_at.model_dump()
            if "at=12" in request.path:
                observed |= {"kind": "historical", "revision": 12, "time": None, "clock": None}
            answer(document(data=data, observed_at=observed))(request)

        with answering(answers) as kernel:
            now = run("diff", "12", "now", "--kernel", kernel.url, "-o", "json").json
            paths = [path for path, _ in kernel.requests]
            assert [path.partition("?")[2] for path in paths] == [
                "include=cluster%2Cnodes%2Cpromotion&at=12",
                "include=cluster%2Cnodes%2Cpromotion",
            ]
            assert now["data"]["before"]["kind"] == "historical"
            assert now["data"]["changes"] == []
            assert [note["code"] for note in now["notes"]] == ["SECTION_NOT_COMPARED"]
            file = run("diff", files[1], "now", "--kernel", kernel.url, "-o", "json").json
            assert file["data"]["not_compared"] == []
            assert [change["after"] for change in file["data"]["changes"]] == ["running", 1]

    def test_a_number_is_a_revision_unless_it_is_a_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "7").write_bytes(document())
        monkeypatch.chdir(tmp_path)
        assert run("diff", "./7", "./7").code == 0
        assert run("diff", "7", "./7", "--kernel", "http://127.0.0.1:1").code == 5

    def test_standard_input(self, files: tuple[str, str]) -> None:
        assert "stopped" in run("diff", files[1], "-", typed=document().decode()).out

    def test_each_place_is_read_once(self) -> None:
        assert run("diff", "-", "-", "--check", typed=document().decode()).code == 0
        with answering(answer(document())) as kernel:
            asked = ("diff", "now", "now", "--kernel", kernel.url, "--token-file", "-")
            assert run(*asked, typed="secret\n").code == 0

    def test_nothing_in_common_is_no_agreement(
        self, files: tuple[str, str], tmp_path: Path
    ) -> None:
        data = ENVELOPE.data.model_dump()
        half = dict.fromkeys(STORED)
        rest = {name: None for name in data if name not in STORED}
        (tmp_path / "a").write_bytes(document(data=data | half))
        (tmp_path / "b").write_bytes(document(data=data | rest))
        done = run("diff", str(tmp_path / "a"), str(tmp_path / "b"), "--check", "-o", "json")
        assert (done.code, done.error["code"]) == (7, "NOTHING_TO_COMPARE")

    def test_what_is_neither_file_nor_moment(self) -> None:
        done = run("diff", "yesterday", "now", "-o", "json")
        assert (done.code, done.error["code"]) == (2, "USAGE")
        assert "not 'yesterday'; and there is no file of that name" in done.error["message"]
