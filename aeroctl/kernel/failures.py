"""The one exception of the kernel: an answer that is not a 200."""

from collections.abc import Sequence

from aeroctl.contract.error_codes import ERROR_CODES
from aeroctl.contract.errors import EngineReply, Error
from aeroctl.contract.terms import Outcome


class Failure(Exception):
    """A refusal or a failure, as the caller will see it: an HTTP status and a contract Error.

    Status and domain are those of the code (contract/error_codes.py), and the invariants too unless
    others are given.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        invariants: Sequence[str] | None = None,
        outcome: Outcome = "not_executed",
        request_id: str | None = None,
        engine_reply: EngineReply | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        row = ERROR_CODES[code]
        assert row.status is not None, f"{code} is a code of aeroctl, not of the kernel"
        self.status = row.status
        self.error = Error(
            domain=row.domain,
            code=code,
            message=message,
            invariants=list(row.invariants if invariants is None else invariants),
            outcome=outcome,
            request_id=request_id,
            engine_reply=engine_reply,
        )

    def about(self, request_id: str) -> None:
        """Make it the answer to that request."""
        self.error = self.error.model_copy(update={"request_id": request_id})


def unreadable(key: str, problem: str) -> Failure:
    """A key of etcd that can't be parsed: an error, never a missing row (P7-F1)."""
    return Failure(
        "KERNEL_STATE_UNREADABLE", f"the consensus store's key {key!r} can't be read: {problem}"
    )


def busy(message: str) -> Failure:
    """The kernel can't answer in time; the same request may succeed a moment later."""
    return Failure("KERNEL_BUSY", message)
