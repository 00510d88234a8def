"""aeroctl completion."""

import click

from aeroctl.cli import cli, output_of, shared_options


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """The completion script for SHELL, for the shell to load.

    \b
    Example:
      aeroctl completion bash > ~/.local/share/bash-completion/completions/aeroctl
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    output_of(ctx).plain(kind(cli, {}, "aeroctl", "_AEROCTL_COMPLETE").source())
