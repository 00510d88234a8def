"""aeroctl health."""

import click

from aeroctl.cli import option, shared_options
from aeroctl.commands._options import Asked, reading_options, row_options, show, view_named
from aeroctl.errors import Exit


@click.command()
@option("--check", is_flag=True, help="Exit 8 unless every rule shown holds.")
@reading_options
@row_options
@shared_options
@click.pass_context
def health(
    ctx: click.Context,
    check: bool,
    asked: Asked,
    filters: tuple[str, ...],
    sort_by: str | None,
) -> int:
    """Which rules hold, from one snapshot: facts and counts, not advice.

    With --check the exit code is 8 unless every rule shown holds; one that can't be decided does
    not pass. --filter chooses the rules, --filter rule_id=single_writer for one of them.
    """
    if check and asked.watch is not None:
        raise click.UsageError("--watch goes on, --check ends: give one")
    rules = view_named("health")
    view = show(ctx, asked, lambda reader: reader.read(rules, asked.at, filters, sort_by))
    return Exit.CHECK_FAILED if check and not view.all_hold else Exit.DONE
