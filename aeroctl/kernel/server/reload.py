"""What the server reads again on SIGHUP: certificates, passwords, and the token file."""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aeroctl.kernel import callers, files
from aeroctl.kernel.server import certificates
from aeroctl.kernel.server.certificates import Exchangeable

LOGGER = logging.getLogger("aerokernel")


@dataclass(frozen=True, slots=True)
class _Loaded:
    whose: str
    context: Exchangeable
    load: Callable[[], ssl.SSLContext]


@dataclass
class Reload:
    """The files that can be read again, each on its own: one that can't be used is reported, and
    what was read from it before stays in force.

    `token_file`: read for every request anyway; it is checked here so that whoever changed it
    learns of a mistake.
    """

    token_file: Path | None
    _contexts: list[_Loaded] = field(default_factory=list)

    def context(self, whose: str, load: Callable[[], ssl.SSLContext]) -> Exchangeable:
        """The context that `load` makes, now and whenever files are read again. Raises OSError."""
        loaded = _Loaded(whose, Exchangeable(load()), load)
        self._contexts.append(loaded)
        return loaded.context

    def run(self, renew_passwords: Callable[[], None]) -> None:
        """Read all files again. Never raises."""
        problems = [*self._certificates(), *_passwords(renew_passwords), *self._tokens()]
        for problem in problems:
            LOGGER.error("SIGHUP: %s", problem)
        LOGGER.info(
            "SIGHUP: all files were read again; %s",
            "those with an error keep their earlier content" if problems else "all are in force",
        )

    def _certificates(self) -> list[str]:
        problems = []
        for loaded in self._contexts:
            try:
                loaded.context.current = loaded.load()
            except OSError as error:
                problems.append(certificates.problem(loaded.whose, error))
        return problems

    def _tokens(self) -> list[str]:
        if self.token_file is None:
            return []
        try:
            callers.load(self.token_file)
        except callers.TokenFileError as error:
            return [f"{error}: until it is repaired, every token is refused"]
        return []


def _passwords(renew: Callable[[], None]) -> list[str]:
    try:
        renew()
    except files.FileError as error:
        return [str(error)]
    return []
