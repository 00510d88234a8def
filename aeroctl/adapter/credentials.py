"""The operator's bearer token: from a file, standard input or the environment, never from argv."""

import os
import stat
from collections.abc import Mapping
from functools import partial
from typing import TextIO

from aeroctl.adapter.call import Call
from aeroctl.errors import failure

LONGEST = 4096


def read_token(
    token_file: str | None,
    stdin: TextIO | None,
    environment: Mapping[str, str],
    seconds: float | None,
) -> str | None:
    """The token to send to the kernel, or None where none is given.

    A file (`-`: standard input) is preferred to AEROCTL_TOKEN. It may be a pipe that is never
    written to, so reading it ends after `seconds`; without them after 10, unless it is typed at a
    terminal. Raises TOKEN_UNREADABLE, and TOKEN_EXPOSED for a file that other users can read: with
    it they could act in the operator's name (P7-A1).
    """
    if token_file is None:
        token = environment.get("AEROCTL_TOKEN")
        return _checked(token, "AEROCTL_TOKEN") if token else None
    name = "standard input" if token_file == "-" else token_file
    try:
        if token_file == "-" and seconds is None and stdin is not None and stdin.isatty():
            return _checked(_line(stdin), name)
        allowed = seconds or 10.0
        late = failure("TOKEN_UNREADABLE", f"{name}: no token arrived within {allowed:g} s")
        read = partial(_line, stdin) if token_file == "-" else partial(_content, token_file)
        return _checked(Call(read, allowed, late).result(), name)
    except (
        OSError,
        ValueError,
    ) as error:  # not ASCII, a stream without a descriptor, a NUL in a path
        raise failure("TOKEN_UNREADABLE", f"{name}: {error}") from error


def _content(path: str) -> str:
    """A file's content, up to the first bytes that are more than any token has.

    Read without Python's buffers: a thread that still waits at exit must not hold one.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            raise failure("TOKEN_EXPOSED", f"other users can read {path}")
        content = b""
        while len(content) <= LONGEST and (part := os.read(file, LONGEST)):
            content += part
    finally:
        os.close(file)
    return content.decode("ascii")


def _line(stdin: TextIO | None) -> str:
    """A line of standard input, and no byte more: the rest may be for another program."""
    line = b""
    if stdin is not None:
        file = stdin.fileno()
        while len(line) <= LONGEST and not line.endswith(b"\n") and (byte := os.read(file, 1)):
            line += byte
    return line.decode("ascii")


def _checked(text: str, source: str) -> str:
    """The one word that a text holds; only ASCII spaces and line ends around it are removed."""
    token = text.strip(" \t\r\n") if len(text) <= LONGEST else ""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise failure("TOKEN_UNREADABLE", f"{source} holds no token (one word in ASCII)")
    return token
