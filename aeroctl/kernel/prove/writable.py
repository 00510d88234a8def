"""Whether the leader accepts writes, as it says itself."""

from aeroctl.contract import rules
from aeroctl.contract.base import Observation
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.rules import Rule, evaluated
from aeroctl.contract.terms import RequestOutcome
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.postgres import observations, queries
from aeroctl.kernel.source import Source


async def writable(source: Source, keys: ClusterKeys) -> Rule:
    """The rule `writable` about the leader in `keys`, by one statement on it.

    A leader key alone proves no primary (P6-A3), and a primary alone no writes.
    """
    held = sections.leader(keys)
    if held is None:
        return rule(None, None)
    node = next(node for node in sections.nodes(keys) if node.name == held.node)
    # Not limited by `node_readers`: a command that is under way never waits for readers.
    answers = await queries.ask([node], ["replication"], source.access, keys.system_id)
    kind = Observation[NodeReplication]
    answer = answers[node.name]["replication"]
    return rule(held.node, observations.observation(kind, NodeReplication, node, answer))


def weighed(outcome: RequestOutcome, final: bool, shown: Rule) -> tuple[RequestOutcome, bool]:
    """What history proves, together with what the new holder `shown` says of itself. Pure.

    A transfer is not over while whoever was to write refuses writes, nor is one rejected whose
    holder is in recovery. What it can't be asked for takes nothing from what history proves.
    """
    executed = outcome in ("executed", "executed_other")
    if executed and shown.evaluation == "does_not_hold":
        return "in_progress", False
    recovering = any(fact.name == "in_recovery" and fact.value is True for fact in shown.evidence)
    if outcome == "rejected" and recovering:
        return "in_progress", False
    return outcome, final


def rule(holder: str | None, seen: Observation[NodeReplication] | None) -> Rule:
    """What that node said: undetermined where it did not answer, or can't tell. Pure."""
    said = None if seen is None else seen.value
    found = None if said is None else False if said.in_recovery else said.writable
    evidence = {
        "node": holder,
        "in_recovery": said.in_recovery if said else None,
        "writable": said.writable if said else None,
        "unavailable": seen.unavailable.code if seen and seen.unavailable else None,
    }
    return rules.rule(
        "writable", "the leader accepts writes", evaluated(found), "none", rules.facts(evidence)
    )
