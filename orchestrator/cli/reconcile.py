"""`previewd leaks` and `previewd reconcile`: what exists, against what should, also while no worker runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from orchestrator.cli.conventions import DONE, NOT_WELL
from orchestrator.cli.previews import open_running, print_json
from orchestrator.reconcile.apply import apply
from orchestrator.reconcile.observe import Observed, Reach, observe
from orchestrator.reconcile.world import Action, Do
from orchestrator.reconcile.world import leaks as leaked
from orchestrator.reporting.text import age, clean

_NEXT = {
    Do.LOOK: "the worker looks at it again",
    Do.CLEAR: "the worker tears it down once more",
    Do.REMOVE: "it is removed",
    Do.TELL: "the worker tells it as soon as the forge lets it",
}
"""What follows from an action, for people."""


async def leaks(*, as_json: bool) -> int:
    """Everything that carries our mark, and that nobody has a use for."""
    async with _reach() as reach:
        observed = await observe(reach, ask_forge=False)
        found = await reach.store.leaks.dated(leaked(observed.plan()))
    if as_json:
        print_json([asdict(leak) for leak in found])
    else:
        now = datetime.now(UTC)
        for leak in found:
            since = f"since {age(leak.since, now)}" if leak.since else "new"
            print(f"{leak.kind:<10} {clean(leak.name)}: {clean(leak.reason)} ({since})")
        _print_unknown(observed)
        print(f"leaked: {len(found)}")
        if found:
            print("A worker removes this by itself within a minute. `previewd reconcile --dry-run` says how.")
    return NOT_WELL if found else DONE


async def reconcile(*, dry_run: bool, as_json: bool) -> int:
    """One round beside the worker's: what is planned and why, and unless it is a dry run, done."""
    async with _reach() as reach:
        observed = await observe(reach, ask_forge=True, measure_cache=True)
        actions = observed.plan()
        if as_json:
            print_json([_action_json(action) for action in actions])
        else:
            _print_plan(actions, observed)
        if not dry_run:
            await apply(reach, actions)
    return DONE


@asynccontextmanager
async def _reach() -> AsyncIterator[Reach]:
    """What it takes loads the Docker SDK, which no other command needs."""
    from orchestrator.cli.adapters import reach as open_reach

    async with open_running() as running, open_reach(running.settings, running.store, running.queries) as reach:
        yield reach


def _print_plan(actions: list[Action], observed: Observed) -> None:
    for action in actions:
        what = f"{action.do.value:<7} {action.kind.value:<12} {clean(action.name)}"
        print(f"{what}: {clean(action.reason)} → {_NEXT[action.do]}")
    _print_unknown(observed)
    print(f"actions: {len(actions)}")


def _print_unknown(observed: Observed) -> None:
    for kind in sorted(observed.unknown):
        print(f"unknown    {kind.value}: whom we asked did not answer, so nothing is said and done about it")


def _action_json(action: Action) -> dict[str, Any]:
    values = asdict(action) | {"preview": str(action.preview) if action.preview else None}
    return {name: values[name] for name in ("do", "kind", "name", "preview", "reason", "leaked")}
