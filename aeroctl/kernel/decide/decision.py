"""Whether a request may be carried out, and by which one request to Patroni. Pure.

Decided from the store's keys, the kernel's clock and the agent's own answer alone: the same for the
same request, state, time and answer (P7-D2).
"""

import json
from collections.abc import Sequence
from dataclasses import replace

from aeroctl.contract import consent
from aeroctl.contract.audit import Confirmed
from aeroctl.contract.rules import Rule
from aeroctl.kernel.audit import records
from aeroctl.kernel.audit.ledger import Ledger
from aeroctl.kernel.audit.records import Plan, Submission
from aeroctl.kernel.callers import ANONYMOUS
from aeroctl.kernel.decide import commands, confirmation, effects, rules
from aeroctl.kernel.decide.agent_rules import agent_identified
from aeroctl.kernel.decide.confirmation import Clock
from aeroctl.kernel.decide.definition import Change
from aeroctl.kernel.decide.state import State, receiver
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni.digest import state_digest
from aeroctl.kernel.patroni.keys import ClusterKeys
from aeroctl.kernel.patroni.members import agent_url


def plan(submission: Submission, state: State) -> Plan | None:
    """The one request to Patroni; None for what only reads. The rules hold in `state`. Pure.

    A switchover names the leader, so that Patroni checks that name again.
    """
    command, target = submission.command.name, submission.request.target
    node = receiver(command, target, state)
    if node is None or target is None:
        return None
    url = agent_url(state.keys.members[node].api_url)
    assert url is not None  # the rule agent_known holds
    if command == "force_promotion":
        return Plan(node, url, "/failover", {"candidate": target})
    body = {"leader": node}
    if command == "request_promotion":
        body["candidate"] = target
    return Plan(node, url, "/switchover", body)


def decide(
    submission: Submission, state: State, ledger: Ledger, clock: Clock
) -> tuple[Failure | None, Confirmed | None]:
    """Why it is refused (None: it is not), and how it was confirmed, once that is checked.

    The caller is authorised already; the agent's identity is checked later. In a fixed order, so
    that the same request in the same state has the same answer (P7-D2).
    """
    confirmed = None
    try:
        check_confirmed(submission, state, ledger, clock)
        confirmed = submission.confirmed
        check_rules(submission, state)
    except Failure as refusal:
        return refusal, confirmed
    return None, confirmed


def authorise(submission: Submission) -> None:
    """Only an operator asks for a change, and somebody must be responsible (P7-A1)."""
    caller = submission.caller
    if caller is ANONYMOUS:
        message = "the caller is anonymous: a change needs an identified caller, responsible for it"
    elif caller.authority != "operator":
        message = f"{caller.identity} is an {caller.authority}, not an operator"
    else:
        return
    raise Failure("NOT_AUTHORIZED", message)


def check_confirmed(submission: Submission, state: State, ledger: Ledger, clock: Clock) -> None:
    """The request is new, and newly confirmed in this very state. Pure. Raises Failure."""
    request, command = submission.request, submission.command
    if ledger.request is not None:
        raise request_seen(request.request_id, ledger.request)
    if ledger.spent_by is not None:
        raise confirmation_reused(ledger.spent_by)
    commands.check_target(command, request.target, state)
    now = state_digest(state.keys)
    if request.state_digest != now:
        raise Failure(
            "STATE_CHANGED",
            "the state that decides which node leads is not the confirmed one: "
            f"confirmed at revision {request.revision} in state digest {request.state_digest}, "
            f"at revision {state.keys.revision} it is {now}",
        )
    about = commands.confirmable(command.name, request.target, state.keys)
    overridden = [override.invariant for override in effects.overrides(command.name, state)]
    confirmation.check(request, command, about, overridden, state.keys.revision, clock)


def genuine(submission: Submission, keys: ClusterKeys) -> bool:
    """Whether the token is of an explanation of this command in the state that the request names,
    so that it confirms, or would once that state comes back. Pure.
    """
    request = submission.request
    about = commands.confirmable(submission.command.name, request.target, keys)
    return consent.confirms(
        request.confirmation.token, replace(about, state_digest=request.state_digest)
    )


def check_rules(submission: Submission, state: State) -> None:
    """Every rule holds that the kernel enforces, and that the store's keys decide. Pure.

    Raises Failure COMMAND_IN_FLIGHT, RULE_NOT_MET.
    """
    applied = [
        rule
        for rule in rules.rules(submission.command.name, submission.request.target, state)
        if rule.rule_id != agent_identified.rule_id
    ]
    if state.in_flight is not None and applied:
        raise Failure("COMMAND_IN_FLIGHT", f"request {state.in_flight} is being carried out")
    if rules.broken(applied):
        raise rules_not_met(applied)


def unidentified(submission: Submission, plan: Plan, state: State) -> Failure | None:
    """Why the agent of that plan gets no request; None: it has proved who it is. Pure.

    A change that another cluster makes is one that nobody has confirmed (P7-A2).
    """
    target, command = submission.request.target, submission.command.name
    assert target is not None  # there is a plan
    assert command != "run_diagnostics"
    rule = agent_identified.evaluate(Change(state, target, plan.receiver), command)
    if rule.evaluation == "holds":
        return None
    evidence = {fact.name: fact.value for fact in rule.evidence}
    agent = f"the agent of {plan.receiver} at {plan.base}"
    if rule.evaluation == "undetermined":
        return Failure(
            "AGENT_UNREACHABLE",
            f"{agent} did not prove its identity, so the request was not sent to it: "
            f"{evidence['problem']}",
        )
    expected = _identity(evidence["node"], evidence["cluster"], evidence["system_id"])
    reported = _identity(
        evidence["agent_name"], evidence["agent_scope"], evidence["agent_system_id"]
    )
    return Failure(
        "AGENT_MISMATCH",
        f"{agent} is not that of this node and cluster, so the request was not sent to it: "
        f"{evidence['problem']}: expected {expected}; it reports {reported}",
    )


def _identity(node: object, scope: object, system_id: object) -> str:
    parts = (
        f"{name} {'(not reported)' if value is None else json.dumps(value)}"
        for name, value in (("node", node), ("scope", scope), ("system id", system_id))
    )
    return ", ".join(parts)


def request_seen(request_id: str, written: Sequence[int]) -> Failure:
    """Where the id was dispatched, that nothing was executed can't be said of it (P7-E2)."""
    dispatched = len(written) >= len(records.DISPATCHED)
    return Failure(
        "REQUEST_SEEN",
        "a request with this id was made before; it is not made again. For its outcome: "
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
    """The client has disconnected, so nobody intends the change any more (P7-A2)."""
    return Failure(
        "CALLER_GONE",
        "the client disconnected before the command ran; nothing was executed",
    )


def rules_not_met(applied: Sequence[Rule]) -> Failure:
    """Names the rules that the kernel refuses for, and their evidence."""
    broken = "; ".join(
        f"{rule.rule_id} {rule.evaluation} ("
        + ", ".join(f"{fact.name}={json.dumps(fact.value)}" for fact in rule.evidence)
        + ")"
        for rule in rules.broken(applied)
    )
    return Failure(
        "RULE_NOT_MET",
        f"a rule that the kernel enforces is not met: {broken}",
    )
