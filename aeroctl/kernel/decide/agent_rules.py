"""Rules about the Patroni agent that gets the request: its address, and who it is. Pure."""

from aeroctl.kernel.decide.definition import Change, Result, rule
from aeroctl.kernel.patroni.agent import ExpectedAgent, Identity, evidence, identity
from aeroctl.kernel.patroni.members import agent_url, host_and_port


@rule(
    "the store holds the address of the agent that the request goes to",
    promotion="kernel",
    demotion="kernel",
    force="kernel",
    invariants=("P7-E1",),
)
def agent_known(change: Change) -> Result:
    """Without an address no request can be sent."""
    member = change.state.keys.members.get(change.receiver) if change.receiver else None
    url = agent_url(member.api_url) if member else None
    host, port = host_and_port(url)
    return url is not None, {
        "node": change.receiver,
        "host": host if url else None,
        "port": port if url else None,
    }


@rule(
    "the agent that the request goes to identifies itself as the agent of its node and cluster",
    promotion="kernel",
    demotion="kernel",
    force="kernel",
    invariants=("P7-E1",),
)
def agent_identified(change: Change) -> Result:
    """What answers at the receiver's address is that node's agent, in this cluster (P7-F1)."""
    keys, account = change.state.keys, change.state.agent
    members = {name: member.api_url for name, member in keys.members.items()}
    expected = ExpectedAgent(change.receiver or "", keys.scope, keys.system_id, members)
    if account is None or account.node != change.receiver:
        result = Identity(None, "it was not asked")
    else:
        result = identity(expected, account.reply, account.members)
    return result.proved, {
        **evidence(expected, result),
        "node": change.receiver,
        "status": account.reply.status if account else None,
    }


RULES = (agent_known, agent_identified)
