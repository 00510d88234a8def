"""What the README shows is what was recorded, and what it tells to type works."""

import re

from tests.readme import BLOCK, README, ROOT, filled


def test_every_output_in_the_readme_was_recorded() -> None:
    readme = README.read_text()
    assert filled(readme) == readme
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
