"""Groups whose commands are imported when they run: help and TAB load nothing but click."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Command:
    """A line of the command table. `at`: module:attribute below aeroctl.commands."""

    at: str
    summary: str


class CommandTable(click.Group):
    """A group whose commands are imported when they are needed."""

    def __init__(self, table: Mapping[str, Command], **settings: Any) -> None:
        """`table`: command name to where it is."""
        super().__init__(**settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command's module."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.at.partition(":")
        command = getattr(import_module(f"aeroctl.commands.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Names and summaries from the table; nothing is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """As click does, but with the table's summaries."""
        from click.shell_completion import CompletionItem

        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        return [
            CompletionItem(name, help=entry.summary)
            for name, entry in self.table.items()
            if name.startswith(incomplete)
        ]
