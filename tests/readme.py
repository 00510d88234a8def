"""Puts recorded output into the README, so that what it shows is what the program printed.

A line `<!-- shown: SCENARIO/FILE -->` stands before a fenced block whose first line is `$ command`;
the rest of the block is that golden file, without colours.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- shown: (\S+) -->\n```console\n\$ [^\n]*\n)(.*?)(```\n)", re.DOTALL)
STYLE = re.compile(r"\x1b\[[0-9;]*m")
EXIT = re.compile(r"exit (\d+)\n\Z")


def shown(golden: str) -> str:
    """A golden file as a reader of the README sees it; the exit code only where it is not 0."""
    text = STYLE.sub("", golden)
    code = EXIT.search(text)
    assert code is not None
    ending = "" if code[1] == "0" else f"$ echo $?\n{code[1]}\n"
    return EXIT.sub(ending, text)


def filled(readme: str) -> str:
    """The README with every recorded output in its place."""

    def fill(match: re.Match[str]) -> str:
        return match[1] + shown((ROOT / "tests" / "golden" / match[2]).read_text()) + match[4]

    return BLOCK.sub(fill, readme)


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
