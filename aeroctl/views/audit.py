"""View `audit`: who asked for what, and whether the trail is whole. Records are as they came."""

import heapq
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

from aeroctl.contract.audit import AuditRecord, BrokenRecord
from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid

if TYPE_CHECKING:
    from aeroctl.contract.chain import Break


@dataclass(frozen=True, slots=True)
class Verification:
    """What following the chain found. `first_broken`: the sequence of the first record that does
    not fit, with the reason.
    """

    verdict: Literal["intact", "broken"]
    records: int
    first_broken: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class AuditView:
    """`records` in order of sequence, which is the order of their commits."""

    records: tuple[AuditRecord, ...]
    broken: tuple[BrokenRecord, ...]
    """Places that hold no record that can be believed, in the order of their keys."""
    verification: Verification | None
    """null: not asked for."""


def verification(records: int, found: "Break | None") -> Verification:
    """The verdict over a whole trail."""
    if found is None:
        return Verification("intact", records, None, None)
    return Verification("broken", records, found.sequence, found.reason)


def _row(each: AuditRecord) -> tuple[Cell, ...]:
    confirmed = each.confirmation
    return (
        each.sequence,
        each.commit_id,
        each.kind,
        each.request_id,
        each.command,
        each.target,
        each.identity,
        each.authority,
        confirmed.given if confirmed else None,
        ", ".join(confirmed.acknowledged) or None if confirmed else None,
        each.outcome,
        each.code,
        each.reason,
        each.time,
    )


def _hole(each: BrokenRecord) -> tuple[Cell, ...]:
    """What stands in a record's place; the problem where a record has its reason."""
    nothing = (None,) * 9
    return (each.sequence, each.commit_id, Flagged("broken"), *nothing, Flagged(each.problem), None)


def layout(view: AuditView) -> tuple[Block, ...]:
    """A line per record, then the verdict."""
    blocks: list[Block] = [
        Grid(
            "SEQUENCE COMMIT KIND REQUEST COMMAND TARGET IDENTITY AUTHORITY CONFIRMED "
            "ACKNOWLEDGED OUTCOME CODE REASON TIME",
            tuple(
                row
                for _, row in heapq.merge(
                    ((each.sequence, _row(each)) for each in view.records),
                    ((each.sequence or 0, _hole(each)) for each in view.broken),
                    key=itemgetter(0),
                )
            ),
            None,
            "no records",
        )
    ]
    found = view.verification
    if found is not None:
        blocks.append(
            Facts(
                (
                    ("chain", found.verdict if found.verdict == "intact" else Flagged("broken")),
                    ("records checked", found.records),
                    ("first broken", found.first_broken),
                    ("reason", found.reason),
                )
            )
        )
    return tuple(blocks)
