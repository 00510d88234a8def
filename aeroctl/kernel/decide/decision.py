"""Whether a request may be carried out, and by which one action. Pure.

Decided from the store's keys, the kernel's clock and the agent's own word alone: the same for the
same request, state, time and word (P7-D2).
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from aeroctl.contract import consent
from aeroctl.contract.audit import Confirmed
from aeroctl.contract.rules import Rule
from aeroctl.kernel.audit import records
from aeroctl.kernel.audit.ledger import Ledger
from aeroctl.kernel.audit.records import Asked, Plan
from aeroctl.kernel.callers import ANONYMOUS
from aeroctl.kernel.decide import commands, confirmation, effects, rules
from aeroctl.kernel.decide.confirmation import Clock
from aeroctl.kernel.decide.rules import State
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.digest import state_digest
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.members import agent_url


def plan(asked: Asked, state: State) -> Plan | None:
    """What is to be asked of whom; None for what only reads. The rules hold in `state`. Pure.

    A transfer is asked by the holder's name, so that the engine checks the name again.
    """
    command, target = asked.command.name, asked.request.target
    receiver = rules.receiver(command, target, state)
    if receiver is None or target is None:
        return None
    base = agent_url(state.keys.members[receiver].api_url)
    assert base is not None  # the rule agent_known holds
    if command == "force_promotion":
        return Plan(receiver, base, "/failover", {"candidate": target})
    body = {"leader": receiver}
    if command == "request_promotion":
        body["candidate"] = target
    return Plan(receiver, base, "/switchover", body)


def decide(
    asked: Asked, state: State, kept: Ledger, clock: Clock
) -> tuple[Failure | None, Confirmed | None]:
    """Why it is refused (None: it is not), and how it was confirmed, once that is checked.

    The caller is authorised already; who the agent is, is looked at later. In a fixed order, so
    that the same request in the same state has the same answer (P7-D2).
    """
    checked = None
    try:
        confirmed(asked, state, kept, clock)
        checked = asked.confirmed
        permitted(asked, state)
    except Failure as refusal:
        return refusal, checked
    return None, checked


def authorise(asked: Asked) -> None:
    """Only an operator asks for a change, and somebody must be responsible (P7-A1)."""
    if asked.caller is ANONYMOUS:
        message = "the caller is anonymous: nobody would be responsible"
    elif asked.caller.authority != "operator":
        message = f"{asked.caller.identity} is an {asked.caller.authority}, not an operator"
    else:
        return
    raise Failure("NOT_AUTHORIZED", message)


def confirmed(asked: Asked, state: State, kept: Ledger, clock: Clock) -> None:
    """The request is new, and newly confirmed in this very state. Pure. Raises Failure."""
    request, command = asked.request, asked.command
    if kept.request is not None:
        raise request_seen(request.request_id, kept.request)
    if kept.spent_by is not None:
        raise confirmation_reused(kept.spent_by)
    commands.check_target(command, request.target, state)
    now = state_digest(state.keys)
    if request.state_digest != now:
        raise Failure(
            "STATE_CHANGED",
            "state that decides who leads is not what was confirmed: "
            f"confirmed at revision {request.revision} in state digest {request.state_digest}, "
            f"at revision {state.keys.revision} it is {now}",
        )
    about = commands.confirmable(command.name, request.target, state.keys)
    overridden = [each.invariant for each in effects.overrides(command.name, state)]
    confirmation.check(request, command, about, overridden, state.keys.revision, clock)


def genuine(asked: Asked, keys: ClusterKeys) -> bool:
    """Whether the token is of an explanation of this command in the state that the request names,
    so that it confirms, or would once that state comes back. Pure.
    """
    request = asked.request
    about = commands.confirmable(asked.command.name, request.target, keys)
    return consent.confirms(
        request.confirmation.token, replace(about, state_digest=request.state_digest)
    )


def permitted(asked: Asked, state: State) -> None:
    """Nothing is in flight, and every rule holds that the kernel enforces, and that the state
    decides. Pure. Raises Failure.
    """
    applied = [
        rule
        for rule in rules.rules(asked.command.name, asked.request.target, state)
        if rule.rule_id != rules.AGENT_IDENTIFIED
    ]
    if state.in_flight is not None and applied:
        raise Failure("COMMAND_IN_FLIGHT", f"request {state.in_flight} is being carried out")
    if rules.broken(applied):
        raise rules_not_met(applied)


def unidentified(plan: Plan, state: State) -> Failure | None:
    """Why the agent of that plan must not be asked; None: it has proved who it is. Pure.

    A change that another cluster makes is one that nobody has confirmed (P7-A2).
    """
    rule = rules.agent_identified(state, plan.receiver)
    if rule.evaluation == "holds":
        return None
    fact = {each.name: each.value for each in rule.evidence}
    whose = f"the agent of {plan.receiver} at {plan.base}"
    if rule.evaluation == "undetermined":
        return Failure(
            "AGENT_UNREACHABLE",
            f"{whose} did not prove who it is, so it was asked for nothing else: {fact['problem']}",
        )
    wanted = (fact["node"], fact["cluster"], fact["system_id"])
    found = (fact["agent_name"], fact["agent_scope"], fact["agent_system_id"])
    return Failure(
        "AGENT_MISMATCH",
        f"{whose} did not prove to be it, so it was asked for nothing else: {fact['problem']}: "
        f"it must be {_named(*wanted)}; it says that it is {_named(*found)}",
    )


def request_seen(request_id: str, written: Sequence[int]) -> Failure:
    """Where the id was dispatched, that nothing was executed can't be said of it (P7-E2)."""
    dispatched = len(written) >= len(records.DISPATCHED)
    return Failure(
        "REQUEST_SEEN",
        "a request with this id was made before; it is not made again. What became of it: "
        f"aeroctl outcome {request_id}",
        invariants=["P7-F3", "P7-E2"] if dispatched else ["P7-F3"],
        outcome="unknown" if dispatched else "not_executed",
    )


def confirmation_reused(by: str) -> Failure:
    """One consent serves one request, whatever came of that."""
    return Failure(
        "CONFIRMATION_REUSED",
        f"this confirmation was used by request {by}, and serves no other one. What became of "
        f"that: aeroctl outcome {by}",
    )


def caller_gone() -> Failure:
    """Nobody is there any more who could mean it."""
    return Failure("CALLER_GONE", "the caller has gone away: its intent is not contemporaneous")


def rules_not_met(applied: Sequence[Rule]) -> Failure:
    """Names the rules that the kernel refuses for, and their evidence."""
    broken = "; ".join(
        f"{rule.rule_id} {rule.evaluation} ("
        + ", ".join(f"{fact.name}={json.dumps(fact.value)}" for fact in rule.evidence)
        + ")"
        for rule in rules.broken(applied)
    )
    return Failure("RULE_NOT_MET", f"a rule that the kernel enforces is not met: {broken}")


def _named(node: object, scope: object, system_id: object) -> str:
    named = (
        f"{what} {'(not told)' if value is None else json.dumps(value)}"
        for what, value in (("node", node), ("scope", scope), ("system id", system_id))
    )
    return ", ".join(named)
