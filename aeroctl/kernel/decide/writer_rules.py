"""The rule that at most one node accepts writes (P6-A1). Pure."""

from aeroctl.contract import accounts
from aeroctl.kernel.decide.definition import Change, Result, rule
from aeroctl.kernel.decide.state import State


@rule(
    "no node but the leader accepts writes (P6-A1)",
    promotion="none",
    demotion="none",
    force="none",
    invariants=("P6-A1",),
)
def single_writer(change: Change) -> Result:
    """As far as the nodes themselves can tell, also those that are gone from the store."""
    state = change.state
    writers = possible_writers(state)
    members = sum(not node.retired for node in state.nodes.values())
    unknown = accounts.unknown_members(state.cluster.expected_member_count, members)
    others = [writer for writer in writers if not writer.may_write]
    unproved = [writer.name for writer in others if writer.writable is None]
    return accounts.single_writer(writers, unknown), {
        **{f"{writer.name}.writable": writer.writable for writer in others},
        **{f"{name}.unavailable": state.unavailable(name) for name in unproved},
        **{f"{name}.in_recovery": False for name in unproved if state.reported(name) is not None},
        **{f"{writer.name}.retired": True for writer in others if writer.retired},
        **({"expected_and_unknown": unknown} if unknown else {}),
    }


def possible_writers(state: State) -> list[accounts.Writer]:
    """Every node: whether it may accept writes, and whether it could."""
    return [
        accounts.Writer(
            name=name,
            may_write=node.is_leader and not state.cluster.standby_cluster,
            writable=accounts.could_write(state.reported(name)),
            retired=node.retired and not node.registered,
        )
        for name, node in state.nodes.items()
    ]


RULES = (single_writer,)
