"""Who is calling: never guessed (P7-A1)."""

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from aeroctl.kernel import callers
from aeroctl.kernel.cli import aerokernel

DIGEST = "0" * 64


def file(directory: Path, text: str) -> Path:
    path = directory / "tokens"
    path.write_text(text, encoding="utf-8")
    return path


def test_callers(tmp_path: Path) -> None:
    lines = [callers.line_of("ann@example.org", "operator", "one"), "", "# gone: bob"]
    known = callers.load(file(tmp_path, "\n".join([*lines, callers.line_of("a", "auditor", "2")])))
    assert callers.find(known, "one") == callers.Caller("ann@example.org", "operator")
    assert callers.find(known, "2") == callers.Caller("a", "auditor")
    assert callers.find(known, "three") is None
    assert callers.find(known, "") is None


@pytest.mark.parametrize(
    "line",
    [
        "ann operator",
        f"ann operator {DIGEST}",
        f"ann operator md5:{DIGEST}",
        f"ann Operator sha256:{DIGEST}",
        f"ann root sha256:{DIGEST}",
        f"ann operator sha256:{DIGEST[1:]}",
        f"ann operator sha256:{'A' * 64}",
        f"ann  operator sha256:{DIGEST}",
        f"ann lee operator sha256:{DIGEST}",
        f"änn operator sha256:{DIGEST}",
        f"ann operator sha256:{DIGEST} # mine",
        f"ann operator sha256:{DIGEST}\nbob auditor sha256:{DIGEST}",
        f"anonymous operator sha256:{DIGEST}",
        f"anonymous observer sha256:{DIGEST}",
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(callers.TokenFileError, match="line"):
        callers.load(file(tmp_path, line))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(callers.TokenFileError):
        callers.load(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(callers.TokenFileError):
        callers.load(tmp_path / "binary")


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_only_a_newline_ends_a_line(tmp_path: Path, end: str) -> None:
    lines = [callers.line_of("ann", "operator", "one"), callers.line_of("bob", "auditor", "two")]
    with pytest.raises(callers.TokenFileError, match="line 1"):
        callers.load(file(tmp_path, end.join(lines)))
    assert callers.load(file(tmp_path, f"# ann{end}{lines[0]}\n")) == {}


@given(identity=st.text(), authority=st.sampled_from(callers.AUTHORITIES), token=st.text())
def test_a_line_is_read_back_as_it_was_meant(
    identity: str, authority: callers.Authority, token: str
) -> None:
    try:
        line = callers.line_of(identity, authority, token)
    except ValueError:
        return
    assert "\n" not in line
    match = callers.LINE.fullmatch(line)
    assert match is not None
    assert (match["identity"], match["authority"]) == (identity, authority)


def test_the_command_makes_a_token_that_works(tmp_path: Path) -> None:
    path = tmp_path / "ann"
    run = CliRunner().invoke(aerokernel, ["token", "ann", "operator", "--write", str(path)])
    assert run.exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    secret = path.read_text().strip()
    assert run.stdout == f"ann operator sha256:{hashlib.sha256(secret.encode()).hexdigest()}\n"
    assert secret not in run.output
    known = callers.load(file(tmp_path, run.stdout))
    assert callers.find(known, secret) == callers.Caller("ann", "operator")


@pytest.mark.parametrize(
    "arguments",
    [["ann", "root"], ["an n", "operator"], ["", "operator"], ["anonymous", "operator"]],
)
def test_the_command_refuses(tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "new"
    run = CliRunner().invoke(aerokernel, ["token", *arguments, "--write", str(path)])
    assert run.exit_code == 2
    assert not path.exists()


def test_the_command_overwrites_nothing(tmp_path: Path) -> None:
    path = file(tmp_path, "mine")
    run = CliRunner().invoke(aerokernel, ["token", "ann", "operator", "--write", str(path)])
    assert (run.exit_code, path.read_text()) == (2, "mine")
    assert "File exists" in run.stderr
