"""aeroctl diff."""

import os
from typing import TYPE_CHECKING

import click

from aeroctl.cli import option, reader_of, shared_options
from aeroctl.commands._options import row_options
from aeroctl.errors import Exit

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@option("--check", is_flag=True, help="Exit 8 if anything shown differs.")
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

    Each is a revision (812), `now`, a time (2026-11-23T10:15:19Z), a while ago (10m), or a
    FILE of aeroctl snapshot: - is standard input, ./812 a file of that name. Compared is what both
    hold; of a revision that is what the consensus store held.

    \b
    Example:
      aeroctl diff 812 now --filter section=nodes
    """
    from aeroctl.workflows.diff import compare

    asked = [_asked(text) for text in (before, after)]
    # Each place is read once: standard input has its snapshot, or its token, but one time.
    readers = {file: reader_of(ctx, file) for file in dict.fromkeys(file for file, _ in asked)}
    one, other = ((readers[file], moment) for file, moment in asked)
    view = compare(one, other, filters, sort_by)
    return Exit.CHECK_FAILED if check and view.changes else Exit.DONE


def _asked(text: str) -> "tuple[str | None, Moment | None]":
    """The file that a word names, or the moment; neither is now. Raises UsageError."""
    from aeroctl.sources.moment import parse

    if text in ("now", "-"):
        return (None if text == "now" else text), None
    try:
        return None, parse(text)
    except ValueError as error:
        if not os.path.exists(text):  # noqa: PTH110 - pathlib costs a start-up
            raise click.UsageError(f"there is no file {text!r}, and {error}") from error
        return text, None
