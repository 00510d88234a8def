"""Consent: the state machine, and what can and can't be a confirmation (P7-A1, P7-A2)."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.contract import consent
from aeroctl.contract.commands import COMMANDS, VERBS
from aeroctl.contract.consent import Confirmable
from aeroctl.contract.explanation import ExplanationEnvelope
from aeroctl.errors import Failure
from aeroctl.workflows.confirm import Consent, Interaction, Question, questions, require
from tests.support.answering import Handler, Received, answer, answering
from tests.support.harness import Result, run
from tests.support.samples import EPOCH, SYSTEM_ID, TOKEN, explanation, status, token_of

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])

WORDS = st.sampled_from(["yes", "y", "YES", "n2", "P6-S1", "", " yes \n", "yes yes"])


@given(
    st.lists(st.tuples(WORDS, st.none() | WORDS), min_size=1, max_size=5),
)
def test_only_the_right_answers_to_all_questions_confirm(
    dialogue: list[tuple[str, str | None]],
) -> None:
    asked = tuple(Question("?", expected.strip()) for expected, _ in dialogue)
    interaction = Interaction().begin(asked)
    right = True
    for expected, typed in dialogue:
        if interaction.state == "viewing":
            break
        assert not interaction.confirmed
        interaction = interaction.answer(typed)
        right = right and typed is not None and typed.strip() == expected.strip()
    assert interaction.state == "viewing"
    assert interaction.confirmed == right


def test_nothing_is_confirmed_without_a_question() -> None:
    with pytest.raises(ValueError, match="with a question"):
        Interaction().begin(())
    with pytest.raises(ValueError, match="no question to answer"):
        Interaction().answer("yes")
    with pytest.raises(ValueError, match="while viewing"):
        Interaction().begin((Question("?", "yes"),)).begin((Question("?", "yes"),))


def asked(body: bytes) -> list[str]:
    found = ExplanationEnvelope.model_validate_json(body).data
    return [question.answer for question in questions(found)]


def test_what_is_asked_for() -> None:
    assert asked(explanation()) == ["yes"]
    assert asked(explanation("force_promotion")) == ["n2", "P6-S1", "P6-S2", "yes"]


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_terminal_and_a_flag_nobody_consents(verb: str) -> None:
    with pytest.raises(Failure, match="CONFIRMATION_MISSING"):
        require(VERBS[verb], Consent(), interactive=False)
    require(VERBS[verb], Consent(), interactive=True)
    require(VERBS[verb], Consent(token="t"), interactive=False)


def test_every_changing_command_needs_a_confirmation() -> None:
    assert {command.confirmation for command in COMMANDS.values()} == {"standard", "override"}
    assert {name for name, each in COMMANDS.items() if each.confirmation == "override"} == {
        "force_promotion"
    }


def kernel(**changes: object) -> Handler:
    """Explains, and answers that it was done: for what leaves aeroctl, not for what a kernel does.

    It decides nothing; the real decisions are in the live tests.
    """

    def handle(request: Received) -> None:
        if request.path.startswith("/v1/explain/"):
            command = next(name for name in COMMANDS if name == request.path.split("/")[-1])
            answer(explanation(command, **changes))(request)
        else:
            asked = json.loads(request.body)
            about = {"command": request.path.split("/")[-1], "target": asked["target"]}
            answer(status(asked["request_id"], **about))(request)

    return handle


def tried(
    *words: str, terminal: bool = False, typed: str = "", **changes: object
) -> tuple[Result, list[Any]]:
    """An invocation, and the bodies of the commands that it sent."""
    with answering(kernel(**changes)) as served:
        result = run(
            *words, "--kernel", served.url, terminal=terminal, typed=typed,
            environment={"AEROCTL_YES": "1", "AEROCTL_PROMOTE_YES": "1", "AEROCTL_CONFIRM": TOKEN},
        )  # fmt: skip
    return result, [
        json.loads(body) for path, body in served.posted if path.startswith("/v1/commands/")
    ]


def test_yes_is_one_request_and_recorded_as_such() -> None:
    result, sent = tried("promote", "n2", "--yes", "--reason", "drill")
    assert result.code == 0
    (body,) = sent
    assert body["confirmation"] == {
        "kind": "standard", "given": "yes", "token": TOKEN, "acknowledged": [],
        "accepts_responsibility": False,
    }  # fmt: skip
    assert (body["target"], body["reason"], body["revision"]) == ("n2", "drill", 21)
    assert str(body["request_id"]) in result.err.splitlines()[-1]


def test_a_token_confirms_its_own_state_only() -> None:
    result, sent = tried("promote", "n2", "--confirm", TOKEN)
    assert (result.code, len(sent)) == (0, 1)
    assert sent[0]["confirmation"]["token"] == TOKEN


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "n3"}, {"command": "request_demotion"}, {"cluster": "other"},
        {"system_id": None}, {"state_digest": "e"}, {"failover_revision": 7},
    ],
)  # fmt: skip
def test_a_token_of_something_else_is_stale(changes: dict[str, Any]) -> None:
    about = Confirmable("request_promotion", "n2", "demo", SYSTEM_ID, EPOCH, 0)
    token = consent.token(replace(about, **changes), 1795515319158, 300, bytes(8))
    for tried_token in (token, "8" * 64, TOKEN.upper(), TOKEN[:-1], TOKEN + "0", "\udcff", ""):
        result, sent = tried("promote", "n2", "--confirm", tried_token)
        assert (result.code, sent) == (3, [])
        assert "CONFIRMATION_STALE" in result.err


def test_an_earlier_token_of_the_same_state_is_the_one_that_is_used() -> None:
    """No two explanations have the same one; what is recorded is what somebody looked at."""
    about = Confirmable("request_promotion", "n2", "demo", SYSTEM_ID, EPOCH, 0)
    earlier = consent.token(about, 1795515300000, 300, bytes(8))
    _, sent = tried("promote", "n2", "--confirm", earlier)
    assert [body["confirmation"]["token"] for body in sent] == [earlier]
    _, sent = tried("promote", "n2", "--yes")
    assert [body["confirmation"]["token"] for body in sent] == [TOKEN]


def test_a_terminal_is_asked_and_shown_everything_first() -> None:
    result, sent = tried("promote", "n2", terminal=True, typed="yes\n")
    assert result.code == 0
    assert [body["confirmation"]["given"] for body in sent] == ["terminal"]
    for shown in ("loses the leader key", "a new timeline begins", "demo", "in_flight", "id 77"):
        assert shown in result.err
        assert shown not in result.out


@pytest.mark.parametrize("typed", ["y\n", "YES\n", "\n", "", "no\n", "yes please\n", "n2\n"])
def test_anything_but_yes_sends_nothing(typed: str) -> None:
    result, sent = tried("promote", "n2", terminal=True, typed=typed)
    assert (result.code, result.out, sent) == (3, "", [])
    assert "DECLINED" in result.err


@pytest.mark.parametrize("verb", ["promote n2", "demote n2", "diagnose"])
def test_a_pipe_is_nobody_and_the_kernel_is_not_even_asked(verb: str) -> None:
    with answering(answer(b"")) as served:
        result = run(*verb.split(), "--kernel", served.url, typed="yes\n" * 9)
    assert result.code == 3
    assert "CONFIRMATION_MISSING" in result.err
    assert served.requests == []


FORCE = ("force-promote", "n2", "--reason", "the leader is dead")
ALL = ("--acknowledge", "P6-S1", "--acknowledge", "P6-S2", "--accept-responsibility")


def test_an_override_takes_exactly_its_acknowledgements() -> None:
    result, sent = tried(*FORCE, *ALL)
    assert result.code == 0
    assert sent[0]["confirmation"] == {
        "kind": "override", "given": "flags", "token": token_of("force_promotion"),
        "acknowledged": ["P6-S1", "P6-S2"], "accepts_responsibility": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ALL[:4],
        ALL[:2] + ALL[4:],
        (*ALL, "--acknowledge", "P6-A1"),
        ALL[4:],
        ("--confirm", token_of("force_promotion")),
    ],
    ids=["no-responsibility", "one-missing", "one-too-many", "none", "a-token-alone"],
)
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_an_incomplete_override_sends_nothing(words: tuple[str, ...], terminal: bool) -> None:
    result, sent = tried(*FORCE, *words, terminal=terminal, typed="n2\nP6-S1\nP6-S2\nyes\n")
    assert (result.code, result.out, sent) == (3, "", [])
    assert "OVERRIDE_INCOMPLETE" in result.err


def test_an_override_is_asked_for_in_full() -> None:
    result, sent = tried(*FORCE, terminal=True, typed="n2\nP6-S1\nP6-S2\nyes\n")
    assert (result.code, len(sent)) == (0, 1)
    for typed in ("yes\n", "n2\nyes\n", "n2\nP6-S2\nP6-S1\nyes\n", "n2\nP6-S1\nP6-S2\nno\n"):
        result, sent = tried(*FORCE, terminal=True, typed=typed)
        assert (result.code, sent) == (3, [])


@pytest.mark.parametrize("terminals", [(False, True), (True, False)])
def test_half_a_terminal_is_none(terminals: tuple[bool, bool]) -> None:
    """A piped yes where stderr is a terminal; a terminal whose questions nobody could see."""
    with answering(kernel()) as served:
        words = ("promote", "n2", "--kernel", served.url)
        result = run(*words, typed="yes\n", terminals=terminals)
    assert (result.code, served.posted) == (3, [])
    assert "CONFIRMATION_MISSING" in result.err


@pytest.mark.parametrize("typed", ["yes", "yes\x04", "\xff\n"])
def test_a_line_that_is_not_ended_is_no_answer(typed: str) -> None:
    result, sent = tried("promote", "n2", terminal=True, typed=typed)
    assert (result.code, sent) == (3, [])


def test_the_kernel_does_not_make_an_override_a_lesser_thing() -> None:
    result, sent = tried(*FORCE, "--acknowledge", "NOPE", confirmation="standard", overrides=[])
    assert (result.code, sent) == (7, [])
    assert "CONTRACT_BROKEN" in result.err
    result, sent = tried(*FORCE, terminal=True, typed="yes\n", confirmation="standard")
    assert (result.code, sent) == (7, [])


def test_an_explanation_of_something_else_is_not_confirmed() -> None:
    about = {"command": "request_promotion", "target": "n3", "cluster": "demo", "system_id": "7"}
    result, sent = tried("promote", "n2", "--yes", inputs=about)
    assert (result.code, sent) == (7, [])


def test_what_the_kernel_says_in_a_question_is_harmless() -> None:
    about = {"command": "request_promotion", "target": "n2", "system_id": "\x1b[2J"}
    changes: dict[str, Any] = {"inputs": {**about, "cluster": "\x1b]0;x\x07"}}
    result, sent = tried("promote", "n2", terminal=True, typed="yes\n", **changes)
    assert (result.code, len(sent)) == (0, 1)
    assert "\x1b[2J" not in result.err
    assert "\x1b]0;" not in result.err
    result, _ = tried("promote", "n2", "--yes", **changes)
    assert "\x1b" not in result.err


def test_every_run_has_an_id_of_its_own() -> None:
    ids = {tried("promote", "n2", "--yes")[1][0]["request_id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("words", [("promote", ""), ("promote", "\udcff"),
                                   ("promote", "n2", "--reason", "\udcff")])  # fmt: skip
def test_what_cannot_be_sent_is_a_matter_of_usage(words: tuple[str, ...]) -> None:
    for form in ("table", "json"):
        assert run(*words, "--yes", "-o", form).code == 2


def test_an_override_has_no_yes_and_needs_a_reason() -> None:
    assert tried(*FORCE, "--yes", *ALL)[0].code == 2
    assert tried("force-promote", "n2", *ALL)[0].code == 2
    assert tried("force-promote", "n2", "--reason", "  ", *ALL)[0].code == 2


@pytest.mark.parametrize("verb", ["promote", "demote", "force-promote"])
def test_no_target_is_chosen_for_the_operator(verb: str) -> None:
    assert run(verb, "--yes").code == 2
    assert run(verb, "n1", "n2", "--yes").code == 2  # and there is no bulk form


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ({"agent_identified": "does_not_hold"}, "AGENT_MISMATCH"),
        ({"agent_identified": "undetermined"}, "AGENT_UNREACHABLE"),
        ({"agent_known": "does_not_hold", "agent_identified": "undetermined"}, "RULE_NOT_MET"),
        ({"agent_known": "does_not_hold"}, "RULE_NOT_MET"),
    ],
)
def test_an_agent_that_is_not_the_nodes_is_told_before_anybody_consents(
    broken: dict[str, str], code: str
) -> None:
    rules = [
        {
            "rule_id": rule_id, "description": "", "evaluation": evaluation,
            "enforced_by": "kernel", "invariants": [],
        "evidence": [{"name": "problem", "value": "it is frozen"}],
        }
        for rule_id, evaluation in broken.items()
    ]  # fmt: skip
    changes = {"conclusion": "refused", "rules_applied": rules}
    for terminal in (False, True):
        words = () if terminal else ("--yes",)
        result, sent = tried("promote", "n2", *words, terminal=terminal, typed="yes\n", **changes)
        assert (result.code, result.out, sent) == (4, "", [])
        assert code in result.err
        assert "it is frozen" in result.err


def test_what_the_kernel_refuses_is_not_asked_for() -> None:
    rule = {
        "rule_id": "nothing_in_flight", "description": "", "evaluation": "does_not_hold",
        "enforced_by": "kernel", "invariants": [],
        "evidence": [{"name": "in_flight", "value": "\x1b[31mother"}],
    }  # fmt: skip
    changes = {"conclusion": "refused", "rules_applied": [rule]}
    for terminal in (False, True):
        words = () if terminal else ("--yes",)
        result, sent = tried("promote", "n2", *words, terminal=terminal, typed="yes\n", **changes)
        assert (result.code, result.out, sent) == (4, "", [])
        assert "nothing_in_flight: does_not_hold" in result.err
        assert "\x1b[31mother" not in result.err
