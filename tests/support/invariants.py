"""What must hold of a world at rest, whatever happened in it. What is a leak is said here by itself; the product must
find none either.

Names follow the list of the crash model: I1 nothing unowned, I2 one stack, I3 what is recorded is what is there, I4 the
end follows from the pull request, I5 one comment and it is true, I6 nothing ran without leave, I7 no secret is told,
I9 everything ended with a reason, I11 the route leads to a container of its own, I12 a removed preview's host leads
nowhere. I8 is the receiver's, and I10 the machine's: neither can be seen here.
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from orchestrator.ports.engine import ContainerStatus, EngineObject
from orchestrator.preview.names import COMMIT_LABEL, INSTANCE_LABEL, PULL_LABEL
from orchestrator.preview.state import State
from orchestrator.preview.trust import Pull
from orchestrator.reconcile.observe import observe
from orchestrator.reporting.comment import plain
from orchestrator.store.tables import deployments, previews, subnets
from tests.support.world import World
from worker.containers.host_files import binds_folder
from worker.upkeep.rounds import reach_of

_AT_REST = frozenset({State.READY, State.WAITING, State.FAILED, State.REMOVED})
_COMMIT = re.compile(r"\b[0-9a-f]{40}\b")
_TOLD = """
    SELECT line AS told FROM logs JOIN deployments d ON d.id = deployment WHERE d.repository = :repository
    UNION ALL SELECT concat_ws(' ', reason, remedy, log_tail::text, notes::text, wiring::text) FROM deployments
        WHERE repository = :repository
    UNION ALL SELECT reason FROM transitions WHERE repository = :repository
    UNION ALL SELECT reason FROM previews WHERE repository = :repository
"""
"""Everything in our own database that people are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One preview, and all that exists of it."""

    world: World
    row: Row[Any]
    pull: Pull
    containers: list[ContainerStatus]
    objects: list[EngineObject]
    subnets: list[str]

    @property
    def database(self) -> str:
        return f"previewd_{self.row.repository}_{self.row.number}"

    def kind(self, kind: str) -> list[str]:
        return sorted(found.name for found in self.objects if found.kind == kind)


async def broken(world: World, database: AsyncEngine) -> list[str]:
    """Every invariant that does not hold, in words. To be asked when nothing is left to do."""
    async with database.connect() as connection:
        seen = [each async for each in _see(world, connection)]
        told = await _told(world, connection)
        unfinished = await _unfinished(world, connection)
    found = [fault for each in seen for fault in (*_ended(each), *_there(each), *_comment(each), *_environment(each))]
    found += [*unfinished, *(await _unowned(world, seen)), *(await _planned(world))]
    return [*found, *_without_leave(world), *_secrets(world, seen, told)]


async def _see(world: World, connection: AsyncConnection) -> AsyncIterator[_Seen]:
    query = select(previews).where(previews.c.repository == world.preview.repository, previews.c.number > 0)
    rows = (await connection.execute(query)).all()
    taken = select(subnets.c.network, subnets.c.number).where(subnets.c.repository == world.preview.repository)
    networks = (await connection.execute(taken)).all()
    for row in rows:
        labels = {PULL_LABEL: str(row.number)}
        yield _Seen(
            world=world,
            row=row,
            pull=world.pulls[row.number],
            containers=await world.engine.containers(labels),
            objects=await world.engine.objects(labels),
            subnets=sorted(taken.network for taken in networks if taken.number == row.number),
        )


def _ended(seen: _Seen) -> Iterator[str]:
    """I4, I9: the state is what the pull request asks for, and nobody waits for anything without saying so."""
    row, name = seen.row, f"preview {seen.row.repository}-{seen.row.number}"
    if row.settled < row.generation and row.line_joined_at is None:
        yield f"I9 {name}: generation {row.generation} was never answered"
    if row.state not in _AT_REST:
        yield f"I9 {name}: it rests as {row.state}"
    wanted = _wanted(seen)
    if row.state is not wanted:
        yield f"I4 {name}: it is {row.state} ({row.reason}), and should be {wanted}"
    if row.state in {State.WAITING, State.FAILED, State.REMOVED} and not row.reason:
        yield f"I9 {name}: it is {row.state} without a reason"
    if row.state is State.READY and row.serving_commit != seen.pull.head_commit:
        yield f"I4 {name}: it serves {row.serving_commit}, and the newest commit is {seen.pull.head_commit}"


def _wanted(seen: _Seen) -> State:
    """What follows from the forge's truth, and from nothing else."""
    if not seen.pull.open:
        return State.REMOVED
    return State.READY if seen.world.has_leave(seen.pull) else State.WAITING


def _there(seen: _Seen) -> Iterator[str]:
    """I1, I2, I3, I11, I12: exactly what serves exists, and runs, and the route leads to it."""
    row, name = seen.row, f"preview {seen.row.repository}-{seen.row.number}"
    present = sorted(container.name for container in seen.containers)
    if present != sorted(row.serving_containers):
        yield f"I1 {name}: containers {present} exist, and {sorted(row.serving_containers)} serve"
    yield from _anonymous(seen, name)
    if row.serving_commit is None:
        yield from _nothing_there(seen, name)
        return
    ended = [container.name for container in seen.containers if not container.running and container.exit_code != 0]
    if ended:
        yield f"I3 {name}: it serves with containers that ended: {ended}"
    commits = {container.labels[COMMIT_LABEL] for container in seen.containers}
    if not commits <= {row.serving_commit} and len(seen.containers) != len(row.serving_containers):
        yield f"I2 {name}: containers of {commits} exist, and {row.serving_commit} serves"
    addresses = {each for container in seen.containers if container.running for each in container.addresses.values()}
    if (row.serving_upstream or "").partition(":")[0] not in addresses:
        yield f"I11 {name}: its route leads to {row.serving_upstream}, and its containers are at {sorted(addresses)}"
    joined = sorted({network for container in seen.containers for network in container.networks})
    if not joined == seen.kind("network") == seen.subnets:
        yield f"I3 {name}: in {joined}, there are {seen.kind('network')}, with subnets {seen.subnets}"
    if seen.database not in seen.world.databases.databases or seen.database not in seen.world.databases.roles:
        yield f"I3 {name}: it serves without its database or role"
    if row.candidate_commit is not None or row.probe_token is not None:
        yield f"I3 {name}: a candidate is left"


def _anonymous(seen: _Seen, name: str) -> Iterator[str]:
    """I1: a volume without a name of its own goes with its container."""
    mounted = frozenset(volume for container in seen.containers for volume in container.volumes)
    left = [volume for volume in seen.kind("volume") if volume not in mounted and not volume.endswith("_cache")]
    if left:
        yield f"I1 {name}: nothing mounts the anonymous volumes {left}"


def _nothing_there(seen: _Seen, name: str) -> Iterator[str]:
    row = seen.row
    if row.serving_upstream or row.candidate_upstream or row.probe_token:
        yield f"I12 {name}: it does not serve, and its host leads to {row.serving_upstream or row.candidate_upstream}"
    if seen.kind("network") or seen.subnets:
        yield f"I1 {name}: networks {seen.kind('network')}, subnets {seen.subnets}"
    if row.state is not State.REMOVED:
        return
    if seen.objects:
        yield f"I1 {name}: it is removed, and there are {[found.name for found in seen.objects]}"
    left = [each for each in {*seen.world.databases.databases, *seen.world.databases.roles} if each == seen.database]
    if left or any(each.startswith(f"{seen.database}_") for each in seen.world.databases.databases):
        yield f"I1 {name}: it is removed, and its database or role is there"
    if row.number in seen.world.fetched:
        yield f"I1 {name}: it is removed, and its commit is kept"
    if binds_folder(seen.world.context.settings, seen.world.preview).exists():
        yield f"I1 {name}: it is removed, and its files are there"
    if row.secrets is not None:
        yield f"I1 {name}: it is removed, and its secrets are kept"


async def _unowned(world: World, seen: list[_Seen]) -> list[str]:
    """I1, for what is shared or has no owner at all: images, databases, builds that nobody waits for."""
    used = {image for each in seen for image in each.row.serving_images}
    every = await world.engine.objects({INSTANCE_LABEL: "previewd"})
    found = [
        f"I1: the image {it.name} exists, and nothing serves with it"
        for it in every
        if it.kind == "image" and it.name not in used
    ]
    found += [f"I1: {it.name} has no owner" for it in every if it.kind != "image" and PULL_LABEL not in it.labels]
    unlabelled = [it.name for it in await world.engine.objects({}) if it.kind == "volume" and not it.labels]
    found += [f"I1: the volume {name} says not whose it is" for name in unlabelled]
    owned = {each.database for each in seen}
    there = {*world.databases.databases, *world.databases.roles}
    found += [f"I1: {name} is nobody's database or role" for name in sorted(there - owned)]
    found += [f"I1: {tag} is still being built" for tag in world.engine.building]
    return found


def _comment(seen: _Seen) -> Iterator[str]:
    """I5: one comment, of the state and the commit that are now; and a status that says the same."""
    row, name = seen.row, f"preview {seen.row.repository}-{seen.row.number}"
    comments = list(seen.world.conversations[row.number].values())
    if len(comments) != 1:
        yield f"I5 {name}: {len(comments)} comments"
        return
    said, head = comments[0], seen.pull.head_commit
    match row.state:
        case State.READY:
            right = f"`{head[:7]}` is live" in said
        case State.WAITING | State.REMOVED:
            right = plain(row.reason) in said and "is live" not in said
        case _:
            right = f"`{head[:7]}` failed" in said
    if not right:
        yield f"I5 {name}: it is {row.state} at {head[:7]}, and the comment says {said[:300]!r}"
    status = seen.world.statuses.get(head)
    # GitHub keeps one status for a commit: of two pull requests at one commit the last that was told of stands.
    is_anothers = status is not None and row.host not in status[2]
    if row.state is State.READY and not is_anothers and (status is None or status[0] != "success"):
        yield f"I5 {name}: it is ready, and its commit's status is {status}"


def _environment(seen: _Seen) -> Iterator[str]:
    """I5: of the deployments that GitHub shows, the one of what serves is active, and nothing else."""
    row, name = seen.row, f"preview {seen.row.repository}-{seen.row.number}"
    shown = [each for each in seen.world.environments.values() if each.environment == f"preview/pr-{row.number}"]
    active = [(each.state, each.commit) for each in shown if each.state != "inactive"]
    wanted = [] if row.serving_commit is None else [("success", row.serving_commit)]
    if row.state is State.FAILED and row.commit != row.serving_commit:
        wanted.append(("failure", row.commit))
    if sorted(active) != sorted(wanted):
        yield f"I5 {name}: GitHub shows the deployments {active}, and should show {wanted}"


async def _planned(world: World) -> list[str]:
    """I1, I3, as the reconciler sees it: nothing is to be done, and nothing is told to people as leaked."""
    observed = await observe(reach_of(world.context), ask_forge=True)
    found = [f"I1: to be done: {action.do} {action.kind} {action.name}: {action.reason}" for action in observed.plan()]
    found += [f"I1: {kind} could not be looked at" for kind in observed.unknown]
    return found + [f"I1: told as leaked: {leak.kind} {leak.name}" for leak in await world.store.leaks.all()]


def _without_leave(world: World) -> Iterator[str]:
    """I6: no side effect ever named a commit that was not allowed at some time."""
    for effect, what in world.effects:
        for commit in _COMMIT.findall(what):
            if commit not in world.allowed and commit != world.base_commit:
                yield f"I6: {effect} names {commit}, which never had leave to run"


async def _told(world: World, connection: AsyncConnection) -> str:
    rows = await connection.scalars(text(_TOLD), {"repository": world.preview.repository})
    comments = [body for each in world.conversations.values() for body in each.values()]
    return "\n".join([*rows, *comments, *map(str, world.statuses.values())])


def _secrets(world: World, seen: Iterable[_Seen], told: str) -> Iterator[str]:
    """I7."""
    for each in seen:
        kept = world.context.encryption.open(each.row.secrets) if each.row.secrets else {}
        for name, value in kept.items():
            if value in told:
                yield f"I7: {name} of preview {each.row.repository}-{each.row.number} can be read"


async def _unfinished(world: World, connection: AsyncConnection) -> list[str]:
    """I9: each run ended, and one that did not come up says why."""
    query = select(deployments).where(deployments.c.repository == world.preview.repository)
    rows = (await connection.execute(query)).all()
    open_ = [f"I9: deployment {row.id} never ended" for row in rows if row.outcome is None]
    return open_ + [f"I9: deployment {row.id} failed, and nothing says why" for row in rows if _is_unexplained(row)]


def _is_unexplained(row: Row[Any]) -> bool:
    return row.outcome in {"failed", "superseded"} and not row.reason
