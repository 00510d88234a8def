"""Keyspaces as Patroni writes them: copied from a live cluster, then varied."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx

from aeroctl.kernel.patroni.keys import ClusterKeys, parse
from aeroctl.kernel.store.keyspace import Keyspace, KeyValue

PREFIX = "/service/demo/"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"
FUTURE = "etcdserver: mvcc: required revision is a future revision"


def member(name: str, role: str = "replica", **changes: Any) -> dict[str, Any]:
    """A member key's value; `None` leaves a field out."""
    port = 5500 + int(name[1:])
    value = {
        "conn_url": f"postgres://127.0.0.1:{port}/postgres",
        "api_url": "http://127.0.0.1:8101/patroni",
        "state": "running",
        "role": role,
        "version": "4.1.5",
        "xlog_location": 67108960,
        "timeline": 1,
    }
    if role == "replica":
        value |= {
            "replay_lsn": 67108960,
            "receive_lsn": 67108960,
            "replication_state": "streaming",
        }
    return {key: value for key, value in (value | changes).items() if value is not None}


STORED: dict[str, Any] = {
    "config": {"ttl": 20, "loop_wait": 2, "retry_timeout": 3, "maximum_lag_on_failover": 1048576},
    "initialize": "7711333723011112335",
    "leader": "n3",
    "members/n1": member("n1"),
    "members/n2": member("n2"),
    "members/n3": member("n3", "primary"),
    "status": {
        "optime": 67108960,
        "slots": {"n1": 67108960, "n2": 67108960, "n3": 67108960},
        "retain_slots": ["n1", "n2", "n3"],
    },
}


def stored(**changes: Any) -> dict[str, Any]:
    """Those keys, changed: `__` stands for `/`, and `None` leaves a key out."""
    keys = STORED | {name.replace("__", "/"): value for name, value in changes.items()}
    return {name: value for name, value in keys.items() if value is not None}


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def keyspace(keys: Mapping[str, Any], *, created: int = 12, modified: int = 40) -> Keyspace:
    pairs = {name: KeyValue(text(value), created, modified) for name, value in keys.items()}
    return Keyspace(PREFIX, 57, pairs)


def cluster_keys(**changes: Any) -> ClusterKeys:
    return parse("demo", keyspace(stored(**changes)))


def etcd_answer(keys: Mapping[str, Any], revision: int = 57) -> dict[str, Any]:
    """A range read's answer, as etcd's JSON gateway words it."""
    pairs = [
        {
            "key": _encode(PREFIX + name),
            "create_revision": "12",
            "mod_revision": "40",
            "version": "1",
            "value": _encode(text(value)),
        }
        for name, value in keys.items()
    ]
    header = {"cluster_id": "1", "member_id": "2", "revision": str(revision), "raft_term": "2"}
    return (
        {"header": header, "kvs": pairs, "count": str(len(pairs))} if pairs else {"header": header}
    )


def refusal(status: int, code: int, message: str) -> httpx.Response:
    return httpx.Response(status, json={"error": message, "code": code, "message": message})


def _encode(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
