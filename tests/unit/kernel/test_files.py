"""Files that hold secrets, or say who is who."""

import os
from pathlib import Path

import pytest

from aeroctl.kernel import files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("hunter2\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_what_is_ours_alone(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert files.secret(file) == "hunter2"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o660, 0o666, 0o644, 0o610])
def test_what_others_may_read_or_write(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(files.FileError, match=f"{file}.*chmod 600"):
        files.read(file)


def test_what_everybody_may_exchange(file: Path) -> None:
    file.parent.chmod(0o777)
    with pytest.raises(files.FileError, match="directory"):
        files.read(file)
    file.parent.chmod(0o1777)
    assert files.read(file)


def test_a_link_that_everybody_may_exchange(file: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    link = shared / "link"
    link.symlink_to(file)
    assert files.read(link)
    shared.chmod(0o777)
    with pytest.raises(files.FileError, match="directory"):
        files.read(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_somebody_else(file: Path) -> None:
    os.chown(file, 65534, 65534)
    with pytest.raises(files.FileError, match="its owner is user 65534"):
        files.read(file)


@pytest.mark.parametrize("roots", [True, False])
def test_the_group_may_read_what_is_roots(roots: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 500)
    file = os.stat_result((0o100640, 1, 1, 1, 0 if roots else 500, 20, 7, 0, 0, 0))
    directory = os.stat_result((0o040755, 1, 1, 1, 0, 0, 0, 0, 0, 0))
    assert (files._problem(file, [directory]) is None) is roots


def test_no_file_at_all(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path in (tmp_path / "none", tmp_path, tmp_path / "fifo"):
        with pytest.raises(files.FileError, match=str(path)):
            files.read(path)


def test_what_is_refused_is_closed(tmp_path: Path) -> None:
    """A server reads its token file for every request, also when it has become a directory."""
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        with pytest.raises(files.FileError):
            files.read(tmp_path)
    assert len(list(descriptors.iterdir())) == before


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"hunter2", "hunter2"),
        (b" a b \n", " a b "),
        (b"a\r\n", "a"),
        ("ü\u2028".encode(), "ü\u2028"),
    ],
)
def test_a_password_is_one_line(file: Path, content: bytes, password: str) -> None:
    file.write_bytes(content)
    assert files.secret(file) == password


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"a\n\n", b"a\0b", b"\xff"])
def test_what_is_no_password(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(files.FileError):
        files.secret(file)
