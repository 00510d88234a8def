"""The version of a build: with its commit where that is known, and without git too."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from aeroctl import __version__, version
from aeroctl.kernel.cli import aerokernel
from tests.support.harness import run


def test_a_build_tells_the_commit_it_was_built_from(monkeypatch: pytest.MonkeyPatch) -> None:
    build = ModuleType("aeroctl._build")
    build.BUILD = "g1a2b3c4d"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "aeroctl._build", build)
    assert version.version() == f"{__version__}+g1a2b3c4d"


def test_what_is_no_checkout_has_no_commit(tmp_path: Path) -> None:
    assert version.checked_out(tmp_path) is None


@pytest.mark.process
def test_a_checkout_that_git_can_not_read_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").write_text("nonsense")
    assert version.checked_out(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert version.checked_out(tmp_path) is None


def test_both_programs_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "version", lambda: "1.2.3+g0")
    assert run("--version").out == "aeroctl 1.2.3+g0\n"
    done = CliRunner().invoke(aerokernel, ["--version"], prog_name="aerokernel")
    assert done.output == "aerokernel 1.2.3+g0\n"
