"""The request whose outcome is proved: what it asks for, and how Patroni's failover key shows it.

Patroni keeps no request ids. `POST /switchover` and `POST /failover` write the names of the leader
and of the candidate into the key `failover` (patroni/dcs/__init__.py, `manual_failover`), and that
is all by which a request can be recognised there.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from aeroctl.contract.cluster import Leader
from aeroctl.contract.commands import CommandName
from aeroctl.kernel.patroni.keys import Failover
from aeroctl.kernel.store.keyspace import History


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """A request to hand over Patroni's leader key, as its dispatch was recorded.

    `leader_before`: the leader that it was bound to. `failover_revision`: the revision at which the
    failover key was last written before the dispatch, 0 if it was absent. `dispatched`: the
    revision of the dispatch record; the history that proves the outcome begins there.
    """

    command: CommandName
    target: str | None
    leader_before: Leader | None
    failover_revision: int
    dispatched: int

    def asks_for(self, node: str) -> bool:
        """Whether the request is fulfilled when that node becomes leader."""
        if self.command == "request_demotion":
            return node != self.target
        return node == self.target

    @property
    def goes_to_leader(self) -> bool:
        """Whether the leader's own agent receives it. A forced promotion goes to the target's."""
        return self.command != "force_promotion"

    def written_as(self, value: str | None) -> bool:
        """Whether a Patroni agent writes exactly this value into the failover key for it."""
        failover = parse_failover(value)
        if failover is None or failover.scheduled_at is not None:
            return False  # aerokernel schedules nothing
        names = (failover.leader or None, failover.member or None)
        if self.command == "request_promotion":
            return names == (self.leader_before and self.leader_before.node, self.target)
        if self.command == "request_demotion":
            return names == (self.target, None)
        return names == (None, self.target)

    def is_covered_by(self, history: History) -> bool:
        """Whether the history can't have lost the write of this request to compaction: it is
        complete, or the failover key was still as before the dispatch where it begins.

        A failover key that is absent, as before, proves nothing: it may have been written and
        deleted.
        """
        unwritten = 0 < last_failover_write(history) == self.failover_revision
        return history.complete or unwritten


def parse_failover(value: str | None) -> Failover | None:
    """The failover key's value; None where it is absent or can't be read."""
    try:
        return None if value is None else Failover.model_validate_json(value)
    except ValidationError:
        return None


def names_somebody(value: str | None) -> bool:
    """Whether the failover key asks for a transfer.

    A value that can't be read counts as one that does, although Patroni reads it as empty (P7-F1).
    """
    if value is None:
        return False
    failover = parse_failover(value)
    return failover is None or failover.pending


def last_failover_write(history: History) -> int:
    """The revision of the failover key where the history begins; 0 if it was absent."""
    failover = history.base.keys.get("failover")
    return 0 if failover is None else failover.modified
