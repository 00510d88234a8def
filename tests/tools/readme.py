"""Puts recorded output and tables into README.md and docs/, so that they say what is so.

A line `<!-- shown: SCENARIO/FILE -->` stands before a fenced block: the command, and its golden
file without colours. A line `<!-- table: NAME -->` stands
before a table that is made from the program's own.
"""

import re
from collections.abc import Callable
from pathlib import Path

from aeroctl.contract.error_codes import ERROR_CODES
from aeroctl.errors import Exit
from tests.live.faults import FAULTS
from tests.recorded.test_recorded import CASES, GOLDEN, recorded_words, slug, words_of
from tests.tools import house

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCUMENTS = (README, *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- shown: (\S+)/(\S+)\.(\w+) -->\n```console\n)(.*?)(```\n)", re.DOTALL)
TABLE = re.compile(r"(<!-- table: (\w+) -->\n)(?:\|[^\n]*\n)*")
STYLE = re.compile(r"\x1b\[[0-9;]*m")
EXIT = re.compile(r"exit (\d+)\n\Z")


def shown(golden: str) -> str:
    """A golden file as a reader of the README sees it; the exit code only where it is not 0."""
    text = STYLE.sub("", golden)
    code = EXIT.search(text)
    assert code is not None
    ending = "" if code[1] == "0" else f"$ echo $?\n{code[1]}\n"
    return EXIT.sub(ending, text)


def typed(scenario: str, name: str, suffix: str) -> str:
    """The command that was run, as it is typed."""
    command = next(each for each in CASES[scenario] if slug(each) == name)
    words = command.format(**words_of(scenario, command, recorded_words(scenario)))
    return f"$ aeroctl {words}{' -o json' if suffix == 'json' else ''}\n"


def errors() -> str:
    """Every code that a script can meet."""
    rows = [
        f"| `{code}` | {row.domain} | {row.exit} | {row.means} |"
        for code, row in ERROR_CODES.items()
    ]
    return "\n".join(["| code | domain | exit | means |", "|---|---|---|---|", *rows]) + "\n"


def exits() -> str:
    """Every exit code."""
    rows = [f"| {each.value} | {each.means} |" for each in Exit]
    return "\n".join(["| exit | means |", "|---|---|", *rows]) + "\n"


def faults() -> str:
    """What each fault looks like; the tests that bring them about hold the rows."""
    rows = [
        f"| {name} | {f'`{row.says}`' if row.says else '(nothing)'}"
        f" | {row.exit if row.exit >= 0 else 128 - row.exit} | "
        + (f"`{row.find_out}`: `{row.then}`" if row.then else row.find_out)
        + " |"
        for name, row in FAULTS.items()
    ]
    head = ["| fault | what aeroctl says | exit | how to find out |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


TABLES: dict[str, Callable[[], str]] = {
    "errors": errors,
    "exits": exits,
    "faults": faults,
    "rooms": house.rooms,
    "invariants": house.invariants,
}


def filled(readme: str) -> str:
    """A document with every recorded output and every table in its place."""

    def fill(match: re.Match[str]) -> str:
        scenario, name, suffix = match[2], match[3], match[4]
        golden = (GOLDEN / scenario / f"{name}.{suffix}").read_text()
        return match[1] + typed(scenario, name, suffix) + shown(golden) + match[6]

    def tabled(match: re.Match[str]) -> str:
        return match[1] + TABLES[match[2]]()

    return TABLE.sub(tabled, BLOCK.sub(fill, readme))


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(filled(document.read_text()))
