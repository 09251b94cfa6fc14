"""How fast a push is built and served: a change of code, and one that no image sees.

The peer of a build is Compose, which hands it to the same BuildKit. The peer of a push that builds nothing is the
application itself: the same container, started on the Engine by hand, until it answers `GET /health`.
"""

import asyncio
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from orchestrator.preview.names import COMMIT_LABEL
from tests.bench.compose_peer import ComposePeer
from tests.bench.figures import PAIRS, Figure
from tests.bench.previews import example, until_live
from tests.forge import Forge, PullRequest, Repository
from tests.support.engine import engine
from tests.support.installation import Installation
from tests.support.stand_in_images import stand_in

PAUSE_SECONDS = 0.05
MOST_SECONDS = 60


async def builds() -> list[Figure]:
    """Pushes to one pull request that is live. The first round warms both sides and is not counted."""
    with Forge() as forge, stand_in("postgres") as image, tempfile.TemporaryDirectory() as folder:
        async with Installation(forge) as previewd:
            repository = example(forge)
            peer = ComposePeer(Path(folder) / "checkout", f"{forge.url}/{repository.full_name}.git", image)
            try:
                return await _figures(forge, previewd, repository, peer)
            finally:
                peer.clean()


async def _figures(forge: Forge, previewd: Installation, repository: Repository, peer: ComposePeer) -> list[Figure]:
    built: list[tuple[float, float]] = []
    pushed: list[tuple[float, float]] = []
    ignored: list[tuple[float, float]] = []
    forge.commit(repository, "ours", {"app/changed.py": b"CHANGE = 'ours'\n"})
    pull = forge.open_pull(repository, "ours", author="ada")
    await until_live(previewd, pull)
    for round_ in range(PAIRS + 1):
        theirs = await _theirs(forge, repository, peer, round_)
        ours = await _ours(forge, previewd, pull, round_)
        built.append((ours[0], theirs[0]))
        pushed.append((ours[1], theirs[1]))
        ignored.append(await _ignored(forge, previewd, pull, round_))
    over = tuple(ours - bare for ours, bare in ignored[1:])
    return [
        Figure.of_pairs("build of the example, one line changed", built[1:], "compose build", "≤ 1.0 ×"),
        Figure.of_pairs("push of one line → live", pushed[1:], "git fetch + compose build + up -d --wait", "≤ 0.5 ×"),
        Figure.of_pairs("push of README alone → live", ignored[1:], "the container by itself until it answers", ""),
        Figure(name="… what previewd adds to that", unit="s", ours=over, aim="≤ 1 s"),
    ]


async def _theirs(forge: Forge, repository: Repository, peer: ComposePeer, round_: int) -> tuple[float, float]:
    """Seconds of the build alone, and of all of it."""
    branch = f"theirs-{round_}"
    forge.commit(repository, branch, {"app/changed.py": _line("theirs", round_)})
    began = time.monotonic()
    await asyncio.to_thread(peer.fetch, branch)
    building = await asyncio.to_thread(peer.build)
    await asyncio.to_thread(peer.start)
    return building, time.monotonic() - began


async def _ours(forge: Forge, previewd: Installation, pull: PullRequest, round_: int) -> tuple[float, float]:
    """Seconds of the build step, all that it does included, and of all of it."""
    forge.push(pull, {"app/changed.py": _line("ours", round_)})
    took = await until_live(previewd, pull)
    preview = await previewd.preview(pull.number)
    assert preview is not None
    newest = (await previewd.deployments(preview))[0]
    (step,) = [step for step in newest["steps"] if step["step"] == "build"]
    return _seconds(step), took


async def _ignored(forge: Forge, previewd: Installation, pull: PullRequest, round_: int) -> tuple[float, float]:
    """Seconds until a change of README is live, and those that its container needs by itself."""
    forge.push(pull, {"README.md": _line("read me", round_)})
    took = await until_live(previewd, pull)
    preview = await previewd.preview(pull.number)
    assert preview is not None
    return took, await asyncio.to_thread(_bare, pull.head_sha, preview["host"])


def _bare(commit: str, host: str) -> float:
    """Start a twin of the container that serves a commit, and ask it until it answers."""
    with engine() as api:
        (serving,) = api.containers(filters={"label": f"{COMMIT_LABEL}={commit}"})
        found = api.inspect_container(serving["Id"])
        (network,) = found["NetworkSettings"]["Networks"]
        body = {**found["Config"], "HostConfig": found["HostConfig"], "Labels": {}}
        twin = api.create_container_from_config(body)["Id"]  # type: ignore[no-untyped-call]
        try:
            began = time.monotonic()
            api.start(twin)
            address = api.inspect_container(twin)["NetworkSettings"]["Networks"][network]["IPAddress"]
            while not _is_well(f"http://{address}:8000/health", host):
                if time.monotonic() - began > MOST_SECONDS:
                    raise RuntimeError(f"the twin of {host} did not answer within {MOST_SECONDS} s")
                time.sleep(PAUSE_SECONDS)
            return time.monotonic() - began
        finally:
            api.remove_container(twin, force=True)


def _is_well(url: str, host: str) -> bool:
    try:
        return httpx.get(url, headers={"Host": host}, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _line(text: str, round_: int) -> bytes:
    return f"CHANGE = '{text} {round_}'\n".encode()


def _seconds(step: Mapping[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(step[name]) for name in ("started_at", "finished_at"))
    return (ended - began).total_seconds()
