"""Commits fetched over smart HTTP, honest and hostile ones, and what is made of them."""

import asyncio
import io
import os
import stat
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.adapters.git import READ_LIMIT, GitSources, SourceLimits
from orchestrator.errors import AuthorError, BuildError, ForgeUnavailable, OperatorError, Superseded, TemporaryError
from orchestrator.policy import Pull
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


async def archive(chunks: AsyncIterator[bytes]) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    data = b"".join([chunk async for chunk in chunks])
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape", encoding="utf-8") as tar:
        members = tar.getmembers()
        contents = {m.name: (m, handle.read() if (handle := _handle(tar, m)) else b"") for m in members}
    assert len(contents) == len(members), "no path twice"
    return contents


def _handle(tar: tarfile.TarFile, member: tarfile.TarInfo) -> "tarfile.ExFileObject | io.BufferedIOBase | None":
    return tar.extractfile(member) if member.isreg() else None  # type: ignore[return-value]


async def packed(sources: GitSources, commit: str, root: str = "", dockerfile: str = "Dockerfile") -> set[str]:
    found = await archive(sources.context(REPOSITORY, commit, root, dockerfile))
    return {name for name, (member, _) in found.items() if not member.isdir()}


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


def _contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _command_lines() -> list[bytes]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes())
        except OSError:
            continue  # it ended meanwhile
    return lines


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
    await sources.remove(REPOSITORY, 1)
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


async def test_a_context_is_the_commit_and_nothing_else(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, HOSTILE)
    found = await archive(sources.context(REPOSITORY, commit, ".", "Dockerfile"))
    for path, value in HOSTILE.items():
        mode, content = value if isinstance(value, tuple) else ("100644", value)
        member, packed_content = found[path]
        assert member.mtime == COMMITTED
        match mode:
            case "120000":
                assert member.issym()
                assert os.fsencode(member.linkname) == content
            case "160000":
                assert member.isdir()
            case _:
                assert packed_content == content, "no attribute of the author takes effect"
                assert member.mode == int(mode[3:], 8)
    folders = {path for path, (member, _) in found.items() if member.isdir()}
    assert folders == {"app", "app/deep", "app/deep/er", "lib", "n" * 200}
    assert next(name for name in found if name.startswith("app")) == "app", "a folder comes before what is in it"


async def test_the_same_commit_gives_the_same_context(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, HOSTILE)
    first, second = [
        b"".join([chunk async for chunk in sources.context(REPOSITORY, commit, "", "Dockerfile")]) for _ in range(2)
    ]
    assert first == second
    assert b"PaxHeader" not in first


async def test_a_date_that_no_archive_can_hold(sources: GitSources, remote: Remote) -> None:
    commit = remote.commit({"Dockerfile": b"1"}, date=1)
    await sources.fetch(pull(remote, commit), "")
    found = await archive(sources.context(REPOSITORY, commit, "", "Dockerfile"))
    assert found["Dockerfile"][0].mtime == 315_619_200


async def test_a_context_below_a_folder(sources: GitSources, remote: Remote) -> None:
    tree = {
        "Dockerfile": b"",
        "back/Dockerfile": b"",
        "back/app/a.py": b"",
        "backup/b": b"",
        "back/.dockerignore": b"app",
    }
    commit = await fetched(sources, remote, tree)
    for root in ("back", "./back/", "/back", "back/."):
        assert await packed(sources, commit, root) == {"Dockerfile", ".dockerignore"}
    with pytest.raises(BuildError, match="no folder 'front'"):
        await packed(sources, commit, "front")
    assert "back/Dockerfile" in await packed(sources, commit, "../../..")


async def test_the_ignore_file_of_a_dockerfile_comes_first(sources: GitSources, remote: Remote) -> None:
    tree = {
        ".dockerignore": b"*\n!a\n",
        "deploy/prod.Dockerfile": b"",
        "deploy/prod.Dockerfile.dockerignore": b"*\n!b\n",
        "Dockerfile": b"",
        "a": b"",
        "b": b"",
    }
    commit = await fetched(sources, remote, tree)
    assert await packed(sources, commit) == {"a", "Dockerfile", ".dockerignore"}
    expected = {"b", "deploy/prod.Dockerfile", ".dockerignore"}
    assert await packed(sources, commit, dockerfile="./deploy/prod.Dockerfile") == expected


async def test_an_ignore_file_that_is_a_link_or_wrong(sources: GitSources, remote: Remote) -> None:
    commit = await fetched(sources, remote, {"Dockerfile": b"", "x": b"*", ".dockerignore": (LINK, b"x")})
    assert await packed(sources, commit) == {"Dockerfile", "x", ".dockerignore"}
    commit = await fetched(sources, remote, {"Dockerfile": b"", ".dockerignore": b"a\n[b\n"})
    with pytest.raises(BuildError, match=r"\.dockerignore, line 2: '\[b'"):
        await packed(sources, commit)


async def test_a_large_context_that_nobody_reads_to_its_end(sources: GitSources, remote: Remote, root: Path) -> None:
    commit = await fetched(sources, remote, {"Dockerfile": b"", "big": os.urandom(5_000_000)})
    context = sources.context(REPOSITORY, commit, "", "Dockerfile")
    assert await anext(context)
    await context.aclose()
    assert not [line for line in _command_lines() if os.fsencode(root) in line], "no git is left"
    found = await archive(sources.context(REPOSITORY, commit, "", "Dockerfile"))
    assert len(found["big"][1]) == 5_000_000


async def test_many_files(sources: GitSources, remote: Remote) -> None:
    tree = {f"d{n % 50}/f{n}": b"%d" % n for n in range(5000)}
    commit = await fetched(sources, remote, tree)
    found = await archive(sources.context(REPOSITORY, commit, "", "Dockerfile"))
    assert {path: content for path, (member, content) in found.items() if member.isreg()} == tree


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
