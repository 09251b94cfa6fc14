"""Run every benchmark, print the table, write `bench.json`."""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console

from tests.bench import figures
from tests.bench.acknowledge import acknowledge
from tests.bench.compose_peer import ComposePeer
from tests.bench.figures import Figure
from tests.bench.stacks import stacks
from tests.forge import Forge, PullRequest, Repository
from tests.forge.git import read_tree
from tests.support.installation import EXAMPLE, ROOT, Installation
from tests.support.stand_in_images import stand_in

PAIRS = int(os.environ.get("PAIRS", "5"))
OUTPUT = ROOT / "bench.json"


async def main() -> None:
    console = Console(highlight=False)
    with Forge() as forge:
        async with Installation(forge) as previewd:
            console.print(f"{PAIRS} pairs of a whole preview against Compose, warm caches, in turn …")
            measured = [*await _previews(forge, previewd), *_memory(previewd)]
        console.print("acknowledging webhooks against a bare route …")
    measured += await acknowledge()
    console.print("stacks of 1, 2, 5 and 12 services, and reading a long file …")
    measured += await stacks()
    figures.show(measured, console)
    figures.write(measured, OUTPUT)
    console.print(f"written to {OUTPUT.relative_to(ROOT)}")


async def _previews(forge: Forge, previewd: Installation) -> list[Figure]:
    """Open and close the same change, by us and by Compose, in turn. The first round warms both and is not counted."""
    local = {path: data for path, data in read_tree(EXAMPLE).items() if path != "docker-compose.preview.yml"}
    repository = forge.create_repository("acme/shop", local)
    forge.set_permission(repository, "ada", "write")
    live: list[tuple[float, float]] = []
    gone: list[tuple[float, float]] = []
    with stand_in("postgres") as image, tempfile.TemporaryDirectory() as folder:
        peer = ComposePeer(Path(folder) / "checkout", f"{forge.url}/{repository.full_name}.git", image)
        try:
            for round_ in range(PAIRS + 1):
                ours, theirs = await _one_pair(forge, previewd, repository, peer, round_)
                live.append((ours[0], theirs[0]))
                gone.append((ours[1], theirs[1]))
        finally:
            peer.clean()
    return [
        _paired("webhook → live", live[1:], "git fetch + compose up -d --build --wait", "≤ 0.5 ×"),
        _paired("close → gone", gone[1:], "compose down -v -t 0", "≤ 1.0 ×"),
    ]


async def _one_pair(
    forge: Forge, previewd: Installation, repository: Repository, peer: ComposePeer, round_: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    branch = f"change-{round_}"
    forge.commit(repository, branch, {"app/changed.py": f"CHANGE = {round_}\n".encode()})
    theirs = (await asyncio.to_thread(peer.up, branch), await asyncio.to_thread(peer.down))
    pull = forge.open_pull(repository, branch, author="ada")
    ours = (await _live(previewd, pull), await _gone(forge, previewd, pull))
    return ours, theirs


async def _live(previewd: Installation, pull: PullRequest) -> float:
    """From the delivery to an answer that a visitor gets."""
    began = time.monotonic()
    await previewd.deliver()
    preview = await previewd.reaches("ready", pull.number, pull.head_sha)
    (await previewd.get(preview, "/health")).raise_for_status()
    return time.monotonic() - began


async def _gone(forge: Forge, previewd: Installation, pull: PullRequest) -> float:
    forge.close(pull)
    began = time.monotonic()
    await previewd.deliver()
    await previewd.reaches("removed", pull.number)
    return time.monotonic() - began


def _paired(name: str, pairs: list[tuple[float, float]], peer: str, aim: str) -> Figure:
    ours, theirs = zip(*pairs, strict=True)
    return Figure(name=name, unit="s", ours=ours, peers=theirs, peer=peer, aim=aim)


def _memory(previewd: Installation) -> list[Figure]:
    """Resident memory of web and worker after the work above, when they have nothing to do."""
    assert previewd.process is not None
    children = psutil.Process(previewd.process.pid).children(recursive=True)
    ours = [child for child in children if child.cmdline()[-1:] in (["webhooks"], ["worker"])]
    assert len(ours) == len({"webhooks", "worker"}), [child.cmdline() for child in ours]
    resident = sum(child.memory_info().rss for child in ours) / 2**20
    return [Figure(name="memory of web + worker", unit="MiB", ours=(resident,), aim="≤ 160 MiB")]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
