"""View `outcome`: what became of a request. The data is what the kernel proves, as it is."""

from typing import TYPE_CHECKING

from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid
from aeroctl.views.explanation import RULES, rule_rows
from aeroctl.views.rules import evidence_of

if TYPE_CHECKING:
    from aeroctl.contract.cluster import Leader
    from aeroctl.contract.errors import EngineReply
    from aeroctl.contract.requests import RequestStatus
    from aeroctl.contract.rules import Rule
    from aeroctl.contract.terms import Evaluation, RequestOutcome

EVIDENCE = "RULE EVALUATION EVIDENCE MEANS"
_MEANS: dict[str, tuple[str, str, str]] = {
    "recorded": (
        "The request was recorded before Patroni was asked.",
        "The request was not recorded before Patroni was asked.",
        "It is not known whether the request was recorded before Patroni was asked.",
    ),
    "arrived": (
        "Patroni took the request up.",
        "Patroni did not take the request up.",
        "It is not known whether Patroni took the request up.",
    ),
    "withdrawn_under_same_leader": (
        "The request was withdrawn, and the same node stayed the leader.",
        "The leader that took the request up is not the leader any more.",
        "It is not known whether the same node stayed the leader when the request was withdrawn.",
    ),
    "leader_stayed_primary": (
        "That leader stayed primary.",
        "That leader stopped being primary.",
        "It is not known whether that leader stayed primary.",
    ),
    "agent_moved_on": (
        "The leader's Patroni has run its loop since: it will not act on the request any more.",
        "The leader's Patroni has not run its loop since: it may still act on the request.",
        "It is not known whether the leader's Patroni can still act on the request.",
    ),
    "leader_passed": (
        "The leader key passed as it was asked for.",
        "The leader key did not pass as it was asked for.",
        "It is not known yet whether the leader key passes as it was asked for.",
    ),
    "new_leader_is_primary": (
        "The new leader is primary.",
        "The new leader did not become primary.",
        "It is not known yet whether the new leader is primary.",
    ),
    "history_complete": (
        "The store's history since the request is complete.",
        "The store no longer holds all history since the request.",
        "It is not known whether the store's history since the request is complete.",
    ),
}
"""What it means that a rule holds, does not hold, or is undetermined. In a request's history either
can be as it should be: in a promotion the holder stops being primary.
"""


def layout(view: "RequestStatus") -> tuple[Block, ...]:
    """The outcome, then the evidence for it."""
    revisions = view.revisions
    facts: list[tuple[str, Cell]] = [
        ("request", view.request_id),
        ("recorded", view.recorded),
        ("command", view.command),
        ("target", view.target),
        ("outcome", view.outcome if view.outcome == "executed" else Flagged(view.outcome)),
        ("final", view.final or Flagged(view.final)),
        ("code", view.code),
        ("message", view.message),
        ("Patroni's reply", _reply(view.engine_reply)),
        ("leader before", _leader(view.leader_before)),
        ("leader after", _leader(view.leader_after)),
        ("requested at revision", revisions.requested),
        ("dispatched at revision", revisions.dispatched),
        ("outcome at revision", revisions.outcome),
    ]
    blocks: list[Block] = [Facts(tuple(facts))]
    rows = tuple(_evidence_row(rule, view.outcome) for rule in view.evidence)
    blocks.append(Grid(EVIDENCE, rows, "evidence"))
    if view.diagnostics is not None:
        blocks.append(Grid(RULES, rule_rows(view.diagnostics), "diagnostics"))
    return tuple(blocks)


def _evidence_row(rule: "Rule", outcome: "RequestOutcome") -> tuple[Cell, ...]:
    """A rule as a row under `EVIDENCE`; it stands out where it is why all is not as was asked."""
    against = _speaks_against(rule.rule_id, rule.evaluation, outcome)
    evaluation: Cell = Flagged(rule.evaluation) if against else rule.evaluation
    return rule.rule_id, evaluation, evidence_of(rule), _means(rule)


def _speaks_against(rule_id: str, evaluation: "Evaluation", outcome: "RequestOutcome") -> bool:
    """Whether it speaks against an outcome as it was asked for. Nothing does once it is executed.

    What is undetermined does so only while the outcome is.
    """
    if outcome == "executed":
        return False
    if evaluation == "undetermined":
        return outcome in ("in_progress", "unknown", "not_executed")
    if rule_id == "withdrawn_under_same_leader":
        return evaluation == "holds"
    if rule_id == "leader_stayed_primary":  # that it did not is an interruption, or a transfer
        return evaluation == "does_not_hold" and outcome in ("rolled_back", "rejected", "unknown")
    return evaluation == "does_not_hold"


def _means(rule: "Rule") -> str:
    """A rule's evaluation in words; for one of a newer kernel, in those of its description."""
    holds, does_not, undetermined = _MEANS.get(
        rule.rule_id,
        (rule.description, f"failing: {rule.description}", f"unknown: {rule.description}"),
    )
    said = {"holds": holds, "does_not_hold": does_not, "undetermined": undetermined}
    return said[rule.evaluation]


def _leader(held: "Leader | None") -> str | None:
    return f"{held.node}, since revision {held.since}" if held else None


def _reply(reply: "EngineReply | None") -> str | None:
    if reply is None:
        return None
    return f"{reply.status or 'no answer'}: {reply.body}"
