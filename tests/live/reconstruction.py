"""What `aeroctl timeline` and `aeroctl audit` tell, rebuilt from their lines alone and held against
what really happened. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple

Line = Mapping[str, Any]

OF_A_NODE = {
    "role_changed": "role",
    "state_changed": "state",
    "replication_changed": "replication_state",
    "timeline_changed": "timeline",
}
OF_THE_CLUSTER = {
    "transfer_requested": "transfer",
    "transfer_cleared": "transfer",
    "resumed": "paused",
}
"""Kinds that tell of the same thing as another."""
NOT_THERE = ("something else",)
"""What no line says."""
ELSEWHERE = {"index", "source"}
"""What an entry of the timeline says that is none of the record's."""
WHOSE = ("leader_lost", "leader_gained", "member_left", "member_joined")
"""What only somebody's doing brings about, in these tests."""
TO_A_NODE = ("promote", "handover", "orphan", "force")
RECORDED = {"ENGINE_REJECTED": "rejected"}
"""What aeroctl says, by the outcome that is recorded, where the two are not the same word."""


class Fact(NamedTuple):
    """Something that became so at one revision: what, of whom, and how it is since."""

    revision: int
    kind: str
    about: str
    value: Any


@dataclass(frozen=True)
class Request:
    """What the records of one request say: who asked for what, and what came of it."""

    request_id: str
    identity: str
    command: str
    target: str | None
    ending: str
    """The outcome, or the code of the error that says more."""
    first: int
    last: int


@dataclass(frozen=True)
class Account:
    """What each PostgreSQL said of itself at rest: whether it is writable, and its timeline."""

    revision: int
    nodes: Mapping[str, tuple[bool, int | None]]


@dataclass(frozen=True)
class Act:
    """Something that was done to the cluster, after the revision `began`, no later than `ended`.

    `holder`: who held the leader key before. `gone`: a revision by which the node had lost its
    lease, if that was brought about; `dead`: it was another node that did. The rest is of a command
    that was sent; `says`: the outcome or the code, nothing if no outcome could be recorded.
    """

    what: str
    node: str | None
    holder: str | None
    began: int
    ended: int
    gone: int | None = None
    dead: str | None = None
    command: str | None = None
    request_id: str | None = None
    identity: str | None = None
    says: str | None = None


@dataclass
class Told:
    """What was rebuilt. `problems`: where the lines contradict themselves or each other."""

    facts: list[Fact] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Evidence:
    """What really happened, from outside: by etcd's own client, by those who did it, by every
    PostgreSQL, and by every Patroni.
    """

    facts: Sequence[Fact]
    acts: Sequence[Act]
    accounts: Sequence[Account]
    takings: Sequence[str]
    records: Sequence[Line]
    """As the store has them, with their revisions."""


def problems(evidence: Evidence, timeline: Iterable[Line], audit: Iterable[Line]) -> list[str]:
    """Where what is told is not what happened: missing, invented, or in another order."""
    audit = list(audit)
    told = rebuild(timeline, audit)
    return [
        *told.problems,
        *(
            f"the store has {true}, audit {shown}"
            for true, shown in zip_longest(evidence.records, audit)
            if true != shown
        ),
        *compare(evidence.facts, told.facts),
        *check_acts(evidence.acts, told),
        *check_accounts(evidence.accounts, told.facts),
        *check_takings(evidence.takings, evidence.acts, told.facts),
    ]


def rebuild(timeline: Iterable[Line], audit: Iterable[Line]) -> Told:
    """The facts in the order in which they were told, and the requests."""
    told = Told()
    place = (0, 0)
    standing = Standing()
    shown = []
    for line in timeline:
        revision, index = line["revision"], line["index"]
        if revision < place[0] or index != (place[1] + 1 if revision == place[0] else 0):
            told.problems.append(f"{revision}, {index} is told after {place[0]}, {place[1]}")
        place = revision, index
        if line["source"] == "audit":
            shown.append(line)
            told.facts.append(Fact(revision, "record", line["request_id"], line["kind"]))
        else:
            fact, was = standing.follow(line)
            told.facts.append(fact)
            if was != (said := line["before"]):
                told.problems.append(f"{fact}: before, it was {was!r}, and not {said!r}")
            if not (line["exact"] or fact.kind == "timeline_ended"):
                told.problems.append(f"{fact}: not exact, and there was no gap")
    records = list(audit)
    for entry, record in zip_longest(shown, records):
        if entry is None or record is None or not _same(entry, record):
            told.problems.append(f"timeline has {entry}, audit {record}")
    told.requests = requests(records)
    return told


def _same(entry: Line, record: Line) -> bool:
    """Whether what the timeline shows of a record is what the audit trail does."""
    before, after = record["leader_before"], record["leader_after"]
    shown = {
        "node": record["target"],
        "before": before and before["node"],
        "after": after and after["node"],
        "since": after and after["since"],
        "detail": record["dispatch"] and record["dispatch"]["action"],
        "given": record["confirmation"] and record["confirmation"]["given"],
        "exact": True,
    }
    return all(entry[key] == shown.get(key, record.get(key)) for key in entry.keys() - ELSEWHERE)


class Standing:
    """What stands after the lines that were followed. Nothing stood at first."""

    def __init__(self) -> None:
        self._holder: tuple[str, int] | None = None
        self._nodes: dict[str, dict[str, Any]] = {}
        self._whole: dict[str, Any] = {"paused": False}

    def follow(self, line: Line) -> tuple[Fact, Any]:
        """The fact that a line tells, and what stood before it; never equal to what it can't be."""
        kind: str = line["kind"]
        revision, node = line["revision"], line["node"] or ""
        if kind in OF_A_NODE:
            said = self._nodes.get(node)
            was = NOT_THERE if said is None else said.get(kind)
            if said is not None:
                said[kind] = line["after"]
            return Fact(revision, kind, node, line["after"]), was
        if kind == "member_joined":
            was = NOT_THERE if node in self._nodes else None
            self._nodes[node] = {}
            return Fact(revision, kind, node, line["after"]), was
        if kind == "member_left":
            gone = self._nodes.pop(node, None)
            was = NOT_THERE if gone is None else gone.get("state_changed")
            return Fact(revision, kind, node, line["cause"]), was
        if kind == "leader_gained":
            was = NOT_THERE if self._holder else None
            self._holder = (node, line["since"])
            return Fact(revision, kind, node, (line["after"], line["since"])), was
        if kind == "leader_lost":
            was = node if self._holder == (node, line["since"]) else NOT_THERE
            self._holder = None
            return Fact(revision, kind, node, (line["since"], line["cause"])), was
        if kind == "timeline_ended":
            told = (node, line["detail"], datetime.fromisoformat(line["time"]), line["clock"])
            return Fact(revision, kind, str(line["before"]), (*told, line["exact"])), line["before"]
        about: str = line["subject"] or ""
        thing = OF_THE_CLUSTER.get(kind, kind) + about
        was = self._whole.get(thing)
        self._whole[thing] = line["after"]
        if kind.startswith("transfer"):
            return Fact(revision, kind, node, line["before"] or line["after"]), was
        return Fact(revision, kind, about, line["after"]), was


def requests(records: Iterable[Line]) -> list[Request]:
    """In the order in which they were first recorded."""
    by_id: dict[str, list[Line]] = {}
    for record in records:
        by_id.setdefault(record["request_id"], []).append(record)
    return [
        Request(
            request_id,
            of_it[0]["identity"],
            of_it[0]["command"],
            of_it[0]["target"],
            of_it[-1]["code"] or of_it[-1]["outcome"] or "",
            of_it[0]["revision"],
            of_it[-1]["revision"],
        )
        for request_id, of_it in by_id.items()
    ]


def compare(true: Sequence[Fact], told: Sequence[Fact]) -> list[str]:
    """What is missing, what is invented, and what is told out of its order."""
    really, said = Counter(true), Counter(told)
    lines = [("missing", fact) for fact in (really - said).elements()]
    lines += [("invented", fact) for fact in (said - really).elements()]
    lines += [
        ("out of order", after)
        for before, after in pairwise(told)
        if after.revision < before.revision
    ]
    lines.sort(key=lambda line: line[1].revision)
    return [
        f"{what}: revision {fact.revision}: {fact.kind} {fact.about} {fact.value!r}"
        for what, fact in lines
    ]


def check_acts(acts: Sequence[Act], told: Told) -> list[str]:
    """Whatever was done is told, and nothing is told that nobody did."""
    problems = [
        f"nobody brought this about: {fact}"
        for fact in told.facts
        if fact.kind in WHOSE and not any(act.began < fact.revision <= act.ended for act in acts)
    ]
    for act in acts:
        found = [
            fact
            for fact in told.facts
            if fact.kind in WHOSE and act.began < fact.revision <= act.ended
        ]
        problems += [f"{act}: {words}" for words in _consequences(act, found)]
    problems += _requests(acts, told.requests)
    return problems


def check_accounts(accounts: Iterable[Account], facts: Iterable[Fact]) -> list[str]:
    """What is told agrees with every PostgreSQL's own words, whenever all were at rest."""
    problems = []
    facts = list(facts)
    for account in accounts:
        holder = None
        said: dict[str, dict[str, Any]] = {}
        for fact in facts:
            if fact.revision > account.revision:
                continue
            if fact.kind.startswith("leader"):
                holder = fact.about if fact.kind == "leader_gained" else None
            elif fact.kind == "member_joined":
                said[fact.about] = {}
            elif fact.kind == "member_left":
                said.pop(fact.about, None)
            elif fact.kind in OF_A_NODE:
                said.setdefault(fact.about, {})[fact.kind] = fact.value
        told = {
            name: (each.get("role_changed") == "primary", each.get("timeline_changed"))
            for name, each in said.items()
        }
        if told != account.nodes:
            problems.append(f"at {account.revision} it was {account.nodes}; told was {told}")
        writable = [name for name, (primary, _) in account.nodes.items() if primary]
        if writable != [holder]:
            problems.append(
                f"at {account.revision} {writable} wrote; authority was told of {holder}"
            )
    return problems


def check_takings(takings: Sequence[str], acts: Sequence[Act], facts: Iterable[Fact]) -> list[str]:
    """Whoever took the leader key by a Patroni's own words, in that order; the dead may have had no
    time to say so.
    """
    told = [fact for fact in facts if fact.kind == "leader_gained"]
    said = [fact.about for fact in told if not any(_died(act, fact) for act in acts)]
    if list(takings) in ([fact.about for fact in told], said):
        return []
    return [f"authority was taken by {list(takings)}; told was {told}"]


def _died(act: Act, fact: Fact) -> bool:
    """Whether whom the fact is about was killed while authority was on its way to it."""
    return (
        act.what == "collision"
        and act.dead == fact.about
        and act.began < fact.revision <= act.ended
    )


def _consequences(act: Act, found: Sequence[Fact]) -> list[str]:
    """What is told between the act's two revisions must be what the act leads to."""
    if act.what == "start":
        return []
    problems = []
    dead = [act.dead or act.node] if act.gone else []
    left = [(fact.about, fact.value) for fact in found if fact.kind == "member_left"]
    joined = [fact.about for fact in found if fact.kind == "member_joined"]
    if left != [(name, "lease_ended") for name in dead] or joined != dead:
        problems.append(f"{dead} left and came back; told were {left} and {joined}")
    problems += [
        f"it was gone before this: {fact}"
        for fact in found
        if fact.kind == "member_left" and fact.revision > (act.gone or 0)
    ]
    lost = [(fact.about, fact.value[1]) for fact in found if fact.kind == "leader_lost"]
    gained = [fact.about for fact in found if fact.kind == "leader_gained"]
    cause = _cause(act)
    if act.what == "collision":
        pass  # whatever comes of it: the keys, the databases and the logs say
    elif cause is None:
        if lost or gained:
            problems.append(f"it moved no authority; told were {lost} and {gained}")
    else:
        if lost != [(act.holder, cause)]:
            problems.append(f"{act.holder} lost authority ({cause}); told was {lost}")
        named = act.node if act.what in TO_A_NODE else None
        if len(gained) != 1 or act.holder in gained or named not in (None, *gained):
            problems.append(f"{named or 'another'} took the leader key; told was {gained}")
    return problems


def _cause(act: Act) -> str | None:
    """Why the holder must have lost authority in it; None: it kept it."""
    if act.what == "force":
        return "lease_ended"
    if act.what in ("promote", "demote"):
        return "released" if act.says == "executed" else None
    if act.what in ("handover", "orphan"):
        return "released"
    if act.node == act.holder and act.what in ("kill", "freeze", "restart"):
        return "released" if act.what == "restart" else "lease_ended"
    return None


def _requests(acts: Sequence[Act], told: Sequence[Request]) -> list[str]:
    """Every command is told, in its turn and its time, with who asked and what it said; no other.

    A command that was refused before anything was sent has no id, and leaves no record.
    """
    problems = []
    sent = [act for act in acts if act.request_id]
    if [act.request_id for act in sent] != [each.request_id for each in told]:
        problems.append(
            "requests were "
            + ", ".join(f"{act.what} {act.request_id}" for act in sent)
            + "; told were "
            + ", ".join(f"{each.command} {each.request_id}" for each in told)
        )
    by_id = {each.request_id: each for each in told}
    for act in sent:
        each = by_id.get(act.request_id or "")
        if each is None:
            continue
        true = (act.identity, act.command, act.node, RECORDED.get(act.says or "", act.says))
        said = (each.identity, each.command, each.target, each.ending)
        if true != said:
            problems.append(f"{each.request_id} was {true}; told was {said}")
        if not act.began < each.first <= each.last <= act.ended:
            problems.append(f"{each.request_id} is told outside {act.began}..{act.ended}")
    return problems
