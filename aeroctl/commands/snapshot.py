"""aeroctl snapshot."""

import click

from aeroctl.cli import app_of, shared_options
from aeroctl.commands.reading import at_option
from aeroctl.contract.terms import SECTIONS, STORED, Section


@click.command()
@click.option(
    "--include",
    "sections",
    multiple=True,
    type=click.Choice(SECTIONS),
    help="Only this section. May be repeated. [default: all, under --at those history holds]",
)
@at_option
@shared_options
@click.pass_context
def snapshot(ctx: click.Context, sections: tuple[Section, ...], at: int | None) -> None:
    """The kernel's snapshot as it is: every section, or those asked for. Always JSON."""
    app = app_of(ctx)
    default = SECTIONS if at is None else STORED
    app.output.document(app.kernel.document(sections or default, at))
