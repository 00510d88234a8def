"""Errors as the kernel sends them: exactly one domain, one stable code."""

from pydantic import Field

from aeroctl.contract.base import Model
from aeroctl.contract.terms import Domain, Outcome


class EngineReply(Model):
    """Patroni's own answer, verbatim (P7-E3)."""

    status: int | None = Field(description="Its own code (HTTP); null: no answer arrived.")
    body: str


class Error(Model):
    """Why there is no answer, and what was or was not done."""

    domain: Domain
    code: str = Field(examples=["SNAPSHOT_UNSTABLE"])
    message: str = Field(description="The message of the refusal, verbatim (P7-E3).")
    invariants: list[str] = Field(examples=[["P7-E2"]])
    outcome: Outcome
    request_id: str | None
    engine_reply: EngineReply | None = None


class ErrorBody(Model):
    """The body of every answer that is not a 200."""

    error: Error
