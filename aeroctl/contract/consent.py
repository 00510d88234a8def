"""The confirmation token: what it is made of, so that both sides can tell what it confirms. Pure.

64 hex digits: 12 of the time of issue (milliseconds since 1970 by the kernel's clock), 4 of the
term that the explanation names (seconds), 16 of chance, so that no two explanations have the same
token, and 32 of a digest over all these and over everything that is confirmed. It holds no secret:
it proves what was explained, and not to whom.
"""

import hashlib
import re
from dataclasses import asdict, dataclass

from aeroctl.contract.canonical import canonical_digest
from aeroctl.contract.commands import CommandName

SHAPE = r"^[0-9a-f]{64}$"
_TIME, _TERM, _CHANCE = 12, 4, 16
_HEAD = _TIME + _TERM + _CHANCE
CHANCE_BYTES = _CHANCE // 2


@dataclass(frozen=True, slots=True)
class Confirmable:
    """What a token confirms: this command, on this target, in this state, and nothing else.

    The state digest comes back when a transfer was asked for and cleared again. `failover_revision`
    does not: what was confirmed before another attempt is not good for one after it.
    """

    command: CommandName
    target: str | None
    cluster: str
    system_id: str | None
    state_digest: str
    failover_revision: int


def token(about: Confirmable, issued: int, term: int, chance: bytes) -> str:
    """A new token. `issued`: milliseconds since 1970. `term`: seconds for which it confirms.
    `chance`: CHANCE_BYTES random bytes.
    """
    head = f"{issued:0{_TIME}x}{term:0{_TERM}x}{chance.hex()}"
    return head + _digest(head, about)


def confirms(given: str, about: Confirmable) -> bool:
    """Whether it is a token, unaltered, of exactly that."""
    head, digest = given[:_HEAD], given[_HEAD:]
    return re.fullmatch(SHAPE, given) is not None and digest == _digest(head, about)


def issued(given: str) -> int:
    """When a token, of that shape, was issued: milliseconds since 1970."""
    return int(given[:_TIME], 16)


def term(given: str) -> int:
    """For how many seconds a token, of that shape, confirms."""
    return int(given[_TIME : _TIME + _TERM], 16)


def fingerprint(given: str) -> str:
    """SHA-256 of a token: how the kernel remembers that it was used."""
    return hashlib.sha256(given.encode()).hexdigest()


def _digest(head: str, about: Confirmable) -> str:
    confirmed = asdict(about) | {"head": head}
    return canonical_digest(confirmed)[:32]
