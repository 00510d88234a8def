"""aeroctl health."""

import click

from aeroctl.commands.reading import ReadOptions, reading_options, row_options, show, view_named
from aeroctl.errors import Exit
from aeroctl.options import option, shared_options


@click.command()
@option("--check", is_flag=True, help="Exit 8 unless every rule shown holds.")
@reading_options
@row_options
@shared_options
@click.pass_context
def health(
    ctx: click.Context,
    check: bool,
    options: ReadOptions,
    filters: tuple[str, ...],
    sort_by: str | None,
) -> int:
    """Which health rules hold, from one snapshot, each with its evidence.

    With --check the exit code is 8 unless every rule shown holds; an undetermined rule counts as
    failing. --filter chooses rules, for example --filter rule_id=single_writer.
    """
    if check and options.watch is not None:
        raise click.UsageError("give either --watch or --check, not both")
    rules = view_named("health")
    view = show(ctx, options, lambda reader: reader.read(rules, options.at, filters, sort_by))
    return Exit.CHECK_FAILED if check and not view.all_hold else Exit.DONE
