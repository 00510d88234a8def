"""POST /v1/explain/{command}: what a command would do, as a proof over one snapshot (P7-O2)."""

from typing import Annotated

from pydantic import ConfigDict, Field

from aeroctl.contract.base import Count, Model, Revision, Time
from aeroctl.contract.cluster import Leader
from aeroctl.contract.commands import CommandName
from aeroctl.contract.consent import SHAPE
from aeroctl.contract.envelope import Envelope
from aeroctl.contract.rules import Rule
from aeroctl.contract.terms import Conclusion, ConfirmationKind

NodeName = Annotated[str, Field(min_length=1, max_length=255)]
Token = Annotated[str, Field(pattern=SHAPE)]


class ExplainRequest(Model):
    """The body. `target` is null exactly for a command that takes none."""

    model_config = ConfigDict(extra="forbid")

    target: NodeName | None


class ObservedSnapshot(Model):
    """The state that the explanation is about."""

    revision: Revision
    state_digest: str
    failover_revision: Revision = Field(
        description="Last revision of the engine's pending-transfer key; 0: it is absent."
    )


class Inputs(Model):
    """What was asked, of which cluster."""

    command: CommandName
    target: str | None
    cluster: str
    system_id: str | None


class Affected(Model):
    """A node, and what the command would do to it."""

    node: str
    effect: str


class Override(Model):
    """An invariant that the command would override, to be acknowledged by its id."""

    invariant: str = Field(examples=["P6-S1"])
    description: str
    reason: str = Field(description="Why it can't be kept in this state.")


class Successor(Model):
    """A node that the kernel may pick when the leader steps down."""

    node: str
    rules: list[Rule]


class Cost(Model):
    """What a diagnostic would cost: declared before it runs."""

    nodes: list[str] = Field(description="By name.")
    queries: Count = Field(description="SQL statements at most, over all nodes.")
    requests: Count = Field(description="HTTP requests to the nodes' agents at most.")


class Explanation(Model):
    """The proof. It grants nothing and mutates nothing (P7-A1)."""

    explanation_type: CommandName
    observed_snapshot: ObservedSnapshot
    inputs: Inputs
    action: str = Field(description="The one kernel action, in words.")
    confirmation: ConfirmationKind
    leader: Leader | None
    rules_applied: list[Rule] = Field(description="In the kernel's fixed order.")
    conclusion: Conclusion
    affected: list[Affected] = Field(description="By node name.")
    irreversible: list[str]
    overrides: list[Override] = Field(description="By id; empty unless the command overrides.")
    successors: list[Successor] | None = Field(
        description="For a demotion: among whom the kernel picks, by name. Else null."
    )
    cost: Cost | None = Field(description="For diagnostics. Else null.")
    deadline_seconds: Count = Field(
        description="The kernel answers a request for this command within this time."
    )
    confirmation_term_seconds: Count = Field(
        description="How long after this explanation the kernel that gave it accepts its token."
    )
    confirmation_expires_at: Time = Field(
        description="The end of that time, by the kernel's clock."
    )
    confirmation_token: Token = Field(
        description="A confirmation that carries it is good for this command on this target in "
        "this state, for one request, and until it expires. Its parts: time of issue, chance, and "
        "a digest of both with command, target, cluster, system id, state digest and "
        "failover_revision."
    )


class ExplanationEnvelope(Envelope[Explanation]):
    """The answer to POST /v1/explain/{command}."""
