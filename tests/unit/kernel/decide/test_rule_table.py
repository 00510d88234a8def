"""The whole table of rules, by command: what each has, and who enforces it."""

from aeroctl.kernel.decide.definition import Use
from aeroctl.kernel.decide.rules import DEFINITIONS

USES: tuple[Use, ...] = ("request_promotion", "request_demotion", "force_promotion", "successor")

TABLE = """
rule                 promotion  demotion  force     successor
has_leader           kernel     kernel    none      -
target_is_leader     -          kernel    -         -
leader_is_primary    kernel     kernel    -         -
leader_writable      none       none      -         -
target_registered    patroni    -         patroni   patroni
target_is_replica    kernel     -         kernel    -
target_in_recovery   none       -         none      none
target_streaming     none       -         -         none
same_timeline        by state   -         by state  by state
lag_within_limit     by state   -         by state  by state
failover_allowed     patroni    -         patroni   patroni
synchronous_standby  by state   -         none      by state
successor_eligible   -          patroni   -         -
not_paused           none       patroni   none      -
nothing_pending      kernel     kernel    none      -
nothing_in_flight    kernel     kernel    kernel    -
not_standby_cluster  kernel     kernel    kernel    -
agent_known          kernel     kernel    kernel    -
agent_identified     kernel     kernel    kernel    -
single_writer        none       none      none      -
"""


def test_each_command_has_these_rules() -> None:
    rows = [["rule", "promotion", "demotion", "force", "successor"]]
    for definition in DEFINITIONS:
        enforcers = [definition.enforced_by.get(use, "-") for use in USES]
        columns = ["by state" if callable(enforcer) else enforcer for enforcer in enforcers]
        rows.append([definition.rule_id, *columns])
    widths = [max(len(row[at]) for row in rows) + 2 for at in range(5)]
    lines = ["".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    assert "\n".join(lines) == TABLE.strip()
