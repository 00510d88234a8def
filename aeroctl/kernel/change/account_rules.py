"""Rules that compare the three accounts of a node: the store's, its database's, its agent's. Pure.

To add a rule, write its function and add it to `RULES`; the function's name is the rule's id.
All are advisory: a disagreement is shown and not explained (P7-A3).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from aeroctl.contract.base import Observation
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.nodes import Node
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.rules import Rule, evaluated, facts
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.settings import ttl

OK = 200
Value = str | bool | int | float | None
Result = tuple[bool | None, Mapping[str, Value]]
"""Whether a rule holds (None: undetermined), and the evidence, by the names of its facts."""


class _Software(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str | None = None
    scope: str | None = None


class AgentStatus(BaseModel):
    """What GET /patroni answers, as far as it is compared; None where the agent leaves it out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: str | None = None
    state: str | None = None
    timeline: int | None = None
    database_system_identifier: str | None = None
    dcs_last_seen: int | None = None
    patroni: _Software = _Software()


def agent_status(reply: EngineReply) -> AgentStatus | None:
    """What the agent answered; None where it did not answer, or not as Patroni does."""
    if reply.status != OK:
        return None
    try:
        return AgentStatus.model_validate_json(reply.body)
    except ValidationError:
        return None


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of one node. `date`: when the agent answered, by the agent's own clock."""

    keys: ClusterKeys
    node: Node
    observation: Observation[NodeReplication]
    reply: EngineReply
    date: datetime | None

    @property
    def database(self) -> NodeReplication | None:
        """The database's account; None where it did not answer."""
        return self.observation.value

    @property
    def agent_answer(self) -> AgentStatus | None:
        """The agent's account; None where it did not answer."""
        return agent_status(self.reply)

    @property
    def agent(self) -> AgentStatus:
        """The agent's account; without any fact where it did not answer."""
        return self.agent_answer or AgentStatus()


def agent_answers(accounts: Accounts) -> Result:
    """The agent's REST API answers GET /patroni."""
    answers, reply = accounts.agent_answer is not None, accounts.reply
    return answers, {"status": reply.status, "words": None if answers else reply.body[:200]}


def database_answers(accounts: Accounts) -> Result:
    """The database answers a query."""
    unavailable = accounts.observation.unavailable
    code = unavailable.code if unavailable else None
    return accounts.database is not None, {"unavailable": code}


def agent_is_the_nodes(accounts: Accounts) -> Result:
    """Entries may be copied with a configuration: another cluster's agent may answer there."""
    answer, software = accounts.agent_answer, accounts.agent.patroni
    names, scopes = [software.name, accounts.node.name], [software.scope, accounts.keys.scope]
    holds = agree(names) and agree(scopes) if answer else None
    return holds, {"name": software.name, "scope": software.scope}


def role_agrees(accounts: Accounts) -> Result:
    """A node that is a primary for one of the three and a replica for another one."""
    node, database, agent = accounts.node, accounts.database, accounts.agent
    roles = [is_primary(node.role), database and not database.in_recovery, is_primary(agent.role)]
    return agree(roles), {
        "store": node.role if node.registered else None,
        "database_in_recovery": database.in_recovery if database else None,
        "agent": agent.role,
    }


def timeline_agrees(accounts: Accounts) -> Result:
    """PostgreSQL's timeline as each of the three has it."""
    database = accounts.database
    return _agreement(
        accounts.node.timeline,
        database.timeline if database else None,
        accounts.agent.timeline,
    )


def system_id_agrees(accounts: Accounts) -> Result:
    """PostgreSQL's system identifier as each of the three has it."""
    database = accounts.database
    return _agreement(
        accounts.keys.system_id,
        database.system_id if database else None,
        accounts.agent.database_system_identifier,
    )


def agent_sees_store(accounts: Accounts) -> Result:
    """Within the time of its lease a living agent reads the store, or it loses the lease."""
    # Both times are by the agent's clock.
    last_seen, date = accounts.agent.dcs_last_seen, accounts.date
    seconds = None if not last_seen or date is None else int(date.timestamp()) - last_seen
    limit = ttl(accounts.keys)
    return None if seconds is None else seconds <= limit, {
        "dcs_last_seen": last_seen,
        "seconds_ago": seconds,
        "ttl_seconds": limit,
    }


RULES: tuple[tuple[Callable[[Accounts], Result], str, Sequence[str]], ...] = (
    (agent_answers, "the node's agent answers", ("P7-E1",)),
    (database_answers, "the node's database answers", ()),
    (
        agent_is_the_nodes,
        "the agent at the node's address identifies itself as the agent of this node and cluster",
        ("P7-E1",),
    ),
    (role_agrees, "store, database and agent agree on whether the node is a primary", ("P6-A1",)),
    (timeline_agrees, "store, database and agent agree on the node's timeline", ("P6-S2",)),
    (system_id_agrees, "store, database and agent agree on the system identifier", ("P6-S2",)),
    (agent_sees_store, "the agent has read the store within the time of its lease", ("P7-E1",)),
)
"""Every rule, its description and the invariants that it serves, in the order of the output."""
COMPARING: Collection[str] = frozenset({"role_agrees", "timeline_agrees", "system_id_agrees"})
"""Rules that compare accounts which were taken at different moments."""


def rules(accounts: Accounts) -> list[Rule]:
    """Every rule about one node."""
    return [_evaluated(*row, accounts) for row in RULES]


def _evaluated(
    result: Callable[[Accounts], Result],
    description: str,
    invariants: Sequence[str],
    accounts: Accounts,
) -> Rule:
    holds, evidence = result(accounts)
    return Rule(
        rule_id=result.__name__,
        description=description,
        evaluation=evaluated(holds),
        enforced_by="none",
        invariants=list(invariants),
        evidence=facts({"node": accounts.node.name, **evidence}),
    )


def disagrees(rule: Rule) -> bool:
    """Whether the rule compares accounts, and they differ."""
    return rule.rule_id in COMPARING and rule.evaluation == "does_not_hold"


def node_of(rule: Rule) -> str:
    """The name of the node that the rule is about."""
    return str(rule.evidence[0].value)


def settled(first: Sequence[Rule], second: Sequence[Rule]) -> list[Rule]:
    """`first`, where a disagreement stands only if `second` has the very same one.

    One that is gone has been settled: the newer rule is shown. One that changed, or could not be
    compared again, is undetermined: its accounts were taken in the midst of a change.
    """
    newer = {(rule.rule_id, node_of(rule)): rule for rule in second}

    def settle(rule: Rule) -> Rule:
        if not disagrees(rule):
            return rule
        again = newer.get((rule.rule_id, node_of(rule)))
        if again is None:
            return rule.model_copy(update={"evaluation": "undetermined"})
        if disagrees(again) and again.evidence != rule.evidence:
            return again.model_copy(update={"evaluation": "undetermined"})
        return again

    return [settle(rule) for rule in first]


def is_primary(role: str | None) -> bool | None:
    """Whether Patroni's word for a role is that of a primary; None where it is neither."""
    if role in ("primary", "master"):
        return True
    return False if role in ("replica", "standby_leader") else None


def agree(values: Sequence[object]) -> bool | None:
    """Whether all agree; None where one is missing and the others do not differ."""
    present = {value for value in values if value is not None}
    if len(present) > 1:
        return False
    return None if None in values else True


def _agreement(store: Value, database: Value, agent: Value) -> Result:
    holds = agree([store, database, agent])
    return holds, {"store": store, "database": database, "agent": agent}
