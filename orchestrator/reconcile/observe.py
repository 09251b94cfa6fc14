"""Reads the world into the values that `plan` compares. Used by the worker's rounds and by the commands.

Each source is asked by itself, and one that does not answer makes its part unknown, never empty.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import httpx
import structlog

from orchestrator.ports.databases import Databases
from orchestrator.ports.engine import Engine
from orchestrator.ports.forge import Forge
from orchestrator.ports.ingress import ROUTE_HEADER, ROUTE_STATUS, UPSTREAM_HEADER, route_token
from orchestrator.ports.sources import Sources
from orchestrator.preview.errors import PreviewdError
from orchestrator.preview.names import instance_labels
from orchestrator.preview.records import Known
from orchestrator.preview.state import PreviewId
from orchestrator.preview.trust import Pull
from orchestrator.reconcile.plan import plan
from orchestrator.reconcile.world import Action, Actual, Kind, Remains, Wanted
from orchestrator.runtime.data_dir import remains
from orchestrator.runtime.settings import Settings
from orchestrator.store.queries import Queries
from orchestrator.store.store import Store

QUESTIONS = 16
"""So many are asked of Caddy, or of the forge, at once."""

ANSWER_SECONDS = 5.0

T = TypeVar("T")
K = TypeVar("K")

_log = structlog.get_logger()

_OF_ENGINE = (Kind.CONTAINER, Kind.NETWORK, Kind.VOLUME, Kind.IMAGE, Kind.SERVING, Kind.SUBNET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whom a round asks."""

    settings: Settings
    store: Store
    queries: Queries
    engine: Engine
    databases: Databases
    sources: Sources
    proxy: httpx.AsyncClient
    forge: Forge


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one look at the world brought."""

    wanted: Wanted
    actual: Actual
    unknown: frozenset[Kind]
    """Of these nobody could say what there is."""
    memory_bytes: int

    def plan(self) -> list[Action]:
        return plan(self.wanted, self.actual, self.memory_bytes)


async def observe(reach: Reach, *, ask_forge: bool, measure_cache: bool = False) -> Observed:
    """Look at everything once; at the forge, and at how large the build cache is, only if that is asked for."""
    unknown: set[Kind] = set()
    known = reach.store.known
    before = await known.all()
    actual = await _actual(reach, before, unknown)
    if measure_cache:
        cache = await _unless_away(reach.engine.build_cache_bytes(), [Kind.CACHE], unknown)
        actual = replace(actual, build_cache_bytes=cache)
    pulls = await _open_pulls(reach, before.values(), unknown) if ask_forge else {}
    # Read last: who began while we looked must not have his things taken for leaked.
    images, after = await reach.queries.images(), await known.all()
    previews = {
        preview: replace(known, steady=_stood_still(before.get(preview), known)) for preview, known in after.items()
    }
    wanted = Wanted(
        instance=reach.settings.instance,
        previews=previews,
        open=pulls,
        images=images,
        build_cache_bytes=reach.settings.build_cache_bytes,
    )
    return Observed(wanted=wanted, actual=actual, unknown=frozenset(unknown), memory_bytes=reach.settings.memory_bytes)


def _stood_still(before: Known | None, after: Known) -> bool:
    """Whether nothing was done about a preview while we looked."""
    return before is not None and before.steady and before == after


async def _actual(reach: Reach, known: Mapping[PreviewId, Known], unknown: set[Kind]) -> Actual:
    labels, data = instance_labels(reach.settings.instance), reach.settings.data_dir.resolve()

    def part(question: Awaitable[T], *kinds: Kind) -> Awaitable[T | None]:
        return _unless_away(question, kinds, unknown)

    objects, containers, databases, templates = await asyncio.gather(
        part(reach.engine.objects(labels), *_OF_ENGINE),
        part(reach.engine.containers(labels), *_OF_ENGINE),
        part(reach.databases.names(), Kind.DATABASE),
        part(reach.databases.templates(), Kind.TEMPLATE),
    )
    routes, subnets, checkouts, files, backups, left = await asyncio.gather(
        part(_routes(reach, known.values()), Kind.ROUTE),
        part(reach.store.subnets.owners(), Kind.SUBNET),
        part(reach.sources.kept(), Kind.CHECKOUT),
        part(asyncio.to_thread(_folders, data / "binds"), Kind.FILES),
        part(asyncio.to_thread(_folders, data / "backups"), Kind.BACKUPS),
        part(asyncio.to_thread(_remains, data), Kind.FILES),
    )
    return Actual(
        objects=objects,
        containers=containers,
        databases=databases,
        templates=templates,
        routes=routes,
        subnets=subnets,
        checkouts=checkouts,
        files=files,
        backups=backups,
        remains=left,
    )


async def _unless_away(question: Awaitable[T], kinds: Iterable[Kind], unknown: set[Kind]) -> T | None:
    try:
        return await question
    except (PreviewdError, httpx.HTTPError, OSError) as error:
        _log.info("not observed", what=[kind.value for kind in kinds], reason=str(error))
        unknown.update(kinds)
        return None


async def _open_pulls(reach: Reach, known: Iterable[Known], unknown: set[Kind]) -> Mapping[int, Mapping[int, Pull]]:
    """By repository that could be asked: those that we know of, and those that the forge says are ours."""
    rows = {one.preview.repository for one in known}
    installed = await _unless_away(reach.forge.repositories(), [Kind.PULL], unknown)

    async def ask(repository: int) -> list[Pull] | None:
        return await _unless_away(reach.forge.open_pulls(repository), [Kind.PULL], unknown)

    answers = await _of_each(rows.union(installed or ()), ask)
    return {repository: {pull.number: pull for pull in pulls} for repository, pulls in answers.items()}


async def _routes(reach: Reach, known: Iterable[Known]) -> Mapping[str, str]:
    """Where Caddy leads, by host. One that gives no answer of our router's is left out."""
    key = reach.settings.secret_key[0].get_secret_value() if reach.settings.secret_key else ""

    async def ask(host: str) -> str | None:
        headers = {"Host": host, ROUTE_HEADER: route_token(key, host)}
        # No body is read: a router that does not know the question leads it to the application.
        async with asyncio.timeout(ANSWER_SECONDS), reach.proxy.stream("GET", "/", headers=headers) as answer:
            return answer.headers.get(UPSTREAM_HEADER, "") if answer.status_code == ROUTE_STATUS else None

    return await _of_each({one.host for one in known if not (one.is_removed or one.preview.is_template)}, ask)


async def _of_each(subjects: Collection[K], ask: Callable[[K], Awaitable[T | None]]) -> dict[K, T]:
    """The answers of those that gave one, some at a time."""
    turns = asyncio.Semaphore(QUESTIONS)

    async def one(subject: K) -> T | None:
        async with turns:
            return await ask(subject)

    answers = await asyncio.gather(*map(one, subjects))
    return {subject: answer for subject, answer in zip(subjects, answers, strict=True) if answer is not None}


def _remains(data_dir: Path) -> Sequence[Remains]:
    return [Remains(path, repository) for path, repository in remains(data_dir)]


def _folders(root: Path) -> Sequence[PreviewId]:
    """The previews that have a folder there; what is called otherwise is not ours."""
    found = []
    for path in root.iterdir() if root.is_dir() else ():
        try:
            found.append(PreviewId.parse(path.name))
        except ValueError:
            continue
    return found
