"""While Patroni carries a request out: the store is read again and again, until nothing can change
the outcome any more or the time is up.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from aeroctl.contract.terms import Evaluation
from aeroctl.kernel.audit.records import Dispatched
from aeroctl.kernel.endpoints.writable import writable
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import pulse, sections
from aeroctl.kernel.patroni.keys import ClusterKeys, parse
from aeroctl.kernel.patroni.pulse import POLL_SECONDS
from aeroctl.kernel.patroni.renewals import Pulse
from aeroctl.kernel.patroni.rest_api import Sent
from aeroctl.kernel.prove import judge
from aeroctl.kernel.prove.judge import Judgement
from aeroctl.kernel.prove.request import TransferRequest
from aeroctl.kernel.source import Source
from aeroctl.kernel.store.keyspace import History, Keyspace
from aeroctl.kernel.timing import uptime

LAST_WORDS_SECONDS = 3.0
"""Once the store proves the transfer: how much longer is waited for Patroni's reply, or for the new
leader's own answer that it accepts writes."""


@dataclass
class Watch:
    """What was learned so far, beside the store's history.

    `answered`: a revision of the store from after Patroni's reply had come. `pulse`: the renewals
    of the leader's lease. `last_writes`: the revision of each of Patroni's keys when they were
    judged. `proved_since`: since when it is proved that the leader changed, and the new one is not
    known to refuse writes.
    """

    answered: int | None = None
    pulse: Pulse | None = None
    last_writes: Mapping[str, int] | None = None
    judgement: Judgement | None = None
    proved_since: float | None = None


async def until_settled(
    source: Source, dispatched: Dispatched, call: asyncio.Task[Sent], ends: float
) -> Watch:
    """Wait until nothing can change the outcome any more, or until the time `ends`.

    A store that can't be read meanwhile is tolerated: the request is on its way all the same.
    """
    watch = Watch()
    while uptime() < ends:
        if call.done() and certainly_not_done(sent_so_far(call)):
            break
        with contextlib.suppress(Failure):
            if await _settled(source, dispatched, call, watch):
                break
        if call.done():
            await asyncio.sleep(POLL_SECONDS)
        else:
            await asyncio.wait({call}, timeout=POLL_SECONDS)
    return watch


async def _settled(
    source: Source, dispatched: Dispatched, call: asyncio.Task[Sent], watch: Watch
) -> bool:
    """Whether there is nothing left to wait for. Raises Failure."""
    now = uptime()
    keys = await _look(source, dispatched, call, watch)
    judgement = watch.judgement
    if judgement is None or not judgement.final:
        return False
    if judgement.leader_after == sections.leader(dispatched.keys):
        return call.done()
    writes = await _new_leader_writes(source, keys)
    if writes == "holds" and call.done():
        return True
    watch.proved_since = None if writes == "does_not_hold" else watch.proved_since or now
    return watch.proved_since is not None and now - watch.proved_since >= LAST_WORDS_SECONDS


async def _look(
    source: Source, dispatched: Dispatched, call: asyncio.Task[Sent], watch: Watch
) -> ClusterKeys:
    """Read the keys, and judge anew if there is anything new. Raises Failure."""
    replied = call.done()  # before the keys are read: they are of a later time
    keyspace = await source.store.read(source.prefix)
    last_writes = {key: pair.modified for key, pair in keyspace.keys.items()}
    news = watch.last_writes != last_writes
    if replied and watch.answered is None:
        watch.answered, news = keyspace.revision, True
    if await _enough_renewals(source, keyspace, watch) or news:
        history = await source.store.history(source.prefix, dispatched.revision)
        watch.judgement = judge_now(dispatched, history, sent_so_far(call), watch)
        watch.last_writes = last_writes
    return parse(source.scope, keyspace)


async def _enough_renewals(source: Source, keyspace: Keyspace, watch: Watch) -> bool:
    """Count renewals of the leader's lease, where they would prove the outcome. Whether there were
    as many as that takes. Raises Failure.
    """
    judgement = watch.judgement
    if judgement is None:
        return False
    if watch.pulse is not None:
        counts = 0 if watch.pulse.count else watch.answered or 0
        if watch.pulse.since < max(judgement.withdrawn or 0, counts):
            watch.pulse = None  # renewals before that prove nothing, or less
    leader = keyspace.keys.get("leader")
    if not judgement.waiting or leader is None or not leader.lease:
        return False
    watch.pulse = await pulse.take_sample(
        source.store, leader.lease, watch.pulse, keyspace.revision
    )
    if watch.pulse is None or watch.pulse.count < judgement.waiting:
        return False
    await asyncio.sleep(POLL_SECONDS)  # the loop may yet write its entry: see pulse.observe
    return True


def judge_now(dispatched: Dispatched, history: History, sent: Sent, watch: Watch) -> Judgement:
    """What the history since the dispatch proves. The request is in flight: its key in the store
    stands until the outcome is recorded, and longer if that is not final.
    """
    judgement = judge.judge(
        transfer_request(dispatched),
        history,
        True,
        sent.reply,
        sent.sent,
        answered=watch.answered,
        renewals=watch.pulse.renewals if watch.pulse else None,
    )
    return judge.attributed(judgement, history.keyspace.revision)


def transfer_request(dispatched: Dispatched) -> TransferRequest:
    """What was dispatched, as it is to be proved."""
    return TransferRequest(
        command=dispatched.submission.command.name,
        target=dispatched.submission.request.target,
        leader_before=sections.leader(dispatched.keys),
        failover_revision=dispatched.keys.failover_revision,
        dispatched=dispatched.revision,
    )


async def _new_leader_writes(source: Source, keys: ClusterKeys) -> Evaluation:
    """Whether the new leader accepts writes, and is known to be primary."""
    if sections.promotion(keys).state == "AuthorityTransitioning":
        return "does_not_hold"
    return (await writable(source, keys)).evaluation


def certainly_not_done(sent: Sent) -> bool:
    """The request never left, or Patroni answered that it refuses it."""
    status = sent.reply.status if sent.reply else None
    return not sent.sent or status in judge.REFUSALS


def sent_so_far(call: asyncio.Task[Sent]) -> Sent:
    """What came of the call. One that is under way may have left, and has no reply."""
    return call.result() if call.done() else Sent(True, None)
