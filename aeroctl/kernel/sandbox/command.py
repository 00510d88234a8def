"""`aerokernel sandbox`: a cluster for as long as a command runs."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import reduce
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from aeroctl.kernel.sandbox.cluster import Sandbox
from aeroctl.kernel.sandbox.errors import SandboxError
from aeroctl.kernel.sandbox.programs import search_path
from aeroctl.kernel.sandbox.settings import Settings, overlay, parse_setting, parse_tag

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 2


@click.command(
    short_help="Run a command beside a real cluster on loopback.",
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--nodes",
    type=click.IntRange(1, 20),
    default=3,
    show_default=True,
    help="Number of nodes; they are named n1, n2, …",
)
@click.option(
    "--tag",
    "tags",
    metavar="NODE:KEY=VALUE",
    multiple=True,
    help="A Patroni tag, such as n3:nofailover=true.",
)
@click.option(
    "--config",
    metavar="KEY=VALUE",
    multiple=True,
    help="A setting of the cluster, such as synchronous_mode=true.",
)
@click.option(
    "--patroni",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A Patroni other than the installed one, or the Python that it is installed in.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def sandbox(
    nodes: int,
    tags: tuple[str, ...],
    config: tuple[str, ...],
    patroni: Path | None,
    command: tuple[str, ...],
) -> NoReturn:
    """Start a real cluster on loopback, run COMMAND beside it, and remove every trace of it.

    The cluster is etcd, Patroni, PostgreSQL and aerokernel, in a temporary directory. COMMAND (a
    shell, if there is none) finds it through AEROCTL_KERNEL and AEROCTL_TOKEN_FILE, an operator's;
    an observer's and an auditor's lie beside it. AEROKERNEL_SANDBOX_DIR holds the data, the logs,
    and nodes/NAME/patroni.yml for patronictl. The exit code is COMMAND's.

    \b
    Example:
      aerokernel sandbox --nodes 2 -- aeroctl inspect cluster
    """
    if not command and sys.stdin.isatty():
        command = (os.environ.get("SHELL") or "/bin/sh",)
    if command and shutil.which(command[0], path=search_path()) is None:
        raise _NotFound(f"{command[0]}: command not found")
    for signum in SIGNALS:
        if signal.getsignal(signum) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(signum, _end)
    try:
        with Sandbox(nodes, _tags(tags), _config(config), _say, patroni=patroni) as cluster:
            status = _follow(command, cluster) if command else _stay(cluster)
            _ignore_signals()
    except SandboxError as error:
        raise click.ClickException(str(error)) from None
    raise SystemExit(status)


class _NotFound(click.ClickException):
    exit_code = 127  # a shell's


def _follow(command: Sequence[str], cluster: Sandbox) -> int:
    """Run the command, and return its exit code as a shell would."""
    # The terminal sends Ctrl-C to the command too, and whether that ends it is its own affair.
    signal.signal(signal.SIGINT, lambda *_: None)
    own = {name: value for name, value in os.environ.items() if name != "AEROCTL_TOKEN"}
    process = subprocess.Popen(command, env=own | {"PATH": search_path()} | cluster.environment)
    cluster.watch(process.pid)
    try:
        status = process.wait()
    except SystemExit:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        raise
    return status if status >= 0 else 128 - status


def _stay(cluster: Sandbox) -> NoReturn:
    """Nothing to run and nobody to type: be there until a signal."""
    for name, value in cluster.environment.items():
        _say(f"export {name}={shlex.quote(value)}")
    while True:
        signal.pause()


def _end(signum: int, _: FrameType | None) -> NoReturn:
    """Make the first signal an orderly end, which no further one interrupts."""
    _ignore_signals()
    raise SystemExit(128 + signum)


def _ignore_signals() -> None:
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def _tags(texts: Sequence[str]) -> dict[str, Settings]:
    return _merge(({node: tag} for node, tag in map(parse_tag, texts)), "--tag")


def _config(texts: Sequence[str]) -> Settings:
    return _merge(map(parse_setting, texts), "--config")


def _merge(parsed: Iterable[Settings], option: str) -> dict[str, Any]:
    try:
        return reduce(overlay, parsed, {})
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from None


def _say(message: str) -> None:
    click.echo(message, err=True)
