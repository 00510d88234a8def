"""The options that every command takes, in any position, and how an option is declared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any, TypeVar

import click

from aeroctl.app import DEFAULT_KERNEL, App, Settings, Streams, streams_of_process

Function = TypeVar("Function", bound=Callable[..., Any])


class Seconds(click.FloatRange):
    """A number of seconds in a range."""

    name = "number of seconds"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Raises BadParameter, also for nan, which a comparison with the bounds would let pass."""
        seconds = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"{value!r} is not a valid {self.name}", param, ctx)
        return float(seconds)


def option(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """As click.option; but an option given twice with different values is a usage error, where
    click itself takes the last value silently. All options are declared with this.
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
    """An option that every command takes. `variable`: gives the value where the command line does
    not.
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
        {"metavar": "URL", "help": f"Address of aerokernel. [default: {DEFAULT_KERNEL}]"},
        "AEROCTL_KERNEL",
    ),
    Shared(
        ("--token-file",),
        {
            "metavar": "FILE",
            "help": "File with your token (- is standard input); or set AEROCTL_TOKEN.",
        },
        "AEROCTL_TOKEN_FILE",
    ),
    Shared(
        ("--ca-file",),
        {"metavar": "FILE", "help": "CA certificates to trust in place of the system's (PEM)."},
        "AEROCTL_CA_FILE",
    ),
    Shared(("--cert",), {"metavar": "FILE", "help": "Client certificate (PEM)."}, "AEROCTL_CERT"),
    Shared(
        ("--key",),
        {"metavar": "FILE", "help": "Private key of the client certificate (PEM)."},
        "AEROCTL_KEY",
    ),
    Shared(
        ("--proxy",),
        {
            "metavar": "URL",
            "help": "Use this proxy; proxy variables such as HTTPS_PROXY are ignored.",
        },
    ),
    Shared(
        ("--timeout",),
        {
            "type": Seconds(min=0.001, max=86400),
            "metavar": "SECONDS",
            "help": "Limit for the whole call. [default: 10; for a change, the kernel's deadline]",
        },
    ),
    Shared(
        ("-o", "--output"),
        {
            "type": click.Choice(["table", "json", "jsonl"]),
            "help": "Text, indented JSON, or JSON lines. [default: table]",
        },
    ),
    Shared(("--no-color",), {"is_flag": True, "default": None, "help": "No colour."}),
    Shared(
        ("--debug",),
        {
            "is_flag": True,
            "default": None,
            "help": "Print each HTTP request, and a traceback for a bug.",
        },
    ),
)


_VARIABLES = {shared.key: shared.variable for shared in SHARED if shared.variable}


class Options:
    """The shared options of one invocation, in whatever position they were given."""

    def __init__(self, streams: Streams | None = None) -> None:
        """`streams` None: the process's own."""
        self.streams = streams or streams_of_process()
        self._given: dict[str, Any] = {}

    def give(self, ctx: click.Context, parameter: click.Parameter, value: object) -> None:
        """Take a value of the command line. Raises UsageError where it contradicts another one."""
        name = str(parameter.name)
        if value is not None and self._given.setdefault(name, value) != value:
            raise _contradicted(ctx, parameter)

    def get(self, name: str) -> Any:
        """The command line's value, else the variable's, else None.

        Variables are read only here: one that click read at a command's own position would win
        over an option before it. An empty variable counts as unset.
        """
        if name in self._given:
            return self._given[name]
        return self.streams.environment.get(_VARIABLES.get(name, "")) or None

    def settings(self) -> Settings:
        """All of them, with their defaults."""
        values = {shared.key: self.get(shared.key) for shared in SHARED}
        return Settings(**{key: value for key, value in values.items() if value is not None})


def options_of(ctx: click.Context) -> Options:
    """The shared options that were given so far."""
    return ctx.ensure_object(Options)


def app_of(ctx: click.Context) -> App:
    """What the command works with, by its options."""
    options = options_of(ctx)
    return App(options.settings(), options.streams)


def _keep(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    options_of(ctx).give(ctx, parameter, value)


def shared_options(function: Function) -> Function:
    """The options that stand before or after any command."""
    for shared in reversed(SHARED):
        declared = option(*shared.names, **shared.settings, callback=_keep, expose_value=False)
        function = declared(function)
    return function
