"""What a recording's renaming keeps: order, equality, distances, and what is verified by hashes."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract import consent
from aeroctl.contract.chain import Chain
from tests.recorded.normalise import (
    MEGABYTE,
    Exchange,
    Names,
    distance_rounded,
    lsn_rounded,
    lsn_value,
    normalise,
    port_named,
)
from tests.support.incident import records

REVISIONS = st.lists(st.integers(1, 10**9), min_size=1, max_size=20)
OFFSETS = st.integers(0, 2**40)
URL = "http://kernel.test/v1/"
STATE = "ab" * 16


def written(offset: int) -> str:
    """An LSN as PostgreSQL writes it."""
    return f"{offset >> 32:X}/{offset & 0xFFFFFFFF:X}"


def answer(revision: int, time: str, **data: Any) -> dict[str, Any]:
    """What the kernel answers, as far as it is renamed."""
    observed = {"revision": revision, "state_digest": STATE, "time": time}
    return {"observed_at": observed, "data": data}


def explanation(token: str) -> dict[str, Any]:
    """An explanation that a token confirms."""
    return answer(
        815, "2026-11-24T10:00:00.5Z",
        observed_snapshot={"revision": 815, "state_digest": STATE, "failover_revision": 812},
        inputs={"command": "request_promotion", "target": "n2", "cluster": "demo",
                "system_id": "7711735463186315894"},
        confirmation_token=token, confirmation_term_seconds=300,
        confirmation_expires_at="2026-11-24T10:05:00.5Z",
    )  # fmt: skip


def audit() -> dict[str, Any]:
    """An answer with a trail whose chain holds."""
    _, head, raw = records()
    data = {"records": raw, "head": json.loads(head.model_dump_json()), "broken": []}
    return answer(931, "2026-11-23T11:00:00Z", **data)


@given(REVISIONS, st.integers(1, 10**9))
def test_revisions_keep_their_order(revisions: list[int], read: int) -> None:
    names = Names(written=sorted(set(revisions)))
    for one in revisions:
        for other in revisions:
            assert (one < other) == (names.write(one) < names.write(other))
        assert (one <= read) == (names.write(one) < names.read(read))


@given(OFFSETS, OFFSETS)
def test_lsns_keep_their_order_and_distances_are_theirs(one: int, other: int) -> None:
    high, low = max(one, other), min(one, other)
    rounded = [lsn_value(lsn_rounded(written(each))) for each in (high, low)]
    assert rounded[0] >= rounded[1]
    assert high - rounded[0] < MEGABYTE
    found = distance_rounded(high - low, [written(high), written(low)])
    assert found == rounded[0] - rounded[1]


@given(st.integers(1024, 65535))
def test_a_port_is_renamed_once(port: int) -> None:
    assert port_named(port_named(port)) == port_named(port)


def test_a_token_confirms_what_the_renamed_explanation_says() -> None:
    about = consent.Confirmable(
        "request_promotion", "n2", "demo", "7711735463186315894", STATE, 812
    )
    old = consent.token(about, 1, 300, bytes(8))
    sent = {"state_digest": STATE, "revision": 815, "confirmation": {"token": old}}
    record = {"time": "2026-11-24T10:00:01Z", "token_digest": consent.fingerprint(old)}
    done, _ = normalise(
        [Exchange(URL + "explain/x", {"target": "n2"}, explanation(old)),
         Exchange(URL + "commands/x", sent, answer(816, "2026-11-24T10:00:02Z", record=record))],
        {},
    )  # fmt: skip
    data = done[0].answer["data"]
    observed = data["observed_snapshot"]
    renamed = consent.Confirmable(
        "request_promotion", "n2", "demo", data["inputs"]["system_id"], observed["state_digest"],
        observed["failover_revision"],
    )  # fmt: skip
    token = data["confirmation_token"]
    assert token != old
    assert consent.confirms(token, renamed)
    assert consent.term(token) == 300
    assert done[1].request["confirmation"]["token"] == token
    assert done[1].request["state_digest"] == observed["state_digest"]
    assert done[1].request["revision"] == observed["revision"]
    assert done[1].answer["data"]["record"]["token_digest"] == consent.fingerprint(token)


def test_the_trails_chain_still_verifies() -> None:
    done, _ = normalise([Exchange(URL + "audit?after=0", None, audit())], {})
    data = done[0].answer["data"]
    chain = Chain()
    chain.follow(data["records"])
    assert chain.end(data["head"]["sequence"], data["head"]["hash"]) is None
    assert data != audit()["data"]


def test_renaming_again_changes_nothing_that_is_in_order() -> None:
    once, _ = normalise([Exchange(URL + "audit?after=0", None, audit())], {})
    twice, _ = normalise(once, {})
    revisions = [
        [each["revision"] for each in done[0].answer["data"]["records"]] for done in (once, twice)
    ]
    times = [[each["time"] for each in done[0].answer["data"]["records"]] for done in (once, twice)]
    assert revisions[0] == revisions[1]
    assert times[0] == times[1]


def test_another_recording_of_the_same_gives_the_same() -> None:
    def recorded(revision: int, lsn: str, second: str, port: int) -> Exchange:
        time = f"2026-11-24T10:00:{second}Z"
        message = f'server at "127.0.0.1", port {port} failed, since revision {revision - 3}'
        return Exchange(
            f"{URL}snapshot?at={revision}", None,
            answer(revision, time, since=revision - 3, lsn=lsn, reply_at=time, message=message),
        )  # fmt: skip

    first = normalise([recorded(815, "0/5000A70", "01.5", 20_001)], {"before": "815"})
    other = normalise([recorded(999, "0/5000BB0", "09.25", 20_065)], {"before": "999"})
    assert first == other
