"""What a view is: which sections it needs, how it is derived, and how it is laid out as text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aeroctl.contract.terms import Section
from aeroctl.views.blocks import Block

if TYPE_CHECKING:
    from aeroctl.contract.base import Observation
    from aeroctl.contract.envelope import Snapshot

Data = TypeVar("Data")


@dataclass(frozen=True, slots=True)
class View(Generic[Data]):
    """One view. `data` is the dataclass that JSON shows as it is and `layout` turns into text."""

    data: type[Data]
    derive: Callable[["Snapshot"], Data]
    layout: Callable[[Data], tuple[Block, ...]]
    sections: tuple[Section, ...]
    """Needed; history must hold them when a revision is asked for."""
    live: tuple[Section, ...] = ()
    """Shown as well in a live snapshot; null where history can't have them."""
    rows: str | None = None
    """The field that --filter and --sort-by work on."""


class UnknownNode(LookupError):
    """The snapshot has no node of that name."""

    def __init__(self, name: str, known: list[str]) -> None:
        """`known`: the names that there are."""
        super().__init__(f"no node {name!r} in this cluster; there are: {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a node's own facts are missing: the kernel's code and words."""

    code: str
    message: str


def missing(seen: "Observation[Any]") -> Missing | None:
    """Why an observation has no value; None where it has one."""
    return Missing(seen.unavailable.code, seen.unavailable.message) if seen.unavailable else None


Row = TypeVar("Row")


def row(kind: Callable[..., Row], node: str, source: object, **derived: object) -> Row:
    """A row of `kind`: what is derived, and for every other field the source's field of that name.

    `source` None (a node that could not be asked) gives null in each of them. A field that the
    source does not have is an AttributeError: a null would say that there is no value.
    """
    taken = {
        name: None if source is None else getattr(source, name)
        for name in kind.__dataclass_fields__  # type: ignore[attr-defined]
        if name != "node" and name not in derived
    }
    return kind(node=node, **taken, **derived)
