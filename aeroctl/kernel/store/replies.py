"""What etcd's v3 JSON gateway answers, as models. etcd leaves empty fields out.

Key-values are typed dictionaries inside of models: a large range is read in half of the time.
"""

from enum import IntEnum
from typing import Annotated, ClassVar, Literal, NotRequired, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError
from typing_extensions import TypedDict, TypeIs  # pydantic wants this TypedDict on Python 3.11

from aeroctl.kernel.failures import Failure, unreadable

CONFIG = ConfigDict(extra="ignore", frozen=True, val_json_bytes="base64")


class GrpcCode(IntEnum):
    """The status codes of gRPC, by which etcd says why it refused."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


TRANSIENT = frozenset({GrpcCode.DEADLINE_EXCEEDED, GrpcCode.UNAVAILABLE})
"""etcd can't answer just now, such as while a leader is elected."""


class Foreign(Exception):
    """What was answered is not a JSON object: it is not the gateway's."""


class Reply(BaseModel):
    """One answer. `named`: how a message names what was asked for."""

    model_config = CONFIG
    named: ClassVar[str] = "revision"


class Header(BaseModel):
    """Beside every answer: the newest revision when it was given."""

    model_config = CONFIG

    revision: int


class Key(TypedDict):
    """A key, and when it was last written. A deleted one has no more."""

    __pydantic_config__ = CONFIG  # type: ignore[misc]

    key: bytes
    mod_revision: int
    lease: NotRequired[int]


class KeyValuePair(Key):
    """A key and what it holds."""

    create_revision: int
    value: NotRequired[bytes]
    version: NotRequired[int]


class Range(Reply):
    """The keys of one range, and how many there are in all."""

    named = "a range"

    kvs: list[KeyValuePair] = []
    count: int = 0


class RangeReply(Range):
    """To /v3/kv/range."""

    header: Header


class RangeResponse(BaseModel):
    """The answer to one range of a transaction."""

    model_config = CONFIG

    response_range: Range


class ReadReply(Reply):
    """To /v3/kv/txn with ranges alone."""

    named = "a reading transaction"

    header: Header
    responses: list[RangeResponse] = []


class WriteReply(Reply):
    """To /v3/kv/txn with writes. `succeeded`: every comparison held, and all was written."""

    header: Header
    succeeded: bool = False


class LeaseGrant(Reply):
    """To /v3/lease/grant."""

    named = "a lease"

    id: int = Field(alias="ID")


class RaftHeader(BaseModel):
    """The term of the store's own leader."""

    model_config = CONFIG

    raft_term: int


class LeaseTimeToLive(Reply):
    """To /v3/lease/timetolive; `ttl` is below 0 when the lease has ended."""

    named = "how long a lease lasts"

    header: RaftHeader
    ttl: int = Field(0, alias="TTL")


class Token(Reply):
    """To /v3/auth/authenticate."""

    named = "a login"

    token: str | None = None


class Version(Reply):
    """To /version."""

    named = "its version"

    etcdserver: str | None = None


class Put(TypedDict):
    """A key was written."""

    __pydantic_config__ = CONFIG  # type: ignore[misc]

    type: NotRequired[Literal["PUT"]]
    kv: KeyValuePair


class Deletion(TypedDict):
    """A key was deleted, or its lease ended."""

    __pydantic_config__ = CONFIG  # type: ignore[misc]

    type: Literal["DELETE"]
    kv: Key


Event = Annotated[Put | Deletion, Field(union_mode="left_to_right")]


def is_deletion(event: Put | Deletion) -> TypeIs[Deletion]:
    """Which of the two it is."""
    return event.get("type") == "DELETE"


class WatchResult(Reply):
    """Some events of a watch, or why it has none. `compact_revision`: the oldest that is left."""

    named = "a watch"

    events: list[Event] = []
    canceled: bool = False
    cancel_reason: str = ""
    compact_revision: int = 0


class StreamError(BaseModel):
    """What ends a stream."""

    model_config = CONFIG

    grpc_code: GrpcCode = GrpcCode.UNKNOWN
    message: str = ""


class WatchLine(Reply):
    """One line of the stream that answers /v3/watch."""

    named = "a watch"

    result: WatchResult = WatchResult()
    error: StreamError | None = None


class ErrorReply(Reply):
    """With any HTTP status but 200."""

    code: StrictInt
    message: str = ""


Answer = TypeVar("Answer", bound=Reply)


def parse(model: type[Answer], body: bytes | str) -> Answer:
    """Raises Foreign, and Failure KERNEL_STATE_UNREADABLE for an object of another shape."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        if any(not problem["loc"] for problem in problems):
            raise Foreign from error
        raise misunderstood(model, problems[0]["loc"], problems[0]["msg"]) from None


def misunderstood(model: type[Reply], place: tuple[int | str, ...], problem: str) -> Failure:
    """Etcd's answer has another shape than it documents."""
    words = f"not etcd's answer to it: {'.'.join(map(str, place))}: {problem}"
    return unreadable(model.named, words)
