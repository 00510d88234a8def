"""aeroctl help."""

import click

from aeroctl.options import app_of, shared_options


@click.command("help")
@click.argument("words", nargs=-1)
@shared_options
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Help on a command, or on `errors` or `exit-codes`. Needs no kernel.

    \b
    Example:
      aeroctl help errors
    """
    from aeroctl.workflows.topics import show_errors, show_exit_codes

    output = app_of(ctx).output
    topics = {("errors",): show_errors, ("exit-codes",): show_exit_codes}
    if words in topics:
        topics[words](output)
    else:
        output.plain(_help_on(words, ctx) + "\n")


def _help_on(words: tuple[str, ...], ctx: click.Context) -> str:
    """The help of the command that the words name. Raises UsageError."""
    root = ctx.find_root()
    command, context = root.command, click.Context(root.command, info_name=root.info_name)
    for word in words:
        inner = command.get_command(context, word) if isinstance(command, click.Group) else None
        if inner is None:
            raise click.UsageError(f"no command or topic {' '.join(words)!r}", ctx)
        command, context = inner, click.Context(inner, info_name=word, parent=context)
    return command.get_help(context)
