"""Which invariants the rules of health and outcome serve, by rule id. Empty: none of them.

The rules of a change stand with theirs in aeroctl/kernel/decide, those of diagnose in
aeroctl/kernel/change/account_rules.py.

P6: the kernel's invariants, P7: those of the control plane (docs/architecture.md has their words).
"""

from collections.abc import Mapping

OF_RULE: Mapping[str, tuple[str, ...]] = {
    # of a cluster (health)
    "one_leader": ("P6-A1",),
    "leader_writable": ("P6-A1",),
    "single_writer": ("P6-A1",),
    "expected_members": ("P6-A1",),
    "all_registered": (),
    "all_answer": (),
    "all_running": (),
    "all_streaming": ("P6-S1",),
    "same_timeline": ("P6-S2",),
    "lag_within_limit": ("P6-S1",),
    "synchronous_standby": ("P6-S1",),
    "nothing_pending": ("P6-A2", "P7-E1"),
    "failover_active": (),
    "no_pending_restart": (),
    # of what became of a request (outcome)
    "recorded": ("P7-O3",),
    "records_readable": ("P7-O3", "P7-F1"),
    "arrived": ("P7-E2",),
    "attributed": ("P7-E2",),
    "cleared_in_same_leader_term": ("P7-E2",),
    "holder_stayed_primary": ("P7-E2",),
    "agent_moved_on": ("P7-E2",),
    "leader_passed": ("P6-A2", "P7-E2"),
    "new_holder_is_primary": ("P6-A2", "P7-E2"),
    "history_complete": ("P7-E2", "P7-F1"),
    "writable": ("P6-A1", "P7-E2"),
}
