"""What an option is worth: the command line, in any position, then a variable, then the default."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.cli import cli, options_in
from aeroctl.commands.audit import HeadType
from aeroctl.commands.reading import MomentType
from aeroctl.commands.table import CommandTable
from aeroctl.options import SHARED, Shared, options_of
from tests.support.answering import Received, answer, answering
from tests.support.examples import examples
from tests.support.harness import ENVIRONMENT, run
from tests.support.samples import document, explanation, status
from tests.unit.commands.test_command_line import LEAVES

REPEATABLE = {"nodes", "kinds", "filters", "sections", "acknowledged"}
POSITIONS = [
    places for count in range(4) for places in itertools.combinations(range(3), count)
]  # before the group, between the group and its command, after the command
SAYING = {None: "unset", "": "empty", "of-the-variable": "set"}


def values_of(parameter: click.Parameter) -> tuple[str, str]:
    """Two values that an option or an argument takes."""
    kind = parameter.type
    if isinstance(kind, click.Choice):
        one, other = tuple(map(str, kind.choices))[:2]
        return one, other
    if isinstance(kind, click.FloatRange | MomentType):
        return "3", "7"
    if isinstance(kind, HeadType):
        return "1" * 64, "2" * 64
    if kind is click.UUID:
        return str(
            kind("6f2b7a4e-4a0c-4a8e-9d1c-3f4a7c1d2e5b")
        ), "00000000-0000-4000-8000-000000000000"
    return "one", "other"


def parameter_of(shared: Shared) -> click.Parameter:
    (found,) = (each for each in cli.params if each.name == shared.key)
    return found


@contextmanager
def effective(environment: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
    """What the options are worth to every `inspect nodes` and `promote` that is run meanwhile."""
    seen: list[dict[str, Any]] = []

    def note(*_: object, **__: object) -> None:
        found = options_of(click.get_current_context())
        seen.append({each.key: found.get(each.key) for each in SHARED})

    commands = [LEAVES["inspect nodes"], LEAVES["promote"]]
    with (
        mock.patch.dict(os.environ, {**ENVIRONMENT, **environment}, clear=True),
        mock.patch.object(commands[0], "callback", note),
        mock.patch.object(commands[1], "callback", note),
    ):
        yield seen


def placed(words: list[str], places: tuple[int, ...]) -> list[str]:
    """`inspect nodes` with these words in these places."""
    at = [words if place in places else [] for place in range(3)]
    return [*at[0], "inspect", *at[1], "nodes", *at[2]]


@pytest.mark.parametrize("said", SAYING, ids=SAYING.get)
@pytest.mark.parametrize("places", POSITIONS, ids=str)
@pytest.mark.parametrize("shared", SHARED, ids=lambda shared: shared.key)
def test_the_command_line_beats_the_variable_in_every_position(
    shared: Shared, places: tuple[int, ...], said: str | None
) -> None:
    parameter = parameter_of(shared)
    assert isinstance(parameter, click.Option)
    value = "" if parameter.is_flag else values_of(parameter)[0]
    for name in shared.names:
        words = [name, value] if value else [name]
        environment = {shared.variable: said} if shared.variable and said is not None else {}
        with effective(environment) as seen:
            cli.main(placed(words, places), standalone_mode=False)
        given = True if parameter.is_flag else parameter.type(value)
        assert seen[0].pop(shared.key) == (
            given if places else environment.get(shared.variable or "") or None
        )
        assert set(seen[0].values()) == {None}


@pytest.mark.parametrize("places", [(0, 1), (0, 2), (1, 2), (0,), (1,), (2,)], ids=str)
@pytest.mark.parametrize("shared", SHARED, ids=lambda shared: shared.key)
def test_two_different_values_are_a_usage_error_wherever_they_stand(
    shared: Shared, places: tuple[int, ...]
) -> None:
    parameter = parameter_of(shared)
    assert isinstance(parameter, click.Option)
    if parameter.is_flag:
        with effective({}) as seen:
            cli.main(placed([shared.names[0]] * 2, places), standalone_mode=False)
        assert seen[0][shared.key] is True
        return
    first, second = ([shared.names[-1], each] for each in values_of(parameter))
    for one, other in ((first, first), (first, second), (second, first)):
        at: list[list[str]] = [[], [], []]
        at[places[0]] += one
        at[places[-1]] += other
        words = [*at[0], "inspect", *at[1], "nodes", *at[2]]
        if one is other:
            with effective({}) as seen:
                cli.main(words, standalone_mode=False)
            assert seen[0][shared.key] == parameter.type(one[1])
            continue
        done = run(*words)
        assert (done.code, done.out) == (2, "")
        assert f"{shared.names[-1]} is given twice, with different values" in done.err


@pytest.mark.parametrize("path", LEAVES)
def test_no_option_of_any_command_takes_the_last_of_two_values(path: str) -> None:
    command = LEAVES[path]
    needed = [
        word
        for each in command.params
        if each.required
        for word in ([each.opts[0]] if isinstance(each, click.Option) else [])
        + [values_of(each)[0]]
    ]
    for each in command.params:
        if not isinstance(each, click.Option) or each.is_flag:
            continue
        one, other = values_of(each)
        others = [word for word in needed if word not in each.opts] if not each.required else [
            word for at, word in enumerate(needed)
            if word not in each.opts and (at == 0 or needed[at - 1] not in each.opts)
        ]  # fmt: skip
        context = command.make_context(path, [*others, each.opts[0], one, each.opts[-1], one])
        context.close()
        twice = [*others, each.opts[0], one, each.opts[-1], other]
        if each.name in REPEATABLE:
            command.make_context(path, twice).close()
            continue
        with pytest.raises(click.UsageError, match=f"{each.opts[-1]} is given twice"):
            command.make_context(path, twice)


def test_equal_values_need_not_be_spelled_alike() -> None:
    with effective({}) as seen:
        cli.main(["--timeout", "3", "inspect", "nodes", "--timeout=3.0"], standalone_mode=False)
    assert seen[0]["timeout"] == 3


# One cluster asked for by a variable, another one by the command line.


def kernel_of(cluster: list[str], name: str) -> Any:
    def handle(request: Received) -> None:
        import json

        cluster.append(name)
        if request.path.startswith("/v1/explain/"):
            return answer(explanation())(request)
        if request.path.startswith("/v1/commands/"):
            return answer(status(json.loads(request.body)["request_id"]))(request)
        return answer(document())(request)

    return handle


@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
@pytest.mark.parametrize(
    "words",
    ["--kernel {} promote n2 --yes", "promote --kernel {} n2 --yes", "promote n2 --yes --kernel={}",
     "--kernel {} promote n2 --yes --kernel {}", "--kernel {} inspect nodes",
     "inspect --kernel {} nodes", "inspect nodes --kernel {}", "--kernel={} inspect nodes"],
)  # fmt: skip
def test_nothing_is_asked_of_the_cluster_that_a_variable_names(words: str) -> None:
    asked: list[str] = []
    with answering(kernel_of(asked, "a")) as a, answering(kernel_of(asked, "b")) as b:
        done = run(
            *words.replace("{}", b.url).split(),
            environment={"AEROCTL_KERNEL": a.url, "AEROCTL_TOKEN": "t"},
        )
    assert done.code == 0, done.err
    assert set(asked) == {"b"}


@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
@pytest.mark.parametrize("places", POSITIONS, ids=str)
@pytest.mark.parametrize("token", [None, "", "of-the-variable"])
@pytest.mark.parametrize("token_file", [None, "", "of-the-variables-file"])
def test_a_token_file_that_was_named_beats_both_variables(
    tmp_path: Path, places: tuple[int, ...], token: str | None, token_file: str | None
) -> None:
    def file(name: str, content: str) -> str:
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
        return str(tmp_path / name)

    environment = {} if token is None else {"AEROCTL_TOKEN": token}
    if token_file is not None:
        environment["AEROCTL_TOKEN_FILE"] = file("variable", token_file) if token_file else ""
    words = ["--token-file", file("named", "of-the-command-line")]
    with answering(answer(document())) as kernel:
        done = run(
            *placed(words, places), environment={"AEROCTL_KERNEL": kernel.url, **environment}
        )
    assert done.code == 0, done.err
    expected = "of-the-command-line" if places else token_file or token
    shown = kernel.requests[0][1].get("authorization")
    assert shown == (f"Bearer {expected}" if expected else None)


@pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
@pytest.mark.parametrize("option", ["--kernel", "--token-file", "--ca-file", "--cert", "--proxy"])
def test_an_empty_value_on_the_command_line_is_not_taken_from_the_variable(option: str) -> None:
    (shared,) = (each for each in SHARED if option in each.names)
    environment = {"AEROCTL_KERNEL": "https://127.0.0.1:1", "AEROCTL_TOKEN": "t"}
    if shared.variable:
        environment[shared.variable] = "https://127.0.0.1:1"
    done = run(option, "", "inspect", "nodes", "-ojson", environment=environment)
    assert done.code == 2
    assert done.error["code"] in {"BAD_KERNEL_URL", "TOKEN_UNREADABLE", "BAD_TLS_FILE"}


# The format of errors.


@pytest.mark.parametrize(
    ("words", "is_json"),
    [
        ("-ojson nonsense", True),
        ("--output=jsonl nonsense", True),
        ("inspect -o json nonsense", True),
        ("--debug=x -o json health", True),
        ("--bogus x health -ojson", True),
        ("-- nonsense -o json", True),
        ("-hojson nonsense", False),  # that is help
        ("promote n2 n3 --reason -o json", False),
        ("promote n2 n3 --reason=-ojson", False),
        ("promote n2 n3 --reason --output=json", False),
        ("promote n2 n3 -- -ojson", False),
        ("inspect nodes --filter -o json", False),
        ("inspect nodes --at -o json", False),
        ("inspect nodes --bogus --watch -o json", True),
        ("inspect nodes --bogus --watch=2 -o json", True),
        ("inspect nodes --bogus --watch 2 -ojson", True),
        ("--kernel -o json nonsense", False),
        ("-o table nonsense -ojson", True),
        ("nonsense --reason -o json", True),  # of what is unknown nothing is known
    ],
)
def test_errors_are_told_in_the_format_that_was_asked_for(words: str, is_json: bool) -> None:
    done = run(*words.split())
    if words.startswith("-h"):
        assert done.out.startswith("Usage")
        return
    assert done.code == 2, done
    assert done.err.startswith('{"error"') == is_json, done.err


CHUNKS = st.sampled_from(
    ["-o json", "-o table", "-ojson", "-ojsonl", "--output=json", "--output jsonl", "-o=json",
     "--reason -o", "--reason=-ojson", "--reason --debug", "--confirm --output=json", "--yes",
     "--filter -ojson", "--filter=-o", "--sort-by -o", "--watch", "--watch 2", "--watch=-ojson",
     "--debug", "--no-color", "--kernel -ojson", "--kernel --debug", "--timeout=3", "--", "json",
     "--at 5", "-o"],
)  # fmt: skip
STARTS = st.sampled_from(
    ["inspect nodes", "promote n2", "-ojson promote n2", "inspect -o json nodes"]
)


@examples(1000)
@given(start=STARTS, chunks=st.lists(CHUNKS, max_size=4))
def test_what_is_found_in_the_words_is_what_click_finds(start: str, chunks: list[str]) -> None:
    words = " ".join([start, *chunks]).split()
    with effective({}) as seen, suppress(click.UsageError, click.exceptions.Exit):
        cli.main(words, standalone_mode=False)
    for options in seen:  # none where click finds fault with the words
        found = dict(options_in(words))
        assert found.get("--output") == options["output"]
        assert found.get("--kernel") == options["kernel"]
        assert ("--debug" in found) == bool(options["debug"])


def test_a_traceback_is_for_who_asks_for_it() -> None:
    broken = mock.Mock(side_effect=RuntimeError("oops"))
    for words in (["--reason", "--debug"], ["--", "--debug"]):
        with (
            mock.patch.object(LEAVES["promote"], "callback", broken),
            pytest.raises(AssertionError),
        ):
            run(
                "promote", *(["n2"] if words[0] != "--" else []), *words
            )  # exit 1, and no traceback


def test_completion_takes_contradictions_in_its_stride() -> None:
    environment = {
        "_AEROCTL_COMPLETE": "bash_complete", "COMP_CWORD": "6", "AEROCTL_KERNEL": "",
        "COMP_WORDS": "aeroctl --kernel a --kernel b inspect no",
    }  # fmt: skip
    done = run(environment=environment)
    assert (done.code, done.err) == (0, "")
    assert "nodes" in done.out


def test_groups_and_commands_share_one_table() -> None:
    assert isinstance(cli, CommandTable)
    for command in (cli, *LEAVES.values()):
        names = {name for each in command.params for name in each.opts}
        assert {name for each in SHARED for name in each.names} <= names
        assert not [each for each in command.params if each.envvar]
