"""Carries out what `plan` says. Used by the worker's rounds and by `previewd reconcile`.

Two who do so at once do no harm: a generation is raised once, and what is removed twice is gone once.
"""

import asyncio
from collections.abc import Iterable
from uuid import uuid4

import structlog

from orchestrator.preview.errors import PreviewdError
from orchestrator.preview.names import host_name
from orchestrator.preview.state import PreviewId
from orchestrator.reconcile.observe import Reach
from orchestrator.reconcile.world import Action, Do, Kind
from orchestrator.runtime.data_dir import discard_remains
from orchestrator.store.deliveries import Delivery, Hint

_log = structlog.get_logger()


async def apply(reach: Reach, actions: Iterable[Action]) -> None:
    """Do it all, each preview once. What cannot be done now is said in the log, and left to the next round."""
    asked: set[PreviewId] = set()
    for action in actions:
        if action.do is Do.TELL:
            continue  # the sweep finds those previews by itself, when the forge may be told
        about = {"kind": action.kind.value, "name": action.name, "preview": str(action.preview or "")}
        _log.info("reconciling", do=action.do.value, reason=action.reason, **about)
        try:
            if action.do is Do.REMOVE:
                await _remove(reach, action)
            elif action.preview is not None and action.preview not in asked:
                asked.add(action.preview)
                await _ask_for(reach, action, action.preview)
        except PreviewdError as error:
            _log.warning("not reconciled", reason=error.message, **about)


async def _ask_for(reach: Reach, action: Action, preview: PreviewId) -> None:
    generations = reach.store.generations
    if not await reach.store.known.has(preview):
        await _hint(reach, preview, action.reason)
    elif action.do is Do.CLEAR:
        await generations.clear(preview)
    else:
        await generations.look(preview)


async def _hint(reach: Reach, preview: PreviewId, reason: str) -> None:
    """Give it a row, as a delivery does: the worker then asks the forge what is to become of it.

    One of a repository that neither we nor the forge know stays: another previewd may have our instance's name.
    """
    pull = await reach.forge.pull(preview.repository, preview.number)
    if pull is None and not await reach.store.known.has_any_of(preview.repository):
        return
    name = pull.repository_name if pull else f"repository-{preview.repository}"
    template, domain = reach.settings.host_template, reach.settings.domain
    hint = Hint(
        preview=preview,
        repository_name=name,
        title=pull.title if pull else "",
        author=pull.author if pull else "",
        branch=pull.head_branch if pull else "",
        hosts=(
            host_name(template, domain, name, preview.number),
            host_name(template, domain, name, preview.number, suffix=str(preview.repository)),
        ),
    )
    delivery = Delivery(id=str(uuid4()), event="reconcile", action=None, outcome="accepted", reason=reason)
    await reach.store.deliveries.record(delivery, hint)


async def _remove(reach: Reach, action: Action) -> None:
    """What nobody owns. Who has come to own it since the plan was made keeps it."""
    match action.kind:
        case Kind.CHECKOUT if action.preview is not None:  # of a whole repository: one that has a ref by now stays
            if action.preview.repository not in await reach.store.known.live_repositories():
                await reach.sources.remove(action.preview.repository, action.preview.number)
        case Kind.FILES:
            await asyncio.to_thread(discard_remains, reach.settings.data_dir.resolve(), action.name)
        case Kind.CACHE:
            await reach.engine.limit_build_cache(reach.settings.build_cache_bytes)
        case _ if action.preview is None or not await reach.store.known.has(action.preview):
            await _remove_thing(reach, action)
        case _:
            _log.info("left as it is: it has an owner by now", name=action.name)


async def _remove_thing(reach: Reach, action: Action) -> None:
    match action.kind:
        case Kind.CONTAINER:
            await reach.engine.remove_container(action.id)
        case Kind.NETWORK:
            await reach.engine.remove_network(action.id)
        case Kind.VOLUME:
            await reach.engine.remove_volume(action.name)
        case Kind.IMAGE if action.name not in await reach.queries.images():
            await reach.engine.remove_image(action.name)
        case Kind.TEMPLATE | Kind.DATABASE:
            await reach.databases.remove(action.name)
        case _:
            _log.info("left as it is", kind=action.kind.value, name=action.name)
