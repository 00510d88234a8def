"""aeroctl timeline."""

from typing import TYPE_CHECKING

import click

from aeroctl.commands.reading import MomentType, file_option, sendable
from aeroctl.contract.terms import EVENT_KINDS, RECORD_KINDS
from aeroctl.options import app_of, option, shared_options

if TYPE_CHECKING:
    from aeroctl.sources.moment import Moment


@click.command()
@option(
    "--since",
    type=MomentType(),
    metavar="MOMENT",
    help="Start at a revision (812), a time (2026-11-23T10:15:19Z) or so long ago (10m). "
    "[default: all available history; with --follow, now]",
)
@option(
    "--until",
    type=MomentType(),
    metavar="MOMENT",
    help="End there, written as for --since. [default: now]",
)
@option(
    "--node",
    "nodes",
    multiple=True,
    metavar="NAME",
    callback=lambda ctx, parameter, names: tuple(sendable(ctx, parameter, name) for name in names),
    help="Only entries about this node. May be repeated.",
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
    help="Only this request's records, and the events between its first and its last record.",
)
@option("--follow", is_flag=True, help="Print new entries as they happen, until Ctrl-C.")
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
    """What happened, in the kernel's order: changes of the cluster's state, and requests.

    Ordered by revision, never by clock. Where history was compacted, an entry `gap` marks it;
    filters never remove it. At a terminal a picture shows the leader and the members over time.

    \b
    Examples:
      aeroctl timeline --since 1h --node n2
      aeroctl timeline --request 6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b
      aeroctl timeline --follow -o jsonl
    """
    if follow and until is not None:
        raise click.UsageError("give either --follow or --until, not both")
    if follow and file is not None:
        raise click.UsageError("--follow can't be combined with --from")
    from aeroctl.workflows.follow import follow_timeline
    from aeroctl.workflows.read import reader_of
    from aeroctl.workflows.timeline import Selection, show_timeline

    request_id = None if request is None else str(request)
    selection = Selection(since, until, nodes, kinds, request_id)
    (follow_timeline if follow else show_timeline)(reader_of(app_of(ctx), file), selection)
