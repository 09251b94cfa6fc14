"""git's own client against the stand-in: clone, fetch of a SHA, refs of pull requests, access."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.forge import Forge, PullRequest, Repository
from tests.forge.git import git_environment


def git(*arguments: str, folder: Path) -> str:
    # A proxy named in the environment has no business between two local programs.
    environment = git_environment() | {"GIT_CONFIG_GLOBAL": str(folder / ".gitconfig"), "no_proxy": "127.0.0.1"}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def fetch(url: str, wanted: str, folder: Path) -> str:
    git("init", "--quiet", folder=folder)
    git("fetch", "--quiet", "--depth=1", url, wanted, folder=folder)
    return git("rev-parse", "FETCH_HEAD", folder=folder)


def clone_url(forge: Forge, repository: Repository, token: str = "") -> str:
    address = forge.url.replace("//", f"//x-access-token:{token}@") if token else forge.url
    return f"{address}/{repository.full_name}.git"


def test_a_clone_has_the_files_and_what_may_run(forge: Forge, repository: Repository, tmp_path: Path) -> None:
    git("clone", "--quiet", clone_url(forge, repository), "app", folder=tmp_path)
    assert (tmp_path / "app" / "README.md").read_bytes() == b"Hello\n"
    assert os.access(tmp_path / "app" / "bin" / "run.sh", os.X_OK)
    assert not os.access(tmp_path / "app" / "README.md", os.X_OK)


def test_a_repository_is_made_from_a_folder(forge: Forge, tmp_path: Path) -> None:
    (tmp_path / "source" / "deep").mkdir(parents=True)
    (tmp_path / "source" / "deep" / "file.bin").write_bytes(bytes(range(256)))
    repository = forge.create_repository("octo/folder", tmp_path / "source")
    git("clone", "--quiet", clone_url(forge, repository), "copy", folder=tmp_path)
    assert (tmp_path / "copy" / "deep" / "file.bin").read_bytes() == bytes(range(256))


def test_changes_are_laid_over_the_parent(forge: Forge, repository: Repository, tmp_path: Path) -> None:
    sha = forge.commit(repository, "main", {"README.md": None, "new file.txt": b"new"})
    git("clone", "--quiet", clone_url(forge, repository), "app", folder=tmp_path)
    assert git("rev-parse", "HEAD", folder=tmp_path / "app") == sha
    names = git("ls-files", folder=tmp_path / "app").splitlines()
    assert names == ["bin/run.sh", "new file.txt"]


def test_the_ref_of_a_pull_request_follows_its_head(forge: Forge, pull: PullRequest, tmp_path: Path) -> None:
    url = clone_url(forge, pull.repository)
    assert fetch(url, "refs/pull/1/head", tmp_path) == pull.head_sha
    pushed = forge.push(pull, {"feature.txt": b"two\n"})
    assert fetch(url, "refs/pull/1/head", tmp_path) == pushed == pull.head_sha


def test_a_commit_that_was_forced_away_can_still_be_fetched(forge: Forge, pull: PullRequest, tmp_path: Path) -> None:
    before, base = pull.head_sha, pull.base_sha
    after = forge.force_push(pull, {"feature.txt": b"rewritten\n"})
    # The old protocol, because the new one gives any commit by itself and leaves the permission untested.
    git("config", "--global", "protocol.version", "0", folder=tmp_path)
    assert fetch(clone_url(forge, pull.repository), before, tmp_path) == before
    git("fetch", "--quiet", "--unshallow", clone_url(forge, pull.repository), after, folder=tmp_path)
    assert git("rev-parse", f"{after}^", folder=tmp_path) == base


def test_a_pull_request_can_be_forced_back_to_a_commit_that_it_had(forge: Forge, pull: PullRequest) -> None:
    first = pull.head_sha
    forge.push(pull, {"feature.txt": b"two\n"})
    forge.reset(pull, first)
    assert pull.head_sha == forge.tip(pull.repository, "feature") == first
    assert forge.bare(pull.repository).resolve(pull.ref) == first
    assert [delivery.action for delivery in forge.take_deliveries()] == ["opened", "synchronize", "synchronize"]


def test_a_fork_shows_its_head_in_the_base_also_when_it_is_gone(
    forge: Forge, repository: Repository, tmp_path: Path
) -> None:
    fork = forge.create_fork(repository, "mallory")
    sha = forge.commit(fork, "evil", {"evil.txt": b"?"})
    pull = forge.open_pull(repository, "evil", author="mallory", head_repository=fork)
    pushed = forge.push(pull, {"evil.txt": b"!"})
    forge.delete_repository(fork)
    assert fetch(clone_url(forge, repository), "refs/pull/1/head", tmp_path) == pushed
    assert fetch(clone_url(forge, repository), sha, tmp_path) == sha
    with pytest.raises(subprocess.CalledProcessError):
        fetch(clone_url(forge, fork), "HEAD", tmp_path)


def test_a_private_repository_wants_a_token(forge: Forge, tmp_path: Path) -> None:
    repository = forge.create_repository("octo/secret", {"a": b"a"}, private=True)
    sha = forge.tip(repository, "main")
    for token in ("", "ghs_wrong"):
        with pytest.raises(subprocess.CalledProcessError):
            fetch(clone_url(forge, repository, token), "HEAD", tmp_path)
    assert fetch(clone_url(forge, repository, forge.token), "HEAD", tmp_path) == sha


def test_a_bearer_token_opens_a_private_repository_too(forge: Forge, tmp_path: Path) -> None:
    repository = forge.create_repository("octo/secret", {"a": b"a"}, private=True)
    header = f"http.extraHeader=Authorization: Bearer {forge.token}"
    git("init", "--quiet", folder=tmp_path)
    git("-c", header, "fetch", "--quiet", clone_url(forge, repository), "main", folder=tmp_path)
    assert git("rev-parse", "FETCH_HEAD", folder=tmp_path) == forge.tip(repository, "main")


def test_nobody_pushes_over_http(forge: Forge, repository: Repository, tmp_path: Path) -> None:
    git("clone", "--quiet", clone_url(forge, repository), "app", folder=tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        git("push", clone_url(forge, repository, forge.token), "HEAD:refs/heads/x", folder=tmp_path / "app")


def test_git_fails_when_it_is_told_to(forge: Forge, repository: Repository, tmp_path: Path) -> None:
    forge.fail_next(status=502, path=".git/")
    with pytest.raises(subprocess.CalledProcessError):
        fetch(clone_url(forge, repository), "HEAD", tmp_path)
    assert fetch(clone_url(forge, repository), "HEAD", tmp_path) == forge.tip(repository, "main")


def test_a_branch_with_an_open_pull_request_is_only_pushed_to(forge: Forge, pull: PullRequest) -> None:
    with pytest.raises(ValueError, match="use push"):
        forge.commit(pull.repository, pull.head_branch, {"a": b"a"})


def test_a_large_file_arrives_whole(forge: Forge, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    repository = forge.create_repository("octo/large", {"large.bin": content})
    git("clone", "--quiet", clone_url(forge, repository), "large", folder=tmp_path)
    assert (tmp_path / "large" / "large.bin").read_bytes() == content
