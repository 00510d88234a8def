"""The consensus store as it is and as it was, read without the kernel that is put to the test."""

import base64
import contextlib
import http.client
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.waiting import wait_until

ENGINE = "/service/demo/"
LEDGER = "/aerodb/demo/"
IN_FLIGHT = f"{LEDGER}inflight"
REFUSALS = f"{LEDGER}refusals/"


@dataclass(frozen=True)
class Entry:
    """A key's value, and the revisions at which it was created and last changed."""

    value: str
    created: int
    modified: int
    lease: str | None


@dataclass(frozen=True)
class State:
    """All keys below a prefix, as of one revision; the prefix is cut off."""

    revision: int
    keys: Mapping[str, Entry]


def read(sandbox: Sandbox, prefix: str, at: int = 0) -> State:
    """The keys below `prefix` as of the revision `at` (0: now), in one read."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    asked = {"key": encoded(prefix), "range_end": encoded(end), "revision": at}
    answer = tell(sandbox, "/v3/kv/range", asked)
    keys = {
        _text(kv["key"]).removeprefix(prefix): Entry(
            _text(kv.get("value", "")),
            int(kv["create_revision"]),
            int(kv["mod_revision"]),
            kv.get("lease"),
        )
        for kv in answer.get("kvs", [])
    }
    return State(at or int(answer["header"]["revision"]), keys)


def history(sandbox: Sandbox, since: int) -> Iterator[State]:
    """What Patroni kept in the store, as of every revision from `since` up to now."""
    now = read(sandbox, ENGINE)
    for revision in range(since, now.revision):
        yield read(sandbox, ENGINE, revision)
    yield now


def in_flight(sandbox: Sandbox) -> str | None:
    """The request that is being carried out."""
    found = read(sandbox, IN_FLIGHT).keys.get("")
    return found.value if found else None


def expire(sandbox: Sandbox, key: str) -> None:
    """Have the lease of a key run out now; what a test would wait half a minute for."""
    found = read(sandbox, key).keys.get("")
    if found and found.lease:
        tell(sandbox, "/v3/lease/revoke", {"ID": found.lease})


def thaw(sandbox: Sandbox) -> None:
    """Let the store go on after it was frozen, and wait for what Patroni makes of it.

    It steps down where it can't reach the store, and its keys say so only afterwards: so every
    agent must have seen the store in a later loop of its own before the keys count.
    """
    sandbox.etcd.thaw()
    later = time.time() + 4  # two loops

    def seen() -> bool:
        with httpx.Client(trust_env=False) as client:
            urls = (f"http://127.0.0.1:{node.rest_port}/patroni" for node in sandbox.nodes.values())
            return all(client.get(url).json().get("dcs_last_seen", 0) >= later for url in urls)

    wait_until("every agent sees the store", seen)
    sandbox.wait_until_ready()


def tell(sandbox: Sandbox, path: str, body: Mapping[str, object]) -> Any:
    """One request to etcd's gateway."""
    address = urlsplit(sandbox.etcd_url)
    assert address.hostname
    with contextlib.closing(
        http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    ) as connection:
        connection.request("POST", path, json.dumps(body))
        reply = connection.getresponse()
        content = reply.read()
    assert reply.status == 200, content
    return json.loads(content)


def encoded(text: str) -> str:
    """As etcd's gateway takes it."""
    return base64.b64encode(text.encode()).decode()


def _text(encoded: str) -> str:
    return base64.b64decode(encoded).decode()
