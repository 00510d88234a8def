"""aeroctl inspect: one subcommand for each view of the kernel's state."""

import click

from aeroctl.commands.reading import ReadOptions, reading_options, show, view_command
from aeroctl.commands.table import Command, CommandTable
from aeroctl.options import shared_options

TABLE = {
    "cluster": Command("inspect:cluster", "Topology, roles and the leader."),
    "nodes": Command("inspect:nodes", "Every node: role, leader key, timeline, lag."),
    "node": Command("inspect:node", "All that is known about one node."),
    "replication": Command("inspect:replication", "Which node streams from which, and the lag."),
    "promotion": Command("inspect:promotion", "The promotion state machine and its history."),
    "wal": Command("inspect:wal", "WAL positions, segments, archiving and slots."),
    "mvcc": Command("inspect:mvcc", "Transaction visibility and what holds back vacuum."),
    "snapshots": Command("inspect:snapshots", "Checkpoints, active snapshots, base backups."),
}


@click.group(cls=CommandTable, table=TABLE)
@shared_options
def inspect() -> None:
    """Show one part of the kernel's state, from one snapshot."""


cluster = view_command(
    "cluster",
    """Topology, roles and the leader.

    At a terminal the nodes are drawn as a tree, each under the node that it streams from. The
    leader is the node that Patroni's leader key names; "writable" is what the node itself reports.
    Where the two disagree, both are marked.
    """,
)
nodes = view_command(
    "nodes",
    """Every known node: role, leader key, timeline, lag.

    Lag is in bytes, behind the position that the leader last recorded.

    \b
    Example:
      aeroctl inspect nodes -o json | jq -r '.data.nodes[] | select(.is_leader) | .name'
    """,
)
replication = view_command(
    "replication",
    """Every replication connection as its upstream reports it, and as each node reports itself.

    Lag is in bytes, behind the upstream's own position at the same instant.
    """,
)
promotion = view_command(
    "promotion",
    """The promotion state machine: its state, what is pending, and which timelines ended.""",
)
wal = view_command(
    "wal",
    """Every node's write-ahead log: positions, segments on disk, archiving, replication slots.""",
)
mvcc = view_command(
    "mvcc",
    """What transactions can see on every node, and what holds back vacuum.""",
)
snapshots = view_command(
    "snapshots",
    """Every node's last checkpoint, active snapshots, and running base backups.""",
)


@click.command("node")
@click.argument("name")
@reading_options
@shared_options
@click.pass_context
def node(ctx: click.Context, name: str, options: ReadOptions) -> None:
    """All that one snapshot holds about the node NAME."""
    from aeroctl.views.node import view_of

    show(ctx, options, lambda reader: reader.read(view_of(name), options.at))
