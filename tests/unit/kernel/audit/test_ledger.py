"""Key names, and what the ledger's keys say."""

import pytest

from aeroctl.contract.audit import Head
from aeroctl.contract.chain import NO_HASH
from aeroctl.kernel.audit import ledger
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.store.keyspace import KeyValue

PREFIX = "/service/demo/"
ID = "6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b"
HEAD, FLYING = ledger.head_key("demo"), ledger.inflight_key("demo")
USED = ledger.request_key("demo", ID)
TOKEN = "7" * 64


def test_names() -> None:
    assert ledger.keys("demo", None) == ["/aerodb/demo/head", "/aerodb/demo/inflight"]
    assert ledger.keys("demo", ID) == [HEAD, FLYING, f"/aerodb/demo/requests/{ID}"]
    assert ledger.audit_key("demo", 12) == "/aerodb/demo/audit/0000000000000012"
    names = [ledger.audit_name(10**power) for power in range(16)]
    assert names == sorted(names)


def test_a_token_is_unspent_until_a_request_has_spent_it() -> None:
    key = ledger.consent_key("demo", TOKEN)
    assert ledger.keys("demo", ID, TOKEN) == [HEAD, FLYING, USED, key]
    assert TOKEN not in key
    found = ledger.parse("demo", ID, {}, prefix=PREFIX, token=TOKEN)
    assert (found.unspent, found.spent_by) == (key, None)
    spent = {key: KeyValue(ledger.consent_value(ID), 7, 7)}
    found = ledger.parse("demo", None, spent, prefix=PREFIX, token=TOKEN)
    assert (found.unspent, found.spent_by) == (None, ID)
    found = ledger.parse("demo", ID, {}, prefix=PREFIX)  # nothing is known of a token
    assert (found.unspent, found.spent_by) == (None, None)


@pytest.mark.parametrize(
    "value", ["", "{}", '{"request_id": 1}', f'{{"request_id": "{"x" * 36}"}}']
)
def test_a_spent_token_whose_request_can_not_be_read(value: str) -> None:
    key = ledger.consent_key("demo", TOKEN)
    with pytest.raises(Failure) as caught:
        ledger.parse("demo", ID, {key: KeyValue(value, 1, 1)}, prefix=PREFIX, token=TOKEN)
    assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"
    assert key in caught.value.error.message


def test_nothing_yet() -> None:
    found = ledger.parse("demo", ID, {}, prefix=PREFIX)
    assert found.head == Head(sequence=0, hash=NO_HASH)
    assert (found.head_revision, found.in_flight, found.in_flight_revision) == (0, None, 0)
    assert (found.request, found.request_revision) == (None, 0)


def test_what_is_written_is_read() -> None:
    head = Head(sequence=3, hash="a" * 64)
    found = ledger.parse(
        "demo",
        ID,
        {
            HEAD: KeyValue(ledger.head_value(head, prefix=PREFIX), 5, 9),
            FLYING: KeyValue(ID, 7, 7),
            USED: KeyValue(ledger.request_value(range(1, 4)), 7, 8),
        },
        prefix=PREFIX,
    )
    assert found.prefix == PREFIX
    assert (found.head, found.head_revision) == (head, 9)
    assert (found.in_flight, found.in_flight_revision) == (ID, 7)
    assert (found.request, found.request_revision) == ((1, 2, 3), 8)


def test_another_clusters_ledger_is_refused() -> None:
    """Of the same name, below another prefix of the engine's."""
    head = ledger.head_value(Head(sequence=3, hash="a" * 64), prefix="/other/demo/")
    with pytest.raises(Failure) as caught:
        ledger.parse("demo", None, {HEAD: KeyValue(head, 1, 1)}, prefix=PREFIX)
    assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"
    assert HEAD in caught.value.error.message
    assert "'/other/demo/'" in caught.value.error.message


def test_a_head_that_was_written_before_the_prefix_was_kept() -> None:
    old = KeyValue(f'{{"sequence": 3, "hash": "{NO_HASH}"}}', 1, 1)
    assert ledger.parse("demo", None, {HEAD: old}, prefix=PREFIX).head.sequence == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (HEAD, ""),
        (HEAD, "{}"),
        (HEAD, '{"sequence": -1, "hash": "0"}'),
        (HEAD, f'{{"sequence": "3", "hash": "{NO_HASH}"}}'),
        (HEAD, f'{{"sequence": 3, "hash": "{NO_HASH}", "prefix": 3}}'),
        (FLYING, ""),
        (FLYING, "n1"),
        (USED, "[]"),
        (USED, '{"records": []}'),
        (USED, '{"records": ["1"]}'),
        (USED, '{"records": [0]}'),
    ],
)
def test_what_can_not_be_read_is_named(key: str, value: str) -> None:
    """P7-F1: it is not taken for an empty ledger."""
    with pytest.raises(Failure) as caught:
        ledger.parse("demo", ID, {key: KeyValue(value, 1, 1)}, prefix=PREFIX)
    assert caught.value.error.code == "KERNEL_STATE_UNREADABLE"
    assert key in caught.value.error.message
