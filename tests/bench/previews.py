"""How fast a pull request is live and gone: against Compose, in turn."""

import asyncio
import tempfile
import time
from pathlib import Path

from tests.bench.compose_peer import ComposePeer
from tests.bench.figures import PAIRS, Figure
from tests.forge import Forge, PullRequest, Repository
from tests.forge.git import read_tree
from tests.support.installation import EXAMPLE, Installation
from tests.support.stand_in_images import stand_in


async def previews() -> list[Figure]:
    """Open and close a change, by us and by Compose. The first round warms both and is not counted."""
    live: list[tuple[float, float]] = []
    gone: list[tuple[float, float]] = []
    with Forge() as forge, stand_in("postgres") as image, tempfile.TemporaryDirectory() as folder:
        async with Installation(forge) as previewd:
            repository = example(forge)
            peer = ComposePeer(Path(folder) / "checkout", f"{forge.url}/{repository.full_name}.git", image)
            try:
                for round_ in range(PAIRS + 1):
                    ours, theirs = await _one_pair(forge, previewd, repository, peer, round_)
                    live.append((ours[0], theirs[0]))
                    gone.append((ours[1], theirs[1]))
            finally:
                peer.clean()
    return [
        Figure.of_pairs("webhook → live", live[1:], "git fetch + compose up -d --build --wait", "≤ 0.5 ×"),
        Figure.of_pairs("close → gone", gone[1:], "compose down -v -t 0", "≤ 1.0 ×"),
    ]


def example(forge: Forge) -> Repository:
    """The example's repository, with the Compose file that both sides can run."""
    files = {path: data for path, data in read_tree(EXAMPLE).items() if path != "docker-compose.preview.yml"}
    repository = forge.create_repository("acme/shop", files)
    forge.set_permission(repository, "ada", "write")
    return repository


async def until_live(previewd: Installation, pull: PullRequest) -> float:
    """Seconds from the delivery to an answer that a visitor gets."""
    began = time.monotonic()
    await previewd.deliver()
    preview = await previewd.reaches("ready", pull.number, pull.head_sha)
    (await previewd.get(preview, "/health")).raise_for_status()
    return time.monotonic() - began


async def _one_pair(
    forge: Forge, previewd: Installation, repository: Repository, peer: ComposePeer, round_: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Each side gets a change of its own: the Engine would know the second of two equal ones."""
    for side in ("ours", "theirs"):
        forge.commit(repository, f"{side}-{round_}", {"app/changed.py": f"CHANGE = '{side} {round_}'\n".encode()})
    branch = f"theirs-{round_}"
    theirs = (await asyncio.to_thread(peer.up, branch), await asyncio.to_thread(peer.down))
    pull = forge.open_pull(repository, f"ours-{round_}", author="ada")
    ours = (await until_live(previewd, pull), await _gone(forge, previewd, pull))
    return ours, theirs


async def _gone(forge: Forge, previewd: Installation, pull: PullRequest) -> float:
    forge.close(pull)
    began = time.monotonic()
    await previewd.deliver()
    await previewd.reaches("removed", pull.number)
    return time.monotonic() - began
