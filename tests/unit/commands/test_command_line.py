"""The command line as a whole: help, usage, schemas, completion, the rules of the house."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aeroctl.cli import cli
from aeroctl.commands.schema import NAMES
from aeroctl.commands.table import CommandTable
from aeroctl.options import SHARED
from tests.support.harness import run

ROOT = Path(__file__).parents[3]


def leaves(command: click.Command = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, with its words."""
    if isinstance(command, CommandTable):
        for name in command.table:
            found = command.get_command(click.Context(command), name)
            assert found is not None
            yield from leaves(found, f"{path} {name}".strip())
    else:
        yield path, command


LEAVES = dict(leaves())


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_help_and_stands_in_the_readme(path: str) -> None:
    command = LEAVES[path]
    assert command.help
    assert f"aeroctl {path}" in (ROOT / "README.md").read_text()
    result = run(*path.split(), "--help")
    assert result.code == 0
    assert result.out.startswith("Usage: aeroctl ")


def test_a_watch_that_took_the_next_word_for_seconds_says_so() -> None:
    done = run("inspect", "node", "--watch", "n1")
    assert done.code == 2
    assert "'n1' is not a valid number of seconds; to omit the seconds put --watch last" in done.err


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_takes_the_shared_options(path: str) -> None:
    options = {option for each in LEAVES[path].params for option in each.opts}
    assert {
        "--kernel", "--token-file", "--ca-file", "--cert", "--key", "--timeout", "--output", "-o",
        "--no-color", "--debug",
    } <= options  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    ["--bogus", "nonsense", "inspect nonsense", "inspect nodes x", "--timeout x health",
     "--timeout 0 health", "inspect nodes --at 0", "-o yaml health", "inspect node",
     "schema nonsense", "inspect nodes --at", "--timeout nan health", "health --watch nan"],
)  # fmt: skip
def test_wrong_usage_is_one_error(arguments: str) -> None:
    text = run(*arguments.split())
    assert (text.code, text.out) == (2, "")
    assert text.err.startswith("error: USAGE: ")
    for words in (("-o", "json"), ("-ojson",), ("--output=jsonl",), ("--output", "jsonl")):
        if "-o yaml" not in arguments:
            assert run(*words, *arguments.split()).error["code"] == "USAGE"


@pytest.mark.parametrize("arguments", ["", "inspect"])
def test_a_bare_group_shows_its_help(arguments: str) -> None:
    result = run(*arguments.split())
    assert (result.code, result.out) == (2, "")
    assert "Commands:" in result.err


def test_no_variable_sets_an_option_that_is_not_documented() -> None:
    """Nor does click read one: see Options.get."""
    assert [each.variable for each in SHARED if each.variable] == [
        "AEROCTL_KERNEL", "AEROCTL_TOKEN_FILE", "AEROCTL_CA_FILE", "AEROCTL_CERT", "AEROCTL_KEY",
    ]  # fmt: skip
    for command in [cli, *LEAVES.values()]:
        assert not [each for each in command.params if each.envvar]
    assert cli.context_settings.get("auto_envvar_prefix") is None


def test_schemas_are_published_for_every_view() -> None:
    every = run("schema").json
    assert tuple(every) == NAMES
    for name in NAMES:
        one = run("schema", name).json
        assert one == every[name]
        assert one["title"] == name
        assert one["$schema"].startswith("https://json-schema.org/")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_what_the_program_prints(shell: str) -> None:
    assert (ROOT / "completions" / f"aeroctl.{shell}").read_text() == run("completion", shell).out


def offences(source: str) -> list[str]:
    """What in a command's module decides on a format, reads the shared options, or prints.

    By the tree and not by the letters: whatever the spelling, a command that cared for the format
    would have to name one, or get at where it is kept.
    """
    tree = ast.parse(source)
    words = {"table", "json", "jsonl", "output", "no_color"}
    names = {"format", "terminal", "color", "screen", "obj", "ensure_object", "ensure_root_object",
             "params", "find_object", "meta", "isatty", "write", "options_of", "environ", "getenv",
             "print", "echo", "secho", "stdout", "stderr", "spoken"}  # fmt: skip
    modules = {"sys", "json", "io"}
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if text in words:
                found.append(text)
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in names:
                found.append(name)
            case ast.Import(names=imported) | ast.ImportFrom(names=imported):
                found += [each.name for each in imported if each.name in names | modules]
            case _:
                pass
    return found


def test_commands_choose_no_format_and_print_nothing() -> None:
    for path in (ROOT / "aeroctl" / "commands").glob("*.py"):
        assert offences(path.read_text()) == [], path


@pytest.mark.parametrize(
    "line",
    [
        'if ctx.ensure_object(dict).get("output") == "jsonl": pass',
        'if ctx.obj["output"] != "table": pass',
        'streams = "jsonl" == asked',
        "match app.output.format:\n    case _: pass",
        'lines = {"json": 1}.get(form)',
        'if form in ("json", "jsonl"): pass',
        "from aeroctl.options import options_of",
        "import sys\nsys.stdout.write('x')",
        "print(1)",
        "click.echo('x')",
        "if app.output.terminal: pass",
        "from json import dumps\nimport json",
    ],
)
def test_no_spelling_of_a_choice_of_format_passes(line: str) -> None:
    assert offences(line)


@pytest.mark.process
def test_the_rooms_keep_apart() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_every_exit_code_is_in_the_readme() -> None:
    from aeroctl.errors import Exit

    readme = (ROOT / "README.md").read_text()
    for code in Exit:
        assert re.search(rf"^\| {code.value} \|", readme, re.MULTILINE), code


@pytest.mark.parametrize("verb", ["promote", "demote", "force-promote"])
def test_a_change_without_a_target_is_refused_and_none_is_chosen(verb: str) -> None:
    """P7-A3: whatever the cluster looks like, the operator names the node."""
    done = run(verb, "--kernel", "http://127.0.0.1:1")
    assert (done.code, done.out) == (2, "")
    assert "NODE" in done.err
