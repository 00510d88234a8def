"""The one exception of the kernel: an answer that is not a 200."""

from collections.abc import Sequence

from aeroctl.contract.errors import EngineReply, Error
from aeroctl.contract.terms import Domain, Outcome


class Failure(Exception):
    """A refusal or a failure, as the caller will see it: an HTTP status and a contract Error."""

    def __init__(
        self,
        status: int,
        domain: Domain,
        code: str,
        message: str,
        *,
        invariants: Sequence[str] = (),
        outcome: Outcome = "not_executed",
        request_id: str | None = None,
        engine_reply: EngineReply | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.error = Error(
            domain=domain,
            code=code,
            message=message,
            invariants=list(invariants),
            outcome=outcome,
            request_id=request_id,
            engine_reply=engine_reply,
        )

    def about(self, request_id: str) -> None:
        """It is the answer to that request."""
        self.error = self.error.model_copy(update={"request_id": request_id})


def unreadable(key: str, problem: str) -> Failure:
    """A key of the consensus store that can't be understood: never a missing row (P7-F1)."""
    return Failure(
        502,
        "kernel_rejection",
        "KERNEL_STATE_UNREADABLE",
        f"the consensus store's key {key!r} can't be read: {problem}",
        invariants=["P7-F1"],
    )


def busy(message: str) -> Failure:
    """More is asked than can be answered in time; the same request may well be answered soon."""
    return Failure(503, "kernel_rejection", "KERNEL_BUSY", message, invariants=["P7-F1"])
