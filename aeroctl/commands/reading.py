"""What every reading command has in common: options, one snapshot, one view."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

from aeroctl.cli import app_of, shared_options

if TYPE_CHECKING:
    from aeroctl.views.view import View

Function = TypeVar("Function", bound=Callable[..., Any])


def sendable(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A word that can be sent to a kernel: some text, in UTF-8."""
    if value is not None and (not value or any("\ud800" <= char <= "\udfff" for char in value)):
        raise click.BadParameter("empty, or not UTF-8", ctx, parameter)
    return value


def at_option(function: Function) -> Function:
    """--at, which every reading command takes."""
    return click.option(
        "--at",
        type=click.IntRange(min=1),
        metavar="COMMIT",
        help="Show the state of this commit instead of now.",
    )(function)


def row_options(function: Function) -> Function:
    """--filter and --sort-by, for views that have rows."""
    function = click.option(
        "--filter",
        "filters",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Only rows of the first table that match: = != < <= > >=. May be repeated.",
    )(function)
    return click.option(
        "--sort-by", metavar="FIELD", help="Order the rows by this field; -FIELD descends."
    )(function)


def view_named(name: str) -> "View[Any]":
    """The view of that name; loaded when it is shown, not when help lists it."""
    view: View[Any] = import_module(f"aeroctl.views.{name}").VIEW
    return view


def reading(name: str, text: str) -> click.Command:
    """A command that shows the view of the same name."""

    @click.command(name, help=text)
    @at_option
    @row_options
    @shared_options
    @click.pass_context
    def command(
        ctx: click.Context, at: int | None, filters: tuple[str, ...], sort_by: str | None
    ) -> None:
        app_of(ctx).read(view_named(name), at, filters, sort_by)

    return command
