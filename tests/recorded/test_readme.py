"""What the README shows is what was recorded, and what it tells to type works."""

import re
from pathlib import Path

import pytest

from tests.tools.house import INVARIANTS, PACKAGE, TESTS, citations, purposes
from tests.tools.readme import BLOCK, DOCUMENTS, README, ROOT, filled


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_output_and_table_in_a_document_is_made(document: Path) -> None:
    text = document.read_text()
    assert filled(text) == text


def test_every_invariant_is_enforced_and_broken_by_a_test() -> None:
    enforced, tested = citations(PACKAGE), citations(TESTS)
    for name in INVARIANTS:
        if name.startswith("P7"):
            assert enforced.get(name), f"{name} is cited nowhere in the package"
            assert tested.get(name), f"{name} is cited by no test"
    assert set(enforced) | set(tested) <= set(INVARIANTS)


def test_every_room_says_in_one_line_what_it_is_for() -> None:
    for room, purpose in purposes():
        assert 0 < len(purpose) <= 100, room


def test_every_console_block_of_the_readme_was_recorded() -> None:
    readme = README.read_text()
    consoles = re.findall(r"^```console$", readme, re.MULTILINE)
    assert len(consoles) == len(BLOCK.findall(readme)) > 3


def test_the_commands_the_readme_begins_with_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README.read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_error_code_is_in_the_readme() -> None:
    from aeroctl.contract.error_codes import ERROR_CODES

    readme = README.read_text()
    for code, row in ERROR_CODES.items():
        assert f"| `{code}` | {row.domain} | {row.exit} |" in readme
