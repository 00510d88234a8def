"""aeroctl report."""

from typing import TYPE_CHECKING

import click

from aeroctl.cli import option, reader_of, shared_options
from aeroctl.commands._options import MomentType, file_option

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment


@click.command()
@option("--at", type=MomentType(), metavar="MOMENT", help="Report on this moment instead of now.")
@file_option
@shared_options
@click.pass_context
def report(ctx: click.Context, at: "Moment | None", file: str | None) -> None:
    """One page of HTML that tells all that the kernel holds of one revision.

    Topology, who held the leader key when, what happened, who asked for what, the audit trail with
    the verdict on its chain. The page is complete in itself: it runs nothing and fetches nothing.
    The same evidence file gives the same bytes everywhere.

    \b
    Example:
      aeroctl report > incident.html
      aeroctl snapshot --full > evidence.json; aeroctl report --from evidence.json > incident.html
    """
    from aeroctl.workflows.report import show_report

    show_report(reader_of(ctx, file), at)
