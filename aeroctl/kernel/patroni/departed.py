"""Nodes whose entries are gone, found in the store's history at a cost that does not grow with it.

A member's entry lives on a lease, so that a node whose agent hangs loses it while its database may
go on to accept writes (P6-A1). No key lists former members. But the store can count the entries at
a past revision, from its index alone, and every present entry has the revision at which it was
created: where there were more entries then, a node is gone, or has registered anew under its name.

The entries are counted at revisions that lie ever further apart going back, and just before the
leader key was written. That finds every node whose entry existed for about a sixth or more of the
time (counted in revisions of the store) since it was removed, and the leader before the present
one, however long ago that was. It can miss a node that was registered briefly and long ago, and
what compaction has removed. The result for a revision never changes, since history does not.
"""

from collections.abc import Mapping

from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.keys import MEMBERS, ClusterKeys, Departed, Member, value
from aeroctl.kernel.store.etcd import Etcd
from aeroctl.kernel.store.keyspace import KeyValue

SAMPLES = 100
"""Revisions that lie ever further apart; with those about the leader one transaction has them all
(etcd: max-txn-ops is 128)."""
STEPS = tuple(2**power for power in range(13))
"""How many revisions before a write of the leader key entries are counted: other clusters write
between two leader terms.
"""
FEW = 6
"""Revisions at which names are read at first; one read covers all the time since its entries were
created. Where that does not explain every count, six times as many are read."""
PAIRS = 60
"""Nodes whose entries one transaction reads."""
COMPACTIONS = 5
"""How often it is tried again when history is compacted while it is read."""

Entry = tuple[str, int]
"""An entry's key below the prefix, and the revision at which it was created."""


async def departed(store: Etcd, prefix: str, keys: ClusterKeys) -> Mapping[str, Departed]:
    """The nodes that had an entry below `prefix` before, and have none in `keys`, by name.

    Raises Failure as Etcd.read does. Compaction is not a failure, but the end of history.
    """
    oldest = 1
    for attempt in range(COMPACTIONS):
        try:
            return await _departed(store, prefix, keys, oldest)
        except Failure as failure:
            # An empty result would be wrong: a node may be gone (P7-F1).
            if failure.error.code != "REVISION_COMPACTED" or attempt == COMPACTIONS - 1:
                raise
            oldest = await store.oldest(prefix, oldest)
    raise AssertionError("unreachable")


async def _departed(
    store: Etcd, prefix: str, keys: ClusterKeys, oldest: int
) -> Mapping[str, Departed]:
    sampled = revisions(keys, oldest)
    counts = await store.counts(prefix + MEMBERS, sampled)
    there = dict(zip(sampled, counts, strict=True))
    known: dict[Entry, int] = dict.fromkeys(keys.entries.items(), keys.revision)
    some = FEW
    while left := unexplained(there, known):
        read = chosen(left, some)
        for revision, names in zip(read, await store.names(prefix, MEMBERS, read), strict=True):
            for entry in names.items():
                known[entry] = max(revision, known.get(entry, 0))
            there[revision] = min(there[revision], len(names))
        some *= FEW
    return await _entries_of(store, prefix, keys, gone(keys, known))


async def _entries_of(
    store: Etcd, prefix: str, keys: ClusterKeys, last: Mapping[str, int]
) -> Mapping[str, Departed]:
    """The last entries of the nodes named in `last`, read at the latest revision of each."""
    nodes: dict[str, Departed] = {}
    for first in range(0, len(last), PAIRS):
        batch = list(last.items())[first : first + PAIRS]
        reads = [
            (prefix + key, revision)
            for name, revision in batch
            for key in (MEMBERS + name, "initialize")
        ]
        values = await store.values_at(reads)
        for (name, revision), pair, initialize in zip(
            batch, values[::2], values[1::2], strict=True
        ):
            if pair is not None and _ours(keys, initialize):
                nodes[name] = Departed(_member(prefix + MEMBERS + name, pair), revision)
    return nodes


def revisions(keys: ClusterKeys, oldest: int) -> list[int]:
    """The revisions to look at, ever further apart going back from `keys`'s to `oldest`. Pure."""
    span = keys.revision - oldest
    ratio = max(span, 2) ** (1 / SAMPLES)
    found, back = {oldest}, 1
    while back < span:
        found.add(keys.revision - back)
        back = max(back + 1, int(back * ratio))
    leader = keys.leader
    written = {leader.created, leader.modified} if leader else set()
    found |= {revision - step for revision in written for step in STEPS}
    return sorted(revision for revision in found if oldest <= revision < keys.revision)


def unexplained(there: Mapping[int, int], known: Mapping[Entry, int]) -> dict[int, int]:
    """How many entries more there were than are known to have been there, at each revision with
    such; the latest revision first. Pure.

    `there`: how many there were. `known`: until when an entry was there, from its creation on.
    """
    lives = [(created, until) for (_, created), until in known.items()]
    found = {
        revision: count - sum(created <= revision <= until for created, until in lives)
        for revision, count in sorted(there.items(), reverse=True)
    }
    return {revision: more for revision, more in found.items() if more > 0}


def chosen(left: Mapping[int, int], some: int) -> list[int]:
    """At most `some` of those revisions, all if they are no more: where it becomes another number
    going back, and evenly between. Pure.
    """
    revisions, numbers = list(left), [0, *left.values()]
    turns = [
        revision for place, revision in enumerate(revisions) if numbers[place] != left[revision]
    ]
    evenly = revisions[:: max(1, -(-len(revisions) // some))]
    return sorted(
        list(dict.fromkeys([*turns, *evenly] if some < len(revisions) else revisions))[:some]
    )


def gone(keys: ClusterKeys, known: Mapping[Entry, int]) -> dict[str, int]:
    """The names without an entry now, and the latest revision at which each is known to have had
    one. Pure.
    """
    found: dict[str, int] = {}
    for (key, _), until in sorted(known.items()):
        name = key.removeprefix(MEMBERS)
        if name not in keys.members and "/" not in name:
            found[name] = max(until, found.get(name, 0))
    return found


def _ours(keys: ClusterKeys, initialize: KeyValue | None) -> bool:
    """Whether it was this cluster, not an earlier one of the same name with another database."""
    then = initialize.value if initialize else None
    return not (then and keys.system_id) or then == keys.system_id


def _member(key: str, entry: KeyValue) -> Member:
    """The member; one without any facts where the entry can't be read."""
    try:
        return value(key, entry.value, Member)
    except Failure:
        return Member()
