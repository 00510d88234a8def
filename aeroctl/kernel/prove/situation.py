"""All that the outcome of a request is judged by, at one time. Pure."""

from dataclasses import dataclass

from aeroctl.contract.errors import EngineReply
from aeroctl.kernel.patroni.renewals import Renewals
from aeroctl.kernel.prove.request import TransferRequest
from aeroctl.kernel.prove.states import Progress, State
from aeroctl.kernel.store.keyspace import History


@dataclass(frozen=True, slots=True)
class Situation:
    """A request, its state, and what that rests on.

    `in_flight`: aerokernel still carries the request out. `reply`: Patroni's, where one is known.
    `answer`: a revision of the store from after the leader's own agent had answered that the
    request is gone. `renewals`: of the leader's lease.
    """

    request: TransferRequest
    history: History
    state: State
    progress: Progress
    in_flight: bool = False
    reply: EngineReply | None = None
    answer: int | None = None
    renewals: Renewals | None = None

    @property
    def unanswered(self) -> bool:
        """The request is in flight, and no agent has answered it."""
        return self.in_flight and (self.reply is None or self.reply.status is None)
