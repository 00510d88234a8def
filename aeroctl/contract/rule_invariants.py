"""Which invariants the rules about the outcome of a request serve, by rule id.

Other rules stand with theirs: those of a change in aeroctl/kernel/decide, those of diagnose in
aeroctl/kernel/change/account_rules.py, those of health in aeroctl/views/health_rules.py.

P6: the kernel's invariants, P7: those of the control plane (docs/architecture.md has their words).
"""

from collections.abc import Mapping

OF_RULE: Mapping[str, tuple[str, ...]] = {
    "recorded": ("P7-O3",),
    "records_readable": ("P7-O3", "P7-F1"),
    "arrived": ("P7-E2",),
    "attributed": ("P7-E2",),
    "withdrawn_under_same_leader": ("P7-E2",),
    "leader_stayed_primary": ("P7-E2",),
    "agent_moved_on": ("P7-E2",),
    "leader_passed": ("P6-A2", "P7-E2"),
    "new_leader_is_primary": ("P6-A2", "P7-E2"),
    "history_complete": ("P7-E2", "P7-F1"),
    "writable": ("P6-A1", "P7-E2"),
}
