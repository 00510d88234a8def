"""Three accounts of every node are compared, and what is missing proves nothing."""

import json
from typing import Any

import pytest

from aeroctl.contract.base import Observation, Unavailable
from aeroctl.contract.errors import EngineReply
from aeroctl.contract.replication import NodeReplication
from aeroctl.contract.rules import Rule
from aeroctl.kernel.diagnose import account, rules
from tests.kernel.keyspaces import STORED, kernel, member

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
NAMES = ("n1", "n2", "n3")


def found(sql: Any = None, agent: EngineReply | None = None, **keys: Any) -> dict[str, Rule]:
    """The rules of n1, whose accounts may be given; all others agree."""
    accounts = {name: said(name) for name in NAMES} | ({"n1": sql} if sql else {})
    agents = {name: told(name) for name in NAMES} | ({"n1": agent} if agent else {})
    applied = rules(kernel(**keys), accounts, agents)
    assert len(applied) == 21
    assert {rule.enforced_by for rule in applied} == {"nobody"}
    assert [rule.evidence[0].name for rule in applied] == ["node"] * 21
    return {rule.rule_id: rule for rule in applied if rule.evidence[0].value == "n1"}


def test_all_agree() -> None:
    evaluations = {name: rule.evaluation for name, rule in found().items()}
    assert evaluations.pop("agent_sees_store") == "undetermined"  # clocks can't be compared
    assert set(evaluations.values()) == {"holds"}


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
    assert account(EngineReply(status=200, body=body)) is None
