"""Files that hold secrets, or say who is who: read only where nobody else reads or writes them."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

LARGEST = 1024 * 1024


class FileError(Exception):
    """A file that can't be read or is not safe to trust. The message names the file."""


def read(path: Path) -> str:
    """The text of a file that only the server's user or root can change. Raises FileError.

    The file belongs to one of these, and no other user may read or write it; the group may read a
    file of root's, as with PostgreSQL's keys. The file that is checked is the one that is read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            # the directory of a link, and that of its target
            directories = [location.parent.stat() for location in (path, path.resolve())]
            if problem := _problem(status, directories):
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
    """The password in a file that contains it and at most one line end. Raises FileError."""
    if path is None:
        return None
    text = read(path)
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or any(char in password for char in "\n\r\0"):
        raise FileError(f"{path}: it must hold the password as its only line")
    return password


def _problem(file: os.stat_result, directories: Sequence[os.stat_result]) -> str | None:
    """Why the file is not safe to trust, or None. Pure."""
    if not stat.S_ISREG(file.st_mode):
        return "it is not a regular file"
    if file.st_uid not in (0, os.geteuid()):
        return f"its owner is user {file.st_uid}, but must be root or the server's own user"
    roots = file.st_uid == 0 and os.geteuid() != 0
    if file.st_mode & (0o037 if roots else 0o077):
        mode = f"{stat.S_IMODE(file.st_mode):04o}"
        return f"other users may read or write it (its mode is {mode}; make it 0600: chmod 600)"
    if any(
        parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX
        for parent in directories
    ):
        return "all users can replace it, because its directory is writable by all users"
    return None
