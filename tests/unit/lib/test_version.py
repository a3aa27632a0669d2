"""The commit of the running code, from the image or the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.lib import version

HASH = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ``.git`` folder of a checkout, on the branch ``main`` without commits."""
    monkeypatch.delenv("CHURCH_COMMIT", raising=False)
    monkeypatch.setattr(version, "_ROOT", tmp_path)
    folder = tmp_path / ".git"
    (folder / "refs/heads").mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


def test_commit_of_an_image_is_the_given_one(git: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURCH_COMMIT", HASH + "more")
    assert version._commit() == HASH


def test_commit_of_a_branch_is_its_newest(git: Path) -> None:
    (git / "refs/heads/main").write_text(HASH + "\n")
    assert version._commit() == HASH[:12]


def test_commit_of_a_packed_branch_is_found(git: Path) -> None:
    (git / "packed-refs").write_text(f"# pack-refs with: peeled\n{'f' * 40} refs/heads/other\n{HASH} refs/heads/main\n")
    assert version._commit() == HASH[:12]


def test_commit_of_a_detached_head_is_the_head(git: Path) -> None:
    (git / "HEAD").write_text(HASH + "\n")
    assert version._commit() == HASH[:12]


def test_commit_without_a_checkout_is_unknown(git: Path) -> None:
    assert version._commit() == "unknown"
    (git / "HEAD").unlink()
    assert version._commit() == "unknown"
