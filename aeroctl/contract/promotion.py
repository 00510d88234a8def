"""Section `promotion`: the promotion state machine. Source: the consensus store."""

from pydantic import Field

from aeroctl.contract.base import Count, Lsn, Model, Revision, Time
from aeroctl.contract.cluster import Leader
from aeroctl.contract.terms import PromotionState


class PendingPromotion(Model):
    """A transfer of the leader key that was asked for and not yet taken up. Patroni: `failover`."""

    revision: Revision = Field(description="Revision at which it was written.")
    from_node: str | None
    to_node: str | None = Field(description="null: the kernel picks.")
    scheduled_at: Time | None


class TimelineSwitch(Model):
    """A timeline's end. Patroni: one row of `history`."""

    timeline: Count = Field(description="The timeline that ended.")
    ended_at_lsn: Lsn
    reason: str
    time: Time | None = Field(description="Clock of the node that was promoted.")
    new_leader: str | None = Field(description="Who was promoted, where it was recorded.")


class Promotion(Model):
    """Where the state machine stands, as far as the kernel's keys prove it.

    Patroni validates and approves inside one call and leaves no trace of either in the store, so
    this kernel never reports PromotionValidating, PromotionApproved, PromotionSucceeded or
    PromotionDenied. AuthorityTransitioning: nobody holds the leader key, or its holder is not yet a
    primary.
    """

    state: PromotionState
    leader: Leader | None
    pending: PendingPromotion | None
    history: list[TimelineSwitch] = Field(description="By timeline, oldest first.")
