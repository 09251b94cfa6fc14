"""What the commands do, on the previewd that runs. Each returns the exit code."""

import dataclasses
import json
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from orchestrator.cli.conventions import DONE, UnclearId
from orchestrator.databases.usage import DatabaseUse
from orchestrator.preview.errors import OperatorError
from orchestrator.preview.records import Deployment, Preview, Transition
from orchestrator.reporting.text import age, clean, duration, short, tone
from orchestrator.runtime.installation import load_settings
from orchestrator.runtime.queue import open_queue
from orchestrator.runtime.settings import Settings, asyncpg_url
from orchestrator.store import migrate as schema
from orchestrator.store.connection import Database, connect
from orchestrator.store.faults import DATABASE_FAULTS
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store

STYLES = {"good": "green", "bad": "red", "wait": "yellow", "busy": "blue", "calm": "magenta", "gone": "dim"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The previewd that runs, as far as a command needs it."""

    settings: Settings
    engine: Database
    store: Store
    queries: Queries


async def migrate() -> int:
    """Bring the database up to the newest revision."""
    async with open_running() as running:
        await schema.migrate(running.engine)
    print("previewd's database is up to date")
    return DONE


async def list_previews(*, every: bool, as_json: bool) -> int:
    """One line for each preview."""
    async with open_running() as running:
        previews = await (running.queries.all() if every else running.queries.live())
    if as_json:
        print_json([_preview_json(preview, running.settings) for preview in previews])
    elif previews:
        print_columns(Console(), _rows(previews, running.settings))
    else:
        print("no preview: open a pull request in a repository whose webhook leads here")
    return DONE


async def show(which: str, *, as_json: bool) -> int:
    """Everything about one preview."""
    async with open_running() as running:
        preview = await the_one(running.queries, which)
        deployments = await running.queries.deployments(preview.id)
        transitions = await running.queries.transitions(preview.id)
        use = await running.store.usage.of(preview.id)
    if as_json:
        values = _preview_json(preview, running.settings)
        print_json(
            values | {"deployments": _plain(deployments), "transitions": _plain(transitions), "database": _plain(use)}
        )
    else:
        _print_preview(Console(), preview, deployments, transitions, running.settings, use)
    return DONE


async def logs(which: str, *, follow: bool, deployment: int | None) -> int:
    """The lines of one deployment; with `follow` until it has ended. Which one it is goes to standard error."""
    async with open_running() as running:
        preview = await the_one(running.queries, which)
        chosen = _chosen(await running.queries.deployments(preview.id, limit=1000), preview, deployment)
        if chosen is None:
            print("nothing was deployed yet")
            return DONE
        state = chosen.outcome or "running"
        print(f"deployment {chosen.id} of {short(chosen.commit)}: {state}", file=sys.stderr, flush=True)
        await _print_log(running.queries, chosen, follow=follow)
    return DONE


async def deploy(which: str) -> int:
    """Ask for a deployment, and wake a worker if Redis is there."""
    async with open_running() as running:
        preview = await the_one(running.queries, which)
        generation = await running.store.generations.force(preview.id)
        when = await wake(running.settings, preview, generation)
    print(f"{preview.id} will be deployed again{when}")
    return DONE


@asynccontextmanager
async def open_running() -> AsyncIterator[Running]:
    """Open the database of the previewd that runs. OperatorError when it does not answer."""
    settings = load_settings()
    engine = connect(asyncpg_url(settings.database_url), pool_size=1)
    try:
        yield Running(settings=settings, engine=engine, store=Store.of(engine), queries=Queries(engine))
    except BrokenPipeError:  # it is our output's, not the database's
        raise
    except DATABASE_FAULTS as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[:1]
        raise OperatorError(
            f"previewd's database does not answer: {reason[0] if reason else type(error).__name__}",
            "check that it runs, that PREVIEWD_DATABASE_URL is right, and that `previewd migrate` was run",
        ) from None
    finally:
        await engine.dispose()


async def the_one(queries: Queries, which: str) -> Preview:
    """The preview that is meant. UnclearId lists the candidates when several are."""
    found = await queries.find(which)
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnclearId(f"there is no preview {which!r}", "`previewd ls --all` lists them")
    candidates = "\n".join(f"  {each.id}  {each.repository_name}#{each.id.number}  {each.host}" for each in found)
    raise UnclearId(f"{which!r} may be any of these:\n{candidates}", "say which, by the first column")


def _chosen(deployments: list[Deployment], preview: Preview, wanted: int | None) -> Deployment | None:
    if wanted is None:
        return deployments[0] if deployments else None
    found = next((each for each in deployments if each.id == wanted), None)
    if found is None:
        raise UnclearId(f"preview {preview.id} has no deployment {wanted}", f"`previewd show {preview.id}` lists them")
    return found


async def _print_log(queries: Queries, deployment: Deployment, *, follow: bool) -> None:
    async for lines in queries.follow(deployment.id):
        for line in lines:
            print(f"{line.step.value:<12}{clean(line.line)}", flush=follow)
        if not lines and not follow:
            return


async def wake(settings: Settings, preview: Preview, generation: int | None) -> str:
    """Wake a worker if Redis is there; what is to be said about it, at the end of a sentence."""
    asleep = ", as soon as a worker looks: none was woken"
    url = settings.redis_url.get_secret_value()
    if not url or generation is None:
        return asleep
    queue = open_queue(url)
    try:
        return "" if await queue.wake(preview.id, generation) else asleep
    finally:
        await queue.close()


def _rows(previews: Iterable[Preview], settings: Settings) -> list[tuple[Text, ...]]:
    now = datetime.now(UTC)
    headings = ("ID", "STATE", "PULL REQUEST", "COMMIT", "CHANGED", "ADDRESS")
    return [tuple(Text(heading, "bold") for heading in headings)] + [
        (
            Text(str(preview.id)),
            Text(_state(preview), STYLES[tone(preview.state)]),
            Text(f"{preview.repository_name}#{preview.id.number}"),
            Text(_commits(preview)),
            Text(age(preview.updated_at, now)),
            Text(settings.preview_url(preview.host)),
        )
        for preview in previews
    ]


def print_columns(console: Console, rows: list[tuple[Text, ...]]) -> None:
    """As wide as need be: a table that is cut at the terminal's edge cannot be piped into anything."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        line = Text()
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell).append(" " * (width - len(cell) + 2))
        line.rstrip()
        console.print(line, soft_wrap=True)


def _state(preview: Preview) -> str:
    """With the place of one that stands in line, among those who lack the same."""
    if preview.place is None:
        return preview.state.value
    return f"{preview.state.value} for {preview.waits_for}: {preview.place}"


def _commits(preview: Preview) -> str:
    """The newest commit, and the one that serves when it is another."""
    newest = short(preview.commit) or "–"
    older = preview.serving_commit and preview.serving_commit != preview.commit
    return f"{newest} (serves {short(preview.serving_commit)})" if older else newest


def _print_preview(
    console: Console,
    preview: Preview,
    deployments: list[Deployment],
    transitions: list[Transition],
    settings: Settings,
    use: DatabaseUse | None,
) -> None:
    console.print(Text(str(preview.id), "bold"))
    for name, value in (
        ("state", Text(preview.state.value, STYLES[tone(preview.state)])),
        ("reason", Text(clean(preview.reason))),
        ("pull request", Text(f"{preview.repository_name}#{preview.id.number}  {clean(preview.title)}")),
        ("address", Text(settings.preview_url(preview.host))),
        ("commit", Text(preview.commit or "–")),
        ("serving", Text(preview.serving_commit or "nothing")),
        ("database", Text(use.told if use else "–")),
    ):
        console.print(Text(f"{name:<14}", "dim").append_text(value), soft_wrap=True)
    if deployments:
        _print_deployment(console, deployments[0])
    for change in transitions:
        line = f"{change.at:%Y-%m-%d %H:%M:%S}  {change.target.value:<10} {clean(change.reason)}"
        console.print(Text(line), soft_wrap=True)


def _print_deployment(console: Console, deployment: Deployment) -> None:
    console.print()
    console.print(Text(f"deployment {deployment.id} of {short(deployment.commit)}: {deployment.outcome or 'running'}"))
    for step in deployment.steps:
        end = step.finished_at or deployment.finished_at or datetime.now(UTC)
        taken = duration((end - step.started_at).total_seconds())
        mark = " failed" if deployment.failed_step is step.step else ""
        console.print(Text(f"  {step.step.value:<12} {taken:>10}{mark}", "red" if mark else ""))
    for note in deployment.notes:
        console.print(Text(f"  note: {clean(note)}", "yellow"), soft_wrap=True)
    if deployment.outcome == "failed":
        console.print(Text(f"  {clean(deployment.reason)}", "red"), soft_wrap=True)
        if deployment.remedy:
            console.print(Text(f"  → {clean(deployment.remedy)}"), soft_wrap=True)
        for line in deployment.log_tail:
            console.print(Text(f"  | {clean(line)}", "dim"), soft_wrap=True)
    console.print()


def _preview_json(preview: Preview, settings: Settings) -> dict[str, Any]:
    values: dict[str, Any] = _plain(preview)
    return values | {"id": str(preview.id), "number": preview.id.number, "url": settings.preview_url(preview.host)}


def _plain(value: Any) -> Any:
    """Dataclasses, and lists of them, as what JSON knows."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=_text, ensure_ascii=False))


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
