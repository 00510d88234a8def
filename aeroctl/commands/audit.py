"""aeroctl audit."""

import click

from aeroctl.cli import option, shared_options
from aeroctl.commands.reading import Asked, reading_options, show
from aeroctl.errors import Exit


@click.command()
@option("--verify", is_flag=True, help="Check the hash chain; exit 8 if it is broken.")
@option("--request", type=click.UUID, metavar="ID", help="Only this request's records.")
@reading_options
@shared_options
@click.pass_context
def audit(ctx: click.Context, verify: bool, request: object, asked: Asked) -> Exit:
    """Who asked for what, when in the kernel's order, how it was confirmed, what came of it.

    For operators and auditors. The trail is append-only; each record holds the hash of the one
    before it. --verify follows the chain from the first record to its kept end and names the first
    record that does not fit.
    """
    from aeroctl.trail import show_trail

    chosen = None if request is None else str(request)
    whole = show(ctx, asked, lambda reader: show_trail(reader, chosen, verify, asked.at))
    return Exit.DONE if whole else Exit.CHECK_FAILED
