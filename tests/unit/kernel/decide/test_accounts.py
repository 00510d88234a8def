"""The node's own word against the store's: what is not proved never holds, on either side.

States are generated as stores and nodes can be, with every node that anything names; the kernel's
rules and the control plane's view are held to the same truth.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from patroni.tags import Tags

from aeroctl.contract import accounts
from aeroctl.contract.base import Unavailable
from aeroctl.contract.nodes import Node
from aeroctl.contract.replication import NodeReplication, Receiver, Sender
from aeroctl.contract.terms import Section
from aeroctl.kernel.decide import rules
from aeroctl.kernel.decide.definition import Change
from aeroctl.kernel.decide.replication_rules import same_timeline
from aeroctl.kernel.decide.state import State
from aeroctl.kernel.decide.writer_rules import single_writer
from aeroctl.kernel.endpoints import snapshot
from aeroctl.kernel.failures import Failure
from aeroctl.kernel.patroni import sections
from aeroctl.kernel.patroni.keys import ClusterKeys, Departed, Expected, Member, parse
from aeroctl.kernel.postgres import queries
from aeroctl.kernel.postgres.queries import ServerIdentity
from aeroctl.views import health
from aeroctl.views.nodes import node_rows
from aeroctl.views.rules import evidence_of
from tests.support.examples import examples
from tests.support.keyspaces import STORED, cluster_keys, keyspace, member, stored

NAMES = ["n1", "n2", "n3", "pg-4", "n5"]
STREAM = Receiver(
    status="streaming",
    upstream=None,
    host=None,
    port=None,
    slot=None,
    timeline=1,
    flushed_lsn=None,
    last_message_at=None,
)


def account(**changes: Any) -> NodeReplication:
    """A replica that streams and agrees with its entry, unless `changes` says otherwise."""
    given: dict[str, Any] = {
        "system_id": "1",
        "in_recovery": True,
        "writable": False,
        "timeline": 1,
        "lsn": "0/4000060",
        "received_lsn": "0/4000060",
        "replayed_lsn": "0/4000060",
        "replay_paused": False,
        "last_replayed_at": None,
        "receiver": STREAM if changes.get("in_recovery", True) else None,
        "senders": [],
    }
    return NodeReplication(**given | changes)


ACCOUNTS = st.builds(
    account,
    in_recovery=st.booleans(),
    writable=st.sampled_from([True, False, None]),
    timeline=st.sampled_from([1, 1, 2]),
    lsn=st.sampled_from([None, "0/10", "0/4000060", "1/0"]),
    receiver=st.sampled_from([None, STREAM, STREAM.model_copy(update={"status": "waiting"})]),
)
ANSWERS = ACCOUNTS | st.sampled_from(
    ["NODE_UNREACHABLE", "NODE_TIMEOUT", "NODE_ACCESS_DENIED", "NODE_WRONG_CLUSTER"]
)
ENTRIES = st.none() | st.builds(
    lambda role, port, **more: member(
        "n1", role, conn_url=f"postgres://127.0.0.1:{port}/postgres", **more
    ),
    st.sampled_from(["primary", "replica", "standby_leader", "demoted"]),
    st.integers(1, 4),
    replication_state=st.sampled_from([None, "streaming", "in archive recovery"]),
    timeline=st.sampled_from([None, 1, 2]),
    xlog_location=st.sampled_from([None, 5, 67108960]),
)
CONFIGS: st.SearchStrategy[Any] = st.sampled_from(
    [None, {}, {"pause": True}, {"standby_cluster": {"host": "h"}}, {"slots": {"keep": {}}}]
)


@st.composite
def states(draw: st.DrawFn) -> tuple[ClusterKeys, dict[str, Any]]:
    """A store's keys, its history, this kernel's configuration, and what each node answers."""
    some = st.lists(st.sampled_from(NAMES), max_size=2, unique=True)
    keys: dict[str, Any] = {f"members/{name}": draw(ENTRIES) for name in NAMES}
    keys |= {
        "leader": draw(st.sampled_from([None, "n1", "n2", "pg-4"])),
        "config": draw(CONFIGS),
        "failsafe": dict.fromkeys(draw(some), "http://127.0.0.1:8008/patroni"),
        "history": [[1, 5, "why", "2026-11-24T10:00:00Z", name] for name in draw(some)],
        "sync": {"leader": "n1", "sync_standby": ",".join(draw(some)).upper()},
        "status": {"optime": 67108960, "retain_slots": ["pg_4", "keep"], "slots": {"n5": 1}}
        if draw(st.booleans())
        else {"optime": 67108960},
    }
    gone = {
        name: Departed(Member.model_validate(entry), 3)
        for name in NAMES
        if not keys[f"members/{name}"] and (entry := draw(ENTRIES))
    }
    expected = Expected(
        names=tuple(draw(some)),
        count=draw(st.none() | st.integers(1, 6)),
        retired=tuple(draw(some)),
    )
    present = {name: value for name, value in keys.items() if value is not None}
    state = replace(parse("demo", keyspace(present)), departed=gone, expected=expected)
    return state, {node.name: draw(ANSWERS) for node in sections.nodes(state)}


def asked(state: ClusterKeys, said: dict[str, Any]) -> tuple[State, Any]:
    """As the kernel has it, and as the control plane has it; an address that two share is not asked
    (see queries.py).
    """
    answers: Any = {}
    for node in sections.nodes(state):
        found = said[node.name]
        if node.shares_address_with:
            found = "NODE_ADDRESS_SHARED"
        elif node.host is None:
            found = "NODE_NOT_REGISTERED"
        answers[node.name] = {
            "replication": Unavailable(code=found, message="?")
            if isinstance(found, str)
            else found.model_dump_json()
        }
    measured = {seen.node: seen for seen in snapshot.replication(state, answers)}
    wanted: list[Section] = ["cluster", "nodes", "promotion", "replication"]
    return State(state, None, measured), snapshot._data(state, wanted, answers)


def shown(state: ClusterKeys, said: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    kernels, data = asked(state, said)
    view = health.derive(data)
    found = {rule.rule_id: rule.evaluation for rule in view.rules}
    assert (
        found["single_writer"]
        == single_writer.evaluate(Change(kernels, "n1"), "request_promotion").evaluation
    )
    return found, node_rows(data)


@examples(400)
@given(states())
def test_one_writer_holds_only_where_every_other_node_is_proved_not_to_write(
    drawn: tuple[ClusterKeys, dict[str, Any]],
) -> None:
    """P6-A1. The truth is what each node would do; what is asked of it may be less."""
    state, said = drawn
    found, rows = shown(state, said)
    cluster = sections.cluster(state)
    named = {
        *state.members,
        *state.departed,
        *state.failsafe,
        *state.expected.names,
        *(end.new_leader for end in state.history),
        *([state.leader.value] if state.leader else []),
    }
    assert named <= {row.name for row in rows}  # nobody is left out
    may_write = state.leader.value if state.leader and not cluster.standby_cluster else None
    for row in rows:
        if row.name == may_write:
            continue
        answer = said[row.name]
        proved = not isinstance(answer, str) and accounts.writes(answer) is False
        proved = proved and answer.in_recovery  # else read-only by a default, if at all
        vouched = row.name in state.expected.retired and row.name not in state.members
        if not proved and not vouched:
            assert found["single_writer"] != "holds", row
        if row.unavailable is None and accounts.writes(answer):
            assert found["single_writer"] == "does_not_hold", row
    if sum(not row.retired for row in rows) < (state.expected.count or 0):
        assert found["single_writer"] != "holds"


@examples(400)
@given(states())
def test_no_rule_holds_against_a_nodes_own_word(drawn: tuple[ClusterKeys, dict[str, Any]]) -> None:
    state, said = drawn
    kernels, _ = asked(state, said)
    found, rows = shown(state, said)
    holder = kernels.reported(kernels.leader_name) if kernels.leader_name else None
    for row in rows:
        own, node = kernels.reported(row.name), kernels.nodes[row.name]
        if own is None or not row.counts:
            continue
        streams = own.in_recovery and own.receiver is not None and own.receiver.status
        if not row.is_leader and streams != "streaming":
            assert found["all_streaming"] == "does_not_hold"
            assert row.streaming is False
        if holder is not None and not holder.in_recovery and own.timeline != holder.timeline:
            assert found["same_timeline"] != "holds"
            assert row.on_timeline is not True
        if accounts.disagreements(node, own):
            assert (row.lag_bytes, row.receive_lag_bytes) == (None, None)
            if not row.is_leader:
                assert found["lag_within_limit"] != "holds"
        target = rules.rules("request_promotion", row.name, kernels)
        again = {rule.rule_id: rule.evaluation for rule in target}
        if streams != "streaming":
            assert again["target_streaming"] != "holds"
        if not own.in_recovery:
            assert again["target_in_recovery"] == "does_not_hold"
            assert again["lag_within_limit"] != "holds"
        if accounts.disagreements(node, own):
            assert again["lag_within_limit"] != "holds"


@examples(200)
@given(states(), st.data())
def test_a_key_that_is_missing_is_never_a_broken_rule(
    drawn: tuple[ClusterKeys, dict[str, Any]], data: st.DataObject
) -> None:
    """Patroni before 4.1 leaves out what later ones write: nothing is broken by that."""
    state, said = drawn
    found, _ = shown(state, said)
    left_out = data.draw(st.sampled_from(["replication_state", "replay_lsn", "receive_lsn"]))
    members = {
        name: entry.model_copy(update={left_out: None}) for name, entry in state.members.items()
    }
    less, _ = shown(replace(state, members=members), said)
    broken = {rule for rule, evaluation in less.items() if evaluation == "does_not_hold"}
    assert broken <= {rule for rule, evaluation in found.items() if evaluation == "does_not_hold"}


@pytest.mark.parametrize("position", [67108960, 16])  # as it is, and as it was a loop ago
def test_a_perfect_cluster_of_an_old_patroni_keeps_every_rule(position: int) -> None:
    old: dict[str, Any] = {"replication_state": None, "replay_lsn": None, "receive_lsn": None}
    state = cluster_keys(
        members__n1=member("n1", xlog_location=position, **old),
        members__n2=member("n2", **old),
        members__n3=member("n3", "master"),
    )
    said = {"n1": account(), "n2": account(), "n3": account(in_recovery=False, writable=True)}
    found, rows = shown(state, said)
    assert set(found.values()) == {"holds"}
    assert [row.lag_bytes for row in rows] == [0, 0, None]
    assert [row.streaming for row in rows] == [True, True, None]


HAND_MADE = account(in_recovery=False, writable=True, timeline=2, lsn="0/5000000")


@pytest.mark.parametrize(
    ("own", "facts"),
    [
        (account(), []),
        (account(lsn="0/5000000"), []),
        (account(receiver=None), ["replication state"]),
        (HAND_MADE, ["role", "timeline"]),
        (account(timeline=2), ["timeline"]),
        (account(timeline=2, receiver=None), ["replication state", "timeline"]),
        (account(lsn="0/10"), ["position"]),
        (None, []),
    ],
)
def test_where_the_two_can_not_both_be_so(own: NodeReplication | None, facts: list[str]) -> None:
    node = next(node for node in sections.nodes(cluster_keys()) if node.name == "n1")
    assert [each.fact for each in accounts.disagreements(node, own)] == facts


def test_what_a_silent_control_file_says_trails_and_is_no_contradiction() -> None:
    """A replica without a stream knows its timeline by what it last wrote down."""
    state = cluster_keys(
        members__n1=member("n1", timeline=2, replication_state="in archive recovery"),
        members__n3=member("n3", "primary", timeline=2),
    )
    said = {
        "n1": account(receiver=None),
        "n2": account(timeline=2),
        "n3": account(in_recovery=False, writable=True, timeline=2),
    }
    _, rows = shown(state, said)
    (row,) = [row for row in rows if row.name == "n1"]
    assert (row.on_timeline, row.disagreements) == (None, ())


def test_both_accounts_are_in_the_evidence() -> None:
    said = {"n1": HAND_MADE, "n2": account(), "n3": account(in_recovery=False, writable=True)}
    state = cluster_keys()
    kernels, data = asked(state, said)
    evidence = {rule.rule_id: evidence_of(rule) for rule in health.derive(data).rules}
    assert evidence["all_streaming"] == (
        "failing: n1 (role: store replica, node not in recovery); holding: 1; nodes: 2"
    )
    assert evidence["same_timeline"] == (
        "failing: n1 (role: store replica, node not in recovery; timeline: store 1, node 2); "
        "holding: 2; nodes: 3"
    )
    facts = {
        fact.name: fact.value
        for fact in same_timeline.evaluate(Change(kernels, "n1"), "request_promotion").evidence
    }
    assert (facts["timeline_in_store"], facts["timeline_on_node"]) == ("1", "2")
    (row,) = [row for row in node_rows(data) if row.name == "n1"]
    assert row.timeline_status == "forked"


def test_a_default_keeps_nobody_from_writing() -> None:
    """default_transaction_read_only, which every session may set aside."""
    alone = account(in_recovery=False, writable=False)
    said = {"n1": account(), "n2": alone, "n3": account(in_recovery=False, writable=True)}
    found, _ = shown(cluster_keys(), said)
    assert found["single_writer"] == "undetermined"
    kernels, _ = asked(cluster_keys(), said)
    facts = {
        fact.name: fact.value
        for fact in single_writer.evaluate(Change(kernels, "n1"), "request_promotion").evidence
    }
    assert (facts["n2.writable"], facts["n2.in_recovery"]) == (None, False)


class TestAnswers:
    """Health: every node answers."""

    @pytest.mark.parametrize(
        ("answer", "evaluation"),
        [
            # ALTER ROLE ... SET default_transaction_read_only: it answers, and can't tell
            (account(in_recovery=False, writable=None), "holds"),
            ("NODE_UNREACHABLE", "does_not_hold"),
            ("NODE_TIMEOUT", "does_not_hold"),
            # somebody answered, though with a refusal, or of another cluster
            ("NODE_ACCESS_DENIED", "undetermined"),
            ("NODE_WRONG_CLUSTER", "undetermined"),
        ],
    )
    def test_it_is_not_told_not_to(self, answer: Any, evaluation: str) -> None:
        said = {"n1": account(), "n2": answer, "n3": account(in_recovery=False, writable=True)}
        _, data = asked(cluster_keys(), said)
        view = health.derive(data)
        (rule,) = [rule for rule in view.rules if rule.rule_id == "all_answer"]
        assert rule.evaluation == evaluation
        if isinstance(answer, str):
            assert f"n2 ({answer})" in evidence_of(rule)
        assert view.answering == (2 if isinstance(answer, str) else 3)


class TestSynchronous:
    """Health: whom the store says is waited for, and whom the leader waits for."""

    def rule(self, config: Any, *senders: tuple[str, str], silent: bool = False) -> Any:
        set_ = {"leader": "n3", "sync_standby": "n2"}
        state = cluster_keys(config=STORED["config"] | config, sync=set_)
        streams = [
            Sender(
                application_name=name,
                node=None,
                address=None,
                state="streaming",
                sync_state=sync_state,
                sent_lsn=None,
                written_lsn=None,
                flushed_lsn=None,
                replayed_lsn=None,
                reply_at=None,
            )
            for name, sync_state in senders
        ]
        holder = account(in_recovery=False, writable=True, senders=streams)
        said = {"n1": account(), "n2": account(), "n3": "NODE_TIMEOUT" if silent else holder}
        _, data = asked(state, said)
        (rule,) = [
            rule for rule in health.derive(data).rules if rule.rule_id == "synchronous_standby"
        ]
        return rule.evaluation, evidence_of(rule)

    @pytest.mark.parametrize(("mode", "state"), [(True, "sync"), ("quorum", "quorum")])
    def test_it_is_waited_for(self, mode: Any, state: str) -> None:
        words = "on" if mode is True else "quorum"
        on = {"synchronous_mode": mode}
        assert self.rule(on, ("N2", state), ("n1", "async")) == (
            "holds", f"mode: {words}; standbys: n2; leader_waits_for: n2",
        )  # fmt: skip

    @pytest.mark.parametrize(
        "senders",
        [[], [("n1", "async")], [("n2", "async")], [("n2", "potential")], [("n1", "sync")]],
    )
    def test_it_is_not(self, senders: list[tuple[str, str]]) -> None:
        found = self.rule({"synchronous_mode": True}, *senders)
        waited = [name for name, state in senders if state == "sync"]
        words = ", ".join(waited) or "-"
        shown = f"mode: on; standbys: n2; leader_waits_for: {words}"
        assert found == ("does_not_hold", shown)

    def test_nobody_says(self) -> None:
        found = self.rule({"synchronous_mode": True}, silent=True)
        assert found == ("undetermined", "mode: on; standbys: n2; leader_answers: false")

    def test_where_it_is_off(self) -> None:
        assert self.rule({}, silent=True) == ("holds", "mode: off")


class TestExpected:
    def rules(self, expected: Expected, **changes: Any) -> Any:
        state = replace(cluster_keys(**changes), expected=expected)
        said = {node.name: account() for node in sections.nodes(state)}
        said["n3"] = account(in_recovery=False, writable=True)
        _, data = asked(state, said)
        return {
            rule.rule_id: (rule.evaluation, evidence_of(rule)) for rule in health.derive(data).rules
        }

    def test_none(self) -> None:
        assert self.rules(Expected())["expected_members"][0] == "holds"

    def test_a_name_that_nothing_else_knows(self) -> None:
        found = self.rules(Expected(names=("n1", "n9")))
        assert found["expected_members"] == (
            "does_not_hold", "missing: n9; registered: 3; expected: 2",
        )  # fmt: skip
        assert found["single_writer"][0] == "undetermined"

    def test_a_count(self) -> None:
        assert self.rules(Expected(count=3))["expected_members"][0] == "holds"
        found = self.rules(Expected(count=4))
        assert found["expected_members"] == ("does_not_hold", "registered: 3; expected: 4")
        assert found["single_writer"] == (
            "undetermined",
            "expected_members_without_a_name: 1; holding: 2; nodes: 2",
        )

    def test_who_is_retired_need_prove_nothing(self) -> None:
        gone: Any = {"members__n2": None}  # its slot is there
        assert self.rules(Expected(), **gone)["single_writer"][0] == "undetermined"
        found = self.rules(Expected(retired=("n2",)), **gone)
        assert found["single_writer"] == ("holds", "retired: n2; holding: 1; nodes: 2")
        assert {evaluation for evaluation, _ in found.values()} == {"holds"}
        found = self.rules(Expected(count=3, retired=("n2",)), **gone)  # it is none of the three
        assert found["single_writer"][0] == "undetermined"

    def test_it_is_void_once_it_is_registered(self) -> None:
        state = replace(cluster_keys(), expected=Expected(retired=("n2",)))
        assert not any(node.retired for node in sections.nodes(state))
        said: dict[str, Any] = {"n1": account(), "n2": "NODE_TIMEOUT", "n3": account()}
        assert shown(state, said)[0]["single_writer"] == "undetermined"


class TestAddresses:
    SAME = "postgres://127.0.0.1:5501/postgres"

    def nodes(self, **changes: Any) -> dict[str, Node]:
        return {node.name: node for node in sections.nodes(cluster_keys(**changes))}

    def test_two_members_with_one(self) -> None:
        changes: Any = {"members__n3": member("n3", "primary", conn_url=self.SAME)}
        nodes = self.nodes(**changes)
        shared = {name: node.shares_address_with for name, node in nodes.items()}
        assert shared == {"n1": ["n3"], "n2": [], "n3": ["n1"]}
        codes = [(note.code, note.subject) for note in sections.notes(cluster_keys(**changes))]
        assert codes == [("NODE_ADDRESS_SHARED", "n1"), ("NODE_ADDRESS_SHARED", "n3")]
        said = {name: account() for name in nodes}
        found, _ = shown(cluster_keys(**changes), said)
        assert found["single_writer"] == "undetermined"
        assert found["leader_writable"] == "undetermined"
        assert found["all_answer"] == "undetermined"
        assert found["all_streaming"] == "undetermined"

    def test_a_node_that_is_gone_takes_nothing_from_one_that_is_there(self) -> None:
        """What answers there may be either; it is no proof for the one that is gone."""
        state = replace(
            cluster_keys(),
            departed={"n9": Departed(Member.model_validate(member("n1")), 3)},
        )
        shared = {node.name: node.shares_address_with for node in sections.nodes(state)}
        assert shared == {"n1": [], "n2": [], "n3": [], "n9": ["n1"]}

    @pytest.mark.parametrize(
        ("servers", "names", "found"),
        [
            ([None, "a", "b"], [None, None, None], {}),
            (["a", "b", "c"], ["n1", "n2", None], {}),
            (
                ["a", "a", "b"],
                [None] * 3,
                {"n1": "NODE_ADDRESS_SHARED", "n2": "NODE_ADDRESS_SHARED"},
            ),
            (
                ["a", "b", "c"],
                ["n2", "n1", None],
                {"n1": "NODE_IS_ANOTHER", "n2": "NODE_IS_ANOTHER"},
            ),
            (["a", "b", "c"], ["some standby", None, None], {}),
        ],
    )
    def test_whoever_answers_for_two_or_under_another_name(
        self, servers: Any, names: Any, found: dict[str, str]
    ) -> None:
        spoken = [ServerIdentity(server, name) for server, name in zip(servers, names, strict=True)]
        reasons = queries.impostors(sections.nodes(cluster_keys()), spoken)
        assert {name: reason.code for name, reason in reasons.items()} == found


class TestNames:
    """A node that is gone is called by its own name wherever anything tells it."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"failsafe": {"pg-2": "http://h:8008/patroni"}},
            {"history": [[1, 5, "why", "2026-11-24T10:00:00Z", "pg-2"]]},
            {"sync": {"leader": "n3", "sync_standby": "pg-2"}},
            {"leader": "pg-2"},
        ],
    )
    def test_not_by_its_slots(self, changes: Any) -> None:
        state = cluster_keys(status={"retain_slots": ["pg_2"]}, **changes)
        (node,) = [node for node in sections.nodes(state) if not node.registered]
        assert node.name == "pg-2"
        assert "slot" in node.known_from

    def test_by_the_stores_history(self) -> None:
        state = replace(
            cluster_keys(status={"retain_slots": ["pg_2"]}),
            departed={"pg-2": Departed(Member(), 3)},
        )
        (node,) = [node for node in sections.nodes(state) if not node.registered]
        assert (node.name, node.known_from) == ("pg-2", ["slot", "earlier_member_key"])

    def test_a_permanent_slot_is_no_node(self) -> None:
        status = {"slots": {"n1": 1, "cdc": 2, "n7": 3}}
        state = cluster_keys(config={"slots": {"cdc": {"type": "logical"}}}, status=status)
        assert [node.name for node in sections.nodes(state)] == ["n1", "n2", "n3", "n7"]


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "nofailover": st.sampled_from([None, True, False]),
            "failover_priority": st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.from_regex(
                r"\s?[-+]?(0x)?[0-9]{0,3}\.?[0-9]{0,2}(e[-+]?[0-9])?\s?[a-z]?", fullmatch=True
            )
            | st.none()
            | st.booleans(),
        },
    )
)
@example({"failover_priority": 0.4})
@example({"failover_priority": 0.5})
@example({"failover_priority": "0.6"})
@example({"failover_priority": "010"})
@example({"failover_priority": "09"})
def test_a_nodes_tags_are_read_as_patroni_reads_them(tags: dict[str, Any]) -> None:
    class Theirs(Tags):  # type: ignore[misc]
        @property
        def tags(self) -> dict[str, Any]:
            return tags

    node = next(node for node in sections.nodes(cluster_keys(members__n1=member("n1", tags=tags))))
    assert node.no_failover is Theirs().nofailover


def test_a_citus_cluster_is_told_as_one() -> None:
    keys: dict[str, Any] = {
        f"{group}/{name}": value for group in (0, 1, 10) for name, value in stored().items()
    }
    with pytest.raises(Failure, match=r"Citus cluster.*\(0, 1, 10\)") as caught:
        parse("demo", keyspace(keys))
    assert (caught.value.status, caught.value.error.code) == (502, "CLUSTER_IS_CITUS")
    assert parse("demo", keyspace(stored() | keys)).members  # something else lies below it
