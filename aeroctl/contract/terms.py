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
MEASURED: tuple[Section, ...] = tuple(name for name in SECTIONS if name not in STORED)
"""Read from every node by SQL; only a live snapshot has these."""

Role = Literal[
    "primary", "replica", "standby_leader", "demoted", "promoted", "uninitialized", "unknown"
]
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
