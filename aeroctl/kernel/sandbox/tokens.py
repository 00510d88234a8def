"""Tokens: one for each authority, and the hashes by which the kernel knows them."""

import hashlib
import secrets
from typing import Literal, get_args

Authority = Literal["observer", "operator", "auditor"]
AUTHORITIES: tuple[Authority, ...] = get_args(Authority)


def make_tokens() -> dict[Authority, str]:
    """A fresh token for each authority."""
    return {authority: secrets.token_urlsafe(32) for authority in AUTHORITIES}


def hash_lines(tokens: dict[Authority, str]) -> str:
    """The kernel's token file: identity, authority, hash."""
    return "".join(
        f"sandbox-{authority} {authority} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"
        for authority, token in tokens.items()
    )
