"""What the cluster says of itself in etcd."""

import base64
import http.client
import json
from collections.abc import Iterable, Mapping

from aeroctl.kernel.sandbox.ports import HOST
from aeroctl.kernel.sandbox.settings import PREFIX


def read_keys(port: int, timeout: float = 2) -> dict[str, str]:
    """All keys of the cluster in one linearizable read, their common prefix cut off.

    Raises OSError or http.client.HTTPException while etcd does not answer.
    """
    body = json.dumps({"key": _base64(PREFIX), "range_end": _base64(PREFIX[:-1] + "0")})
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("POST", "/v3/kv/range", body)
        reply = connection.getresponse()
        content = reply.read()
        if reply.status != http.client.OK:
            raise OSError(f"etcd answered {reply.status}: {content[:200]!r}")
    finally:
        connection.close()
    return {
        _text(kv["key"]).removeprefix(PREFIX): _text(kv.get("value", ""))
        for kv in json.loads(content).get("kvs", [])
    }


def missing(keys: Mapping[str, str], nodes: Iterable[str]) -> list[str]:
    """What is still missing until every node runs and every replica streams, in words."""
    leader = keys.get("leader")
    if leader is None:
        return ["there is no leader"]
    members = {name: json.loads(keys.get(f"members/{name}", "{}")) for name in nodes}
    timeline = members.get(leader, {}).get("timeline")
    found = (_missing(name, member, leader, timeline) for name, member in members.items())
    return [problem for problem in found if problem]


def _missing(name: str, member: Mapping[str, object], leader: str, timeline: object) -> str | None:
    if member.get("state") != "running":
        return f"{name} is {member.get('state', 'not there')}"
    if name == leader:
        primary = member.get("role") in ("primary", "master")  # Patroni before 4 says master
        return None if primary else f"{name} is not yet primary"
    # Patroni before 4.1 does not say whether a replica streams: ask PostgreSQL.
    replication = member.get("replication_state", "streaming")
    if replication != "streaming":
        return f"{name} is {replication}"
    # What it says of itself may be older than what it streams.
    return None if member.get("timeline") == timeline else f"{name} is on another timeline"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
