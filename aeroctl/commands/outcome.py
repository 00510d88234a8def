"""aeroctl outcome."""

import click

from aeroctl.cli import app_of, shared_options
from aeroctl.errors import Exit


@click.command()
@click.argument("request_id", type=click.UUID)
@click.option(
    "--wait", is_flag=True, help="Ask again until it is decided; --timeout bounds that. [300 s]"
)
@shared_options
@click.pass_context
def outcome(ctx: click.Context, request_id: object, wait: bool) -> Exit:
    """What became of the request REQUEST_ID, as the kernel's state and records prove it.

    Read-only, at any time, from anywhere. Exit 0: executed; 9: executed, but not as asked, or
    rolled back; 4: rejected; 5: not executed; 6: in progress or unknown.
    """
    from aeroctl.awaiting import final_outcome
    from aeroctl.change import exit_of
    from aeroctl.views.outcome import layout

    app = app_of(ctx)
    answer = final_outcome(app, str(request_id)) if wait else app.kernel.request(str(request_id))
    app.output.show(answer, answer.data, layout(answer.data))
    return exit_of(answer.data)
