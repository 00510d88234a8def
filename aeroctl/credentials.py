"""The operator's bearer token: from a file, standard input or the environment, never from argv."""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from aeroctl.errors import failure


def read_token(token_file: str | None, environment: Mapping[str, str]) -> str | None:
    """The token to show to the kernel, or None where none is given.

    A file is preferred to AEROCTL_TOKEN. Raises TOKEN_UNREADABLE, and TOKEN_EXPOSED for a file
    that others can read: whoever reads it can act in the operator's name (P7-A1).
    """
    if token_file is None:
        token = environment.get("AEROCTL_TOKEN")
        return _checked(token, "AEROCTL_TOKEN") if token else None
    if token_file == "-":
        return _checked(sys.stdin.readline() if sys.stdin else "", "standard input")
    path = Path(token_file)
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                raise failure("TOKEN_EXPOSED", f"others can read {token_file}")
            return _checked(file.read(65536), token_file)
    except (OSError, UnicodeDecodeError) as error:
        raise failure("TOKEN_UNREADABLE", f"{token_file}: {error}") from error


def _checked(text: str, source: str) -> str:
    token = text.strip() if len(text) <= 4096 else ""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise failure("TOKEN_UNREADABLE", f"{source} holds no token (one word of ASCII)")
    return token
