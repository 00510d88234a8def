"""The root command: a table of commands, the options that every command takes, and the App.

`--help`, `--version` and TAB load nothing but click: the table carries the summaries, and a
command's module is imported when it runs.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from math import isnan
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

import click

from aeroctl import __version__

if TYPE_CHECKING:
    from aeroctl.adapter.kernel import Kernel
    from aeroctl.output.output import Dialogue, Output
    from aeroctl.workflows.read import Reader

DEFAULT_KERNEL = "http://127.0.0.1:9191"
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Command:
    """A line of the command table. `at`: module:attribute below aeroctl.commands."""

    at: str
    summary: str


COMMANDS: Mapping[str, Command] = {
    "inspect": Command("inspect:inspect", "Show one part of the kernel's state."),
    "explain": Command("explain:explain", "Show what a command would do, rule by rule."),
    "promote": Command("changes:promote", "Transfer the leader key to a replica."),
    "demote": Command("changes:demote", "Have the primary step down."),
    "force-promote": Command("changes:force_promote", "Promote a replica although checks fail."),
    "diagnose": Command("changes:diagnose", "Compare what every part says of each node."),
    "outcome": Command("outcome:outcome", "Show what became of a request."),
    "timeline": Command("timeline:timeline", "Tell what happened, in the kernel's order."),
    "audit": Command("audit:audit", "List who asked for what, and check the record."),
    "health": Command("health:health", "Show which rules hold; facts, not advice."),
    "diff": Command("diff:diff", "Show what changed between two states."),
    "snapshot": Command("snapshot:snapshot", "Print the kernel's snapshot as it is, in JSON."),
    "report": Command("report:report", "Write all of it down as one page of HTML."),
    "schema": Command("schema:schema", "Print the JSON Schema of what commands print."),
    "completion": Command("completion:completion", "Print the completion script of a shell."),
    "help": Command("help:help_", "Explain error codes, exit codes or a command."),
}


class Seconds(click.FloatRange):
    """A number of seconds in a range."""

    name = "number of seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Raises BadParameter, also for nan: it is in no order, and so out of no range."""
        seconds = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"{value!r} is no {self.name}", param, ctx)
        return float(seconds)


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


def option(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """An option as click has it; but given twice with different values it is a usage error.

    click itself would take the last value without a word. Every command's options are made by this.
    """
    if settings.get("multiple") or settings.get("is_flag"):
        return click.option(*names, **settings)
    then = settings.pop("callback", None)

    def only(ctx: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> Any:
        value = values[0] if values else None
        if any(other != value for other in values):
            raise _contradicted(ctx, parameter)
        return then(ctx, parameter, value) if then else value

    return click.option(*names, multiple=True, callback=only, **settings)


def _contradicted(ctx: click.Context, parameter: click.Parameter) -> click.UsageError:
    """Values are not shown: an address may hold a password."""
    return click.UsageError(f"{parameter.opts[-1]} is given twice, with different values.", ctx)


@dataclass(frozen=True, slots=True)
class Shared:
    """An option that every command takes, in any position. `variable` has a value for it where
    the command line has none.
    """

    names: tuple[str, ...]
    settings: Mapping[str, Any]
    variable: str | None = None

    @property
    def key(self) -> str:
        """What click calls it."""
        return self.names[-1].removeprefix("--").replace("-", "_")


SHARED: tuple[Shared, ...] = (
    Shared(
        ("--kernel",),
        {"metavar": "URL", "help": f"Where the kernel listens. [default: {DEFAULT_KERNEL}]"},
        "AEROCTL_KERNEL",
    ),
    Shared(
        ("--token-file",),
        {
            "metavar": "FILE",
            "help": "File with your token; - is standard input. AEROCTL_TOKEN works too.",
        },
        "AEROCTL_TOKEN_FILE",
    ),
    Shared(
        ("--ca-file",),
        {"metavar": "FILE", "help": "Trust this authority instead of the system's."},
        "AEROCTL_CA_FILE",
    ),
    Shared(("--cert",), {"metavar": "FILE", "help": "Client certificate (PEM)."}, "AEROCTL_CERT"),
    Shared(("--key",), {"metavar": "FILE", "help": "Its private key (PEM)."}, "AEROCTL_KEY"),
    Shared(
        ("--proxy",),
        {"metavar": "URL", "help": "Go through this proxy; proxy variables are ignored."},
    ),
    Shared(
        ("--timeout",),
        {
            "type": Seconds(min=0.001, max=86400),
            "metavar": "SECONDS",
            "help": "Bound on the whole call. [default: 10; for a change, what the kernel says]",
        },
    ),
    Shared(
        ("-o", "--output"),
        {
            "type": click.Choice(["table", "json", "jsonl"]),
            "help": "Text, an indented JSON document, or one line of JSON. [default: table]",
        },
    ),
    Shared(("--no-color",), {"is_flag": True, "default": None, "help": "No colour on a terminal."}),
    Shared(
        ("--debug",),
        {"is_flag": True, "default": None, "help": "Trace requests; tracebacks for bugs."},
    ),
)
_VARIABLES = {each.key: each.variable for each in SHARED if each.variable}


class Options:
    """The shared options of one invocation, in whatever position they were given."""

    def __init__(self) -> None:
        """None is given yet."""
        self._given: dict[str, Any] = {}

    def give(self, ctx: click.Context, parameter: click.Parameter, value: object) -> None:
        """Remember what the command line says. Raises UsageError where it says two things."""
        name = str(parameter.name)
        if value is not None and self._given.setdefault(name, value) != value:
            raise _contradicted(ctx, parameter)

    def get(self, name: str, default: Any = None) -> Any:
        """The command line's value, else the variable's, else `default`.

        Variables are read only here: one that click read at a command's own position would win
        over an option before it. An empty variable is none.
        """
        if name in self._given:
            return self._given[name]
        return os.environ.get(_VARIABLES.get(name, ""), "") or default


def options_of(ctx: click.Context) -> Options:
    """The shared options that were given so far."""
    return ctx.ensure_object(Options)


def _keep(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    options_of(ctx).give(ctx, parameter, value)


def shared_options(function: Function) -> Function:
    """The options that stand before or after any command."""
    for each in reversed(SHARED):
        made = option(*each.names, **each.settings, callback=_keep, expose_value=False)
        function = made(function)
    return function


@dataclass(frozen=True, slots=True)
class App:
    """What a command works with: the kernel, and the writer. Made anew for every invocation."""

    kernel: "Kernel"
    output: "Output"
    dialogue: "Dialogue"
    patience: float | None
    """Seconds that --timeout allows; None where it was not given."""


def output_of(ctx: click.Context) -> "Output":
    """The writer that this invocation's options and streams ask for."""
    from aeroctl.output.output import Output

    return Output(*_look_of(ctx, sys.stdout))


def dialogue_of(ctx: click.Context) -> "Dialogue":
    """The same for stderr."""
    from aeroctl.output.output import Dialogue

    form, terminal, color = _look_of(ctx, sys.stderr)
    people = form == "table" and os.environ.get("TERM") != "dumb"
    live = sys.stderr is not None and sys.stderr.isatty()
    return Dialogue(form, terminal, color, progress=people and live)


def _look_of(ctx: click.Context, stream: TextIO | None) -> tuple[Any, bool, bool]:
    """Format, whether it is for a terminal, and whether in colour."""
    from aeroctl.output.output import wants_color

    options = options_of(ctx)
    terminal = stream is not None and stream.isatty()
    color = wants_color(options.get("no_color", False), os.environ, terminal)
    # Who forces colour on a pipe wants what a terminal would show.
    return options.get("output", "table"), terminal or color, color


def app_of(ctx: click.Context) -> App:
    """The App that this invocation's options ask for. Raises Failure; connects to nobody."""
    patience = options_of(ctx).get("timeout")
    return App(_kernel_of(ctx), output_of(ctx), dialogue_of(ctx), patience)


def reader_of(ctx: click.Context, file: str | None) -> "Reader":
    """What reads from the kernel, or from `file`. Raises Failure; connects to nobody."""
    from aeroctl.workflows.read import Reader

    if file is not None:
        from aeroctl.sources.evidence_file import load

        return Reader(load(file), output_of(ctx), dialogue_of(ctx))
    return Reader(_kernel_of(ctx), output_of(ctx), dialogue_of(ctx))


def _kernel_of(ctx: click.Context) -> "Kernel":
    from aeroctl.adapter.credentials import read_token
    from aeroctl.adapter.kernel import Connection, Kernel
    from aeroctl.output.output import tell

    options = options_of(ctx)
    connection = Connection(
        url=options.get("kernel", DEFAULT_KERNEL),
        token=read_token(options.get("token_file"), os.environ, options.get("timeout")),
        timeout=options.get("timeout", 10.0),
        proxy=options.get("proxy"),
        ca_file=options.get("ca_file"),
        cert=options.get("cert"),
        key=options.get("key"),
    )
    trace = tell if options.get("debug") else lambda _: None
    return Kernel(connection, trace)


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
    """See and steer a replicated database through its kernel.

    Every invocation fetches one snapshot, prints what follows from it, and remembers nothing.
    """


def spoken(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The options that click finds, with their values ("" for a flag), whatever is wrong elsewhere.

    Errors are told in the format that was asked for, also where parsing is what failed. What is an
    option is decided as click does it: `-ojson` and `--output=json` are, the `-o` of `--reason -o`
    is a reason. A command that is unknown takes what every command takes.
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
            known = {name: each for each in command.params for name in each.opts}
            name, attached, rest = word.partition("=")
            if name not in known and not word.startswith("--"):
                name, attached, rest = word[:2], word[2:], word[2:]
            found = known.get(name)
            if not isinstance(found, click.Option) or found.is_flag:
                if attached and not word.startswith("--"):  # short ones in a bundle
                    words.insert(0, f"-{rest}")
                yield name, ""
                continue
            if attached:
                words.insert(0, rest)
            omits = isinstance(found.flag_value, str)  # --watch stands without a value
            if words and not (omits and words[0].startswith("-") and words[0] != "-"):
                yield found.opts[-1], words.pop(0)


def _inner(group: click.Group, name: str) -> click.Command | None:
    with suppress(Exception):  # a module that can't be loaded may be what failed
        return group.get_command(click.Context(group), name)
    return None
