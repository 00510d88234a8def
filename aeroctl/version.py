"""The version of this build: `0.1.0+g1a2b3c4d` where its commit is known, else `0.1.0`."""

from importlib import import_module
from pathlib import Path

import click

from aeroctl import __version__


def version() -> str:
    """The version, and the commit that it was built from or is run from."""
    build = built() or checked_out(Path(__file__).parent.parent)
    return f"{__version__}+{build}" if build else __version__


def built() -> str | None:
    """What hatch_build.py wrote into the wheel or sdist; None: this is neither."""
    try:
        build: str = import_module("aeroctl._build").BUILD
    except ModuleNotFoundError:
        return None
    return build


def checked_out(root: Path) -> str | None:
    """The commit of the git checkout at `root`; None: it is not one, or git is not there."""
    if not (root / ".git").exists():
        return None
    import subprocess  # only a checkout pays for it

    command = ["git", "-C", str(root), "rev-parse", "--short=8", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return f"g{done.stdout.strip()}"


def _show(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given and not context.resilient_parsing:
        click.echo(f"{context.find_root().info_name} {version()}")
        context.exit()


version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show,
    help="Show the version and exit.",
)
"""Like click's, but the commit is looked up only where the version is asked for."""
