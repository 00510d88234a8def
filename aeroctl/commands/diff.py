"""aeroctl diff."""

import os
from typing import TYPE_CHECKING

import click

from aeroctl.commands.reading import row_options
from aeroctl.errors import Exit
from aeroctl.options import app_of, option, shared_options

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@option("--check", is_flag=True, help="Exit 8 if there is any difference.")
@row_options
@shared_options
@click.pass_context
def diff(
    ctx: click.Context,
    before: str,
    after: str,
    check: bool,
    filters: tuple[str, ...],
    sort_by: str | None,
) -> Exit:
    """What changed from A to B, value by value.

    A and B are a revision (812), `now`, a time (2026-11-23T10:15:19Z), so long ago (10m), or a FILE
    of aeroctl snapshot (- is standard input; ./812 is a file). Only sections that both hold are
    compared; an earlier state holds only what etcd stored: cluster, nodes, promotion.

    \b
    Example:
      aeroctl diff 812 now --filter section=nodes
    """
    from aeroctl.workflows.diff import compare

    view = compare(app_of(ctx), _side(before), _side(after), filters, sort_by)
    return Exit.CHECK_FAILED if check and view.changes else Exit.DONE


def _side(text: str) -> "tuple[str | None, Moment | None]":
    """The file or the moment that a word names; neither: now. Raises UsageError."""
    from aeroctl.sources.moment import parse

    if text in ("now", "-"):
        return (None if text == "now" else text), None
    try:
        return None, parse(text)
    except ValueError as error:
        if not os.path.exists(text):  # noqa: PTH110 - pathlib costs a start-up
            raise click.UsageError(f"{error}; and there is no file of that name") from error
        return text, None
