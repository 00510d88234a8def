"""What every part of the contract is made of."""

from typing import Annotated, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aeroctl.contract.checks import one_of_two

API_VERSION: Final = "v1"

Lsn = Annotated[str, Field(pattern=r"^[0-9A-F]{1,8}/[0-9A-F]{1,8}$", examples=["0/404C800"])]
"""A WAL position as PostgreSQL prints it (pg_lsn)."""

Time = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$",
        examples=["2026-11-23T10:15:19.158Z"],
    ),
]
"""An instant in UTC, RFC 3339. Never used to order anything (P7-D1)."""

Revision = Annotated[int, Field(ge=0, lt=2**53)]
"""A revision of the kernel's consensus store (etcd: revision). The only order of events."""

Xid = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
"""A 64-bit transaction id (xid8), as a string because JSON numbers end at 2^53."""

Count = Annotated[int, Field(ge=0, lt=2**53)]
"""A number of things, bytes or transactions."""


SafeInt = Annotated[int, Field(gt=-(2**53), lt=2**53)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
"""JSON has no NaN and no infinity, and its numbers end at 2^53."""


class Model(BaseModel):
    """Immutable input (state model 4.2); keys a newer kernel adds are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class Unavailable(Model):
    """Why a node's own facts are missing: a stable code, and the words of whoever refused."""

    code: str = Field(examples=["NODE_UNREACHABLE", "NODE_TIMEOUT", "NODE_ACCESS_DENIED"])
    message: str


Value = TypeVar("Value", bound=Model)


class Observation(Model, Generic[Value]):
    """One node's answer to a section that is read from the node itself.

    Exactly one of `value` and `unavailable` is set: a node that can't be asked is a fact in the
    document, never a missing row (state model 10).
    """

    node: str
    value: Value | None
    unavailable: Unavailable | None

    _check = model_validator(mode="after")(one_of_two)
