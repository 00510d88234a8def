"""Renames what differs between two recordings of the same scenario. Pure.

A cassette stays a recording of a real cluster: nothing is added or left out, and what one value
says about another still holds. What is a matter of chance is renamed, for a scenario as a whole:

- A revision that something was written at becomes 10, 20, 30 ... in order. One that something was
  read at becomes 5 more than the last that was written before: heartbeats move the store's
  revision, and how many came in between is chance.
- A time becomes a second after the one before it. When nodes last heard of each other becomes a
  second before the answer: they hear of each other all the time.
- An LSN is rounded down to a megabyte, and a distance becomes that of the rounded LSNs: PostgreSQL
  writes some hundred bytes of its own accord.
- A digest of the state, a request id and a process are numbered in the order of their appearance.
- A confirmation token is made of the renamed values by the project's own function, and so are its
  fingerprint and the audit trail's chain: they verify.
- Ports are those of the sandbox's first block, the client is the same on every machine.
"""

import json
import re
import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from aeroctl.contract import consent
from aeroctl.contract.chain import NO_HASH, digest
from aeroctl.kernel.sandbox.ports import BASES, SIZE
from tests.recorded import shapes

TIME = re.compile(r"\b202[1-9]-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
LSN = re.compile(r"\b[0-9A-F]{1,8}/[0-9A-F]{1,8}\b")
SYSTEM_ID = re.compile(r"\b7\d{18}\b")
RANDOM_ID = re.compile(
    r"\b(?!00000000-)[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b"
)
PORT = re.compile(r'(127\.0\.0\.1(?:", port |:))(\d+)')
REVISION = re.compile(shapes.REVISION_IN_TEXT)
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
MEGABYTE = 2**20
ONE_SYSTEM = "7439000000000000001"
USER = {"user": "ada", "host": "laptop.test"}


@dataclass
class Exchange:
    """A request and its answer; None where there is no JSON."""

    uri: str
    request: Any
    answer: Any


@dataclass
class Names:
    """The new names of a scenario's values."""

    written: list[int] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def number(self, kind: str, value: str) -> int:
        """The place of a value among those of its kind, by first appearance, from 1."""
        of_kind = sum(kind == other for other, _ in self.numbers)
        return self.numbers.setdefault((kind, value), of_kind + 1)

    def write(self, revision: int) -> int:
        """The new name of a revision that something was written at."""
        return 10 * (bisect_left(self.written, revision) + 1) if revision else 0

    def read(self, revision: int) -> int:
        """The new name of a revision that something was read at."""
        return 10 * bisect_right(self.written, revision) + 5 if revision else 0

    def time(self, text: str) -> str:
        """The new name of a time."""
        return written_time(START + timedelta(seconds=bisect_left(self.times, moment(text))))


def moment(text: str) -> datetime:
    """A time in the contract's form."""
    return datetime.fromisoformat(text)


def written_time(time: datetime) -> str:
    """The contract's form of a time."""
    return time.isoformat().replace("+00:00", "Z")


def lsn_rounded(text: str) -> str:
    """An LSN without its place in its megabyte."""
    high, low = text.split("/")
    return f"{high}/{int(low, 16) // MEGABYTE * MEGABYTE:X}"


def lsn_value(text: str) -> int:
    """An LSN in bytes."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def distance_rounded(distance: int, lsns: list[str]) -> int:
    """The distance of two rounded LSNs: of the first two that are as far apart; else rounded."""
    places = {lsn_value(text): text for text in sorted(lsns)}
    for value, text in places.items():
        if value - distance in places:
            other = places[value - distance]
            return lsn_value(lsn_rounded(text)) - lsn_value(lsn_rounded(other))
    return distance // MEGABYTE * MEGABYTE


def leaves(value: Any, key: str = "", parent: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every plain value with its key and the key of the object that it stands in."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, key_of(value, name), key)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each, key, parent)
    else:
        yield key, parent, value


def replaced(
    value: Any, change: Callable[[str, str, Any], Any], key: str = "", up: str = ""
) -> Any:
    """The same with every plain value changed."""
    if isinstance(value, dict):
        return {
            name: replaced(each, change, key_of(value, name), key) for name, each in value.items()
        }
    if isinstance(value, list):
        return [replaced(each, change, key, up) for each in value]
    return change(key, up, value)


def key_of(value: dict[str, Any], name: str) -> str:
    """A key; of a rule's evidence what it is the evidence of."""
    return str(value["name"]) if name == "value" and set(value) == {"name", "value"} else name


def is_read(key: str, parent: str) -> bool:
    """Whether a revision of that key is one that something was read at."""
    if key == shapes.REVISION:
        return parent in shapes.OBSERVATIONS or parent in {"", "evidence"}
    return key in shapes.READ_REVISIONS


def is_written(key: str, parent: str) -> bool:
    """Whether a revision of that key is one that something was written at."""
    if is_read(key, parent):
        return False
    end, start = shapes.WRITTEN_PARTS
    named = key == shapes.REVISION or key in shapes.WRITTEN_REVISIONS
    return named or key.endswith(end) or key.startswith(start)


def is_number(value: Any) -> bool:
    """Whether it is a number, and not a truth value."""
    return isinstance(value, int) and not isinstance(value, bool)


def learn(exchanges: list[Exchange], words: dict[str, str]) -> Names:
    """The names of a scenario's revisions and times, which are in order."""
    written, times = set(), set()
    for exchange in exchanges:
        for body in (exchange.request, exchange.answer):
            for key, parent, value in leaves(body):
                if is_number(value) and value and parent != shapes.BASE and is_written(key, parent):
                    written.add(value)
                if isinstance(value, str) and key not in {*shapes.REPORT_TIMES, shapes.EXPIRY}:
                    times.update(TIME.findall(value))
    for word in words.values():
        times.update(TIME.findall(word))
    return Names(sorted(written), sorted({moment(each) for each in times}))


def text_named(text: str, names: Names) -> str:
    """A text with what is volatile in it renamed."""
    text = TIME.sub(lambda found: names.time(found[0]), text)
    text = LSN.sub(lambda found: lsn_rounded(found[0]), text)
    text = SYSTEM_ID.sub(ONE_SYSTEM, text)
    text = RANDOM_ID.sub(lambda found: request_named(found[0], names), text)
    text = PORT.sub(lambda found: f"{found[1]}{port_named(int(found[2]))}", text)
    return REVISION.sub(lambda found: revision_in_text(found, names), text)


def request_named(identity: str, names: Names) -> str:
    """A request id that is the same in every recording."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"request {names.number('request', identity)}"))


def revision_in_text(found: re.Match[str], names: Names) -> str:
    """A revision that a sentence names: written, if anything is known to be written there."""
    revision = int(found[1])
    name = names.write if revision in names.written else names.read
    return found[0].removesuffix(found[1]) + str(name(revision))


def port_named(port: int) -> int:
    """The same port of the first block."""
    return (
        BASES[0] + (port - BASES[0]) % SIZE if port in range(BASES[0], BASES[-1] + SIZE) else port
    )


def answer_named(answer: Any, names: Names) -> Any:
    """An answer with its values renamed."""
    lsns = [
        lsn for _, _, text in leaves(answer) if isinstance(text, str) for lsn in LSN.findall(text)
    ]
    observed, key = shapes.ANSWER_TIME
    raw = answer.get(observed, {}).get(key) if isinstance(answer, dict) else None
    now = moment(names.time(raw)) if raw else START
    term = next((value for key, _, value in leaves(answer) if key == shapes.TERM), 0) or 0
    ago = next((value for key, _, value in leaves(answer) if key == shapes.SECONDS_AGO), None)

    def change(key: str, parent: str, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if key in shapes.REPORT_TIMES:
            return written_time(now - timedelta(seconds=1))
        if key == shapes.EXPIRY:
            return written_time(now + timedelta(seconds=term))
        if key == shapes.LAST_SEEN:
            return int(now.timestamp()) - 1
        if key == shapes.SECONDS_AGO and ago is not None:
            return 1
        if key in shapes.DISTANCES:
            return distance_rounded(value, lsns)
        if parent == shapes.BASE and key == shapes.REVISION:
            return names.read(value + 1) - 1
        return value_named(key, parent, value, names)

    named = replaced(answer, change)
    retoken(answer, named, now, names)
    return named


def value_named(key: str, parent: str, value: Any, names: Names) -> Any:
    """One value, by its key."""
    if parent == shapes.CLIENT and key in USER:
        return USER[key]
    if key == "port" and is_number(value):
        return port_named(value)
    if key == shapes.STATE_DIGEST:
        return sha256(f"state {names.number('state', value)}".encode()).hexdigest()[:32]
    if key == shapes.TOKEN_DIGEST:
        known = {consent.fingerprint(old): new for old, new in names.tokens.items()}
        if value in known:
            return consent.fingerprint(known[value])
        return sha256(f"token {names.number('token', value)}".encode()).hexdigest()
    if key in shapes.TOKENS:
        return names.tokens.get(value, value)
    if key == shapes.PROCESS and str(value).isdigit():
        return str(1000 + names.number("process", value))
    if is_number(value) and is_read(key, parent):
        return names.read(value)
    if is_number(value) and is_written(key, parent):
        return names.write(value)
    return text_named(value, names) if isinstance(value, str) else value


def retoken(answer: Any, named: Any, now: datetime, names: Names) -> None:
    """An explanation's token, made anew for what the renamed explanation says."""
    before = {key: value for key, _, value in leaves(answer)}
    old = before.get("confirmation_token")
    if old is None:
        return
    data = named["data"]
    about = consent.Confirmable(
        command=data["inputs"]["command"],
        target=data["inputs"]["target"],
        cluster=data["inputs"]["cluster"],
        system_id=data["inputs"]["system_id"],
        failover_revision=data["observed_snapshot"][shapes.FAILOVER_REVISION],
        **{shapes.STATE_DIGEST: data["observed_snapshot"][shapes.STATE_DIGEST]},
    )
    chance = sha256(str(names.number("chance", old)).encode()).digest()[: consent.CHANCE_BYTES]
    new = consent.token(about, int(now.timestamp() * 1000), consent.term(old), chance)
    names.tokens[old] = new

    def change(key: str, parent: str, value: Any) -> Any:
        return new if value == old else value

    fresh = replaced(named, change)
    named.clear()
    named.update(fresh)


def rechain(answer: Any) -> None:
    """The audit trail's chain, over what its records say now."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict) or "records" not in data:
        return
    before = NO_HASH
    for record in data["records"]:
        record["previous_hash"] = before
        before = record["hash"] = digest(record)
        data["head"]["hash"] = before


def uri_named(uri: str, names: Names) -> str:
    """A URL with its path and query renamed."""
    parts = urlsplit(uri)
    query = [
        (key, query_named(parts.path, key, value, names))
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    path = text_named(parts.path, names)
    return parts._replace(path=path, query=urlencode(query)).geturl()


def query_named(path: str, key: str, value: str, names: Names) -> str:
    """One parameter. What comes after a revision is asked for by the one before it."""
    if key == "after" and path == shapes.EVENTS:
        return str(names.read(int(value) + 1) - 1) if int(value) else value
    if key == "since" and value == "1":  # the beginning of history
        return value
    if key in shapes.READ_WORDS and value.isdigit():
        return str(names.read(int(value)))
    return text_named(value, names)


def normalise(
    exchanges: list[Exchange], words: dict[str, str]
) -> tuple[list[Exchange], dict[str, str]]:
    """A scenario's exchanges, in the order in which they were made, and its words, renamed."""
    names = learn(exchanges, words)
    done = []
    for exchange in exchanges:
        request = replaced(
            exchange.request, lambda key, up, value: value_named(key, up, value, names)
        )
        answer = answer_named(exchange.answer, names)
        rechain(answer)
        done.append(Exchange(uri_named(exchange.uri, names), request, answer))
    named = {key: query_named("", key, word, names) for key, word in words.items()}
    return done, named


def body(text: str) -> Any:
    """A body as JSON; None if it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None
