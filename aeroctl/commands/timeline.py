"""aeroctl timeline."""

from typing import TYPE_CHECKING

import click

from aeroctl.cli import option, reader_of, shared_options
from aeroctl.commands._options import MomentType, file_option, sendable
from aeroctl.contract.terms import EVENT_KINDS, RECORD_KINDS

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment


@click.command()
@option(
    "--since",
    type=MomentType(),
    metavar="MOMENT",
    help="From this revision on (812), a time (2026-11-23T10:15:19Z) or a while ago (10m), with "
    "all that may have been later than that. [default: all that history holds; with --follow, from "
    "now]",
)
@option("--until", type=MomentType(), metavar="MOMENT", help="Up to it, likewise. [default: now]")
@option(
    "--node",
    "nodes",
    multiple=True,
    metavar="NAME",
    callback=lambda ctx, parameter, names: tuple(sendable(ctx, parameter, each) for each in names),
    help="Only what is about this node. May be repeated.",
)
@option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice((*EVENT_KINDS, *RECORD_KINDS)),
    metavar="KIND",
    help="Only entries of this kind, such as leader_gained. May be repeated.",
)
@option(
    "--request",
    type=click.UUID,
    metavar="ID",
    help="Only this request's records, and what happened between its first and its last.",
)
@option("--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@file_option
@shared_options
@click.pass_context
def timeline(
    ctx: click.Context,
    since: "Moment | None",
    until: "Moment | None",
    nodes: tuple[str, ...],
    kinds: tuple[str, ...],
    request: object,
    follow: bool,
    file: str | None,
) -> None:
    """What happened, in the kernel's order: changes of the cluster's state, and who asked for what.

    Ordered by revision, never by clock. What the kernel's history no longer holds is an entry of
    its own, `gap`, which no filter takes away. On a terminal a picture shows, from top to bottom,
    who held the leader key and who was there.

    \b
    Examples:
      aeroctl timeline --since 1h --node n2
      aeroctl timeline --request 6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b
      aeroctl timeline --follow -o jsonl
    """
    if follow and until is not None:
        raise click.UsageError("--follow goes on, --until ends: give one")
    if follow and file is not None:
        raise click.UsageError("--follow shows what happens now: not with --from")
    from aeroctl.workflows import timeline as story

    asked = story.Asked(since, until, nodes, kinds, None if request is None else str(request))
    (story.follow if follow else story.show)(reader_of(ctx, file), asked)
