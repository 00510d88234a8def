"""The state of a cluster that rules, effects and decisions are evaluated over. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from aeroctl.contract import accounts
from aeroctl.contract.base import Observation
from aeroctl.contract.cluster import Cluster, Leader
from aeroctl.contract.commands import CommandName
from aeroctl.contract.nodes import Node
from aeroctl.contract.replication import NodeReplication
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.agent import Account
from aeroctl.kernel.patroni.keys import ClusterKeys


@dataclass(frozen=True)
class State:
    """Patroni's keys at one revision, and what nodes and the agent reported.

    `in_flight`: the id of the request that is being carried out. `reports`: every node's own
    replication state, by its name; None where no node was queried. `agent`: what the agent answered
    that would get the request; None where it was not queried.
    """

    keys: ClusterKeys
    in_flight: str | None
    reports: Mapping[str, Observation[NodeReplication]] | None = None
    agent: Account | None = None

    @cached_property
    def cluster(self) -> Cluster:
        """Identity, leader and settings."""
        return sections.cluster(self.keys)

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Every node that the store names, by its name."""
        return {node.name: node for node in sections.nodes(self.keys)}

    @property
    def leader(self) -> Leader | None:
        """Who holds the leader key, and since which revision."""
        return sections.leader(self.keys)

    @property
    def leader_name(self) -> str | None:
        """The node that the leader key names."""
        return None if self.leader is None else self.leader.node

    @property
    def leader_is_alive(self) -> bool:
        """Whether the leader renews its own member key: then its agent makes Patroni's checks."""
        return self.leader_name in self.keys.members

    @property
    def nodes_were_queried(self) -> bool:
        """Whether nodes were queried at all; they are not when a request is decided."""
        return self.reports is not None

    def reported(self, name: str) -> NodeReplication | None:
        """The node's own replication state; None where it was not queried or did not answer."""
        observation = (self.reports or {}).get(name)
        return None if observation is None else observation.value

    def unavailable(self, name: str) -> str | None:
        """Why the node's member key proves nothing about the node now; None where it does."""
        if self.reports is None:
            return None if name in self.keys.members else "NODE_NOT_REGISTERED"
        observation = self.reports.get(name)
        if observation is None:
            return "NODE_NOT_ASKED"
        return None if observation.unavailable is None else observation.unavailable.code

    def contradictions(self, name: str) -> dict[str, str]:
        """Where the store and the node differ: both values of each fact, as evidence."""
        disagreements = accounts.disagreements(self.nodes[name], self.reported(name))
        return {
            f"{disagreement.fact.replace(' ', '_')}_{place}": value
            for disagreement in disagreements
            for place, value in (("in_store", disagreement.store), ("on_node", disagreement.node))
        }


def receiver(command: CommandName, target: str | None, state: State) -> str | None:
    """The node whose agent gets the request for that command; None for what only reads.

    A switchover goes to the leader's agent. A failover goes to the target's agent, because the
    leader may be what is dead.
    """
    if command == "run_diagnostics":
        return None
    return target if command == "force_promotion" else state.leader_name
