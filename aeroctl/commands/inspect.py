"""aeroctl inspect: one subcommand per view of the kernel's state."""

import click

from aeroctl.cli import Command, CommandTable, shared_options
from aeroctl.commands._options import Asked, reading, reading_options, show

TABLE = {
    "cluster": Command("inspect:cluster", "Topology, roles, and who holds the leader key."),
    "nodes": Command("inspect:nodes", "Every node: role, leader, timeline, lag."),
    "node": Command("inspect:node", "All that is known of one node."),
    "replication": Command("inspect:replication", "Who streams to whom, and how far behind."),
    "promotion": Command("inspect:promotion", "The promotion state machine and its history."),
    "wal": Command("inspect:wal", "WAL positions, segments, archiving and slots."),
    "mvcc": Command("inspect:mvcc", "Transaction visibility and what holds cleanup back."),
    "snapshots": Command("inspect:snapshots", "Checkpoints, held snapshots, base backups."),
}


@click.group(cls=CommandTable, table=TABLE)
@shared_options
def inspect() -> None:
    """Show one part of the kernel's state, from one snapshot."""


cluster = reading(
    "cluster",
    """Topology, roles, and who holds the leader key.

    On a terminal the nodes are drawn as a tree, each under the node it streams from.
    "Holds the leader key" is what the leader key says, "writable" is what the node itself says;
    where the two disagree, both are marked.
    """,
)
nodes = reading(
    "nodes",
    """Every node the kernel knows: role, leader, timeline, lag.

    Lag is in bytes, against the position that the leader last recorded.

    \b
    Example:
      aeroctl inspect nodes -o json | jq -r '.data.nodes[] | select(.is_leader) | .name'
    """,
)
replication = reading(
    "replication",
    """Every stream as its upstream sees it, and every node by its own account.

    Lag is in bytes, against the upstream's own position at the same instant.
    """,
)
promotion = reading(
    "promotion",
    """The promotion state machine: its state, what is pending, and which timelines ended.""",
)
wal = reading(
    "wal",
    """Every node's write-ahead log: positions, segments on disk, archiving, replication slots.""",
)
mvcc = reading(
    "mvcc",
    """What transactions can see on every node, and what holds cleanup back.""",
)
snapshots = reading(
    "snapshots",
    """Every node's last checkpoint, the snapshots that are held, base backups under way.""",
)


@click.command("node")
@click.argument("name")
@reading_options
@shared_options
@click.pass_context
def node(ctx: click.Context, name: str, asked: Asked) -> None:
    """All that one snapshot says of the node NAME."""
    from aeroctl.views.node import view_of

    show(ctx, asked, lambda reader: reader.read(view_of(name), asked.at))
