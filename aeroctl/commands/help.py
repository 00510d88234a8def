"""aeroctl help."""

import click

from aeroctl.cli import cli, output_of, shared_options
from aeroctl.errors import KINDS, Exit


@click.command("help")
@click.argument("words", nargs=-1)
@shared_options
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Help on a command, or on `errors` or `exit-codes`. Asks no kernel.

    \b
    Example:
      aeroctl help errors
    """
    from aeroctl.views.blocks import Grid

    output = output_of(ctx)
    if words == ("errors",):
        codes = [
            {"code": code, "domain": kind.domain, "exit": int(kind.exit), "means": kind.means,
             "invariants": list(kind.invariants), "next": kind.next}
            for code, kind in KINDS.items()
        ]  # fmt: skip
        rows = tuple(
            (code, kind.domain, int(kind.exit), kind.means) for code, kind in KINDS.items()
        )
        output.topic({"errors": codes}, Grid("CODE DOMAIN EXIT MEANS", rows))
    elif words == ("exit-codes",):
        found = tuple((int(each), each.means) for each in Exit)
        document = {"exit_codes": [{"exit": code, "means": means} for code, means in found]}
        output.topic(document, Grid("EXIT MEANS", found))
    else:
        command: click.Command = cli
        context = click.Context(cli, info_name="aeroctl")
        for word in words:
            inner = command.get_command(context, word) if isinstance(command, click.Group) else None
            if inner is None:
                raise click.UsageError(f"no command or topic {' '.join(words)!r}", ctx)
            command, context = inner, click.Context(inner, info_name=word, parent=context)
        output.plain(command.get_help(context) + "\n")
