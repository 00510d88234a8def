"""Every rule about imports fails when it is broken, in a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("broken")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "aeroctl", root / "aeroctl", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def broken(root: Path) -> list[str]:
    """The names of the rules that do not hold; wide, so that no name is wrapped."""
    environment = os.environ | {"PYTHONPATH": str(root), "COLUMNS": "300"}
    done = subprocess.run(
        [LINT, "--no-cache"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    return [line for line in done.stdout.splitlines() if " BROKEN" in line]


@pytest.mark.parametrize(
    ("file", "imported", "rule"),
    [
        ("views/nodes.py", "aeroctl.output", "Rooms of aeroctl"),
        ("kernel/patroni/keys.py", "aeroctl.kernel.postgres.queries", "Rooms of aerokernel"),
        ("workflows/read.py", "aeroctl.kernel.timing", "Nothing outside kernel/"),
        ("workflows/read.py", "click", "The words of the command line"),
        ("workflows/read.py", "httpx", "HTTP is for"),
        ("kernel/patroni/keys.py", "httpx", "HTTP is for"),
        ("kernel/decide/rules.py", "psycopg", "PostgreSQL's driver"),
        ("views/nodes.py", "rich", "Colours are rich's"),
        ("views/nodes.py", "asyncio", "Pure rooms"),
        ("kernel/prove/judge.py", "aeroctl.kernel.store.etcd", "Pure rooms"),
        ("kernel/decide/rules.py", "aeroctl.kernel.audit.trail", "Pure rooms"),
        ("views/pictures/lanes.py", "aeroctl.views.timeline", "No circles"),
    ],
)
def test_a_forbidden_import_breaks_its_rule(
    copy: Path, file: str, imported: str, rule: str
) -> None:
    path = copy / "aeroctl" / file
    text = path.read_text()
    path.write_text(f"{text}\nimport {imported}\n")
    try:
        assert any(line.startswith(rule) for line in broken(copy))
    finally:
        path.write_text(text)


def test_the_package_keeps_them_all(copy: Path) -> None:
    assert broken(copy) == []
