"""The compiled contract is the models' contract."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json

from aeroctl.contract import compiled, snapshot_schema
from aeroctl.contract.envelope import SnapshotEnvelope
from tests.support.arbitrary import ENVELOPES
from tests.support.examples import examples
from tests.support.samples import document
from tests.tools.compile import compiled as compile_models

quickly = examples(
    50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_it_is_made_from_the_models() -> None:
    assert Path(snapshot_schema.__file__).read_text() == compile_models(), "run: make contract"


@quickly
@given(ENVELOPES)
def test_it_accepts_what_the_models_accept(envelope: SnapshotEnvelope) -> None:
    body = envelope.model_dump_json().encode()
    assert to_json(compiled.parse_snapshot(body), fallback=vars) == body


@quickly
@given(ENVELOPES, st.data())
def test_it_refuses_what_the_models_refuse(envelope: SnapshotEnvelope, data: st.DataObject) -> None:
    """One value anywhere is replaced by another, or taken away."""
    tree = json.loads(envelope.model_dump_json())
    place: Any = {"root": tree}
    key: Any = "root"
    while (
        isinstance(place[key], dict | list)
        and place[key]
        and data.draw(st.booleans() | st.just(True))
    ):
        place = place[key]
        key = data.draw(
            st.sampled_from(list(place if isinstance(place, dict) else range(len(place))))
        )
    if data.draw(st.booleans()):
        place[key] = data.draw(st.sampled_from([None, 1, -1, 2**60, 0.5, True, "", "0/1", [], {}]))
    else:
        del place[key]
    body = json.dumps(tree).encode()
    assert _errors(SnapshotEnvelope.model_validate_json, body) == _errors(
        compiled.parse_snapshot, body
    )


def _errors(parse: Any, body: bytes) -> Any:
    try:
        parse(body)
    except ValidationError as error:
        return [(each["loc"], each["type"]) for each in error.errors()]
    return None


def test_another_pydantic_core_falls_back_to_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "SCHEMA", {"type": "something of a later version"})
    assert isinstance(compiled.parse_snapshot(document()), SnapshotEnvelope)


def test_kernel_state_is_immutable() -> None:
    snapshot = compiled.parse_snapshot(document())
    with pytest.raises(AttributeError):
        snapshot.observed_at.revision = 58
