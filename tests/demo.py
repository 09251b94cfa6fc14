"""`make demo`: a pull request becomes a live preview, follows a push, and vanishes. Only GitHub is a stand-in.

With ONCE=1 it ends by itself, with exit code 0 only if all of it held. Without, it stays up until Ctrl-C.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape

from tests.forge import Forge, PullRequest, Repository
from tests.support.installation import EXAMPLE, Installation
from tests.support.wait import eventually

STEPS = ("source", "build", "database", "environment", "launch", "probe")
PROXY_PORT = 8080
LIVE_SECONDS = 600
"""The first build installs the application's packages: that takes as long as the network does."""

MIGRATION = b'''"""Let items be wished for."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("wishes", sa.Column("item", sa.Integer, sa.ForeignKey("items.id"), primary_key=True))
    op.execute("INSERT INTO wishes (item) SELECT id FROM items ORDER BY id LIMIT 1")


def downgrade() -> None:
    op.drop_table("wishes")
'''

WISHES = b'''"""What people wish for: the answer that the pull request's second commit adds."""

from fastapi import APIRouter
from sqlalchemy import text

from app.database import SessionDependency

router = APIRouter()


@router.get("/api/wishes")
async def wishes(session: SessionDependency) -> list[str]:
    """Name every item that is wished for."""
    found = await session.execute(text("SELECT name FROM items JOIN wishes ON wishes.item = items.id"))
    return list(found.scalars())
'''


@dataclass(slots=True)
class Story:
    """What is told on the terminal, with the seconds since the beginning."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    began: float = field(default_factory=time.monotonic)

    def tell(self, text: str, mark: str = " ") -> None:
        self.console.print(f"[dim]{time.monotonic() - self.began:6.1f} s[/] {mark} {text}")

    def chapter(self, title: str) -> None:
        self.console.print(f"\n[bold]{title}[/]")


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is on stage."""

    story: Story
    forge: Forge
    previewd: Installation
    repository: Repository


async def main() -> int:
    _end_on_signals()
    once = os.environ.get("ONCE") == "1"
    story = Story()
    story.console.print("[bold]previewd[/]: every pull request gets a running preview of its own\n")
    story.tell("starting web, worker, two Postgres servers, Redis and Caddy; GitHub is a stand-in")
    with Forge() as forge:
        async with Installation(forge, proxy_port=_demo_port()) as previewd:
            repository = forge.create_repository("acme/shop", EXAMPLE)
            scene = Scene(story, forge, previewd, repository)
            story.tell(f"up; the dashboard is at [link]{previewd.dashboard_url}[/]", "✔")
            pull, live = await _open(scene)
            pushed = await _push(scene, pull)
            if not once:
                await _stay(scene, pull)
            gone = await _close(scene, pull)
            leaked = await _count_leaks(scene)
    story.console.print(f"\ndemo: live in {live:.1f}s, pushed in {pushed:.1f}s, gone in {gone:.1f}s, leaked {leaked}")
    return 0 if leaked == 0 else 1


def _end_on_signals() -> None:
    """Whoever ends the demo from outside leaves nothing behind either."""
    story = asyncio.current_task()
    assert story is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, story.cancel)


async def _open(scene: Scene) -> tuple[PullRequest, float]:
    scene.story.chapter("A pull request opens")
    forge, repository = scene.forge, scene.repository
    forge.set_permission(repository, "ada", "write")
    commit = forge.commit(repository, "wishes", {"NOTES.md": b"Let people wish for items.\n"}, "Say what is coming")
    pull = forge.open_pull(repository, "wishes", author="ada", title="Let people wish for items")
    scene.story.tell(f"ada opens #{pull.number} “{pull.title}” at {commit[:7]}")
    began = time.monotonic()
    await _deliver(scene)
    preview = await _follow(scene, pull, commit)
    took = time.monotonic() - began
    await _show_comment(scene, pull, "ready")
    page = await scene.previewd.get(preview, "/")
    _expect(page.is_success and "<" in page.text, f"the page answers {page.status_code}")
    items = await _json(scene, preview, "/api/items")
    _expect(len(items) > 0, "the database is seeded")
    scene.story.tell(f"GET / answers {page.status_code}; /api/items reads {_named(items)} from its own database", "✔")
    return pull, took


async def _push(scene: Scene, pull: PullRequest) -> float:
    scene.story.chapter("A push: another answer, and a migration")
    main_module = (EXAMPLE / "app" / "main.py").read_text()
    changed = main_module.replace("import health,", "import wishes, health,").replace("(health,", "(wishes, health,")
    _expect(changed.count("wishes") == 2, "the example's routes are where the demo looks for them")
    commit = scene.forge.push(
        pull,
        {
            "app/main.py": changed.encode(),
            "app/wishes.py": WISHES,
            "alembic/versions/0002_create_wishes.py": MIGRATION,
        },
        "Let people wish",
    )
    scene.story.tell(f"ada pushes {commit[:7]}")
    began = time.monotonic()
    await _deliver(scene)
    preview = await _follow(scene, pull, commit)
    took = time.monotonic() - began
    await _show_comment(scene, pull, "ready")
    wishes = await _json(scene, preview, "/api/wishes")
    _expect(len(wishes) == 1, "the migration ran on the preview's database, which kept its rows")
    scene.story.tell(f"/api/wishes is new, and reads {json.dumps(wishes)} from the migrated table", "✔")
    return took


async def _close(scene: Scene, pull: PullRequest) -> float:
    scene.story.chapter("The pull request closes")
    preview = await scene.previewd.preview(pull.number)
    _expect(preview is not None, "the preview is known")
    scene.forge.close(pull)
    scene.story.tell(f"#{pull.number} is closed")
    began = time.monotonic()
    await _deliver(scene)
    await scene.previewd.reaches("removed", pull.number)
    took = time.monotonic() - began
    answer = await scene.previewd.get(preview or {}, "/")
    _expect(answer.status_code == httpx.codes.NOT_FOUND, f"its host answers {answer.status_code}")
    scene.story.tell(
        f"gone after {took:.1f} s: containers, network, volumes, images, database, role; its host is 404", "✔"
    )
    await _show_comment(scene, pull, "removed")
    return took


async def _count_leaks(scene: Scene) -> int:
    report = await asyncio.to_thread(scene.previewd.cli, "leaks", "--json")
    _expect(report.returncode in (0, 1), f"previewd leaks failed: {report.stderr}")
    leaks = json.loads(report.stdout)
    scene.story.tell("previewd leaks: nothing" if not leaks else f"previewd leaks: {leaks}", "✔" if not leaks else "✘")
    return len(leaks)


async def _deliver(scene: Scene) -> None:
    for answer in await scene.previewd.courier.send_all(scene.forge.take_deliveries()):
        _expect(answer.status_code == httpx.codes.ACCEPTED, f"the receiver answers {answer.status_code}")
        scene.story.tell(f"GitHub delivers a signed webhook: {answer.status_code} {answer.json()['outcome']}")


async def _follow(scene: Scene, pull: PullRequest, commit: str) -> dict[str, Any]:
    """Tell each step as it ends, until the commit is live."""
    told: set[str] = set()

    async def is_live() -> dict[str, Any] | None:
        preview = await scene.previewd.preview(pull.number)
        if preview is None or preview["commit"] != commit:
            return None
        for deployment in (await scene.previewd.deployments(preview))[:1]:
            _tell_steps(scene.story, deployment, told)
        _expect(
            preview["state"] != "failed", f"the preview failed: {preview['reason']}\n{scene.previewd.log('worker')}"
        )
        return preview if preview["state"] == "ready" and "probe" in told else None

    preview = await eventually(is_live, f"{commit[:7]} is live", LIVE_SECONDS)
    scene.story.tell(f"live: [bold link={preview['url']}]{preview['url']}[/] ({preview['reason']})", "✔")
    return preview


def _tell_steps(story: Story, deployment: dict[str, Any], told: set[str]) -> None:
    for step in deployment["steps"]:
        if step["finished_at"] and step["step"] not in told:
            told.add(step["step"])
            took = datetime.fromisoformat(step["finished_at"]) - datetime.fromisoformat(step["started_at"])
            story.tell(f"  {step['step']:<12} {took.total_seconds():5.1f} s")


async def _show_comment(scene: Scene, pull: PullRequest, word: str) -> None:
    async def told() -> str | None:
        bodies = [found.body for found in scene.repository.comments.values() if found.number == pull.number]
        _expect(len(bodies) <= 1, f"{len(bodies)} comments where one is edited in place")
        return next((body for body in bodies if f"Preview {word}" in body), None)

    body = await eventually(told, f"the comment says {word}")
    headline = next(line for line in body.splitlines() if line.startswith("###"))
    scene.story.tell(f"the comment on #{pull.number} says: {escape(headline.removeprefix('### '))}")


async def _json(scene: Scene, preview: dict[str, Any], path: str) -> list[Any]:
    answer = await scene.previewd.get(preview, path)
    _expect(answer.is_success, f"GET {path} answers {answer.status_code}: {answer.text[:200]}")
    return list(answer.json())


async def _stay(scene: Scene, pull: PullRequest) -> None:
    """Wait for Ctrl-C, showing what can be tried meanwhile."""
    previewd, program = scene.previewd, Path(sys.executable).with_name("previewd")
    scene.story.chapter("It stays up until Ctrl-C: look around")
    scene.story.console.print(
        f"  the dashboard   {previewd.dashboard_url}   password: {previewd.admin_token}\n"
        f"  the preview     {previewd.dashboard_url.replace('previewd.localhost', _host(scene, pull))}\n"
        f"  the commands    export PREVIEWD_DATA_DIR={previewd.data_dir}\n"
        f"                  {program} ls\n"
        f"                  {program} show {pull.number}\n"
        f"                  {program} logs {pull.number}\n"
        f"                  {program} deploy {pull.number}\n"
        f"                  {program} leaks\n"
        f"  the stack       docker compose -p {previewd.instance}-{scene.repository.id}-{pull.number} ps",
        markup=False,
    )
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, ended.set)
    await ended.wait()


def _host(scene: Scene, pull: PullRequest) -> str:
    return f"pr-{pull.number}-{scene.repository.name}.preview.localhost"


def _named(items: list[Any]) -> str:
    names = [item["name"] if isinstance(item, dict) else str(item) for item in items]
    return f"{len(names)} items ({', '.join(names[:3])}…)"


def _demo_port() -> int:
    """8080 where it is free, an address that can be read aloud; else any."""
    try:
        socket.create_server(("127.0.0.1", PROXY_PORT)).close()
    except OSError:
        return 0
    return PROXY_PORT


def _expect(held: object, what: str) -> None:
    if not held:
        raise AssertionError(what)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except AssertionError as error:
        sys.exit(f"demo: failed: {error}")
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("demo: ended early; nothing is left behind")
