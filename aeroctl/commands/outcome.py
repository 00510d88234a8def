"""aeroctl outcome."""

import click

from aeroctl.errors import Exit
from aeroctl.options import app_of, option, shared_options


@click.command()
@click.argument("request_id", type=click.UUID)
@option(
    "--wait",
    is_flag=True,
    help="Ask again until it is decided, for --timeout seconds at most. [default: 300]",
)
@shared_options
@click.pass_context
def outcome(ctx: click.Context, request_id: object, wait: bool) -> Exit:
    """What became of the request REQUEST_ID, as the kernel's state and records prove it.

    Read-only. Exit 0: executed; 9: executed, but not as asked, or rolled back; 4: rejected; 5: not
    executed, and never will be; 6: in progress, unknown, or the kernel did not answer.
    """
    from aeroctl.workflows.outcome import show_outcome

    return show_outcome(app_of(ctx), str(request_id), wait)
