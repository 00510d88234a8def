"""The words: no text that a user can see uses a word that a database administrator would misread.

Texts are collected from the source, so that a new one is held to the list without being named here.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from aeroctl.cli import cli
from aeroctl.commands.table import CommandTable
from aeroctl.contract.error_codes import ERROR_CODES
from aeroctl.errors import Exit, next_step
from aeroctl.kernel.cli import aerokernel

ROOT = Path(__file__).parents[2]
GENERATED = ("aeroctl/contract/snapshot_schema.py",)

BANNED = {
    r"commits?": "revision",
    r"reigns?": "since (a revision)",
    r"epochs?": "state digest",
    r"authorit(y|ies)": "leader, primary; authority is only that of a token",
    r"engines?": "Patroni, PostgreSQL",
    r"case files?|whole case": "evidence file",
    r"(?<!there )is no(?! longer)": "is not a",
    r"not so": "failing",
    r"nobody|somebody|someone|anybody|whoever|whom|who": "the process, the node, the operator",
    r"told|said|tells|says|speaks?|believed|hung up": "reported, printed, disconnected",
}
"""A banned word or form, and what to write in its place."""
ALLOWED = (
    r"write authority",  # P6-A1 and the glossary
    r"authority[:,]? (is )?(an )?(observer|operator|auditor)",
    r"(tokens?'?s?|callers?'?s?|its|the) authority(?= (of|to|that|does|allows|is))",
    r"authority of (a|the|its) (token|caller)",
    r"identity authority",  # columns of the audit trail
    r"engine_reply|ENGINE_REJECTED",
    r"synchronous_commit|track_commit_timestamp",
    r"\(\?P<authority>",  # a token's, in the pattern of the token file's lines
    r"account named nobody",  # the account of Unix
)
"""Forms of banned words that are right."""


@dataclass(frozen=True)
class Text:
    """A text that users can see, and where it stands."""

    text: str
    path: str
    line: int

    def offences(self) -> list[str]:
        """A line for each banned word in it."""
        left = re.sub("|".join(ALLOWED), "", self.text, flags=re.IGNORECASE)
        plain = re.sub(r"[_\s]+", " ", left)
        return [
            f"{self.path}:{self.line}: {match[0]!r} (better: {instead}) in {self.text!r}"
            for banned, instead in BANNED.items()
            for match in re.finditer(rf"(?<![\w-])({banned})(?![\w-])", plain, re.IGNORECASE)
        ]


def texts_of(source: str, path: str) -> Iterator[Text]:
    """Messages, help, descriptions, headings and codes in a module."""
    tree = ast.parse(source)
    hidden = set(map(id, _hidden(tree)))
    for node in ast.walk(tree):
        if id(node) in hidden:
            hidden |= set(map(id, ast.iter_child_nodes(node)))
        elif isinstance(node, ast.JoinedStr):
            hidden |= {id(part) for part in node.values if isinstance(part, ast.Constant)}
            parts = (_text(part) or "{}" for part in node.values)
            yield Text("".join(parts), path, node.lineno)
        elif (text := _text(node)) and (" " in text.strip() or re.fullmatch("[A-Z_-]{3,}", text)):
            assert isinstance(node, ast.Constant)
            yield Text(text, path, node.lineno)


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _hidden(tree: ast.Module) -> Iterator[ast.AST]:
    """Strings that no user sees: docstrings, except of commands and contract models; and types."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and not _shown(node):
            yield from (each for each in body if isinstance(each, ast.Expr) and _text(each.value))
        for annotation in ("annotation", "returns"):
            if (found := getattr(node, annotation, None)) is not None:
                yield from ast.walk(found)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("cast", "TypeVar"):
            yield from node.args


def _shown(node: ast.AST) -> bool:
    """Whether a docstring is a help text, or a description in the contract's schemas."""
    if isinstance(node, ast.ClassDef):
        return any("Model" in ast.unparse(base) or "[" in ast.unparse(base) for base in node.bases)
    decorators = getattr(node, "decorator_list", [])
    return any(re.search(r"\.(command|group)\(|click\.", ast.unparse(each)) for each in decorators)


def texts() -> list[Text]:
    """All of the package's."""
    paths = (path for path in sorted((ROOT / "aeroctl").rglob("*.py")))
    named = ((path, path.relative_to(ROOT).as_posix()) for path in paths)
    return [
        text
        for path, name in named
        if name not in GENERATED
        for text in texts_of(path.read_text(), name)
    ]


TEXTS = texts()


@pytest.mark.parametrize("room", sorted({Path(text.path).parent.as_posix() for text in TEXTS}))
def test_every_text_is_in_plain_words(room: str) -> None:
    found = [text.offences() for text in TEXTS if Path(text.path).parent.as_posix() == room]
    assert not any(found), "\n" + "\n".join(line for lines in found for line in lines)


def helps(command: click.Command) -> Iterator[str]:
    """Every help text of a command, its options and its subcommands."""
    context = click.Context(command)
    yield from filter(None, (command.help, command.epilog, command.short_help))
    yield from (
        each.help for each in command.params if isinstance(each, click.Option) and each.help
    )
    if isinstance(command, CommandTable):
        yield from (entry.summary for entry in command.table.values())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from helps(inner)


def test_the_collection_has_every_help_text_and_every_error() -> None:
    shown = {*helps(cli), *helps(aerokernel), *(code.means for code in Exit)}
    shown |= {row.means for row in ERROR_CODES.values()}
    shown |= {step for step in map(next_step, ERROR_CODES) if step}
    collected = {_flat(text.text) for text in TEXTS}
    missing = [text for text in map(_flat, shown) if not any(_is(text, each) for each in collected)]
    assert not missing


def _flat(text: str) -> str:
    return " ".join(text.replace("\b", "").split())


def _is(text: str, collected: str) -> bool:
    """Whether it is the collected text, whose `{}` are values."""
    if "{}" not in collected:
        return text == collected
    return re.fullmatch(".*".join(map(re.escape, collected.split("{}"))), text) is not None


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('failure("USAGE", f"commit {at} is later")', "commit"),
        ('x = {"help": "Show who holds it."}', "who"),
        ('words = "no token where one was said to be"', "said"),
        ('raise ValueError(f"{text!r} is no time")', "is no"),
        ('@click.command()\ndef f():\n    """Lists all epochs."""', "epochs"),
        ('Field(description="the engine refused")', "engine"),
        ('class A(Model):\n    """Who it was."""', "who"),
        ('Grid("NODE REIGN", rows)', "reign"),
        ('Note(code="COMMIT_TAKEN", subject=None)', "commit"),
    ],
)
def test_a_banned_word_is_found_wherever_it_stands(line: str, word: str) -> None:
    offences = [each for text in texts_of(line, "x.py") for each in text.offences()]
    assert [each for each in offences if f"'{word}'" in each.lower()], offences


@pytest.mark.parametrize(
    "line",
    [
        '"""Who reads this works on the code."""',
        'def f() -> "tuple[Epoch, int | None]": ...',
        'commit, epoch = 1, "epoch"',
        '"the token\'s authority does not allow this"',
        '"synchronous_commit of the session"',
        '"there is no such node"',
        '"the revision is no longer there"',
    ],
)
def test_what_is_right_or_not_shown_is_not_found(line: str) -> None:
    assert [each for text in texts_of(line, "x.py") for each in text.offences()] == []
