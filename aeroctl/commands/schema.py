"""aeroctl schema."""

import click

from aeroctl.options import app_of, shared_options

NAMES = (
    "cluster", "nodes", "node", "replication", "promotion", "wal", "mvcc", "snapshots", "health",
    "explanation", "outcome", "audit", "timeline", "diff", "snapshot",
    "evidence", "error",
)  # fmt: skip


@click.command()
@click.argument("view", required=False, type=click.Choice(NAMES))
@shared_options
@click.pass_context
def schema(ctx: click.Context, view: str | None) -> None:
    """The JSON Schema of what a command prints under -o json; of all of them without VIEW.

    Needs no kernel.
    """
    from aeroctl.views.schemas import schema_of

    document = schema_of(view) if view else {name: schema_of(name) for name in NAMES}
    app_of(ctx).output.document(document)
