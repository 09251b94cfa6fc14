"""The reconciler on a world in memory: what was lost, what died, what was left behind, and what nobody could say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.ports.engine import Image
from orchestrator.preview.errors import OperatorError, TemporaryError, Unavailable
from orchestrator.preview.names import Names
from orchestrator.preview.records import Preview
from orchestrator.preview.state import PreviewId, State
from orchestrator.reconcile.apply import apply
from orchestrator.reconcile.liveness import failure_of
from orchestrator.reconcile.observe import observe
from orchestrator.reconcile.world import Action, Do, Kind
from orchestrator.store.leaks import FORGE
from orchestrator.store.owned import serving_of
from orchestrator.store.tables import previews, rounds, subnets
from tests.support.fake_databases import FakeDatabase
from tests.support.wait import eventually
from tests.support.world import FIRST, SECOND, World
from worker.converge import converge
from worker.report import report
from worker.upkeep.rounds import FORGE_PAUSE_EACH, heard, listen, make_round, reach_of, reconcile

GONE = PreviewId(812, 9)
"""A preview of the repository that a test plants things of."""

NAMES = Names(instance="previewd", preview=PreviewId(812, 7))
FOREIGN = {"com.docker.compose.project": "somebody-elses", "dev.previewd.instance": "another"}


@pytest.fixture
async def world(database: AsyncEngine, tmp_path: Path) -> World:
    """With a live preview."""
    world = World(database, tmp_path)
    await world.hint()
    assert (await world.converge()).state is State.READY
    return world


async def plan(world: World, *, ask_forge: bool = True) -> list[Action]:
    return (await observe(reach_of(world.context), ask_forge=ask_forge)).plan()


async def settle(world: World) -> None:
    """Rounds, and the worker after each, until nothing is planned any more."""
    for _ in range(5):
        await make_round(world.context, ask_forge=True)
        for preview, _generation in await world.store.generations.due():
            await converge(world.context, preview)
        if not await plan(world):
            return
    raise AssertionError(await plan(world))


async def preview_of(world: World, preview: PreviewId) -> Preview:
    found = await world.queries.preview(preview)
    assert found is not None
    return found


def container(world: World, service: str) -> str:
    (name,) = [name for name in world.engine._containers if f"-{service}-" in name and not name.endswith("-0-1")]
    return name


def started(world: World) -> list[str]:
    return [what for name, what in world.effects if name == "start"]


async def upstream(world: World) -> str | None:
    route = await world.queries.route_of(world.preview)
    return route.upstream if route else None


async def stands(world: World) -> bool:
    """Whether visitors are led to the container of `app`, where it is now."""
    status = await world.engine.container(container(world, "app"))
    assert status is not None
    return status.running and (await upstream(world) or "").rpartition(":")[0] in status.addresses.values()


async def test_the_plan_of_a_healthy_world_is_empty(world: World) -> None:
    assert await plan(world) == []
    before = len(world.effects)
    await reconcile(world.context)
    assert world.effects[before:] == []
    assert await world.store.leaks.all() == []
    round_ = await world.store.leaks.last_round()
    assert round_ is not None
    assert round_.unknown == ()


# Lost deliveries


async def test_an_open_pull_request_that_nobody_spoke_of_becomes_live(database: AsyncEngine, tmp_path: Path) -> None:
    world = World(database, tmp_path)
    world.installed = [812]
    await settle(world)
    preview = await preview_of(world, world.preview)
    assert (preview.state, preview.repository_name, preview.host) == (
        State.READY,
        "acme/shop",
        "pr-7-shop.preview.localhost",
    )


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({"open": False}, (State.REMOVED, None)),
        ({"head_commit": SECOND}, (State.READY, SECOND)),
        ({"draft": True}, (State.WAITING, FIRST)),
        ({"head_repository": None}, (State.WAITING, None)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_what_happened_to_a_pull_request_is_found_without_a_delivery(
    world: World, changes: dict[str, Any], ends: tuple[State, str | None]
) -> None:
    world.pull = replace(world.pull, **changes)
    await settle(world)
    preview = await preview_of(world, world.preview)
    assert (preview.state, preview.serving_commit) == ends


async def test_a_draft_that_became_ready_and_a_reopened_one_are_found(world: World) -> None:
    world.pull = replace(world.pull, draft=True)
    await settle(world)
    world.pull = replace(world.pull, draft=False)
    await settle(world)
    assert (await preview_of(world, world.preview)).state is State.READY
    world.pull = replace(world.pull, open=False)
    await settle(world)
    assert await world.leftovers() == []
    world.pull = replace(world.pull, open=True)
    await settle(world)
    assert (await preview_of(world, world.preview)).state is State.READY


async def test_who_waits_for_a_permission_is_not_asked_about_again_and_again(
    database: AsyncEngine, tmp_path: Path
) -> None:
    world = World(database, tmp_path)
    world.permission = "read"
    await world.hint()
    assert (await world.converge()).state is State.WAITING
    assert await plan(world) == []


async def test_the_forge_is_asked_by_one_worker_in_each_pause(world: World) -> None:
    world.pull = replace(world.pull, head_commit=SECOND)
    await reconcile(world.context)
    assert (await world.row()).generation == 2
    await world.converge()
    world.pull = replace(world.pull, head_commit=FIRST)
    await reconcile(world.context)
    assert (await world.row()).generation == 2, "it was asked a moment ago"


async def test_while_the_forge_is_away_nothing_follows_from_that(world: World) -> None:
    world.forge_is_away = True
    assert await plan(world) == []


# What serves


async def test_what_died_is_led_away_from_and_brought_up_again_with_the_reason(world: World) -> None:
    hidden: list[bool] = []

    async def before(name: str) -> None:
        if name == "start":
            hidden.append(await upstream(world) is None)

    app = container(world, "app")
    world.engine.exit(app, 3, "boom", f"password {await password(world)}")
    world.before = before
    await settle(world)
    assert hidden == [True], "one start, and nobody was led there before it"
    assert await stands(world)
    preview = await preview_of(world, world.preview)
    assert preview.state is State.READY
    (newest, *_) = await world.queries.deployments(world.preview)
    assert any("service app exited with code 3" in note for note in newest.notes)
    reasons = [change.reason for change in await world.queries.transitions(world.preview)]
    assert "service app exited with code 3; it is brought up again" in reasons
    lines = [line.line for line in await world.queries.log(newest.id)]
    assert "  boom" in lines
    assert "  password …" in lines
    assert container(world, "app") == app, "it was started again, not made anew"


async def password(world: World) -> str:
    row = await world.row()
    return next(iter(world.context.encryption.open(row.secrets).values()))


async def test_while_the_forge_is_away_what_died_is_led_away_from_and_nothing_is_brought_up(world: World) -> None:
    before = len(started(world))
    world.engine.exit(container(world, "app"), 1)
    world.forge_is_away = True
    await make_round(world.context, ask_forge=True)
    await world.converge()
    assert await upstream(world) is None
    assert len(started(world)) == before
    world.forge_is_away = False
    await world.hint()
    await settle(world)
    assert await stands(world)


async def test_running_out_of_memory_is_told_with_the_limit(world: World) -> None:
    world.engine.exit(container(world, "app"), 137, oom=True)
    assert [action.reason for action in await plan(world)] == ["service app ran out of memory: the limit is 1024 MiB"]


async def test_a_commit_that_ends_by_itself_again_and_again_fails_with_its_last_lines(world: World) -> None:
    for _ in range(2):
        world.engine.exit(container(world, "app"), 1, "no such table")
        await settle(world)
        assert (await preview_of(world, world.preview)).state is State.READY
    world.engine.exit(container(world, "app"), 1, "no such table")
    await settle(world)
    preview = await preview_of(world, world.preview)
    assert (preview.state, preview.serving_commit) == (State.FAILED, None)
    assert preview.reason == "service app exited with code 1, after it had come up 3 times within 10 minutes"
    (newest, *_) = await world.queries.deployments(world.preview)
    assert "no such table" in newest.log_tail
    assert await upstream(world) is None
    assert "container" not in await world.leftovers()


async def test_what_the_operator_kills_is_brought_up_however_often(world: World) -> None:
    for _ in range(4):
        world.engine.exit(container(world, "app"), 137)
        await settle(world)
        assert (await preview_of(world, world.preview)).state is State.READY


async def test_another_container_of_the_stack_is_brought_up_while_visitors_stay(world: World) -> None:
    world.engine.exit(container(world, "cache"), 1)
    seen: list[str | None] = []

    async def before(_: str) -> None:
        seen.append(await upstream(world))

    world.before = before
    await settle(world)
    assert None not in seen
    assert (await world.engine.container(container(world, "cache"))).running  # type: ignore[union-attr]


async def test_a_container_that_somebody_removed_is_made_again(world: World) -> None:
    await world.engine.remove_container(container(world, "app"))
    await settle(world)
    assert await stands(world)


async def test_after_a_restart_of_the_engine_everything_is_back_and_routed_to_where_it_is(world: World) -> None:
    before = await upstream(world)
    world.engine.restart()
    await settle(world)
    assert await stands(world)
    assert await upstream(world) != before, "the addresses of the world change with each start"
    assert (await world.engine.container(container(world, "cache"))).running  # type: ignore[union-attr]


async def test_an_address_that_changed_by_itself_is_followed(world: World) -> None:
    name = container(world, "app")
    world.engine._containers[name].addresses = {NAMES.network(): "10.213.0.30"}
    await settle(world)
    assert await stands(world)


async def test_a_dead_container_is_led_away_from_before_a_newer_commit_comes_up(world: World) -> None:
    """Its address may be given to a container that nobody has proven."""
    seen: list[tuple[str, str | None]] = []

    async def before(name: str) -> None:
        seen.append((name, await upstream(world)))

    world.engine.exit(container(world, "app"), 1)
    world.before = before
    await world.change(head_commit=SECOND)
    assert (await world.converge()).state is State.READY
    assert all(led is None for name, led in seen if name == "start")


@pytest.mark.parametrize("as_draft", [True, False])
async def test_an_older_commit_that_serves_is_started_again(world: World, *, as_draft: bool) -> None:
    await older_serves(world, as_draft=as_draft)
    state = (await preview_of(world, world.preview)).state
    await outlive(world)
    world.engine.exit(container(world, "app"), 1)
    await settle(world)
    preview = await preview_of(world, world.preview)
    assert (preview.state, preview.serving_commit) == (state, FIRST)
    assert await stands(world)


@pytest.mark.parametrize("as_draft", [True, False])
async def test_an_older_commit_that_does_not_stay_up_serves_no_more_and_that_is_said(
    world: World, *, as_draft: bool
) -> None:
    await older_serves(world, as_draft=as_draft)
    world.engine.exit(container(world, "app"), 1)  # soon after its start
    await settle(world)
    preview = await preview_of(world, world.preview)
    assert preview.serving_commit is None
    assert "aaaaaaaaaaaa served, and does not any more: service app exited with code 1" in preview.reason
    assert "container" not in await world.leftovers()


async def older_serves(world: World, *, as_draft: bool) -> None:
    if as_draft:
        await world.change(draft=True)
    else:
        world.files["compose.yaml"] = b"services: ["
        await world.change(head_commit=SECOND)
    assert (await world.converge()).serving_commit == FIRST


async def outlive(world: World) -> None:
    """Let minutes pass on the Engine's clock."""
    for _ in range(100):
        world.engine._now()


# Events


async def test_an_event_has_a_preview_looked_at_only_if_it_serves(world: World) -> None:
    await converge(world.context, world.preview)
    async with world.engine.events({}) as events:
        world.engine.exit(container(world, "cache"), 1)
        died = await anext(aiter(events))
        await heard(world.context, replace(died, container="another"))
        assert (await world.row()).generation == 1
        for _ in range(20):
            await heard(world.context, died)
        assert (await world.row()).generation == 2, "a storm of events is one look"


async def test_whoever_begins_to_listen_makes_a_round_and_then_hears(world: World) -> None:
    async with listening(world):
        world.engine.exit(container(world, "app"), 1)
        await eventually(lambda: generation(world, 2), "the death was heard")
        await world.converge()
        world.engine.restart()
        await eventually(lambda: generation(world, 3), "the restart was noticed")
    await settle(world)
    assert await stands(world)


@contextlib.asynccontextmanager
async def listening(world: World) -> AsyncIterator[None]:
    task = asyncio.create_task(listen(world.context))

    async def begun() -> bool:
        return await world.store.leaks.last_round() is not None

    try:
        await eventually(begun, "the first round is made")
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def generation(world: World, least: int) -> bool:
    return bool((await world.row()).generation >= least)


# What nobody needs


async def plant(world: World, owner: PreviewId, labels: dict[str, str] | None = None) -> None:
    """One thing of each kind, as an older run may have left it."""
    names = Names(instance="previewd", preview=owner)
    await world.engine.create_container(
        f"{names.project}-app-0-1", {"Image": "python:3.11-slim", "Labels": labels or names.labels()}
    )
    subnet = IPv4Network((int(IPv4Network("10.99.0.0/16")[0]) + 256 * owner.number, 27))
    await world.engine.ensure_network(names.network("old"), subnet, labels or names.labels())
    await world.engine.ensure_volume(anonymous(owner), labels or names.labels())
    if labels is None:
        world.databases.databases[names.database] = FakeDatabase()
        world.databases.databases[f"{names.database}_n"] = FakeDatabase()
        world.checkouts.add(owner)
        for folder in ("binds", "backups"):
            (world.context.settings.data_dir / folder / str(owner)).mkdir(parents=True)


def anonymous(owner: PreviewId) -> str:
    return f"{owner.number:064x}"


EVERY_KIND = {"container", "network", "volume", "database", "checkout", "files", "backups"}


async def everything_of(world: World, owner: PreviewId) -> list[str]:
    names = Names(instance="previewd", preview=owner)
    data = world.context.settings.data_dir
    return [
        *(thing.name for thing in await world.engine.objects(names.labels())),
        *(name for name in world.databases.databases if name.startswith(names.database)),
        *(str(one) for one in world.checkouts if one == owner),
        *(folder for folder in ("binds", "backups") if (data / folder / str(owner)).exists()),
    ]


@pytest.mark.parametrize("is_open", [True, False])
async def test_things_of_a_preview_without_a_row_are_adopted_or_torn_down(world: World, *, is_open: bool) -> None:
    """As after the state was restored from a dump that is older than the preview."""
    async with world._database.begin() as connection:
        await connection.execute(delete(previews))
        await connection.execute(delete(subnets))
    world.pull = replace(world.pull, open=is_open)
    await settle(world)
    preview = await preview_of(world, world.preview)
    if is_open:
        assert preview.state is State.READY
        assert await stands(world)
    else:
        assert preview.state is State.REMOVED
        assert await world.leftovers() == []


async def test_things_of_a_removed_preview_are_leaks_and_go(world: World) -> None:
    world.pull = replace(world.pull, open=False)
    await settle(world)
    await plant(world, world.preview)
    kinds = {action.kind.value for action in await plan(world, ask_forge=False)}
    assert kinds == EVERY_KIND
    await make_round(world.context, ask_forge=False)
    leaks = await world.store.leaks.all()
    assert {(leak.kind, leak.reason) for leak in leaks} == {(kind, "preview 812-7 is removed") for kind in EVERY_KIND}
    await settle(world)
    assert await everything_of(world, world.preview) == []
    await reconcile(world.context)
    assert await world.store.leaks.all() == []


async def test_a_leak_is_dated_by_the_first_round_that_saw_it(world: World) -> None:
    await plant(world, world.preview)
    await make_round(world.context, ask_forge=False)
    first = {leak.name: leak.since for leak in await world.store.leaks.all()}
    await make_round(world.context, ask_forge=False)
    assert {leak.name: leak.since for leak in await world.store.leaks.all()} == {}, "it is under way: no leak any more"
    assert first


async def test_what_a_live_preview_does_not_use_goes_and_the_rest_stays(world: World) -> None:
    before = await everything_of(world, world.preview)
    await plant(world, world.preview)
    world.databases.databases[f"{NAMES.database}_s99"] = FakeDatabase()
    found = {(action.kind.value, action.name) for action in await plan(world)}
    assert found == {
        ("container", f"{NAMES.project}-app-0-1"),
        ("network", NAMES.network("old")),
        ("volume", anonymous(world.preview)),
        ("database", f"{NAMES.database}_n"),
        ("database", f"{NAMES.database}_s99"),
    }
    await settle(world)
    assert sorted(await everything_of(world, world.preview)) == sorted([*before, "binds", "backups"])
    assert await stands(world)


async def test_fifty_foreign_objects_stay_and_twenty_orphans_go(world: World) -> None:
    foreign = FakeForeign(world)
    await foreign.plant(50)
    world.pull = replace(world.pull, open=False)
    await settle(world)
    for number in range(20, 40):
        names = Names(instance="previewd", preview=PreviewId(812, number))
        labels = names.labels() if number % 3 else {"dev.previewd.instance": "previewd"}
        await world.engine.ensure_volume(f"orphan-{number}", labels)
    found = await plan(world, ask_forge=False)
    assert sorted(action.name for action in found) == sorted(f"orphan-{number}" for number in range(20, 40))
    await settle(world)
    assert not any(name.startswith("orphan") for name in world.engine._volumes)
    assert await foreign.left() == 50


class FakeForeign:
    """Things of somebody else, some with labels that resemble ours, or that came with an image of ours."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def plant(self, count: int) -> None:
        ours = {"dev.previewd.instance": "previewd", "dev.previewd.repository": "812"}
        engine = self.world.engine
        engine._tag("somebody/app:1", Image(id="sha256:foreign", exposed_ports=()), ours)
        for number in range(count // 2):
            labels = (FOREIGN, ours, {})[number % 3]
            await engine.ensure_volume(f"foreign-{number}", FOREIGN if number % 3 else {})
            await engine.create_container(f"foreign-{number}", {"Image": "somebody/app:1", "Labels": labels})

    async def left(self) -> int:
        engine = self.world.engine
        assert engine._find_image("somebody/app:1") is not None
        return sum(name.startswith("foreign-") for name in [*engine._volumes, *engine._containers])


async def test_what_may_be_of_another_previewd_with_our_instances_name_stays_and_is_told(world: World) -> None:
    """It has another GitHub App, so GitHub tells us nothing of its repositories."""
    await settle(world)
    theirs = Names(instance="previewd", preview=PreviewId(999, 1))
    await world.engine.ensure_volume("theirs", theirs.labels())
    world.databases.databases[theirs.database] = FakeDatabase()
    world.databases.databases["previewd_999_t0123456789ab"] = FakeDatabase(made_of={"branch": "x", "commit": FIRST})
    for _ in range(2):
        await make_round(world.context, ask_forge=True)
    assert "theirs" in world.engine._volumes
    assert theirs.database in world.databases.databases
    assert "previewd_999_t0123456789ab" in world.databases.databases
    told = [leak.reason for leak in await world.store.leaks.all()]
    assert len(told) == 3
    assert all("another previewd's with the same PREVIEWD_INSTANCE" in reason for reason in told)


async def test_a_template_of_which_nobody_knows_goes(world: World) -> None:
    name = "previewd_812_t0123456789ab"
    world.databases.databases[name] = FakeDatabase(made_of={"branch": "x", "commit": FIRST})
    (action,) = await plan(world)
    assert (action.kind, action.name) == (Kind.TEMPLATE, name)
    await settle(world)
    assert name not in world.databases.databases


async def test_a_route_that_leads_elsewhere_has_the_router_read_again(world: World) -> None:
    world.routes["pr-7-shop.example.com"] = "10.213.9.9:80"
    (action,) = await plan(world)
    assert (action.kind, action.leaked) == (Kind.ROUTE, False)
    assert "Caddy leads pr-7-shop.example.com to 10.213.9.9:80" in action.reason


# What nobody could say


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("objects", Unavailable("away")),
        ("containers", TemporaryError("slow")),
        ("names", OperatorError("refused")),
        ("templates", Unavailable("away")),
    ],
)
async def test_from_what_nobody_could_say_nothing_follows(
    world: World, broken: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    await plant(world, world.preview)
    await make_round(world.context, ask_forge=False)
    await (await lease(world)).settle(99)
    leaked = {(leak.kind, leak.name) for leak in await world.store.leaks.all()}

    async def fail(*_: object) -> object:
        raise error

    monkeypatch.setattr(world.databases if broken in ("names", "templates") else world.engine, broken, fail)
    found = await plan(world)
    silent = {"objects": {"container", "network", "volume", "image"}, "names": {"database"}}
    assert not silent.get(broken, set()) & {action.kind.value for action in found}
    assert not [action for action in found if action.kind is Kind.SERVING]
    await make_round(world.context, ask_forge=False)
    still = {(leak.kind, leak.name) for leak in await world.store.leaks.all()}
    assert {leak for leak in leaked if leak[0] in silent.get(broken, set())} <= still


async def lease(world: World) -> Any:
    found = await world.store.claims.borrow(world.preview)
    assert found is not None
    return found


async def test_two_who_reconcile_at_once_do_no_harm(world: World) -> None:
    world.engine.exit(container(world, "app"), 1)
    await plant(world, GONE, {"dev.previewd.instance": "previewd"})
    await asyncio.gather(*(make_round(world.context, ask_forge=True) for _ in range(3)))
    assert (await world.row()).generation == 2
    await settle(world)
    assert await stands(world)


async def test_what_is_under_way_is_left_alone(world: World) -> None:
    await plant(world, world.preview)
    world.engine.exit(container(world, "app"), 1)
    held = await lease(world)
    assert await plan(world) == []
    await held.release()
    assert await plan(world) != []


async def test_a_plan_alone_changes_nothing(world: World) -> None:
    await plant(world, world.preview)
    await plant(world, GONE)
    before, effects = await rows(world), len(world.effects)
    assert await plan(world)
    assert (await rows(world), len(world.effects)) == (before, effects)


async def rows(world: World) -> list[Any]:
    async with world._database.connect() as connection:
        return [*(await connection.execute(select(previews))), *(await connection.execute(text("SELECT * FROM leaks")))]


# What only looks like a leak


async def test_a_snapshot_that_somebody_asked_for_stays_whatever_is_done(world: World) -> None:
    """`previewd db snapshot` numbers them by the clock."""
    asked, step = NAMES.snapshot(1_763_000_000), NAMES.snapshot(3)
    world.databases.databases[asked] = FakeDatabase()
    assert await plan(world) == []
    world.databases.databases[step] = FakeDatabase()
    await settle(world)
    await world.change(head_commit=SECOND)
    await world.converge()
    await world.change(draft=True)
    await world.converge()
    assert asked in world.databases.databases
    assert step not in world.databases.databases


async def test_an_image_that_somebody_tries_does_not_keep_a_preview_from_going(world: World) -> None:
    (image,) = (await world.row()).serving_images
    ours = world.engine._find_image(image)
    assert ours is not None
    await world.engine.create_container("somebodys", {"Image": image, "Labels": ours.labels})
    world.pull = replace(world.pull, open=False)
    await settle(world)
    assert (await preview_of(world, world.preview)).state is State.REMOVED
    assert world.engine._find_image(image) is not None
    await world.engine.remove_container("somebodys")
    await settle(world)
    assert world.engine._find_image(image) is None


async def test_a_network_of_somebody_elses_with_the_same_name_stays(world: World) -> None:
    """The Engine takes a name twice; what is removed is what was seen."""
    await plant(world, GONE, {"dev.previewd.instance": "previewd"})
    (action,) = [action for action in await plan(world) if action.kind is Kind.NETWORK]
    assert action.id == world.engine._networks[action.name].id
    world.engine._networks[action.name].id = "another"
    await apply(reach_of(world.context), [action])
    assert action.name in world.engine._networks


async def test_a_checkout_goes_though_its_repository_had_a_template(world: World) -> None:
    world.pull = replace(world.pull, open=False)
    await settle(world)
    async with world._database.begin() as connection:
        values = {"repository": 812, "number": 0, "repository_name": "acme/shop", "host": "x.example.com"}
        await connection.execute(insert(previews).values(**values, state=State.REMOVED, settled=1))
    action = Action(
        do=Do.REMOVE, kind=Kind.CHECKOUT, name="812-0", preview=PreviewId(812, 0), reason="empty", leaked=True
    )
    await apply(reach_of(world.context), [action])
    assert world.effects[-1] == ("forget", "0")


async def test_what_a_removal_has_put_aside_is_a_leak_and_goes(world: World) -> None:
    binds = world.context.settings.data_dir / "binds"
    for name in (".812-9.gone-0a1b2c3d", ".812.git.gone-0a1b2c3d", ".somebody.gone-0a1b2c3d"):
        (binds / name / "copies").mkdir(parents=True)
    found = {(action.do, action.kind, action.name, action.leaked) for action in await plan(world)}
    paths = {f"binds/{name}" for name in (".812-9.gone-0a1b2c3d", ".812.git.gone-0a1b2c3d")}
    assert found == {(Do.REMOVE, Kind.FILES, path, True) for path in paths}
    held = await lease(world)
    assert await plan(world) == [], "it may be on its way out"
    await held.release()
    await settle(world)
    assert [path.name for path in binds.glob(".*")] == [".somebody.gone-0a1b2c3d"]


async def test_a_build_cache_beyond_its_limit_is_measured_only_if_asked_for(world: World) -> None:
    limit = world.context.settings.build_cache_bytes
    world.engine.build_cache = limit + (1 << 20)
    assert await plan(world) == []
    observed = await observe(reach_of(world.context), ask_forge=False, measure_cache=True)
    (action,) = observed.plan()
    assert (action.do, action.kind, action.leaked) == (Do.REMOVE, Kind.CACHE, False)
    assert f"the limit is {limit >> 20} MiB" in action.reason
    await apply(reach_of(world.context), [action])
    assert world.effects[-1] == ("limit_build_cache", f"({limit},)")


async def test_what_the_forge_still_shows_of_a_removed_preview_is_a_leak(world: World) -> None:
    world.pull = replace(world.pull, open=False)
    await settle(world)
    async with world._database.begin() as connection:
        long_ago = func.now() - timedelta(hours=1)
        await connection.execute(
            update(previews).values(
                updated_at=long_ago,
                reported_at=long_ago - timedelta(hours=1),
                report_attempts=3,
                forge_deployments={FIRST: [1, "success"]},
            )
        )
    found = await plan(world)
    assert {(action.do, action.kind, action.name, action.leaked) for action in found} == {
        (Do.TELL, Kind.COMMENT, "812-7", True),
        (Do.TELL, Kind.DEPLOYMENT, FIRST, True),
    }
    assert all("preview 812-7 is removed, and the pull request was told last at" in action.reason for action in found)
    assert all("and refused 3 times since" in action.reason for action in found)
    await report(world.context, world.preview)
    assert await plan(world) == []


@pytest.mark.parametrize("changes", [{"open": False}, {"draft": True}], ids=["closed", "draft"])
async def test_a_run_that_was_killed_does_not_stay_open_when_the_pull_request_changes(
    world: World, changes: dict[str, Any]
) -> None:
    held = await lease(world)
    await held.deployments.start(1, SECOND)
    await held.release()
    await world.change(**changes)
    await world.converge()
    assert [run.outcome for run in await world.queries.deployments(world.preview)] == ["interrupted", "ready"]


# A commit that does not stay up, in worse circumstances


async def test_who_has_to_wait_in_line_each_time_gets_no_more_lives(world: World) -> None:
    """Nor does he lose the reason: what served is the commit that is wanted, also when he is called."""
    for number in range(1, 4):
        world.engine.exit(container(world, "app"), 1, "no such table")
        await make_round(world.context, ask_forge=False)
        context = world.context
        world.context = replace(context, settings=context.settings.model_copy(update={"max_jobs": 0}))
        assert (await world.converge()).state is State.WAITING
        world.context = context
        async with world._database.begin() as connection:
            await connection.execute(update(previews).values(retry_at=None))
        state = (await world.converge()).state
        assert state is (State.READY if number < 3 else State.FAILED)
        (newest, *_) = await world.queries.deployments(world.preview)
        assert any("service app exited with code 1" in said for said in (*newest.notes, newest.reason))


async def test_what_ends_right_after_it_began_to_serve_is_looked_at_at_once(world: World) -> None:
    """The worker is still at it, so that nobody hears of it."""
    died: list[str] = []

    async def before(name: str) -> None:
        row = await world.row()
        if name == "remove_container" and row.serving_commit == SECOND and not died:
            (app,) = [name for name in row.serving_containers if "-app-" in name]
            died.append(app)
            world.engine.exit(app, 1)

    world.before = before
    await world.change(head_commit=SECOND)
    preview = await world.converge()
    assert died
    assert preview.state is State.READY
    assert await stands(world)
    assert await plan(world) == []


async def test_a_container_that_the_engine_starts_again_and_again_is_said_to_have_ended(world: World) -> None:
    name = container(world, "app")
    status = await world.engine.container(name)
    assert status is not None
    row = await world.row()
    again = replace(status, running=False, restarting=True, exit_code=3, addresses={})
    found = failure_of(serving_of(row), [again, *[s for s in await world.engine.containers({}) if s.name != name]])
    assert found is not None
    assert (found.reason, found.by_itself, found.is_routed) == ("service app exited with code 3", True, True)


async def test_an_engine_that_comes_and_goes_does_not_wear_out_the_forge(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.upkeep.rounds.LISTEN_AGAIN_SECONDS", 0.0)
    asked: list[int] = []
    real = world.context.forge.open_pulls

    async def open_pulls(repository: int) -> Any:
        asked.append(repository)
        return await real(repository)

    monkeypatch.setattr(world.context.forge, "open_pulls", open_pulls)
    async with listening(world):
        for least in (2, 3):
            world.engine.restart()
            await eventually(partial(generation, world, least), "the restart was noticed")
            await world.converge()
    assert len(asked) == 1


async def test_where_many_repositories_are_listed_it_is_done_more_seldom(world: World) -> None:
    """They may have no preview so far: the App may be installed on a whole organisation."""
    world.installed = [812, *range(1000, 1100)]
    await reconcile(world.context)
    async with world._database.connect() as connection:
        seconds = func.extract("epoch", rounds.c.at - func.now())
        pause = await connection.scalar(select(seconds).where(rounds.c.name == FORGE))
    assert float(pause or 0) > 101 * FORGE_PAUSE_EACH.total_seconds() - 60
