"""Callers, identified by bearer tokens; the token file contains only the tokens' digests.

A line is `<identity> <authority> sha256:<hex>`; blank lines and lines that begin with # are
ignored. Authority is never inferred or raised (P7-A1): an ambiguous line is refused.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from aeroctl.contract.terms import AuthorityName
from aeroctl.kernel import files

Authority = AuthorityName
AUTHORITIES: tuple[Authority, ...] = get_args(Authority)

LINE = re.compile(
    rf"(?P<identity>[\w.@+-]{{1,64}}) (?P<authority>{'|'.join(AUTHORITIES)})"
    r" sha256:(?P<digest>[0-9a-f]{64})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Caller:
    """An accountable identity, and its authority."""

    identity: str
    authority: Authority


ANONYMOUS = Caller("anonymous", "observer")
"""The caller of every request to a server without a token file, which listens on loopback only."""


class TokenFileError(Exception):
    """The token file can't be read, or a line of it is wrong or ambiguous."""


def load(path: Path) -> dict[str, Caller]:
    """Callers by digest, in the file's order. Only a newline ends a line. Raises TokenFileError."""
    try:
        text = files.read(path)
    except files.FileError as error:
        raise TokenFileError(str(error)) from error
    callers: dict[str, Caller] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.strip(" \t\r")
        if not words or line.startswith("#"):
            continue
        match = LINE.fullmatch(words)
        if match is None:
            expected = f"<identity> <{'|'.join(AUTHORITIES)}> sha256:<64 hex digits>"
            raise TokenFileError(f"{path}: line {number} is not '{expected}'")
        if match["identity"] == ANONYMOUS.identity:
            raise TokenFileError(
                f"{path}: line {number} names a caller {ANONYMOUS.identity!r}; it is reserved"
            )
        if match["digest"] in callers:
            raise TokenFileError(f"{path}: line {number} repeats the token of an earlier line")
        authority = next(name for name in AUTHORITIES if name == match["authority"])
        callers[match["digest"]] = Caller(match["identity"], authority)
    return callers


def find(callers: dict[str, Caller], token: str) -> Caller | None:
    """The caller with that token, which is compared in constant time with every digest."""
    digest = digest_of(token)
    match = None
    for known, caller in callers.items():
        if hmac.compare_digest(known, digest):
            match = caller
    return match


def new() -> str:
    """A fresh random token of 256 bits."""
    return secrets.token_urlsafe(32)


def line_of(identity: str, authority: Authority, token: str) -> str:
    """The token file's line for a token. Raises ValueError if the identity is not valid."""
    line = f"{identity} {authority} sha256:{digest_of(token)}"
    if LINE.fullmatch(line) is None or identity == ANONYMOUS.identity:
        rule = f"letters, digits and _ . @ + - only, and not {ANONYMOUS.identity!r}"
        raise ValueError(f"not an identity: {identity!r} ({rule})")
    return line


def digest_of(token: str) -> str:
    """A token's digest. SHA-256 suffices, because tokens are random."""
    return hashlib.sha256(token.encode()).hexdigest()
