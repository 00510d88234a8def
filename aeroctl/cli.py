"""The root command: the table of commands, and the options that stand before any of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import cast

import click

from aeroctl import __version__
from aeroctl.commands.table import Command, CommandTable
from aeroctl.options import shared_options

COMMANDS: Mapping[str, Command] = {
    "inspect": Command("inspect:inspect", "Show one part of the kernel's state."),
    "explain": Command("explain:explain", "Show what a change would do, rule by rule."),
    "promote": Command("changes:promote", "Promote a replica (Patroni: switchover)."),
    "demote": Command("changes:demote", "Demote the primary (Patroni: switchover)."),
    "force-promote": Command(
        "changes:force_promote", "Promote although checks fail (Patroni: failover)."
    ),
    "diagnose": Command("changes:diagnose", "Compare what PostgreSQL, Patroni and etcd report."),
    "outcome": Command("outcome:outcome", "Show what became of a request."),
    "timeline": Command("timeline:timeline", "Show what happened, in the kernel's order."),
    "audit": Command("audit:audit", "List all requests; verify the audit trail."),
    "health": Command("health:health", "Show which health rules hold."),
    "diff": Command("diff:diff", "Show what changed between two states."),
    "snapshot": Command("snapshot:snapshot", "Print the kernel's snapshot as JSON."),
    "report": Command("report:report", "Write an incident report as one HTML page."),
    "schema": Command("schema:schema", "Print the JSON Schema of each command's output."),
    "completion": Command("completion:completion", "Print a shell's completion script."),
    "help": Command("help:help_", "Explain error codes, exit codes or a command."),
}


@click.group(
    cls=CommandTable,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 2 usage, 3 refused, 4 rejected by the kernel, 5 transport, "
    "6 outcome unknown, 7 no consistent snapshot, 8 check failed, 9 not as asked, "
    "130 interrupted.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@shared_options
def cli() -> None:
    """Observe and operate a PostgreSQL cluster (Patroni, etcd) through its kernel service.

    Each run fetches one snapshot of the state and stores nothing. Only promote, demote and
    force-promote change the cluster, after a confirmation.
    """


def options_in(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options that click finds, with their values ("" for a flag), also where parsing fails.

    An error is written in the format that was asked for, and parsing may be what failed. Options
    are recognized as click does it: `-ojson` and `--output=json` are options, the `-o` of
    `--reason -o` is a reason. An unknown command is taken to have the shared options.
    """
    words, command = list(arguments), cast("click.Command", cli)
    while words:
        word = words.pop(0)
        if word == "--":
            if not isinstance(command, click.Group):
                return
        elif not word.startswith("-") or word == "-":
            if isinstance(command, click.Group):
                command = _inner(command, word) or click.Command(word, params=cli.params)
        else:
            known = {name: option for option in command.params for name in option.opts}
            name, attached, rest = word.partition("=")
            if name not in known and not word.startswith("--"):
                name, attached, rest = word[:2], word[2:], word[2:]
            option = known.get(name)
            if not isinstance(option, click.Option) or option.is_flag:
                if attached and not word.startswith("--"):  # short ones in a bundle
                    words.insert(0, f"-{rest}")
                yield name, ""
                continue
            if attached:
                words.insert(0, rest)
            omits = isinstance(option.flag_value, str)  # --watch stands without a value
            if words and not (omits and words[0].startswith("-") and words[0] != "-"):
                yield option.opts[-1], words.pop(0)


def _inner(group: click.Group, name: str) -> click.Command | None:
    with suppress(Exception):  # a module that can't be loaded may be what failed
        return group.get_command(click.Context(group), name)
    return None
