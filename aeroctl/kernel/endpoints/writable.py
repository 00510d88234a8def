"""Whether the leader accepts writes: the leader is asked, by one statement on its database."""

from aeroctl.contract.base import Observation
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.rules import Rule
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.postgres import observations, queries
from aeroctl.kernel.prove.writable import rule
from aeroctl.kernel.source import Source


async def writable(source: Source, keys: ClusterKeys) -> Rule:
    """The rule `writable` for the leader in `keys`.

    Not limited by `node_readers`: a command that is under way never waits for readers.
    """
    leader = sections.leader(keys)
    if leader is None:
        return rule(None, None)
    node = next(node for node in sections.nodes(keys) if node.name == leader.node)
    answers = await queries.ask([node], ["replication"], source.access, keys.system_id)
    answer = answers[node.name]["replication"]
    observation = observations.observation(
        Observation[NodeReplication], NodeReplication, node, answer
    )
    return rule(leader.node, observation)
