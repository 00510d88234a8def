"""aeroctl explain."""

import click

from aeroctl.commands.reading import sendable
from aeroctl.contract.commands import VERBS
from aeroctl.errors import Exit
from aeroctl.options import app_of, option, shared_options


@click.command()
@click.argument("command", type=click.Choice(list(VERBS)))
@click.argument("node", required=False, callback=sendable)
@option("--check", is_flag=True, help="Exit 8 unless every rule holds.")
@shared_options
@click.pass_context
def explain(ctx: click.Context, command: str, node: str | None, check: bool) -> Exit:
    """What COMMAND would do to NODE: every rule with its evidence, and what can't be undone.

    Changes nothing. The token in the output confirms this command in this state only: give it to
    the command with --confirm.

    \b
    Example:
      aeroctl explain promote n2
    """
    from aeroctl.workflows.explain import show_explanation

    change = VERBS[command]
    if (change.target == "nothing") != (node is None):
        raise click.UsageError(
            f"{command} does not take a node" if node is not None else f"{command} needs a NODE"
        )
    all_hold = show_explanation(app_of(ctx), change.name, node)
    return Exit.DONE if all_hold or not check else Exit.CHECK_FAILED
