"""The operator's bearer token: from a file, standard input or the environment, never from argv."""

import os
import stat
import sys
from collections.abc import Mapping

from aeroctl.adapter.kernel import Call
from aeroctl.errors import failure

LONGEST = 4096


def read_token(
    token_file: str | None, environment: Mapping[str, str], seconds: float | None
) -> str | None:
    """The token to show to the kernel, or None where none is given.

    A file is preferred to AEROCTL_TOKEN. It may be a pipe that nobody writes to, so it has
    `seconds`; without them, a default that a person who types is not held to. Raises
    TOKEN_UNREADABLE, and TOKEN_EXPOSED for a file that others can read: whoever reads it can act in
    the operator's name (P7-A1).
    """
    if token_file is None:
        token = environment.get("AEROCTL_TOKEN")
        return _checked(token, "AEROCTL_TOKEN") if token else None
    named = "standard input" if token_file == "-" else token_file
    try:
        if token_file == "-" and seconds is None and sys.stdin is not None and sys.stdin.isatty():
            return _checked(_line(), named)
        allowed = seconds or 10.0
        late = failure("TOKEN_UNREADABLE", f"{named}: no token came within {allowed:g} s")
        read = _line if token_file == "-" else lambda: _content(token_file)
        return _checked(Call(read, allowed, late).result(), named)
    except (OSError, ValueError) as error:  # not ASCII, no stream of the system's, a NUL in a name
        raise failure("TOKEN_UNREADABLE", f"{named}: {error}") from error


def _content(path: str) -> str:
    """A file, whole. No buffer of Python's: at the end a thread that still waits must not hold one.

    The beginning of what is longer than any token is enough: it is refused.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            raise failure("TOKEN_EXPOSED", f"others can read {path}")
        content = b""
        while len(content) <= LONGEST and (part := os.read(file, LONGEST)):
            content += part
    finally:
        os.close(file)
    return content.decode("ascii")


def _line() -> str:
    """A line of standard input, and no byte more: what follows may be for somebody else."""
    line = b""
    if sys.stdin is not None:
        file = sys.stdin.fileno()
        while len(line) <= LONGEST and not line.endswith(b"\n") and (byte := os.read(file, 1)):
            line += byte
    return line.decode("ascii")


def _checked(text: str, source: str) -> str:
    """The one word of a text. Lines end at a newline only; what Unicode calls a blank is none."""
    token = text.strip(" \t\r\n") if len(text) <= LONGEST else ""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise failure("TOKEN_UNREADABLE", f"{source} holds no token (one word of ASCII)")
    return token
