"""The audit trail's hash chain, for whoever writes it and whoever checks it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aeroctl.contract.canonical import canonical_digest

if TYPE_CHECKING:
    from aeroctl.contract.audit import BrokenRecord

NO_HASH = "0" * 64
"""What the first record has for the hash of the one before it."""
_UNHASHED = ("hash", "revision")


@dataclass(frozen=True, slots=True)
class Break:
    """The first record at which the chain does not hold, and why."""

    sequence: int
    reason: str


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record as JSON values: all keys but its own hash and its revision, in canonical
    form. The revision is the store's own and not known before the record is written.
    """
    hashed = {key: value for key, value in record.items() if key not in _UNHASHED}
    return canonical_digest(hashed)


@dataclass(slots=True)
class Chain:
    """Checks a trail record by record, in constant memory. `broken`: the first break, if any."""

    sequence: int = 0
    hash: str = NO_HASH
    revision: int = 0
    broken: Break | None = None

    def follow(
        self, records: Iterable[Mapping[str, Any]], broken: "Iterable[BrokenRecord]" = ()
    ) -> None:
        """Check the next records, as JSON values and in the order in which they were given.

        `broken`: the places of the same stretch of the trail that hold none.
        """
        holes = sorted(broken, key=_place)
        for record in records:
            while holes and _place(holes[0]) <= record["sequence"]:
                self._hole(holes.pop(0))
            if self.broken is None:
                reason = self._reason(record)
                if reason:
                    self.broken = Break(self.sequence + 1, reason)
            self.sequence = record["sequence"]
            self.hash, self.revision = record["hash"], record["revision"]
        for hole in holes:
            self._hole(hole)

    def end(self, sequence: int, hash: str) -> Break | None:  # noqa: A002 - what it is
        """The first break, after the last record, against the kept end of the chain."""
        if self.broken is None and (self.sequence, self.hash) != (sequence, hash):
            reason = f"the trail ends at record {self.sequence}, its kept end is record {sequence}"
            if self.sequence == sequence:
                reason = "the kept end of the trail names another hash"
            self.broken = Break(min(self.sequence, sequence) + 1, reason)
        return self.broken

    def _hole(self, hole: "BrokenRecord") -> None:
        """A place that holds no record; what comes after it can't be checked against it."""
        sequence = hole.sequence or self.sequence + 1
        self.broken = self.broken or Break(sequence, f"{hole.key}: {hole.problem}")

    def _reason(self, record: Mapping[str, Any]) -> str | None:
        if record["sequence"] != self.sequence + 1:
            return f"record {self.sequence + 1} is missing"
        if record["previous_hash"] != self.hash:
            return "it does not name the hash of the record before it"
        if record["hash"] != digest(record):
            return "its content does not match its hash"
        if record["revision"] < self.revision:
            return "it was written before the record before it"
        return None


def _place(hole: "BrokenRecord") -> int:
    """A key that is no record's comes last: the records themselves may be whole."""
    return hole.sequence or 2**53
