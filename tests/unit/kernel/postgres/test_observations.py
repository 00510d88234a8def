"""What a node answers is a value that keeps the contract, or a fact about why there is none."""

import json
from typing import Any

from aeroctl.contract.base import Observation, Unavailable
from aeroctl.contract.replication import NodeReplication
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.postgres import observations
from tests.support.keyspaces import cluster_keys

NODES = sections.nodes(cluster_keys())
STREAM: dict[str, Any] = {
    "node": None,
    "address": "127.0.0.1",
    "state": "streaming",
    "sync_state": "async",
    "sent_lsn": "0/1",
    "written_lsn": "0/1",
    "flushed_lsn": "0/1",
    "replayed_lsn": "0/1",
    "reply_at": None,
}
RECEIVER: dict[str, Any] = {
    "status": "streaming",
    "upstream": None,
    "host": "127.0.0.1",
    "port": 5503,
    "slot": "n1",
    "timeline": 1,
    "flushed_lsn": "0/1",
    "last_message_at": None,
}
ANSWER: dict[str, Any] = {
    "system_id": "7711333723011112335",
    "in_recovery": True,
    "writable": False,
    "timeline": 1,
    "lsn": "0/1",
    "received_lsn": "0/1",
    "replayed_lsn": "0/1",
    "replay_paused": False,
    "last_replayed_at": None,
    "receiver": RECEIVER,
    "senders": [STREAM | {"application_name": "n2"}, STREAM | {"application_name": "psql"}],
}


def observe(answer: observations.Answer) -> Observation[NodeReplication]:
    return observations.observation(Observation[NodeReplication], NodeReplication, NODES[0], answer)


def test_streams_are_named() -> None:
    named = observations.name_streams(observe(json.dumps(ANSWER)), NODES).value
    assert named is not None
    assert [sender.node for sender in named.senders] == ["n2", None]
    assert named.receiver is not None
    assert named.receiver.upstream == "n3"


def test_a_stranger_upstream_stays_unnamed() -> None:
    for place in ({"port": 9999}, {"host": None, "port": None}):
        answer = ANSWER | {"receiver": RECEIVER | place, "senders": []}
        named = observations.name_streams(observe(json.dumps(answer)), NODES).value
        assert named is not None
        assert named.receiver is not None
        assert named.receiver.upstream is None


def test_no_answer_is_a_fact() -> None:
    reason = Unavailable(code="NODE_TIMEOUT", message="no answer within 3 seconds")
    observed = observations.name_streams(observe(reason), NODES)
    assert (observed.node, observed.value, observed.unavailable) == ("n1", None, reason)


def test_an_answer_that_breaks_the_contract_is_a_fact() -> None:
    for answer in (
        "{",
        json.dumps(ANSWER | {"lsn": "here"}),
        json.dumps(ANSWER | {"timeline": "1"}),
    ):
        observed = observe(answer)
        assert observed.value is None
        assert observed.unavailable is not None
        assert observed.unavailable.code == "NODE_ANSWER_UNREADABLE"


def test_a_reason_is_noted_once() -> None:
    reason = Unavailable(code="NODE_TIMEOUT", message="no answer within 3 seconds")
    notes = observations.notes({"n1": {"wal": reason, "mvcc": reason}, "n2": {"wal": "{}"}})
    assert [(note.code, note.subject) for note in notes] == [("NODE_TIMEOUT", "n1")]
