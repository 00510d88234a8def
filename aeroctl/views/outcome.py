"""View `outcome`: what became of a request. The data is what the kernel proves, as it is."""

from typing import TYPE_CHECKING

from aeroctl.views.blocks import Block, Cell, Facts, Flagged, Grid
from aeroctl.views.explanation import RULES, rule_rows

if TYPE_CHECKING:
    from aeroctl.contract.cluster import Authority
    from aeroctl.contract.errors import EngineReply
    from aeroctl.contract.requests import RequestStatus


def layout(view: "RequestStatus") -> tuple[Block, ...]:
    """The outcome, then the evidence for it."""
    commits = view.commits
    facts: list[tuple[str, Cell]] = [
        ("request", view.request_id),
        ("recorded", view.recorded),
        ("command", view.command),
        ("target", view.target),
        ("outcome", view.outcome if view.outcome == "executed" else Flagged(view.outcome)),
        ("final", view.final or Flagged(view.final)),
        ("code", view.code),
        ("message", view.message),
        ("engine's reply", _reply(view.engine_reply)),
        ("authority before", _authority(view.authority_before)),
        ("authority after", _authority(view.authority_after)),
        ("requested at commit", commits.requested),
        ("dispatched at commit", commits.dispatched),
        ("outcome at commit", commits.outcome),
    ]
    blocks: list[Block] = [Facts(tuple(facts))]
    blocks.append(Grid(RULES, rule_rows(view.evidence), "evidence"))
    if view.diagnostics is not None:
        blocks.append(Grid(RULES, rule_rows(view.diagnostics), "diagnostics"))
    return tuple(blocks)


def _authority(held: "Authority | None") -> str | None:
    return f"{held.node}, since commit {held.reign}" if held else None


def _reply(reply: "EngineReply | None") -> str | None:
    if reply is None:
        return None
    return f"{reply.status or 'no answer'}: {reply.body}"
