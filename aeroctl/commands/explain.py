"""aeroctl explain."""

import click

from aeroctl.cli import app_of, option, shared_options
from aeroctl.commands._options import sendable
from aeroctl.contract.commands import VERBS
from aeroctl.errors import Exit


@click.command()
@click.argument("command", type=click.Choice(list(VERBS)))
@click.argument("node", required=False, callback=sendable)
@option("--check", is_flag=True, help="Exit 8 unless every rule holds.")
@shared_options
@click.pass_context
def explain(ctx: click.Context, command: str, node: str | None, check: bool) -> Exit:
    """What COMMAND would do to NODE: every rule with its evidence, and what can't be undone.

    Changes nothing. The confirmation token that it shows confirms this command in this state, and
    no other, with --confirm.

    \b
    Example:
      aeroctl explain promote n2
    """
    from aeroctl.views.explanation import all_hold, layout

    asked = VERBS[command]
    if (asked.target == "nothing") != (node is None):
        raise click.UsageError(f"{command} takes {'no node' if node is not None else 'a NODE'}")
    app = app_of(ctx)
    answer = app.kernel.explain(asked.name, node)
    app.output.show(answer, answer.data, layout(answer.data))
    return Exit.CHECK_FAILED if check and not all_hold(answer.data) else Exit.DONE
