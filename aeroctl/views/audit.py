"""View `audit`: who asked for what, and whether the trail is whole. Records are as they came."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aeroctl.contract.audit import AuditRecord
from aeroctl.views.blocks import Block, Facts, Flagged, Grid

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
    verification: Verification | None
    """null: not asked for."""


def verification(records: int, found: "Break | None") -> Verification:
    """The verdict over a whole trail."""
    if found is None:
        return Verification("intact", records, None, None)
    return Verification("broken", records, found.sequence, found.reason)


def layout(view: AuditView) -> tuple[Block, ...]:
    """A line per record, then the verdict."""
    blocks: list[Block] = [
        Grid(
            "SEQUENCE COMMIT KIND REQUEST COMMAND TARGET IDENTITY AUTHORITY CONFIRMED "
            "ACKNOWLEDGED OUTCOME CODE REASON TIME",
            tuple(
                (
                    each.sequence,
                    each.commit_id,
                    each.kind,
                    each.request_id,
                    each.command,
                    each.target,
                    each.identity,
                    each.authority,
                    each.confirmation.given if each.confirmation else None,
                    ", ".join(each.confirmation.acknowledged) or None
                    if each.confirmation
                    else None,
                    each.outcome,
                    each.code,
                    each.reason,
                    each.time,
                )
                for each in view.records
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
