"""Three accounts of every node are compared, and what is missing proves nothing."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aeroctl.contract.base import Observation, Unavailable
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.rules import Rule
from aeroctl.kernel.change.account_rules import Accounts, agent_status, rules, settled
from aeroctl.kernel.patroni import sections
from tests.support.keyspaces import STORED, cluster_keys, member

SYSTEM = STORED["initialize"]


def said(name: str, **changes: Any) -> Any:
    if changes.pop("silent", False):
        missing = Unavailable(code="NODE_TIMEOUT", message="")
        return Observation[NodeReplication](node=name, value=None, unavailable=missing)
    value = {
        "system_id": SYSTEM,
        "in_recovery": name != "n3",
        "writable": name == "n3",
        "timeline": 1,
        "lsn": None,
        "received_lsn": None,
        "replayed_lsn": None,
        "replay_paused": None,
        "last_replayed_at": None,
        "receiver": None,
        "senders": [],
    }
    found = NodeReplication.model_validate(value | changes)
    return Observation[NodeReplication](node=name, value=found, unavailable=None)


def told(name: str, **changes: Any) -> EngineReply:
    value = {
        "state": "running",
        "role": "primary" if name == "n3" else "replica",
        "timeline": 1,
        "database_system_identifier": SYSTEM,
        "dcs_last_seen": 1795446147,
        "patroni": {"version": "4.1.5", "scope": "demo", "name": name},
    }
    return EngineReply(status=200, body=json.dumps(value | changes))


SILENT = EngineReply(status=None, body="connection refused")
SEEN = datetime.fromtimestamp(1795446147, UTC)


def found(
    sql: Any = None,
    agent: EngineReply | None = None,
    date: datetime | None = SEEN + timedelta(seconds=2),
    **keys: Any,
) -> dict[str, Rule]:
    """The rules of n1, whose accounts may be given; all others agree."""
    stored = cluster_keys(**keys)
    (node,) = [node for node in sections.nodes(stored) if node.name == "n1"]
    applied = rules(Accounts(stored, node, sql or said("n1"), agent or told("n1"), date))
    assert len(applied) == 7
    assert {rule.enforced_by for rule in applied} == {"none"}
    assert {(rule.evidence[0].name, rule.evidence[0].value) for rule in applied} == {("node", "n1")}
    return {rule.rule_id: rule for rule in applied}


def test_all_agree() -> None:
    assert {rule.evaluation for rule in found().values()} == {"holds"}


@pytest.mark.parametrize(
    ("agent", "date", "evaluation"),
    [
        (told("n1"), SEEN + timedelta(seconds=20), "holds"),  # the lease's time
        (told("n1"), SEEN + timedelta(seconds=21), "does_not_hold"),
        (told("n1"), None, "undetermined"),
        (told("n1", dcs_last_seen=None), SEEN, "undetermined"),
        (told("n1", dcs_last_seen=0), SEEN, "undetermined"),  # it never has, or is just starting
        (SILENT, None, "undetermined"),
    ],
)
def test_whether_the_agent_sees_the_store_is_told_by_its_own_clock(
    agent: EngineReply, date: datetime | None, evaluation: str
) -> None:
    assert found(agent=agent, date=date)["agent_sees_store"].evaluation == evaluation


@pytest.mark.parametrize(
    ("rule_id", "evaluation", "accounts"),
    [
        ("agent_answers", "does_not_hold", {"agent": SILENT}),
        ("agent_answers", "does_not_hold", {"agent": EngineReply(status=500, body="{}")}),
        ("agent_answers", "does_not_hold", {"agent": EngineReply(status=200, body="<html>")}),
        ("agent_is_the_nodes", "undetermined", {"agent": SILENT}),
        ("agent_is_the_nodes", "does_not_hold", {"agent": told("n2")}),
        ("database_answers", "does_not_hold", {"sql": said("n1", silent=True)}),
        ("role_agrees", "does_not_hold", {"sql": said("n1", in_recovery=False)}),
        ("role_agrees", "does_not_hold", {"agent": told("n1", role="primary")}),
        ("role_agrees", "does_not_hold", {"members__n1": member("n1", "primary")}),
        ("role_agrees", "undetermined", {"agent": SILENT}),
        ("role_agrees", "undetermined", {"sql": said("n1", silent=True)}),
        ("role_agrees", "undetermined", {"members__n1": member("n1", "uninitialized")}),
        ("timeline_agrees", "does_not_hold", {"sql": said("n1", timeline=2)}),
        ("timeline_agrees", "undetermined", {"agent": told("n1", timeline=None)}),
        (
            "system_id_agrees",
            "does_not_hold",
            {"agent": told("n1", database_system_identifier="1")},
        ),
        ("system_id_agrees", "undetermined", {"initialize": None}),
    ],
)
def test_one_does_not(rule_id: str, evaluation: str, accounts: Any) -> None:
    assert found(**accounts)[rule_id].evaluation == evaluation


@pytest.mark.parametrize("body", ["", "[]", "null", '{"patroni": 1}', '{"timeline": "x"}', "{"])
def test_an_agent_that_talks_nonsense_says_nothing(body: str) -> None:
    assert agent_status(EngineReply(status=200, body=body)) is None


ONE, TWO = said("n1", timeline=2), said("n1", timeline=3)


@pytest.mark.parametrize(
    ("second", "evaluation", "shown"),
    [
        (found(sql=ONE), "does_not_hold", 2),  # the very same: it stands
        (found(), "holds", 1),  # it was only that the store's account was older
        (found(sql=TWO), "undetermined", 3),  # in the midst of a change
        (found(sql=said("n1", silent=True)), "undetermined", None),
        ({}, "undetermined", 2),  # nobody could look again
    ],
)
def test_accounts_of_different_moments_are_no_contradiction(
    second: dict[str, Rule], evaluation: str, shown: int | None
) -> None:
    first = found(sql=ONE)
    looked = {rule.rule_id: rule for rule in settled(list(first.values()), list(second.values()))}
    assert list(looked) == list(first)
    rule = looked["timeline_agrees"]
    database = next(fact.value for fact in rule.evidence if fact.name == "database")
    assert (rule.evaluation, database) == (evaluation, shown)
    others = [each for each in looked.values() if each.rule_id != "timeline_agrees"]
    assert {each.evaluation for each in others} == {"holds"}
