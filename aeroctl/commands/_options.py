"""What every reading command has in common: options, one snapshot, one view."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from aeroctl.cli import Seconds, option, reader_of, shared_options

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment
    from aeroctl.views.view import View
    from aeroctl.workflows.read import Reader

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Asked:
    """Of when, from where, and how often. None: of now, from the kernel, once."""

    at: "Moment | None"
    file: str | None
    watch: float | None


class MomentType(click.ParamType):  # type: ignore[type-arg]
    """A revision, a time with its zone, or how long ago."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Moment":
        """Raises BadParameter."""
        from aeroctl.sources.moment import parse

        try:
            return parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Period(Seconds):
    """The seconds of --watch, which takes the next word for them."""

    def fail(
        self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None
    ) -> NoReturn:
        """Raises BadParameter."""
        super().fail(f"{message.rstrip('.')}; without them --watch stands last", param, ctx)


def sendable(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A word that can be sent to a kernel: some text, in UTF-8."""
    if value is not None and (not value or any("\ud800" <= char <= "\udfff" for char in value)):
        raise click.BadParameter("empty, or not UTF-8", ctx, parameter)
    return value


def file_option(function: Function) -> Function:
    """--from, for what a evidence file holds."""
    return option(
        "--from",
        "file",
        metavar="FILE",
        help="Read this file of aeroctl snapshot, or - for standard input; ask no kernel.",
    )(function)


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--at, --from and --watch, as one argument `asked`."""

    def reading(
        *, at: "Moment | None", file: str | None, watch: float | None, **others: Any
    ) -> Any:
        if watch is not None and (at is not None or file is not None):
            raise click.UsageError("--watch shows what is now: not with --at or --from")
        return function(asked=Asked(at, file, watch), **others)

    reading.__doc__, reading.__name__ = function.__doc__, function.__name__
    if hasattr(function, "__click_params__"):
        reading.__click_params__ = function.__click_params__  # type: ignore[attr-defined]
    reading = option(
        "--watch",
        type=_Period(min=0.1, max=86400),
        is_flag=False,
        flag_value="2",
        metavar="SECONDS",
        help="Show it again and again, what changed is marked; Ctrl-C ends it. [every 2 s]",
    )(reading)
    return option(
        "--at",
        type=MomentType(),
        metavar="MOMENT",
        help="Show the state of a revision (812), of a time (2026-11-23T10:15:19Z) or of a "
        "while ago (10m), instead of now.",
    )(file_option(reading))


def row_options(function: Function) -> Function:
    """--filter and --sort-by, for views that have rows."""
    function = option(
        "--filter",
        "filters",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Only rows of the first table that match: = != < <= > >=. May be repeated.",
    )(function)
    return option(
        "--sort-by", metavar="FIELD", help="Order the rows by this field; -FIELD descends."
    )(function)


def show(ctx: click.Context, asked: Asked, once: "Callable[[Reader], Result]") -> Result:
    """What `once` reads and prints, once; or again and again until it is interrupted."""
    reader = reader_of(ctx, asked.file)
    if asked.watch is None:
        return once(reader)
    from aeroctl.workflows.watch import watch

    return watch(
        asked.watch,
        reader.output,
        reader.dialogue,
        lambda output: once(replace(reader, output=output)),
    )


def view_named(name: str) -> "View[Any]":
    """The view of that name; loaded when it is shown, not when help lists it."""
    view: View[Any] = import_module(f"aeroctl.views.{name}").VIEW
    return view


def reading(name: str, text: str) -> click.Command:
    """A command that shows the view of the same name."""

    @click.command(name, help=text)
    @reading_options
    @row_options
    @shared_options
    @click.pass_context
    def command(
        ctx: click.Context, asked: Asked, filters: tuple[str, ...], sort_by: str | None
    ) -> None:
        show(ctx, asked, lambda reader: reader.read(view_named(name), asked.at, filters, sort_by))

    return command
