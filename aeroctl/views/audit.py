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
    not fit; null where nobody can say which. `head`: the end of a trail that is intact, to be noted
    and given to --head later; `expected_head` is what was given now.
    """

    verdict: Literal["intact", "broken"]
    records: int
    first_broken: int | None
    reason: str | None
    head: str | None
    expected_head: str | None


@dataclass(frozen=True, slots=True)
class AuditView:
    """`records` in order of sequence, which is the order of their revisions."""

    records: tuple[AuditRecord, ...]
    broken: tuple[BrokenRecord, ...]
    """Places that hold no record that can be believed, in the order of their keys."""
    verification: Verification | None
    """null: not asked for."""


@dataclass(slots=True)
class Noted:
    """A head that was noted earlier: the hash of a record, and its sequence where that is known.

    Who can rewrite the whole trail can delete its tail and set the head back; but not what somebody
    noted elsewhere. `met`: the trail holds that record.
    """

    sequence: int | None
    hash: str
    met: bool = False

    def __str__(self) -> str:
        return self.hash if self.sequence is None else f"{self.sequence}:{self.hash}"

    def follow(self, sequence: int, hash: str) -> None:  # noqa: A002 - what it is
        """Compare it with a record. That there is none yet is record 0, with no hash."""
        if hash == self.hash and self.sequence in (None, sequence):
            self.met = True

    def missed(self, last: int) -> str:
        """Why a trail that ends at the record `last` is not the one that it was noted of."""
        if self.sequence is None:
            return f"no record up to {last}, the last one, has the hash of --head"
        if self.sequence > last:
            return f"the trail ends at record {last}; --head was noted when it reached {self}"
        return f"record {self.sequence} does not have the hash of --head"


def verification(
    records: int, found: "Break | None", head: str, noted: Noted | None = None
) -> Verification:
    """The verdict over a whole trail, which ends at `head`."""
    expected = None if noted is None else str(noted)
    if found is not None:
        return Verification("broken", records, found.sequence, found.reason, None, expected)
    if noted is not None and not noted.met:
        last = int(head.partition(":")[0])
        first = None if noted.sequence is None else min(noted.sequence, last + 1)
        return Verification("broken", records, first, noted.missed(last), None, expected)
    return Verification("intact", records, None, None, head, expected)


def _row(each: AuditRecord) -> tuple[Cell, ...]:
    confirmed = each.confirmation
    return (
        each.sequence,
        each.revision,
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
    return (each.sequence, each.revision, Flagged("broken"), *nothing, Flagged(each.problem), None)


def layout(view: AuditView) -> tuple[Block, ...]:
    """A line per record, then the verdict."""
    blocks: list[Block] = [
        Grid(
            "SEQUENCE REVISION KIND REQUEST COMMAND TARGET IDENTITY AUTHORITY CONFIRMED "
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
                    ("head", found.head),
                    ("expected head", found.expected_head),
                )
            )
        )
    return tuple(blocks)
