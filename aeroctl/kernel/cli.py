"""The command line of `aerokernel`. Each command loads only what it needs."""

from importlib import import_module

import click

from aeroctl.version import version_option

COMMANDS = {
    "sandbox": ("aeroctl.kernel.sandbox.command:sandbox", "Run a real cluster on loopback."),
    "serve": ("aeroctl.kernel.server.serve:serve", "Serve the kernel API of one cluster."),
    "token": ("aeroctl.kernel.server.token_command:token", "Make a token for a caller."),
}


class LazyGroup(click.Group):
    """A group that imports a command when it is run; --help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, without importing anything."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the one command that is run."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        try:
            command: click.Command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            extra = "sandbox" if cmd_name == "sandbox" else "kernel"
            raise click.UsageError(
                f"{cmd_name} needs {error.name}: pip install 'aeroctl[{extra}]'"
            ) from error
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table above, as click would write it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def aerokernel() -> None:
    """The kernel service: serves the kernel API over etcd, Patroni and PostgreSQL."""
