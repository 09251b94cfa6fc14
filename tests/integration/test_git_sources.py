"""Commits fetched over smart HTTP, honest and hostile ones, and what is made of them."""

import asyncio
import contextlib
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.adapters.git import sources as sources_module
from orchestrator.adapters.git.files import READ_LIMIT
from orchestrator.adapters.git.sources import GitSources, SourceLimits
from orchestrator.ports.sources import BuildContext
from orchestrator.preview.errors import (
    AuthorError,
    BuildError,
    ComposeError,
    ForgeUnavailable,
    LeaseLost,
    OperatorError,
    Superseded,
    TemporaryError,
)
from orchestrator.preview.trust import Pull
from orchestrator.runtime import fence
from orchestrator.runtime.fence import Fence
from tests.support.git_remote import EXECUTABLE, LINK, SUBMODULE, Remote, Tree, served
from tests.support.wait import eventually

REPOSITORY = 812
TOKEN = "ghs_very-secret"
COMMITTED = 1_700_000_000


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Remote]:
    with served(tmp_path / "remote") as remote:
        yield remote


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sources"


@pytest.fixture
def sources(root: Path) -> GitSources:
    return GitSources(root)


def pull(remote: Remote, commit: str, number: int = 7) -> Pull:
    return Pull(
        repository=REPOSITORY,
        repository_name="acme/app",
        clone_url=remote.url,
        number=number,
        open=True,
        draft=False,
        title="t",
        author="ann",
        author_is_bot=False,
        head_commit=commit,
        head_branch="b",
        head_repository=REPOSITORY,
        base_branch="main",
    )


async def fetched(sources: GitSources, remote: Remote, tree: Tree, number: int = 7) -> str:
    commit = remote.commit(tree, f"refs/pull/{number}/head")
    await sources.fetch(pull(remote, commit, number), "")
    return commit


async def contents(context: BuildContext) -> dict[str, bytes]:
    """What a reader of the context gets for each file, and where each link leads."""
    found = {entry.path: os.fsencode(entry.link) for entry in context.entries if stat.S_ISLNK(entry.mode)}
    async with context.reading() as content:
        for entry in context.entries:
            if stat.S_ISREG(entry.mode):
                found[entry.path] = b"".join([chunk async for chunk in content(entry)])
                assert len(found[entry.path]) == entry.size
    return found


async def packed(sources: GitSources, commit: str, root: str = "", dockerfile: str = "Dockerfile") -> set[str]:
    """The files and links of a context."""
    context = await sources.context(REPOSITORY, commit, root, dockerfile)
    return {entry.path for entry in context.entries if not stat.S_ISDIR(entry.mode)}


# Fetching


async def test_a_commit_is_fetched_once(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, {"a.txt": b"1"})
    asked = len(remote.requests)
    await sources.fetch(pull(remote, commit), "")
    assert len(remote.requests) == asked
    assert await sources.read(REPOSITORY, commit, ["a.txt"]) == {"a.txt": b"1"}


async def test_a_push_and_a_force_push_are_followed(sources: GitSources, remote: Remote) -> None:
    for content in (b"1", b"2", b"1"):
        commit = await fetched(sources, remote, {"a.txt": content})
        assert await sources.read(REPOSITORY, commit, ["a.txt"]) == {"a.txt": content}


async def test_a_head_that_moved_on_is_superseded(sources: GitSources, remote: Remote) -> None:
    old = remote.commit({"a": b"1"})
    remote.commit({"a": b"2"})
    with pytest.raises(Superseded, match="moved on"):
        await sources.fetch(pull(remote, old), "")
    with pytest.raises(TemporaryError):
        await sources.paths(REPOSITORY, old)


async def test_a_head_that_is_gone_is_superseded(sources: GitSources, remote: Remote) -> None:
    commit = remote.commit({"a": b"1"})
    remote.git("update-ref", "-d", "refs/pull/7/head")
    with pytest.raises(Superseded):
        await sources.fetch(pull(remote, commit), "")


async def test_the_token_opens_and_is_kept_nowhere(sources: GitSources, remote: Remote, root: Path) -> None:
    commit = remote.commit({"a": b"1"})
    remote.token = TOKEN
    await sources.fetch(pull(remote, commit), TOKEN)
    assert TOKEN.encode() not in b"".join(_contents(root))


async def test_the_token_is_in_no_argument(sources: GitSources, remote: Remote) -> None:
    commit = remote.commit({"a": b"1"})
    remote.token, remote.delay = TOKEN, 0.5
    task = asyncio.create_task(sources.fetch(pull(remote, commit), TOKEN))

    async def running() -> list[bytes]:
        return [line for line in _command_lines() if b"fetch" in line and remote.url.encode() in line]

    lines = await eventually(running, "git fetch runs")
    assert not any(TOKEN.encode() in line for line in [*lines, *_command_lines()])
    await task


async def test_the_token_goes_to_the_forge_alone(sources: GitSources, remote: Remote, tmp_path: Path) -> None:
    """A forge that sends git elsewhere, or somebody in its place, does not get our token sent there."""
    with served(tmp_path / "elsewhere") as elsewhere:
        commit = elsewhere.commit({"a": b"1"})
        remote.redirect = elsewhere.url.removesuffix("/repo.git")
        with pytest.raises(OperatorError, match="another place") as raised:
            await sources.fetch(pull(remote, commit), TOKEN)
        assert raised.value.remedy
        assert remote.requests
        assert not elsewhere.requests


def _contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _command_lines() -> list[bytes]:
    return list(_running().values())


def _running() -> dict[int, bytes]:
    """Every process of this machine, and its command line."""
    lines = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            lines[int(path.parent.name)] = path.read_bytes()
    return lines


def _gits(root: Path) -> list[int]:
    """Those that work on these repositories."""
    return [process for process, line in _running().items() if os.fsencode(root) in line]


@pytest.mark.parametrize("token", ["", "wrong-token"])
async def test_a_refused_token_is_the_operators(sources: GitSources, remote: Remote, token: str) -> None:
    commit = remote.commit({"a": b"1"})
    remote.token = TOKEN
    with pytest.raises(OperatorError) as raised:
        await sources.fetch(pull(remote, commit), token)
    assert raised.value.remedy
    assert not token or token not in str(raised.value)


@pytest.mark.parametrize("status", [403, 404])
async def test_a_repository_that_we_may_not_read(sources: GitSources, remote: Remote, status: int) -> None:
    commit = remote.commit({"a": b"1"})
    remote.status = status
    with pytest.raises(OperatorError, match="acme/app"):
        await sources.fetch(pull(remote, commit), TOKEN)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_forge_in_trouble_is_tried_again(sources: GitSources, remote: Remote, status: int) -> None:
    commit = remote.commit({"a": b"1"})
    remote.status = status
    with pytest.raises(ForgeUnavailable):
        await sources.fetch(pull(remote, commit), TOKEN)
    remote.status = 0
    await sources.fetch(pull(remote, commit), TOKEN)


async def test_a_forge_that_is_not_there(sources: GitSources, remote: Remote) -> None:
    remote.url = "http://127.0.0.1:9/acme/app.git"
    with pytest.raises(ForgeUnavailable, match="acme/app"):
        await sources.fetch(pull(remote, "0" * 40), TOKEN)


async def test_a_forge_that_does_not_answer(root: Path, remote: Remote) -> None:
    commit = remote.commit({"a": b"1"})
    remote.delay = 5
    with pytest.raises(ForgeUnavailable, match=r"0\.3 s"):
        await GitSources(root, SourceLimits(seconds=0.3)).fetch(pull(remote, commit), "")
    assert not [line for line in _command_lines() if remote.url.encode() in line], "nothing of git is left"


async def test_a_cancelled_fetch_leaves_nothing_that_hinders(sources: GitSources, remote: Remote) -> None:
    commit = remote.commit({"a": b"1"})
    remote.delay = 1
    task = asyncio.create_task(sources.fetch(pull(remote, commit), ""))

    async def asked() -> bool:
        return bool(remote.requests)

    await eventually(asked, "the forge is asked")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [line for line in _command_lines() if remote.url.encode() in line]
    remote.delay = 0
    await sources.fetch(pull(remote, commit), "")


async def test_locks_of_a_killed_git_are_swept(sources: GitSources, remote: Remote, root: Path) -> None:
    await fetched(sources, remote, {"a": b"1"})
    bare = root / f"{REPOSITORY}.git"
    left = [bare / "shallow.lock", bare / "refs" / "incoming" / "7.lock", bare / "objects" / "pack" / "tmp_pack_x"]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    await fetched(sources, remote, {"a": b"2"})
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize("url", ["file:///etc", "ssh://git@127.0.0.1/x", "ext::touch PWNED", "/etc"])
async def test_only_http_is_fetched(sources: GitSources, remote: Remote, tmp_path: Path, url: str) -> None:
    pwned = tmp_path / "pwned"
    remote.url = url.replace("PWNED", str(pwned))
    with pytest.raises(OperatorError):
        await sources.fetch(pull(remote, "0" * 40), "")
    assert not pwned.exists()


async def test_too_many_files(root: Path, remote: Remote) -> None:
    sources = GitSources(root, SourceLimits(entries=10))
    await fetched(sources, remote, {f"f{n}": b"" for n in range(10)})
    with pytest.raises(AuthorError, match="10 files"):
        await fetched(sources, remote, {f"f{n}": b"" for n in range(11)})


async def test_files_that_are_larger_than_they_look(root: Path, remote: Remote) -> None:
    sources = GitSources(root, SourceLimits(octets=1_000_000))
    with pytest.raises(AuthorError, match="octets"):
        await fetched(sources, remote, {f"f{n}": bytes(200_000) for n in range(6)})


async def test_a_pack_beyond_the_limit(root: Path, remote: Remote) -> None:
    sources = GitSources(root, SourceLimits(octets=1_000_000))
    with pytest.raises(AuthorError, match="larger than"):
        await fetched(sources, remote, {"noise": os.urandom(3_000_000)})


async def test_fetches_of_one_repository_wait_for_each_other(root: Path, remote: Remote) -> None:
    """Two GitSources stand for two workers, which share no lock in memory."""
    commits = {number: remote.commit({"a": b"%d" % number}, f"refs/pull/{number}/head") for number in range(1, 9)}
    workers = [GitSources(root), GitSources(root)]
    await asyncio.gather(*(workers[n % 2].fetch(pull(remote, commit, n), "") for n, commit in commits.items()))
    for number, commit in commits.items():
        assert await workers[0].read(REPOSITORY, commit, ["a"]) == {"a": b"%d" % number}


async def test_removing_the_last_pull_request_removes_the_repository(
    sources: GitSources, remote: Remote, root: Path
) -> None:
    commits = [await fetched(sources, remote, {"a": b"%d" % number}, number) for number in (1, 2)]
    kept = {(found.repository, found.number) for found in await sources.kept()}
    assert kept == {(REPOSITORY, 1), (REPOSITORY, 2)}
    await sources.remove(REPOSITORY, 1)
    assert [found.number for found in await sources.kept()] == [2]
    assert await sources.paths(REPOSITORY, commits[1]) == ["a"]
    await sources.remove(REPOSITORY, 2)
    assert _names(root) == []
    await sources.remove(REPOSITORY, 2)
    assert _names(root) == []
    with pytest.raises(TemporaryError):
        await sources.paths(REPOSITORY, commits[1])


# Reading

HOSTILE: dict[str, bytes | tuple[str, bytes]] = {
    "Dockerfile": b"FROM scratch\n",
    "app/run.sh": (EXECUTABLE, b"#!/bin/sh\n"),
    "app/deep/er/file.txt": b"x" * 1000,
    "link": (LINK, b"Dockerfile"),
    "passwd": (LINK, b"/etc/passwd"),
    "app/up": (LINK, b"../../../etc/shadow"),
    "folder": (LINK, b"app"),
    ".gitattributes": b"secret.txt export-ignore\n*.txt filter=evil text eol=crlf ident\n*.c export-subst\n",
    "secret.txt": b"$Id$\n",
    "version.c": b"$Format:%H$\n",
    ".gitmodules": b'[submodule "lib"]\n\tpath = lib\n\turl = https://example.com/lib\n',
    "lib": (SUBMODULE, b"1" * 40),
    "n" * 200 + "/" + "m" * 250: b"long",
    'line\nbreak \\ "quoted" \ttab': b"odd",
    "not-utf8-\udcff": b"latin",
    "-rf": b"dash",
    ":(glob)*": b"magic",
    "empty": b"",
}


async def test_paths_of_a_hostile_commit(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, HOSTILE)
    assert set(await sources.paths(REPOSITORY, commit)) == set(HOSTILE) - {"lib"}


async def test_only_regular_files_are_read(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, HOSTILE | {"large": bytes(READ_LIMIT + 1), "most": bytes(READ_LIMIT)})
    found = await sources.read(
        REPOSITORY, commit, [*HOSTILE, "large", "most", "none", "app", "", "../x", "folder/run.sh"]
    )
    expected = {path: value for path, value in HOSTILE.items() if isinstance(value, bytes)}
    assert found == expected | {"app/run.sh": b"#!/bin/sh\n", "most": bytes(READ_LIMIT)}


async def test_files_are_the_regular_ones_and_read_when_asked_for(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, HOSTILE | {"large": bytes(READ_LIMIT + 1), "most": bytes(READ_LIMIT)})
    expected = {path: value for path, value in HOSTILE.items() if isinstance(value, bytes)}
    expected |= {"app/run.sh": b"#!/bin/sh\n", "most": bytes(READ_LIMIT)}
    async with await sources.files(REPOSITORY, commit) as files:
        assert set(files) == expected.keys() | {"large"}
        assert {path: await asyncio.to_thread(files.get, path) for path in expected} == expected
        with pytest.raises(ComposeError, match=r"^large: it is larger than 1048576 bytes"):
            files["large"]
        for path in ("link", "passwd", "folder", "folder/run.sh", "lib", "none", "app", "", "../x", "/etc/passwd"):
            assert path not in files
            assert files.get(path) is None


async def test_files_are_read_by_several_threads(sources: GitSources, remote: Remote) -> None:
    tree = {f"f{n}": b"%d" % n * (n * 100) for n in range(100)}
    commit = await fetched(sources, remote, tree)
    async with await sources.files(REPOSITORY, commit) as files:
        assert await asyncio.gather(*(asyncio.to_thread(dict, files) for _ in range(4))) == [tree] * 4


async def test_a_thread_that_waits_for_git_fails_when_the_files_are_closed(
    sources: GitSources, remote: Remote, root: Path
) -> None:
    commit = await fetched(sources, remote, {"a": b"1"})
    async with await sources.files(REPOSITORY, commit) as files:
        turn = cast("Any", files)._objects._turn

        async def waits() -> bool:
            return bool(turn.locked())

        (git,) = _gits(root)
        os.kill(git, signal.SIGSTOP)
        reading = asyncio.create_task(asyncio.to_thread(files.__getitem__, "a"))
        await eventually(waits, "the thread asks git")
        assert not reading.done()
    with pytest.raises(TemporaryError):
        await asyncio.wait_for(reading, 30)
    assert not _gits(root), "no git is left"
    with pytest.raises(TemporaryError):
        files["a"]


async def test_the_files_of_a_task_that_is_cancelled_are_closed(
    sources: GitSources, remote: Remote, root: Path
) -> None:
    commit = await fetched(sources, remote, {"a": b"1"})
    opened = asyncio.Event()

    async def read() -> None:
        async with await sources.files(REPOSITORY, commit):
            opened.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(read())
    await asyncio.wait_for(opened.wait(), 30)
    assert _gits(root)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _gits(root), "no git is left"


async def test_a_git_that_ends_while_files_are_read(sources: GitSources, remote: Remote, root: Path) -> None:
    commit = await fetched(sources, remote, {"a": b"1", "b": b"2"})
    async with await sources.files(REPOSITORY, commit) as files:
        assert files["a"] == b"1"
        os.kill(_gits(root)[0], signal.SIGKILL)
        with pytest.raises(TemporaryError):
            await asyncio.to_thread(files.__getitem__, "b")


async def test_a_file_whose_object_is_lost(sources: GitSources, remote: Remote, root: Path) -> None:
    commit = await fetched(sources, remote, {"a": b"1"})
    opened = await sources.files(REPOSITORY, commit)
    shutil.rmtree(root / f"{REPOSITORY}.git" / "objects")
    (root / f"{REPOSITORY}.git" / "objects").mkdir()
    async with opened as files:
        with pytest.raises(TemporaryError, match="no content"):
            files["a"]


async def test_files_are_opened_under_the_lease(sources: GitSources, remote: Remote, root: Path) -> None:
    commit = await fetched(sources, remote, {"a": b"1"})
    opened = await sources.files(REPOSITORY, commit)
    with fence.under(Fence()), pytest.raises(LeaseLost):
        await opened.__aenter__()
    assert not _gits(root)


async def test_a_context_is_the_commit_and_nothing_else(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, HOSTILE)
    context = await sources.context(REPOSITORY, commit, ".", "Dockerfile")
    expected = {path: value if isinstance(value, tuple) else ("100644", value) for path, value in HOSTILE.items()}
    del expected["lib"]
    assert await contents(context) == {path: content for path, (_, content) in expected.items()}
    modes = {"100644": stat.S_IFREG | 0o644, EXECUTABLE: stat.S_IFREG | 0o755, LINK: stat.S_IFLNK | 0o777}
    folders = dict.fromkeys(["app", "app/deep", "app/deep/er", "n" * 200], stat.S_IFDIR | 0o755)
    assert {entry.path: entry.mode for entry in context.entries} == folders | {
        path: modes[mode] for path, (mode, _) in expected.items()
    }
    assert context.modified == COMMITTED


async def test_a_context_is_in_the_order_of_a_walk(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, {"a-b": b"", "a/z": b"", "a/b/c": b"", "a.b": b"", "é": b"", "z": b""})
    context = await sources.context(REPOSITORY, commit, "", "Dockerfile")
    assert [entry.path for entry in context.entries] == ["a", "a/b", "a/b/c", "a/z", "a-b", "a.b", "z", "é"]


async def test_equal_contexts_have_one_digest(sources: GitSources, remote: Remote) -> None:
    """Whatever the commit, its date and what is ignored."""
    tree: Tree = {"Dockerfile": b"1", "app/run": b"2", ".dockerignore": b"*.md", "link": (LINK, b"app")}
    digests: list[str] = []
    changes: list[Tree] = [
        *({}, {"README.md": b"new"}, {"app/run": b"3"}, {"app/run": (EXECUTABLE, b"2")}, {"link": (LINK, b"apq")}),
        *({"app/more": b""}, {"app/run": b"2"}),
    ]
    for date, change in enumerate(changes, start=COMMITTED):
        commit = remote.commit({**tree, **change}, date=date)
        await sources.fetch(pull(remote, commit), "")
        digests.append((await sources.context(REPOSITORY, commit, "", "Dockerfile")).digest)
    assert digests[0] == digests[1] == digests[-1]
    assert len(set(digests)) == 5


async def test_a_renamed_file_is_another_context(sources: GitSources, remote: Remote) -> None:
    digests = set()
    for path in ("a", "b", "d/a"):
        commit = await fetched(sources, remote, {path: b"1"})
        digests.add((await sources.context(REPOSITORY, commit, "", "Dockerfile")).digest)
    assert len(digests) == 3


async def test_a_date_that_no_archive_can_hold(sources: GitSources, remote: Remote) -> None:
    commit = remote.commit({"Dockerfile": b"1"}, date=1)
    await sources.fetch(pull(remote, commit), "")
    assert (await sources.context(REPOSITORY, commit, "", "Dockerfile")).modified == 315_619_200


async def test_a_context_below_a_folder(sources: GitSources, remote: Remote) -> None:
    tree: Tree = {
        "Dockerfile": b"",
        "back/Dockerfile": b"",
        "back/app/a.py": b"",
        "backup/b": b"",
        "back/.dockerignore": b"app",
        "link": (LINK, b"back"),
        "lib": (SUBMODULE, b"1" * 40),
    }
    commit = await fetched(sources, remote, tree)
    for root in ("back", "./back/", "/back", "back/."):
        assert await packed(sources, commit, root) == {"Dockerfile", ".dockerignore"}
    assert "back/Dockerfile" in await packed(sources, commit, "../../..")


@pytest.mark.parametrize(
    ("folder", "words"),
    [("front", "no folder 'front'"), ("file", "is a file"), ("link", "is a link"), ("lib", "is a submodule")],
)
async def test_what_is_no_folder_to_build_from(sources: GitSources, remote: Remote, folder: str, words: str) -> None:
    tree: Tree = {"file": b"1", "back/a": b"", "link": (LINK, b"back"), "lib": (SUBMODULE, b"1" * 40)}
    commit = await fetched(sources, remote, tree)
    with pytest.raises(BuildError, match=words) as raised:
        await packed(sources, commit, folder)
    assert raised.value.remedy


async def test_the_ignore_file_of_a_dockerfile_comes_first(sources: GitSources, remote: Remote) -> None:
    tree = {
        ".dockerignore": b"*\n!a\n",
        "deploy/prod.Dockerfile": b"",
        "deploy/prod.Dockerfile.dockerignore": b"*\n!b\n",
        "Dockerfile": b"",
        "a": b"",
        "b": b"",
        "app/b": b"",
        "app/c": b"",
    }
    commit = await fetched(sources, remote, tree)
    assert await packed(sources, commit) == {"a"}
    assert await packed(sources, commit, dockerfile="./deploy/prod.Dockerfile") == {"b"}
    assert await packed(sources, commit, "app", "../deploy/prod.Dockerfile") == {"b"}


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("rules", {"b"}),
        ("./sub/../rules", {"b"}),
        ("sub/rules", {"a"}),
        ("hop", {"b"}),
        ("/etc/hostname", {"a", "b"}),
        ("../x/rules", {"a", "b"}),
        (".dockerignore", {"a", "b"}),
        ("sub", {"a", "b"}),
    ],
)
async def test_an_ignore_file_that_is_a_link(sources: GitSources, remote: Remote, target: str, found: set[str]) -> None:
    """It leads to a file of the context, or to nothing: tried with BuildKit."""
    tree: Tree = {
        "x/a": b"",
        "x/b": b"",
        "x/rules": b"a",
        "x/sub/rules": b"b",
        "x/hop": (LINK, b"sub/../rules"),
        "x/.dockerignore": (LINK, target.encode()),
    }
    commit = await fetched(sources, remote, tree)
    assert await packed(sources, commit, "x") & {"a", "b"} == found


async def test_an_ignore_file_that_docker_refuses(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, {"Dockerfile": b"", ".dockerignore": b"a\n[b\n"})
    with pytest.raises(BuildError, match=r"\.dockerignore, line 2: '\[b'"):
        await packed(sources, commit)
    commit = await fetched(sources, remote, {"Dockerfile": b"", ".dockerignore": b"a\n" * 600_000})
    with pytest.raises(BuildError, match="octets"):
        await packed(sources, commit)


@pytest.mark.parametrize("target", [b"", b"x" * 4096, b"a\0b"])
async def test_a_link_that_no_system_takes(sources: GitSources, remote: Remote, target: bytes) -> None:
    commit = await fetched(sources, remote, {"a": b"", "link": (LINK, target)})
    with pytest.raises(BuildError, match="'link' is a symbolic link"):
        await packed(sources, commit)


async def test_files_are_read_in_any_order_and_not_to_their_end(sources: GitSources, remote: Remote) -> None:
    tree = {"big": os.urandom(1_000_000), "empty": b"", "small": b"s"}
    commit = await fetched(sources, remote, tree)
    context = await sources.context(REPOSITORY, commit, "", "Dockerfile")
    entries = {entry.path: entry for entry in context.entries}
    async with context.reading() as content:
        async with contextlib.aclosing(content(entries["big"])) as chunks:  # type: ignore[type-var]
            assert tree["big"].startswith(await anext(chunks))
        for path in ("small", "empty", "big", "small"):
            assert b"".join([chunk async for chunk in content(entries[path])]) == tree[path]


async def test_a_reader_that_leaves_ends_git(sources: GitSources, remote: Remote, root: Path) -> None:
    commit = await fetched(sources, remote, {"big": os.urandom(5_000_000)})
    context = await sources.context(REPOSITORY, commit, "", "Dockerfile")
    async with context.reading() as content:
        assert await anext(content(context.entries[0]))
        assert [line for line in _command_lines() if os.fsencode(root) in line]
    assert not [line for line in _command_lines() if os.fsencode(root) in line], "no git is left"
    assert len((await contents(context))["big"]) == 5_000_000


async def test_an_object_that_is_lost_meanwhile(sources: GitSources, remote: Remote, root: Path) -> None:
    commit = await fetched(sources, remote, {"a": b"1"})
    context = await sources.context(REPOSITORY, commit, "", "Dockerfile")
    shutil.rmtree(root / f"{REPOSITORY}.git" / "objects")
    (root / f"{REPOSITORY}.git" / "objects").mkdir()
    with pytest.raises(TemporaryError):
        await contents(context)


async def test_many_files(sources: GitSources, remote: Remote) -> None:
    tree = {f"d{n % 50}/f{n}": b"%d" % n for n in range(5000)}
    commit = await fetched(sources, remote, tree)
    assert await contents(await sources.context(REPOSITORY, commit, "", "Dockerfile")) == tree


# Writing to this machine


async def test_a_folder_is_exported_for_everybody(sources: GitSources, remote: Remote, tmp_path: Path) -> None:
    tree: Tree = {"conf/a.txt": b"1", "conf/bin/run": (EXECUTABLE, b"2"), "other": b"3"}
    commit = await fetched(sources, remote, tree)
    target = tmp_path / "binds" / "conf"
    assert await sources.export(REPOSITORY, commit, "./conf/", str(target))
    assert {p.relative_to(target).as_posix() for p in target.rglob("*")} == {"a.txt", "bin", "bin/run"}
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (target, target / "bin", target / "a.txt", target / "bin/run")}
    assert list(modes.values()) == [0o777, 0o777, 0o666, 0o777]
    assert [path.name for path in target.parent.iterdir()] == ["conf"], "nothing else is left"


async def test_a_file_is_exported(sources: GitSources, remote: Remote, tmp_path: Path) -> None:
    commit = await fetched(sources, remote, {"conf/nginx.conf": b"1"})
    assert await sources.export(REPOSITORY, commit, "conf/nginx.conf", str(tmp_path / "x" / "n.conf"))
    assert (tmp_path / "x" / "n.conf").read_bytes() == b"1"


async def test_what_containers_wrote_stays(sources: GitSources, remote: Remote, tmp_path: Path) -> None:
    commit = await fetched(sources, remote, {"conf/a": b"1"})
    await sources.export(REPOSITORY, commit, "conf", str(tmp_path / "conf"))
    (tmp_path / "conf" / "a").write_bytes(b"2")
    assert await sources.export(REPOSITORY, commit, "conf", str(tmp_path / "conf"))
    assert (tmp_path / "conf" / "a").read_bytes() == b"2"


@pytest.mark.parametrize("path", ["none", "link", "link/a", "lib", "con"])
async def test_what_the_commit_does_not_have(sources: GitSources, remote: Remote, tmp_path: Path, path: str) -> None:
    tree: Tree = {"conf/a": b"1", "link": (LINK, b"conf"), "lib": (SUBMODULE, b"1" * 40)}
    commit = await fetched(sources, remote, tree)
    assert not await sources.export(REPOSITORY, commit, path, str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


async def test_links_stay_when_they_stay_inside(sources: GitSources, remote: Remote, tmp_path: Path) -> None:
    inside = {"d/l1": b"../a", "l2": b"d", "d/e/l3": b"../../a", "l4": b"d/e", "l5": b"nowhere"}
    outside = {
        "o1": b"/etc",
        "o2": b"..",
        "d/o3": b"../..",
        "d/o4": b"../../x",
        "o5": b"d/../../..",
        "o6": b"d/e/../..",
        "d/o7": b"../l2/../..",
    }
    links = {f"conf/{path}": (LINK, target) for path, target in (inside | outside).items()}
    commit = await fetched(sources, remote, {"conf/a": b"1", "conf/d/e/b": b"2", **links})
    target = tmp_path / "conf"
    assert await sources.export(REPOSITORY, commit, "conf", str(target))
    kept = {p.relative_to(target).as_posix(): bytes(p.readlink()) for p in target.rglob("*") if p.is_symlink()}
    assert kept == inside
    assert all(p.resolve().is_relative_to(target.resolve()) for p in target.rglob("*"))


async def test_a_folder_of_links_that_lead_out_is_empty(sources: GitSources, remote: Remote, tmp_path: Path) -> None:
    commit = await fetched(sources, remote, {"conf/l": (LINK, b"/etc/passwd")})
    assert await sources.export(REPOSITORY, commit, "conf", str(tmp_path / "conf"))
    assert list((tmp_path / "conf").iterdir()) == []


async def test_an_export_that_is_cancelled_leaves_nothing(sources: GitSources, remote: Remote, tmp_path: Path) -> None:
    commit = await fetched(sources, remote, {"conf/a": os.urandom(5_000_000)})
    task = asyncio.create_task(sources.export(REPOSITORY, commit, "conf", str(tmp_path / "x" / "conf")))
    async with asyncio.timeout(10):
        while not (tmp_path / "x").exists():  # noqa: ASYNC110 -- at once, while it still writes
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _names(tmp_path / "x") == []


async def test_the_lock_of_a_worker_that_is_frozen_is_broken_and_that_of_one_at_work_is_not(
    root: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = remote.commit({"a": b"1"}, "refs/pull/7/head")
    path = root / f"{REPOSITORY}.lock"
    held = sources_module._try_lock(path)
    assert held is not None
    later = 0.0
    monkeypatch.setattr(fence, "now", lambda: later)
    waiting = asyncio.create_task(GitSources(root).fetch(pull(remote, commit), TOKEN))
    try:
        await asyncio.sleep(0)
        inode = path.stat().st_ino
        later = SourceLimits().seconds
        await asyncio.sleep(2 * sources_module.LOCK_POLL_SECONDS)
        assert path.stat().st_ino == inode, "it may be at work"
        later += sources_module.FROZEN_SECONDS + 1
        await asyncio.wait_for(waiting, 30)
    finally:
        waiting.cancel()
        os.close(held)
    assert await GitSources(root).read(REPOSITORY, commit, ["a"]) == {"a": b"1"}
