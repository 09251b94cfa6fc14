"""How much memory web and worker take, and how much CPU when there is nothing to do, as `ps` and `top` show it.

One installation, from its start: idle, idle with previews that are live, after previews that came and went, after a
burst of webhooks. There is no peer: a script around Compose is not there while it does nothing.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import psutil

from tests.bench.figures import Figure
from tests.bench.previews import until_live
from tests.forge import Delivery, Forge, PullRequest, Repository
from tests.support.apps import tiny
from tests.support.installation import Installation

SETTLE_SECONDS = 10.0
"""After work, until what it left to do is done."""
IDLE_SECONDS = 60.0
LIVE = 5
PREVIEWS = 20
WEBHOOKS = 1000
CLIENTS = 8

COMPOSE = """\
services:
  app:
    build: .
    expose: ["8000"]
    environment: {DATABASE_URL: "postgresql://u:p@db:5432/app"}
  db:
    image: postgres:16
    environment: {POSTGRES_USER: u, POSTGRES_PASSWORD: p, POSTGRES_DB: app}
"""
"""One container and one database: what they hold is nothing to web and worker."""

OURS = ("web", "worker")
MEMORY_AIM = "≤ 160 MiB"
CPU_AIM = "≤ 1 %"


@dataclass(frozen=True, slots=True)
class Size:
    """Of one process, in MiB. PSS shares the pages of libraries among the processes that have them."""

    rss: float
    pss: float


async def memory() -> list[Figure]:
    """All of it: about five minutes."""
    with Forge() as forge:
        repository = forge.create_repository("acme/shop", tiny(compose=COMPOSE))
        forge.set_permission(repository, "ada", "write")
        async with Installation(forge) as previewd:
            await asyncio.sleep(SETTLE_SECONDS)
            figures = [*_sizes(previewd, "right after start"), *await _cpu(previewd, "no preview")]
            pulls = await _open(forge, previewd, repository, range(LIVE))
            await asyncio.sleep(SETTLE_SECONDS)
            figures += await _cpu(previewd, f"{LIVE} live previews")
            await _close(forge, previewd, pulls)
            for first in range(LIVE, PREVIEWS, LIVE):
                await _close(forge, previewd, await _open(forge, previewd, repository, range(first, first + LIVE)))
            await asyncio.sleep(SETTLE_SECONDS)
            figures += _sizes(previewd, f"after {PREVIEWS} previews")
            await _send(previewd, list(previewd.courier.known.values()))
            await asyncio.sleep(SETTLE_SECONDS)
            figures += _sizes(previewd, f"after {WEBHOOKS} webhooks")
    return figures


async def _open(
    forge: Forge, previewd: Installation, repository: Repository, numbers: Iterable[int]
) -> list[PullRequest]:
    """Changes that are built each, and live."""
    pulls = []
    for number in numbers:
        forge.commit(repository, f"change-{number}", {"changed.txt": f"{number}\n".encode()})
        pulls.append(forge.open_pull(repository, f"change-{number}", author="ada"))
    await asyncio.gather(*(until_live(previewd, pull) for pull in pulls))
    return pulls


async def _close(forge: Forge, previewd: Installation, pulls: Iterable[PullRequest]) -> None:
    for pull in pulls:
        forge.close(pull)
    await previewd.deliver()
    await asyncio.gather(*(previewd.reaches("removed", pull.number) for pull in pulls))


async def _send(previewd: Installation, known: list[Delivery]) -> None:
    """What was delivered before, again and again, as deliveries of their own."""
    fresh = iter([replace(known[number % len(known)], guid=str(uuid4())) for number in range(WEBHOOKS)])

    async def send() -> None:
        for delivery in fresh:
            (await previewd.courier.send(delivery)).raise_for_status()

    await asyncio.gather(*(send() for _ in range(CLIENTS)))


def _sizes(previewd: Installation, when: str) -> list[Figure]:
    found = _parts(previewd)
    sizes = {name: _size(process.pid) for name in OURS for process in found[name]}
    both = Size(sum(size.rss for size in sizes.values()), sum(size.pss for size in sizes.values()))
    rows = {f"RSS of web + worker, {when}": (both.rss, MEMORY_AIM), f"PSS of web + worker, {when}": (both.pss, "")}
    for name, size in sizes.items():
        rows |= {f"… RSS of {name}": (size.rss, ""), f"… PSS of {name}": (size.pss, "")}
    return [Figure(name=name, unit="MiB", ours=(value,), aim=aim) for name, (value, aim) in rows.items()]


def _size(pid: int) -> Size:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
    return Size(kib["Rss"] / 1024, kib["Pss"] / 1024)


async def _cpu(previewd: Installation, when: str) -> list[Figure]:
    """Per cent of one core, of each part of the tree with all of its processes."""
    before = _cpu_seconds(previewd)
    await asyncio.sleep(IDLE_SECONDS)
    used = {name: 100 * (seconds - before[name]) / IDLE_SECONDS for name, seconds in _cpu_seconds(previewd).items()}
    rows = {f"CPU of web + worker, idle, {when}": (sum(used[name] for name in OURS), CPU_AIM)}
    rows |= {f"… CPU of {name}": (percent, "") for name, percent in used.items()}
    return [Figure(name=name, unit="%", ours=(percent,), aim=aim) for name, (percent, aim) in rows.items()]


def _cpu_seconds(previewd: Installation) -> dict[str, float]:
    return {name: sum(map(_tree_seconds, processes)) for name, processes in _parts(previewd).items()}


def _tree_seconds(root: psutil.Process) -> float:
    """Of a process, its descendants, and those of them that ended."""
    seconds = 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it ended since: its parent counts it
            seconds += sum(process.cpu_times()[:4])
    return seconds


def _parts(previewd: Installation) -> Mapping[str, list[psutil.Process]]:
    """Web and worker first, then the embedded servers by their program: there are two of Postgres."""
    assert previewd.process is not None
    found: dict[str, list[psutil.Process]] = {name: [] for name in OURS}
    for child in psutil.Process(previewd.process.pid).children():
        last = child.cmdline()[-1]
        found.setdefault({"webhooks": "web"}.get(last, last) if "python" in child.name() else child.name(), []).append(
            child
        )
    assert all(len(found[name]) == 1 for name in OURS), found
    return found
