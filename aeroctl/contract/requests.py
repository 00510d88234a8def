"""POST /v1/commands/{command} and GET /v1/requests/{id}: what was asked, and what came of it."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from aeroctl.contract.base import Model, Revision
from aeroctl.contract.cluster import Leader
from aeroctl.contract.commands import CommandName
from aeroctl.contract.envelope import Envelope
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.explanation import NodeName, Token
from aeroctl.contract.rules import Rule
from aeroctl.contract.terms import Given, RequestOutcome

RequestId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        examples=["6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b"],
    ),
]
"""A UUID in lower case, fresh for every run of a command (P7-F3)."""
Claim = Annotated[str, Field(max_length=255)]
Reason = Annotated[str, Field(max_length=1000)]


class Confirmation(Model):
    """Proof of intent for one command and one state (P7-A2). `kind` must be the command's own."""

    model_config = ConfigDict(extra="forbid")

    kind: Annotated[str, Field(pattern="^(standard|override)$")]
    given: Given
    token: Token = Field(description="The explanation's confirmation_token.")
    acknowledged: list[Annotated[str, Field(max_length=32)]] = Field(
        max_length=32, description="Exactly the invariants that the explanation lists, sorted."
    )
    accepts_responsibility: bool


class Client(Model):
    """What the caller says of itself. Claims: nobody checked them."""

    model_config = ConfigDict(extra="forbid")

    user: Claim | None
    host: Claim | None
    version: Claim | None


def _integer(value: object) -> object:
    """JSON Schema calls 57.0 an integer, and some languages write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class CommandRequest(Model):
    """The body of POST /v1/commands/{command}. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")

    request_id: RequestId
    target: NodeName | None
    reason: Reason | None
    state_digest: Annotated[str, Field(max_length=64)] = Field(
        description="Of the state that was confirmed; the command is refused in any other."
    )
    revision: Annotated[Revision, BeforeValidator(_integer)] = Field(
        description="The revision that the operator saw."
    )
    confirmation: Confirmation
    client: Client


class Revisions(Model):
    """When, in the kernel's own order: the revisions of the request's audit records."""

    requested: Revision | None
    dispatched: Revision | None
    outcome: Revision | None


class RequestStatus(Model):
    """What became of a request, as kernel state proves it at the revision of the answer."""

    request_id: RequestId
    recorded: bool = Field(
        description="The kernel has a record of this id. Without a record nothing is executed; a "
        "request that is still on its way has none yet."
    )
    command: CommandName | None
    target: str | None
    outcome: RequestOutcome
    final: bool = Field(description="It can't change any more.")
    code: str | None = Field(description="Of the refusal, where there was one.")
    message: str | None = Field(description="In the words of whoever decided.")
    engine_reply: EngineReply | None
    leader_before: Leader | None
    leader_after: Leader | None
    revisions: Revisions
    evidence: list[Rule]
    diagnostics: list[Rule] | None = Field(
        description="What run_diagnostics found, in the answer to it; else null."
    )


class RequestEnvelope(Envelope[RequestStatus]):
    """The answer to POST /v1/commands/{command} and to GET /v1/requests/{id}."""
