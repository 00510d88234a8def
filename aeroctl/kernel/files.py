"""Files that hold secrets, or say who is who: read only where nobody else reads or writes them."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

LARGEST = 1024 * 1024


class FileError(Exception):
    """A file that can't be read, or that must not be believed. Its words name it."""


def read(path: Path) -> str:
    """The text of a file that is ours alone. Raises FileError.

    It belongs to the server's own user or to root, and nobody else may read or write it; the group
    may read one of root's, as with PostgreSQL's own keys. What was checked is what is read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(descriptor)
            # that of a link, and that of what it leads to
            directories = [each.parent.stat() for each in (path, path.resolve())]
            if problem := _problem(found, directories):
                raise FileError(f"{path}: {problem}")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                text = file.read(LARGEST + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from error
    if len(text) > LARGEST:
        raise FileError(f"{path}: it is larger than {LARGEST} bytes")
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: it is not UTF-8 text") from error


def secret(path: Path | None) -> str | None:
    """The password in a file that holds it and at most one line end. Raises FileError."""
    if path is None:
        return None
    text = read(path)
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or any(each in password for each in "\n\r\0"):
        raise FileError(f"{path}: it must hold the password as its only line")
    return password


def _problem(file: os.stat_result, directories: Sequence[os.stat_result]) -> str | None:
    """Why what is there must not be believed. Pure."""
    if not stat.S_ISREG(file.st_mode):
        return "it is not a regular file"
    if file.st_uid not in (0, os.geteuid()):
        return f"its owner is user {file.st_uid}, but must be root or the server's own user"
    roots = file.st_uid == 0 and os.geteuid() != 0
    if file.st_mode & (0o037 if roots else 0o077):
        mode = f"{stat.S_IMODE(file.st_mode):04o}"
        return f"other users may read or write it (its mode is {mode}; make it 0600: chmod 600)"
    if any(each.st_mode & stat.S_IWOTH and not each.st_mode & stat.S_ISVTX for each in directories):
        return "all users can replace it, because its directory is writable by all users"
    return None
