"""Rules: what holds is proved, what is missing is undetermined, and nothing is guessed (P7-O2)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract.base import Observation, Unavailable
from aeroctl.contract.commands import COMMANDS, INVARIANTS, CommandName
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.replication import NodeReplication, Receiver
from aeroctl.contract.rules import Rule
from aeroctl.kernel.decide import effects, rules
from aeroctl.kernel.decide.state import State, receiver
from aeroctl.kernel.decide.successor_rules import successors
from aeroctl.kernel.patroni.agent import Account
from aeroctl.kernel.patroni.keys import parse
from tests.support.examples import examples
from tests.support.keyspaces import STORED, cluster_keys, keyspace, member, stored

SILENT = Unavailable(code="NODE_TIMEOUT", message="no answer")
DEAD: Any = {"leader": None, "members__n3": None, "history": [[1, 5, "why"]]}
STREAM = Receiver(
    status="streaming",
    upstream="n3",
    host="127.0.0.1",
    port=5503,
    slot="n",
    timeline=1,
    flushed_lsn=None,
    last_message_at=None,
)
SYNC = {"leader": "n3", "sync_standby": "n1", "quorum": 0}


def said(name: str, *, in_recovery: bool = True, writable: bool | None = False, **more: Any) -> Any:
    value = NodeReplication(
        system_id="1",
        in_recovery=in_recovery,
        writable=writable,
        timeline=more.get("timeline", 1),
        lsn=more.get("lsn", "0/4000060"),
        received_lsn=more.get("received_lsn", "0/4000060"),
        replayed_lsn=more.get("replayed_lsn", "0/4000060"),
        replay_paused=False,
        last_replayed_at=None,
        receiver=more.get("receiver", STREAM if in_recovery else None),
        senders=[],
    )
    return Observation[NodeReplication](node=name, value=value, unavailable=None)


def silent(name: str) -> Any:
    return Observation[NodeReplication](node=name, value=None, unavailable=SILENT)


def said_by(name: str, **more: Any) -> Any:
    return ANSWERED | {name: said(name, **more)}


ANSWERED = {
    "n1": said("n1"),
    "n2": said("n2"),
    "n3": said("n3", in_recovery=False, writable=True),
}


PROMOTED = said_by("n1", in_recovery=False, writable=False, timeline=2)


def state(in_flight: str | None = None, measured: Any = ANSWERED, **changes: Any) -> State:
    return State(cluster_keys(**changes), in_flight, measured)


def account(node: str) -> Account:
    """What its own agent says."""
    software = {"version": "4.1.5", "scope": "demo", "name": node}
    told = {"database_system_identifier": STORED["initialize"], "patroni": software}
    members = [{"name": name, "api_url": member(name)["api_url"]} for name in ("n1", "n2", "n3")]
    own, all_ = (
        EngineReply(status=200, body=json.dumps(body)) for body in (told, {"members": members})
    )
    return Account(node, "http://a:1", own, all_, 0.0)


def rule(found: list[Rule], rule_id: str) -> Rule:
    (only,) = [each for each in found if each.rule_id == rule_id]
    return only


def evidence(found: Rule) -> dict[str, Any]:
    return {fact.name: fact.value for fact in found.evidence}


TARGETS: dict[CommandName, str | None] = {
    "request_promotion": "n1",
    "request_demotion": "n3",
    "force_promotion": "n1",
    "run_diagnostics": None,
}


@pytest.mark.parametrize("command", list(COMMANDS))
def test_a_healthy_cluster_keeps_every_rule(command: CommandName) -> None:
    asked = state()
    if node := receiver(command, TARGETS[command], asked):
        asked = replace(asked, agent=account(node))
    found = rules.rules(command, TARGETS[command], asked)
    assert [each.rule_id for each in found if each.evaluation != "holds"] == []
    assert rules.conclusion(found) == "all_rules_hold"
    assert len({each.rule_id for each in found}) == len(found)


@pytest.mark.parametrize(
    ("rule_id", "evaluation", "by", "changes"),
    [
        ("has_leader", "does_not_hold", "kernel", {"leader": None}),
        ("leader_is_primary", "does_not_hold", "kernel", {"leader": None}),
        ("leader_is_primary", "does_not_hold", "kernel", {"members__n3": member("n3")}),
        ("leader_is_primary", "undetermined", "kernel", {"members__n3": None}),
        ("leader_is_primary", "undetermined", "kernel", {"members__n3": member("n3", "odd")}),
        ("target_is_replica", "does_not_hold", "kernel", {"members__n1": member("n1", "demoted")}),
        ("target_is_replica", "undetermined", "kernel", {"members__n1": member("n1", "odd")}),
        ("target_is_replica", "does_not_hold", "kernel", {"leader": "n1"}),
        # the node's own word, against the store's
        ("target_streaming", "does_not_hold", "none", {"measured": said_by("n1", receiver=None)}),
        (
            "target_streaming",
            "undetermined",
            "none",
            {"members__n1": member("n1", replication_state="in archive recovery")},
        ),
        # Patroni before 4.1 says nothing of it
        (
            "target_streaming",
            "holds",
            "none",
            {"members__n1": member("n1", replication_state=None)},
        ),
        ("target_in_recovery", "does_not_hold", "none", {"measured": PROMOTED}),
        ("target_streaming", "does_not_hold", "none", {"measured": PROMOTED}),
        ("same_timeline", "does_not_hold", "none", {"measured": PROMOTED}),
        ("lag_within_limit", "undetermined", "patroni", {"measured": PROMOTED}),
        ("target_is_replica", "holds", "kernel", {"measured": PROMOTED}),
        ("lag_within_limit", "undetermined", "patroni", {"measured": said_by("n1", receiver=None)}),
        ("lag_within_limit", "undetermined", "patroni", {"measured": said_by("n1", lsn="0/10")}),
        (
            "leader_writable",
            "does_not_hold",
            "none",
            {"measured": said_by("n3", in_recovery=True)},
        ),
        ("leader_writable", "undetermined", "none", {"measured": {}}),
        # the holder went on to a timeline that its entry does not tell yet
        (
            "same_timeline",
            "does_not_hold",
            "none",
            {"measured": said_by("n3", in_recovery=False, writable=True, timeline=2)},
        ),
        ("same_timeline", "undetermined", "none", {"members__n1": member("n1", timeline=2)}),
        ("same_timeline", "holds", "none", {"members__n1": member("n1", timeline=None)}),
        (
            "same_timeline",
            "undetermined",
            "none",
            {
                "members__n1": member("n1", timeline=None),
                "measured": said_by("n1", receiver=None),
            },
        ),
        (
            "same_timeline",
            "does_not_hold",
            "patroni",
            {
                "members__n3": member("n3", "primary", timeline=2),
                "measured": said_by("n3", in_recovery=False, writable=True, timeline=2),
                "config": {"check_timeline": True},
            },
        ),
        (
            "lag_within_limit",
            "does_not_hold",
            "patroni",
            {"status": {"optime": 67108960 + 1048577}},
        ),
        ("lag_within_limit", "holds", "patroni", {"status": {"optime": 67108960 + 1048576}}),
        ("lag_within_limit", "undetermined", "patroni", {"status": {}}),
        ("lag_within_limit", "undetermined", "patroni", {"config": None}),
        (
            "failover_allowed",
            "does_not_hold",
            "patroni",
            {"members__n1": member("n1", tags={"nofailover": True})},
        ),
        (
            "failover_allowed",
            "does_not_hold",
            "patroni",
            {"members__n1": member("n1", tags={"failover_priority": 0})},
        ),
        (
            "synchronous_standby",
            "does_not_hold",
            "patroni",
            {"config": {"synchronous_mode": True}},
        ),
        (
            "synchronous_standby",
            "holds",
            "patroni",
            {"config": {"synchronous_mode": True}, "sync": SYNC},
        ),
        (
            "synchronous_standby",
            "holds",
            "patroni",
            {
                "config": {"synchronous_mode": "quorum"},
                "sync": SYNC | {"sync_standby": "N1"},
            },
        ),
        (
            "synchronous_standby",
            "does_not_hold",
            "none",
            {"config": {"synchronous_mode": "quorum"}},
        ),
        ("not_paused", "does_not_hold", "none", {"config": {"pause": True}}),
        ("nothing_pending", "does_not_hold", "kernel", {"failover": {"leader": "n3"}}),
        ("nothing_in_flight", "does_not_hold", "kernel", {"in_flight": "another"}),
        (
            "not_standby_cluster",
            "does_not_hold",
            "kernel",
            {"config": {"standby_cluster": {"host": "h"}}},
        ),
        (
            "agent_known",
            "does_not_hold",
            "kernel",
            {"members__n3": member("n3", "primary", api_url="http://")},
        ),
        (
            "single_writer",
            "does_not_hold",
            "none",
            {"measured": ANSWERED | {"n2": said("n2", in_recovery=False, writable=True)}},
        ),
        ("single_writer", "undetermined", "none", {"measured": ANSWERED | {"n2": silent("n2")}}),
        (
            "single_writer",
            "undetermined",
            "none",
            {"measured": ANSWERED | {"n2": said("n2", in_recovery=False, writable=None)}},
        ),
    ],
)
def test_promotion(rule_id: str, evaluation: str, by: str, changes: Any) -> None:
    found = rule(rules.rules("request_promotion", "n1", state(**changes)), rule_id)
    assert (found.evaluation, found.enforced_by) == (evaluation, by)


def test_the_evidence_of_lag_is_what_the_node_says_now() -> None:
    late = said_by("n1", lsn="0/4000000", received_lsn="0/4000000", replayed_lsn="0/3FFFFF0")
    keys: Any = {"members__n1": member("n1", xlog_location=67108000)}
    found = rule(
        rules.rules("request_promotion", "n1", state(measured=late, **keys)), "lag_within_limit"
    )
    assert evidence(found) == {
        "node": "n1",
        "lag_bytes": 96,
        "maximum_lag_bytes": 1048576,
        "leader_lsn": "0/4000060",
        "received_lsn": "0/4000000",
        "replayed_lsn": "0/3FFFFF0",
        "unavailable": None,
    }


@pytest.mark.parametrize("rule_id", ["target_streaming", "same_timeline", "lag_within_limit"])
@pytest.mark.parametrize(
    "changes",
    [
        {"measured": ANSWERED | {"n1": silent("n1")}},
        {"measured": {}, "members__n1": None, "sync": SYNC},
    ],
)
def test_the_last_words_of_a_silent_node_prove_nothing(rule_id: str, changes: Any) -> None:
    assert (
        rule(rules.rules("request_promotion", "n1", state(**changes)), rule_id).evaluation
        == "undetermined"
    )


class TestDemotion:
    def test_of_who_does_not_hold_leader(self) -> None:
        found = rules.rules("request_demotion", "n1", state())
        assert rule(found, "target_is_leader").evaluation == "does_not_hold"
        assert rules.conclusion(found) == "refused"

    def test_pause_makes_the_engine_refuse(self) -> None:
        found = rule(
            rules.rules("request_demotion", "n3", state(config={"pause": True})), "not_paused"
        )
        assert (found.evaluation, found.enforced_by) == ("does_not_hold", "patroni")

    def test_every_other_node_may_succeed(self) -> None:
        assert [each.node for each in successors(state(), "n3")] == ["n1", "n2"]

    @pytest.mark.parametrize(
        ("evaluation", "changes"),
        [
            ("holds", {"members__n1": member("n1", tags={"nofailover": True})}),
            (
                "does_not_hold",
                {
                    "members__n1": member("n1", tags={"nofailover": True}),
                    "members__n2": member("n2", tags={"nofailover": True}),
                },
            ),
            (
                "undetermined",
                {
                    "members__n1": member("n1", tags={"nofailover": True}),
                    "measured": ANSWERED | {"n2": silent("n2")},
                },
            ),
            ("does_not_hold", {"config": {"synchronous_mode": True}}),
            (
                "does_not_hold",
                {
                    "config": {"synchronous_mode": "quorum"},
                    "sync": {"leader": "n3", "sync_standby": "n1,n2", "quorum": 2},
                },
            ),
        ],
    )
    def test_enough_of_them_must_be_eligible(self, evaluation: str, changes: Any) -> None:
        found = rule(rules.rules("request_demotion", "n3", state(**changes)), "successor_eligible")
        assert found.evaluation == evaluation


class TestForce:
    def test_a_living_holder_still_checks_lag_and_a_dead_one_nothing(self) -> None:
        for changes, by in (({}, "patroni"), (DEAD, "none")):
            found = rules.rules("force_promotion", "n1", state(**changes))
            assert rule(found, "lag_within_limit").enforced_by == by
            assert rule(found, "synchronous_standby").enforced_by == "none"
            assert rule(found, "nothing_pending").enforced_by == "none"

    def test_without_a_holder_the_history_tells_the_timeline(self) -> None:
        found = rule(rules.rules("force_promotion", "n1", state(**DEAD)), "same_timeline")
        assert (found.evaluation, evidence(found)["leader_timeline"]) == ("does_not_hold", 2)
        first = DEAD | {"history": None}
        assert (
            rule(rules.rules("force_promotion", "n1", state(**first)), "same_timeline").evaluation
            == "holds"
        )
        unknown = first | {"members__n2": member("n2", timeline=4)}
        found = rule(rules.rules("force_promotion", "n1", state(**unknown)), "same_timeline")
        assert found.evaluation == "undetermined"

    def test_it_is_asked_of_the_target(self) -> None:
        changes: Any = {"members__n3": member("n3", "primary", api_url=None)}
        found = rule(rules.rules("force_promotion", "n1", state(**changes)), "agent_known")
        assert evidence(found) == {"node": "n1", "host": "127.0.0.1", "port": 8101}

    @pytest.mark.parametrize(
        ("changes", "overridden"),
        [
            ({}, ["P6-S1"]),
            (DEAD, ["P6-A2", "P6-S1", "P6-S2"]),
            ({"members__n3": None}, ["P6-A2", "P6-S1", "P6-S2"]),
        ],
    )
    def test_what_it_overrides(self, changes: Any, overridden: list[str]) -> None:
        for measured in (None, ANSWERED):
            found = effects.overrides("force_promotion", state(measured=measured, **changes))
            assert [each.invariant for each in found] == overridden
            assert all(each.description == INVARIANTS[each.invariant] for each in found)


@pytest.mark.parametrize("command", ["request_promotion", "request_demotion", "run_diagnostics"])
def test_nothing_else_overrides(command: CommandName) -> None:
    assert effects.overrides(command, state(leader=None)) == []


def test_the_cost_of_a_diagnostic_is_that_of_registered_nodes() -> None:
    cost = effects.cost("run_diagnostics", state(members__n2=None, sync=SYNC))
    assert cost is not None
    assert (cost.nodes, cost.queries, cost.requests) == (["n1", "n3"], 8, 4)


ANY_MEMBER = st.builds(
    member,
    st.sampled_from(["n1", "n2", "n3"]),
    st.sampled_from(["primary", "replica", "demoted", "odd"]),
    timeline=st.sampled_from([None, 1, 2]),
    xlog_location=st.sampled_from([None, 1, 2**40]),
    receive_lsn=st.sampled_from([None, 1, 2**40]),
    tags=st.sampled_from([None, {"nofailover": True}, {"failover_priority": "x"}]),
    api_url=st.sampled_from([None, "", "http://[::1]:8008/patroni", "https://u:p@h:1/patroni"]),
)
ANY_STATE = st.fixed_dictionaries(
    {
        "leader": st.sampled_from([None, "n1", "n3", "n9"]),
        "members__n1": ANY_MEMBER,
        "members__n2": st.none() | ANY_MEMBER,
        "members__n3": st.none() | ANY_MEMBER,
        "config": st.sampled_from(
            [None, {}, {"pause": True}, {"synchronous_mode": "quorum", "check_timeline": "on"}]
        ),
        "sync": st.sampled_from([None, SYNC]),
        "failover": st.sampled_from([None, {}, {"leader": "n3", "member": "n1"}]),
        "status": st.sampled_from([{}, {"optime": 2**40}, {"retain_slots": ["by", "n7"]}]),
    }
)
ANY_ANSWERS = st.sampled_from([None, {}, ANSWERED, {"n1": silent("n1"), "n3": said("n3")}])


@examples(60)
@given(ANY_STATE, ANY_ANSWERS, st.sampled_from([None, "a request"]), st.data())
def test_what_the_kernel_enforces_is_decided_from_the_store_alone(
    changes: Any, measured: Any, in_flight: str | None, data: st.DataObject
) -> None:
    """P7-D2: what an explanation shows as enforced by the kernel, the request meets again."""
    keys = parse("demo", keyspace(stored(**changes)))
    asked, bare = State(keys, in_flight, measured), State(keys, in_flight, None)
    command = data.draw(st.sampled_from(list(COMMANDS)))
    target = data.draw(st.sampled_from(sorted(asked.nodes)))
    found, again = rules.rules(command, target, asked), rules.rules(command, target, bare)
    assert rules.broken(found) == rules.broken(again)
    assert (rules.conclusion(found) == "refused") == bool(rules.broken(again))
    assert [each.rule_id for each in found] == [each.rule_id for each in again]
    assert rules.rules(command, target, asked) == found
    overridden = effects.overrides(command, asked)
    assert overridden == effects.overrides(command, bare)
    touched = effects.affected(command, target, asked)
    assert [each.node for each in touched] == sorted(asked.nodes)
