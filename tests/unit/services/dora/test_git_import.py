"""Deployments read from a git repository, by commits and by tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from church.errors import InvalidError
from church.models.dora import DeploymentKind
from church.services.dora import list_deployments_of_commits, list_deployments_of_tags
from tests.support.delivery_fixture import Repository
from tests.support.programs import needing


@pytest.fixture(scope="module")
@needing("git")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Repository(tmp_path_factory.mktemp("repository")).folder


def test_commits_of_the_main_line_are_deployments_with_what_they_merge(repository: Path) -> None:
    found = list(list_deployments_of_commits(repository, "production", "main", None))
    assert [(len(one.commits), one.kind) for one in found] == [
        (1, DeploymentKind.NORMAL),
        (3, DeploymentKind.NORMAL),  # the merge and its two commits
        (1, DeploymentKind.HOTFIX),  # the revert
    ]
    assert [f"{one.finished_at:%H}" for one in found] == ["22", "01", "02"]  # in UTC
    assert {one.ref for one in found} == {f"git-production-{one.commit}" for one in found}


def test_tags_are_deployments_of_the_commits_since_the_tag_before(repository: Path) -> None:
    found = list(list_deployments_of_tags(repository, "production", "v*", None))
    assert [(one.ref, one.version, len(one.commits)) for one in found] == [
        ("git-production-v1", "v1", 1),
        ("git-production-v2", "v2", 4),
    ]
    assert list(list_deployments_of_tags(repository, "production", "release-*", None)) == []


@pytest.mark.needs("git")
def test_text_with_other_ends_of_lines_is_read_whole(tmp_path: Path) -> None:
    """Python ends a line at each of these; git ends one at a line feed alone."""
    repository = Repository(tmp_path)
    ends = "\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"
    for end in ends:
        repository.commit(f"Fix{end}the page{end}")
    repository.commit(f"revert {ends} all\r\n\r\nA text")
    repository.git("tag", "v3\u2028\x85")
    found = list(list_deployments_of_commits(tmp_path, "production", "main", None))
    assert len(found) == 3 + len(ends) + 1
    assert found[-1].kind is DeploymentKind.HOTFIX  # its subject is read to the end
    tags = list(list_deployments_of_tags(tmp_path, "production", "v*", None))
    assert [(one.version, len(one.commits)) for one in tags] == [("v1", 1), ("v2", 4), ("v3\u2028\x85", 11)]


@pytest.mark.needs("git")
def test_repository_with_other_settings_is_read_the_same(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    for name, value in (("log.showSignature", "true"), ("i18n.logOutputEncoding", "UTF-16"), ("color.ui", "always")):
        repository.git("config", name, value)
    assert len(list(list_deployments_of_commits(tmp_path, "production", "main", None))) == 3


@pytest.mark.parametrize(("since", "commits", "tags"), [("2024-03-04", 2, 1), ("2024-03-05", 0, 0)])
def test_since_leaves_out_what_is_older(repository: Path, since: str, commits: int, tags: int) -> None:
    assert len(list(list_deployments_of_commits(repository, "production", "main", since))) == commits
    found = list(list_deployments_of_tags(repository, "production", "v*", since))
    assert len(found) == tags
    assert all(len(one.commits) == 4 for one in found)  # those of the older tag are not among them


def test_day_that_does_not_exist_is_refused(repository: Path) -> None:
    for read in (list_deployments_of_commits, list_deployments_of_tags):
        with pytest.raises(InvalidError, match="2024-02-30 is not a day"):
            list(read(repository, "production", "main", "2024-02-30"))


def test_unknown_branch_or_folder_has_the_reason_of_git(repository: Path, tmp_path: Path) -> None:
    for folder, branch in ((repository, "nowhere"), (tmp_path, "main"), (repository, "--output=x")):
        with pytest.raises(InvalidError, match=r"^fatal: "):
            list(list_deployments_of_commits(folder, "production", branch, None))
    assert not (repository / "x").exists()


def test_git_that_is_not_installed_is_reported(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidError, match="git is not installed"):
        list(list_deployments_of_commits(repository, "production", "main", None))
