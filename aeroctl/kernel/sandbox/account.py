"""Whose account the cluster's programs run under."""

import os
import pwd
import shutil
from pathlib import Path

from aeroctl.kernel.sandbox.errors import SandboxError

Account = pwd.struct_passwd


def unprivileged_account() -> Account | None:
    """The account to drop to, as PostgreSQL refuses to run as root; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    if shutil.which("setpriv") is None:
        raise SandboxError("setpriv was not found: run the sandbox as an ordinary user instead")
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise SandboxError(
            "there is no account named nobody: run the sandbox as an ordinary user instead"
        ) from None


def drop_to(account: Account | None, *, also: str = "") -> list[str]:
    """The start of a command line that runs the rest of it under that account.

    It keeps the capability to get at files, because the interpreter and the wheels may lie in a
    home that is closed to others, plus those named in `also` (such as `+kill`).
    """
    if account is None:
        return []
    capabilities = ",".join(filter(None, ["+dac_override", also]))
    return [
        "setpriv",
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        f"--inh-caps={capabilities}",
        f"--ambient-caps={capabilities}",
    ]


def give(path: Path, account: Account | None) -> None:
    """Make that account the owner."""
    if account:
        os.chown(path, account.pw_uid, account.pw_gid)


def environment(account: Account | None) -> dict[str, str]:
    """Ours, without what is meant for another PostgreSQL, Patroni, etcd or kernel."""
    foreign = ("PG", "PATRONI_", "ETCD_", "AEROCTL_", "AEROKERNEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # Whoever may write anywhere must not leave bytecode in somebody else's installation.
    return kept | ({"PYTHONDONTWRITEBYTECODE": "1"} if account else {})
