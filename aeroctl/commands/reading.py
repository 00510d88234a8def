"""What reading commands share: their options, and showing a view once or again and again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from aeroctl.errors import Exit
from aeroctl.options import Seconds, app_of, option, shared_options

if TYPE_CHECKING:
    from aeroctl.output.output import Output
    from aeroctl.sources.moment import Moment
    from aeroctl.views.view import View
    from aeroctl.workflows.read import Reader

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Which moment to show, from where, and how often. None: now, from the kernel, once."""

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
    """The seconds of --watch, for which click takes the next word."""

    def fail(
        self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None
    ) -> NoReturn:
        """Raises BadParameter."""
        super().fail(f"{message.rstrip('.')}; to omit the seconds put --watch last", param, ctx)


def sendable(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A word that can be sent to a kernel: not empty, and UTF-8."""
    if value is not None and (not value or any("\ud800" <= char <= "\udfff" for char in value)):
        raise click.BadParameter("it is empty or not UTF-8", ctx, parameter)
    return value


def file_option(function: Function) -> Function:
    """--from, for what an evidence file holds."""
    return option(
        "--from",
        "file",
        metavar="FILE",
        help="Read this file of aeroctl snapshot (- is standard input) in place of a kernel.",
    )(function)


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--at, --from and --watch, as one argument `options`."""

    def with_options(
        *, at: "Moment | None", file: str | None, watch: float | None, **others: Any
    ) -> Any:
        if watch is not None and (at is not None or file is not None):
            raise click.UsageError("--watch can't be combined with --at or --from")
        return function(options=ReadOptions(at, file, watch), **others)

    with_options.__doc__, with_options.__name__ = function.__doc__, function.__name__
    if hasattr(function, "__click_params__"):
        with_options.__click_params__ = function.__click_params__  # type: ignore[attr-defined]
    with_options = option(
        "--watch",
        type=_Period(min=0.1, max=86400),
        is_flag=False,
        flag_value="2",
        metavar="SECONDS",
        help="Refresh until Ctrl-C, with changes marked. [default: every 2 seconds]",
    )(with_options)
    return option(
        "--at",
        type=MomentType(),
        metavar="MOMENT",
        help="Show an earlier state: of a revision (812), of a time (2026-11-23T10:15:19Z) or of "
        "so long ago (10m).",
    )(file_option(with_options))


def row_options(function: Function) -> Function:
    """--filter and --sort-by, for views that have rows."""
    function = option(
        "--filter",
        "filters",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Only matching rows of the first table; operators = != < <= > >=. May be repeated.",
    )(function)
    return option(
        "--sort-by", metavar="FIELD", help="Sort rows by this field; -FIELD sorts descending."
    )(function)


def show(ctx: click.Context, options: ReadOptions, once: "Callable[[Reader], Result]") -> Result:
    """Run `once`, which reads and prints; under --watch repeatedly, until interrupted."""
    from aeroctl.workflows.read import reader_of

    reader = reader_of(app_of(ctx), options.file)
    if options.watch is None:
        return once(reader)
    from aeroctl.workflows.watch import watch

    def frame(output: "Output") -> Result:
        return once(replace(reader, output=output))

    watch(ctx.command_path, options.watch, reader.output, reader.dialogue, frame)
    raise click.exceptions.Exit(Exit.DONE)


def view_named(name: str) -> "View[Any]":
    """The view of that name; its module is imported when it is shown, not for help."""
    view: View[Any] = import_module(f"aeroctl.views.{name}").VIEW
    return view


def view_command(name: str, text: str) -> click.Command:
    """A command that shows the view of the same name."""

    @click.command(name, help=text)
    @reading_options
    @row_options
    @shared_options
    @click.pass_context
    def command(
        ctx: click.Context, options: ReadOptions, filters: tuple[str, ...], sort_by: str | None
    ) -> None:
        show(
            ctx, options, lambda reader: reader.read(view_named(name), options.at, filters, sort_by)
        )

    return command
