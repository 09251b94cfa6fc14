"""The leak report: what carries our labels, or our names, and belongs to no live preview. Empty when all is well."""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator import names
from orchestrator.ports import Databases, Engine
from orchestrator.preview import PreviewId
from orchestrator.views import Views


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A thing that should not exist."""

    kind: str
    """`container`, `network`, `volume`, `image` or `database`."""
    name: str
    reason: str


async def find(engine: Engine, databases: Databases, views: Views, instance: str) -> list[Leak]:
    """Compare what exists with what live previews own. Things of other instances are not looked at."""
    objects = await engine.objects(names.instance_labels(instance))
    database_names, templates = await databases.names(), await databases.templates()
    # Read last: a preview that began while we looked must not make its own things look leaked.
    live, used = await views.owners(), await views.images()
    images = [thing.name for thing in objects if thing.kind == "image"]
    things = [(it.kind, it.name, names.preview_of(dict(it.labels))) for it in objects if it.kind != "image"]
    things += [("database", name, names.preview_of_database(instance, name)) for name in database_names]
    things += [("database", template.name, PreviewId(template.repository, 0)) for template in templates]
    return [*_leaked(things, live), *_unused(images, used)]


def _leaked(things: Iterable[tuple[str, str, PreviewId | None]], live: set[PreviewId]) -> Iterable[Leak]:
    for kind, name, owner in things:
        if owner is None:
            yield Leak(kind=kind, name=name, reason="its labels name no preview")
        elif owner not in live:
            yield Leak(kind=kind, name=name, reason=f"preview {owner} is removed")


def _unused(images: Iterable[str], used: frozenset[str]) -> Iterable[Leak]:
    """All previews of a repository share its images."""
    for name in images:
        if name not in used:
            yield Leak(kind="image", name=name, reason="no preview uses it")
