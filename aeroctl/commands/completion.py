"""aeroctl completion."""

import click

from aeroctl.options import app_of, shared_options


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    Example:
      aeroctl completion bash > ~/.local/share/bash-completion/completions/aeroctl
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root().command
    app_of(ctx).output.plain(kind(root, {}, "aeroctl", "_AEROCTL_COMPLETE").source())
