"""The contract's closed vocabularies, as plain data.

Views and commands need the words without the models: nothing here imports pydantic.
"""

from typing import Literal, get_args

Section = Literal[
    "cluster", "nodes", "promotion", "replication", "wal", "mvcc", "checkpoints", "snapshots"
]
SECTIONS: tuple[Section, ...] = get_args(Section)
STORED: tuple[Section, ...] = ("cluster", "nodes", "promotion")
"""Read from the consensus store in one linearizable range read; history holds these."""
NODE_SECTIONS: tuple[Section, ...] = tuple(name for name in SECTIONS if name not in STORED)
"""Read from every node by SQL; only a live snapshot has these."""

Role = Literal[
    "primary", "replica", "standby_leader", "demoted", "promoted", "uninitialized", "unknown"
]
KnownFrom = Literal[
    "member_key",
    "leader_key",
    "sync_key",
    "failsafe_key",
    "history_key",
    "slot",
    "earlier_member_key",
    "expected_members",
]
"""What names a node: its own entry or another of Patroni's keys, a replication slot kept for it, an
entry of its own that the store's history still holds, or the kernel's own configuration."""
TimelineStatus = Literal["current", "behind", "forked", "unknown"]
SynchronousMode = Literal["off", "on", "quorum"]
PromotionState = Literal[
    "Steady",
    "PromotionRequested",
    "PromotionValidating",
    "PromotionApproved",
    "AuthorityTransitioning",
    "PromotionSucceeded",
    "PromotionDenied",
]
HolderKind = Literal["backend", "prepared_transaction", "slot", "slot_catalog", "standby_feedback"]
SnapshotKind = Literal["backend", "slot", "standby_feedback"]
SlotKind = Literal["physical", "logical"]

Domain = Literal["operator_input", "control_plane_validation", "kernel_rejection", "transport"]
Outcome = Literal["executed", "not_executed", "unknown"]

Evaluation = Literal["holds", "does_not_hold", "undetermined"]
Enforcement = Literal["kernel", "patroni", "none"]
"""Who refuses when a rule does not hold: the kernel service before it dispatches anything, the
database engine's own checks after that, or nobody."""
Conclusion = Literal["all_rules_hold", "not_all_rules_hold", "undetermined", "refused"]
"""`refused`: a rule that the kernel enforces does not hold, so the request would not be dispatched.
`undetermined`: no rule is known to be broken, and for one at least evidence is missing."""

ConfirmationKind = Literal["none", "standard", "override"]
Given = Literal["terminal", "yes", "token", "flags"]
"""How a confirmation was given: typed at a prompt, `--yes`, `--confirm TOKEN`, or the flags of an
override."""
RequestOutcome = Literal[
    "executed",
    "executed_other",
    "rejected",
    "not_executed",
    "rolled_back",
    "in_progress",
    "unknown",
]
RecordKind = Literal["requested", "confirmed", "dispatched", "outcome", "refused"]
AuthorityName = Literal["observer", "operator", "auditor"]

EventKind = Literal[
    "leader_gained",
    "leader_lost",
    "member_joined",
    "member_left",
    "role_changed",
    "state_changed",
    "replication_changed",
    "timeline_changed",
    "transfer_requested",
    "transfer_cleared",
    "paused",
    "resumed",
    "configuration_changed",
    "synchronous_changed",
    "timeline_ended",
    "system_id_changed",
    "gap",
]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)
RECORD_KINDS: tuple[RecordKind, ...] = get_args(RecordKind)
Cause = Literal["released", "lease_ended"]
