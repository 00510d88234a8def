"""aeroctl health."""

import click

from aeroctl.cli import app_of, shared_options
from aeroctl.commands.reading import at_option, row_options, view_named
from aeroctl.errors import Exit


@click.command()
@click.option("--check", is_flag=True, help="Exit 8 unless every rule shown holds.")
@at_option
@row_options
@shared_options
@click.pass_context
def health(
    ctx: click.Context, check: bool, at: int | None, filters: tuple[str, ...], sort_by: str | None
) -> int:
    """Which rules hold, from one snapshot: facts and counts, not advice.

    With --check the exit code is 8 unless every rule shown holds; one that can't be decided does
    not pass. --filter chooses the rules, --filter rule=one_authority for one of them.
    """
    view = app_of(ctx).read(view_named("health"), at, filters, sort_by)
    return Exit.CHECK_FAILED if check and not view.all_hold else Exit.DONE
