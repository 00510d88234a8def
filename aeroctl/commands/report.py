"""aeroctl report."""

from typing import TYPE_CHECKING

import click

from aeroctl.commands.reading import MomentType, file_option
from aeroctl.options import app_of, option, shared_options

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment


@click.command()
@option(
    "--at",
    type=MomentType(),
    metavar="MOMENT",
    help="Report on an earlier moment, as with inspect --at.",
)
@file_option
@shared_options
@click.pass_context
def report(ctx: click.Context, at: "Moment | None", file: str | None) -> None:
    """One page of HTML with everything that the kernel holds about one revision.

    Topology, leaders over time, timeline, requests, and the audit trail with the result of checking
    its chain. The page runs no scripts and loads nothing. The same evidence file gives the same
    bytes everywhere.

    \b
    Example:
      aeroctl report > incident.html
      aeroctl snapshot --full > evidence.json; aeroctl report --from evidence.json > incident.html
    """
    from aeroctl.workflows.read import reader_of
    from aeroctl.workflows.report import show_report

    show_report(reader_of(app_of(ctx), file), at)
