"""aeroctl snapshot."""

import click

from aeroctl.commands.reading import ReadOptions, reading_options, show
from aeroctl.contract.terms import SECTIONS, Section
from aeroctl.options import option, shared_options


@click.command()
@option(
    "--include",
    "sections",
    multiple=True,
    type=click.Choice(SECTIONS),
    help="Only this section. May be repeated. [default: all; with --at, those that etcd stored]",
)
@option("--full", is_flag=True, help="With events and audit trail: an evidence file, for --from.")
@reading_options
@shared_options
@click.pass_context
def snapshot(
    ctx: click.Context, sections: tuple[Section, ...], full: bool, options: ReadOptions
) -> None:
    """The kernel's snapshot as it is, in JSON: every section, or those of --include.

    With --full the snapshot, the events and the audit trail of one revision: an evidence file,
    which every reading command takes with --from, on any machine, without a kernel.

    \b
    Example:
      aeroctl snapshot --full > evidence.json && aeroctl timeline --from evidence.json
    """
    if full and sections:
        raise click.UsageError("--full can't be combined with --include: it holds every section")
    if full and options.watch is not None:
        raise click.UsageError("--full can't be combined with --watch")

    from aeroctl.workflows.snapshot import show_snapshot, write_evidence

    if full:
        show(ctx, options, lambda reader: write_evidence(reader, options.at))
    else:
        show(ctx, options, lambda reader: show_snapshot(reader, sections, options.at))
