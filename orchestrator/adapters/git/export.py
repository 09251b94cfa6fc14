"""A commit's files, written to a folder of this machine: only below it, and through no link."""

import asyncio
import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.adapters.git.repository import Content, Entry, Repository
from orchestrator.runtime import fence
from orchestrator.runtime.concurrency import in_thread


def below(root: str, entries: Sequence[Entry]) -> list[Entry]:
    """What lies below a folder, with paths relative to it."""
    prefix = f"{root}/" if root else ""
    return [replace(entry, path=entry.path[len(prefix) :]) for entry in entries if entry.path.startswith(prefix)]


async def whole(repository: Repository, entries: Sequence[Entry]) -> dict[str, bytes]:
    async with repository.reading(entries) as content:
        return {entry.path: await _joined(content(entry)) for entry in entries}


async def _joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


# Files on this machine


async def export(repository: Repository, entries: Sequence[Entry], target: Path) -> None:
    """Write beside the target, then rename. An entry without a path is the target itself."""
    scratch = _scratch(target)
    try:
        made = scratch / "export"
        files = [entry for entry in entries if entry.is_file]
        links = [entry for entry in entries if entry.is_link]
        async with repository.reading([*files, *links]) as content:
            for entry in files:
                await _write_file(content, entry, made)
            for entry in links:  # last: nothing is ever written through one
                await _write_link(content, entry, made)
        await in_thread(_put, made, target)
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _scratch(target: Path) -> Path:
    """Not in a thread: a cancelled task would not know what the thread made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=".export-", dir=target.parent))


async def _write_file(content: Content, entry: Entry, root: Path) -> None:
    path = root / entry.path
    handle = await asyncio.to_thread(_create, path, root.parent)
    with contextlib.closing(handle):
        async for chunk in content(entry):
            await asyncio.to_thread(handle.write, chunk)
    await asyncio.to_thread(path.chmod, 0o777 if entry.is_executable else 0o666)


def _create(path: Path, above: Path) -> io.BufferedWriter:
    _open_folder(path.parent, above)
    return path.open("xb")


async def _write_link(content: Content, entry: Entry, root: Path) -> None:
    link = os.fsdecode(await _joined(content(entry)))
    if entry.path and _stays_inside(entry.path, link):
        await asyncio.to_thread(_link, root / entry.path, link, root.parent)


def _link(path: Path, link: str, above: Path) -> None:
    _open_folder(path.parent, above)
    path.symlink_to(link)


def _open_folder(folder: Path, above: Path) -> None:
    """Make a folder, and those on the way to it from `above`, open for everybody whatever the umask is."""
    if folder != above and not folder.is_dir():
        _open_folder(folder.parent, above)
        folder.mkdir()
        folder.chmod(0o777)


def _stays_inside(path: str, link: str) -> bool:
    """Steps up come first and are no more than the link is deep: a step up after another link may lead anywhere."""
    steps = [step for step in link.split("/") if step not in {"", "."}]
    ups = sum(1 for step in steps if step == "..")
    return not link.startswith("/") and steps[:ups] == [".."] * ups and ups <= path.count("/")


def _put(made: Path, target: Path) -> None:
    """Another worker may have been faster; its copy is the same."""
    _open_folder(made if not made.is_file() else made.parent, made.parent)  # a folder of nothing but left-out links
    fence.require()
    try:
        made.rename(target)
    except OSError:
        if not target.exists():
            raise
