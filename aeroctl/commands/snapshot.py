"""aeroctl snapshot."""

from typing import TYPE_CHECKING

import click

from aeroctl.cli import option, shared_options
from aeroctl.commands._options import Asked, reading_options, show
from aeroctl.contract.terms import SECTIONS, Section

if TYPE_CHECKING:
    from aeroctl.workflows.read import Reader


@click.command()
@option(
    "--include",
    "sections",
    multiple=True,
    type=click.Choice(SECTIONS),
    help="Only this section. May be repeated. [default: all, under --at those history holds]",
)
@option("--full", is_flag=True, help="With events and audit trail: a file for --from.")
@reading_options
@shared_options
@click.pass_context
def snapshot(ctx: click.Context, sections: tuple[Section, ...], full: bool, asked: Asked) -> None:
    """The kernel's snapshot as it is: every section, or those asked for. Always JSON.

    With --full the snapshot, the events and the audit trail of one revision: evidence that every
    reading command reads with --from, on any machine, without a kernel.

    \b
    Example:
      aeroctl snapshot --full > evidence.json && aeroctl timeline --from evidence.json
    """
    if full and sections:
        raise click.UsageError("--full is every section: not with --include")
    if full and asked.watch is not None:
        raise click.UsageError("--full is for a file: not with --watch")

    def once(reader: "Reader") -> None:
        at, notes = reader.revision_of(asked.at)
        if full:
            from aeroctl.sources.evidence_file import collect

            reader.dialogue.notes(notes)  # which revision was taken is not the kernel's word
            reader.output.document(collect(reader.source, at))
            return
        document = reader.source.document(sections or reader.source.holds(at), at)
        reader.output.document({**document, "notes": [*document["notes"], *notes]})

    show(ctx, asked, once)
