"""Which invariants each rule serves, by rule id. Empty: a fact that none of them speaks of.

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
    # of a change (explain)
    "has_leader": ("P6-A1",),
    "holder_is_primary": ("P6-A1",),
    "holder_writable": ("P6-A1",),
    "nothing_in_flight": ("P7-E1",),
    "not_paused": (),
    "not_standby_cluster": ("P6-A1",),
    "target_is_leader": ("P6-A1",),
    "target_is_replica": ("P6-A1",),
    "target_registered": ("P6-A2",),
    "target_in_recovery": ("P6-A1",),
    "target_streaming": ("P6-S1",),
    "failover_allowed": (),
    "successor_eligible": ("P6-A2",),
    "agent_known": ("P7-E1",),
    "agent_identified": ("P7-E1",),
    "agent_answers": ("P7-E1",),
    "agent_is_the_nodes": ("P7-E1",),
    "agent_sees_store": ("P7-E1",),
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
    # of a node's three accounts of itself (diagnose)
    "database_answers": (),
    "role_agrees": ("P6-A1",),
    "timeline_agrees": ("P6-S2",),
    "system_id_agrees": ("P6-S2",),
}
