"""The query parameters of the kernel API, one model for each route that takes some.

Types, bounds, defaults and descriptions stand here alone: the kernel parses with these models, and
the OpenAPI document is made from them.
"""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from aeroctl.contract.base import Time
from aeroctl.contract.terms import NODE_SECTIONS, STORED, Section

EVENT_WINDOW, LARGEST_EVENT_WINDOW = 2000, 20000
AUDIT_PAGE = 1000


def _digits(value: object) -> object:
    """Digits only: no sign, no space, no underscore."""
    if isinstance(value, str) and not (value.isascii() and value.isdecimal()):
        raise ValueError("it must be a whole number in decimal digits")
    return value


def _separated(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


def _in_the_calendar(time: str) -> str:
    datetime.fromisoformat(time)
    return time


Whole = BeforeValidator(_digits)
AtRevision = Annotated[int, Field(ge=1, lt=2**53), Whole]
After = Annotated[int, Field(ge=0, lt=2**53), Whole]
Instant = Annotated[
    Time, AfterValidator(_in_the_calendar), Field(json_schema_extra={"format": "date-time"})
]


class NoQuery(BaseModel):
    """No query parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SnapshotQuery(NoQuery):
    """The parameters of GET /v1/snapshot."""

    include: (
        Annotated[tuple[Section, ...], Field(min_length=1), BeforeValidator(_separated)] | None
    ) = Field(
        None,
        description="Sections, separated by commas. Without it: all of them; of history, "
        f"{', '.join(STORED)}.",
    )
    at: AtRevision | None = Field(
        None,
        description=f"A revision of history. It holds no {', '.join(NODE_SECTIONS)}.",
    )


class EventsQuery(NoQuery):
    """The parameters of GET /v1/events."""

    after: After = Field(
        0, description="Events that come after this revision. Without it: from the first."
    )
    window: Annotated[int, Field(ge=1, le=LARGEST_EVENT_WINDOW), Whole] = Field(
        EVENT_WINDOW, description="Revisions of the store that one answer covers, at most."
    )
    at: AtRevision | None = Field(
        None, description="Events up to a revision of history. Without it: up to now."
    )


class RevisionsQuery(NoQuery):
    """The parameters of GET /v1/revisions."""

    time: Instant | None = Field(None, description="That time, in UTC. Either this or `ago`.")
    ago: Annotated[int, Field(ge=0, lt=2**31), Whole] | None = Field(
        None, description="So many seconds before now, by the clock of the kernel."
    )
    at: AtRevision | None = Field(
        None, description="By what was logged up to a revision of history."
    )
    purpose: Literal["state", "edge"] = Field(
        "state",
        alias="for",
        description="`state`: refused unless the revisions that may have stood then differ in WAL "
        "positions alone. `edge`: of a story.",
    )

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if (self.time is None) == (self.ago is None):
            raise ValueError("exactly one of the parameters time and ago is required")
        return self


class AuditQuery(NoQuery):
    """The parameters of GET /v1/audit."""

    after: After = Field(
        0, description="Records that come after this sequence. Without it: from the first."
    )
    limit: Annotated[int, Field(ge=1, le=AUDIT_PAGE), Whole] = Field(
        AUDIT_PAGE, description="Records in one answer, at most."
    )
    at: AtRevision | None = Field(None, description="The trail as of a revision of history.")
    since: AtRevision | None = Field(None, description="Records of this revision and later ones.")
