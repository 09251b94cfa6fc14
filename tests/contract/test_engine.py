"""What every Engine must do: one suite for the real one and for the fake that the tests of steps use."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.admission.subnets import free_subnets
from orchestrator.ports.engine import BuildRequest, Command, ContainerStatus, Engine
from orchestrator.preview.errors import BuildError, LaunchError, OperatorError, TemporaryError
from tests.support.context import MemoryContext
from tests.support.docker import ENGINE_URL, answers, leaving_nothing, unique
from tests.support.fake_engine import FakeEngine, Program, Recipe
from tests.support.images import BASE_IMAGE
from tests.support.wait import eventually

POOL = IPv4Network("10.213.0.0/16")
SLEEP = ["sleep", "300"]
TALK = ["sh", "-c", "printf 'one\\ntwo\\n'; printf '\\033[31mred\\033[0m \\377\\n' >&2; exit 3"]
MISSING = ["/no/such/program"]
EXACTLY = ("sh", "-c", "test $(id -u) = 1000 && test $(pwd) = /tmp && test $NAME = value && exit 7")
ENDLESS = ("CMD", "yes")
CHECKS: dict[tuple[str, ...], int | None] = {
    ("CMD", "true"): 0,
    ("CMD", "sh", "-c", "exit 4"): 4,
    ("CMD-SHELL", "test -d /tmp && exit 5"): 5,
    ("CMD-SHELL", "sleep 20"): None,
}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.docker)])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Engine, dict[str, str]]]:
    """An Engine, and labels under which a test may make things."""
    if request.param == "fake":
        yield _fake(), {"dev.previewd.test": "t"}
        return
    engine = DockerEngine(ENGINE_URL)
    try:
        if not await answers(engine):
            pytest.skip(f"no Docker Engine answers at {ENGINE_URL}")
        async with leaving_nothing(engine) as labels:
            yield engine, labels
    finally:
        await engine.close()


@pytest.fixture
def engine(rig: tuple[Engine, dict[str, str]]) -> Engine:
    return rig[0]


@pytest.fixture
def labels(rig: tuple[Engine, dict[str, str]]) -> dict[str, str]:
    return rig[1]


def _fake() -> FakeEngine:
    fake = FakeEngine()
    fake.add_image(BASE_IMAGE)
    fake.recipes["volumes/Dockerfile"] = Recipe(volumes=("/image", "/other"))
    fake.recipes["bad/Dockerfile"] = Recipe(error="bad/Dockerfile:2: `COPY none /` failed: not found")
    fake.recipes["slow/Dockerfile"] = Recipe(lines=("RUN sleep 600",), seconds=600)
    fake.checks = {**CHECKS, ENDLESS: None, ("CMD", *EXACTLY): 7}
    fake.programs[tuple(TALK)] = Program(lines=("one", "two", "\x1b[31mred\x1b[0m \ufffd"), exit_code=3)
    fake.programs[tuple(MISSING)] = Program(error="exec: /no/such/program: no such file or directory")
    return fake


def with_volumes(labels: dict[str, str]) -> BuildRequest:
    return BuildRequest(
        tag=f"previewd-test/{unique('b')}:1",
        dockerfile=b"FROM scratch\nCOPY kept /image/kept\nVOLUME /image /other/\n",
        dockerfile_name="volumes/Dockerfile",
        labels=labels,
    )


def body(
    labels: dict[str, str], command: list[str], network: str = "none", mounts: tuple[dict[str, Any], ...] = ()
) -> dict[str, Any]:
    return {
        "Image": BASE_IMAGE,
        "Entrypoint": [],
        "Cmd": command,
        "Labels": labels,
        "HostConfig": {"NetworkMode": network, "Mounts": list(mounts)},
        "NetworkingConfig": {"EndpointsConfig": {} if network == "none" else {network: {}}},
    }


async def make_network(engine: Engine, name: str, labels: dict[str, str], *, internal: bool = False) -> IPv4Network:
    for subnet in free_subnets(POOL, 28, await engine.subnets()):
        if await engine.ensure_network(name, subnet, labels, internal=internal):
            return subnet
    pytest.fail("no subnet is free")


async def status_of(engine: Engine, container: str) -> ContainerStatus:
    status = await engine.container(container)
    assert status is not None
    return status


async def test_the_root_is_a_folder_of_the_engines_machine(engine: Engine) -> None:
    assert (await engine.root()).startswith("/")


async def test_the_gateway_is_an_address(engine: Engine) -> None:
    assert IPv4Address(await engine.gateway()).is_private


async def test_a_container_from_created_to_gone(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")
    made = await engine.create_container(name, body(labels, SLEEP))
    created = await engine.container(name)
    assert created is not None
    assert (created.id, created.name, created.running, created.started) == (made, name, False, False)
    assert created.exit_code is None
    assert created.labels.items() >= labels.items()

    await engine.start(name)
    await engine.start(name)
    running = await engine.container(made)
    assert running is not None
    assert (running.running, running.started, running.exit_code) == (True, True, None)

    await engine.stop(name, 0)
    await engine.stop(name, 0)
    stopped = await engine.container(name)
    assert stopped is not None
    assert (stopped.running, stopped.started, stopped.exit_code) == (False, True, 137)
    assert created.finished_at is running.finished_at is None
    assert stopped.finished_at is not None
    assert created.created_at == stopped.created_at < stopped.finished_at

    await engine.remove_container(name)
    await engine.remove_container(name)
    assert await engine.container(name) is None


async def test_creating_again_returns_the_same_container(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")
    first = await engine.create_container(name, body(labels, SLEEP))
    assert await engine.create_container(name, body(labels, SLEEP)) == first
    assert [status.id for status in await engine.containers(labels)] == [first]


async def test_a_container_of_somebody_else_is_not_adopted(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")
    await engine.create_container(name, body(labels, SLEEP))
    with pytest.raises(OperatorError, match=name):
        await engine.create_container(name, body(labels | {"more": "1"}, SLEEP))


async def test_a_missing_image_is_not_a_missing_container(engine: Engine, labels: dict[str, str]) -> None:
    with pytest.raises(TemporaryError, match="No such image"):
        await engine.create_container(unique("c"), body(labels, SLEEP) | {"Image": "previewd.invalid/none:1"})


async def test_a_missing_network_is_told(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")

    async def create_and_start() -> None:
        """Older Engines find out when it starts, newer ones when it is created."""
        await engine.create_container(name, body(labels, SLEEP, network=unique("n")))
        await engine.start(name)

    with pytest.raises(TemporaryError, match="not found"):
        await create_and_start()


async def test_a_command_that_does_not_exist(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")
    await engine.create_container(name, body(labels, MISSING))
    with pytest.raises(LaunchError, match="/no/such/program"):
        await engine.start(name)
    status = await engine.container(name)
    assert status is not None
    assert (status.running, status.started, status.exit_code) == (False, False, None)


async def test_an_ended_container_is_started_again(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")
    await engine.create_container(name, body(labels, TALK))
    for _ in range(2):
        await engine.start(name)

        async def ended() -> bool:
            return (await status_of(engine, name)).exit_code == 3

        await eventually(ended, "the container's end")
    again = [line for line in await engine.logs(name, 10) if line == "one"]
    assert len(again) == 2


async def test_starting_what_is_gone(engine: Engine) -> None:
    with pytest.raises(TemporaryError):
        await engine.start(unique("c"))


async def test_what_a_container_printed_last(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")
    await engine.create_container(name, body(labels, TALK))
    await engine.start(name)

    async def ended() -> bool:
        status = await engine.container(name)
        return status is not None and status.exit_code == 3

    await eventually(ended, "the container's end")

    async def printed() -> bool:
        return set(await engine.logs(name, 10)) == {"one", "two", "\x1b[31mred\x1b[0m \ufffd"}

    await eventually(printed, "all three lines")
    assert len(await engine.logs(name, 1)) == 1
    assert await engine.logs(name, 0) == ()
    assert await engine.logs(unique("c"), 10) == ()


async def test_checks_run_inside(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")
    await engine.create_container(name, body(labels, SLEEP))
    assert await engine.run_check(name, ("CMD", "true"), 10) == 1, "it does not run yet"
    await engine.start(name)
    for test, code in CHECKS.items():
        assert await engine.run_check(name, test, 10 if code is not None else 0.5) == code
    await engine.remove_container(name)
    assert await engine.run_check(name, ("CMD", "true"), 10) == 1


async def test_what_a_check_prints_without_end_is_not_kept(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")
    await engine.create_container(name, body(labels, SLEEP))
    await engine.start(name)
    assert await engine.run_check(name, ("CMD", "true"), 10) == 0
    tracemalloc.start()
    try:
        assert await engine.run_check(name, ENDLESS, 1) is None
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


async def test_commands_run_inside(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("c")
    await engine.create_container(name, body(labels, SLEEP))
    where = Command(argv=EXACTLY, user="1000", working_dir="/tmp", environment={"NAME": "value"})
    assert await engine.run_command(name, where, 10) == 1, "it does not run yet"
    await engine.start(name)
    assert await engine.run_command(name, where, 10) == 7


async def test_a_network_from_made_to_gone(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("n")
    subnet = await make_network(engine, name, labels)
    assert await engine.ensure_network(name, subnet, labels), "it is there already"
    assert subnet in await engine.subnets()

    container = unique("c")
    await engine.create_container(container, body(labels, SLEEP, network=name))
    await engine.start(container)
    status = await engine.container(container)
    assert status is not None
    assert IPv4Address(status.addresses[name]) in subnet

    await engine.remove_container(container)
    await engine.remove_network(name)
    await engine.remove_network(name)
    assert subnet not in await engine.subnets()


async def test_a_network_goes_although_somebody_uses_it(engine: Engine, labels: dict[str, str]) -> None:
    name, container = unique("n"), unique("c")
    await make_network(engine, name, labels)
    await engine.create_container(container, body(labels, SLEEP, network=name))
    await engine.start(container)
    await engine.remove_network(name)
    assert [found for found in await engine.objects(labels) if found.kind == "network"] == []


async def test_a_container_in_several_networks(engine: Engine, labels: dict[str, str]) -> None:
    first, second, container, other = unique("n"), unique("n"), unique("c"), unique("c")
    subnets = {name: await make_network(engine, name, labels) for name in (first, second)}
    await engine.create_container(other, body(labels, SLEEP, network=second))
    await engine.create_container(container, body(labels, SLEEP, network=first))
    for _ in range(2):
        await engine.connect(second, container, ["alias"], [f"{other}:linked", f"{other}:again"])
    await engine.start(other)
    await engine.start(container)
    status = await engine.container(container)
    assert status is not None
    assert status.networks == {first, second}
    assert all(IPv4Address(status.addresses[name]) in subnet for name, subnet in subnets.items())
    await engine.stop(container, 0)
    stopped = await engine.container(container)
    assert stopped is not None
    assert not stopped.addresses
    assert stopped.networks == {first, second}


async def test_an_internal_network_is_one(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("n")
    subnet = await make_network(engine, name, labels, internal=True)
    assert await engine.ensure_network(name, subnet, labels, internal=True)


async def test_a_subnet_that_is_taken(engine: Engine, labels: dict[str, str]) -> None:
    subnet = await make_network(engine, unique("n"), labels)
    assert not await engine.ensure_network(unique("n"), subnet, labels)
    assert not await engine.ensure_network(unique("n"), subnet.supernet(), labels)
    assert len(await engine.objects(labels)) == 1


async def test_a_network_of_somebody_else_is_not_adopted(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("n")
    subnet = await make_network(engine, name, labels)
    with pytest.raises(OperatorError, match=name):
        await engine.ensure_network(name, subnet, labels | {"more": "1"})


async def test_a_networks_name_is_not_a_part_of_anothers(engine: Engine, labels: dict[str, str]) -> None:
    name = unique("n")
    await make_network(engine, name + "-longer", labels)
    await engine.remove_network(name)
    assert [found.name for found in await engine.objects(labels)] == [name + "-longer"]
    await make_network(engine, name, labels)
    assert len(await engine.objects(labels)) == 2


async def test_a_volume_from_made_to_gone(engine: Engine, labels: dict[str, str]) -> None:
    name, container, reader = unique("v"), unique("c"), unique("c")
    await engine.ensure_volume(name, labels)
    await engine.ensure_volume(name, labels)
    with pytest.raises(OperatorError, match=name):
        await engine.ensure_volume(name, labels | {"more": "1"})

    mount = {"Type": "volume", "Source": name, "Target": "/data"}
    await engine.create_container(container, body(labels, SLEEP, mounts=(mount,)))
    await engine.create_container(reader, body(labels, SLEEP, mounts=(mount | {"ReadOnly": True},)))
    assert [(await status_of(engine, each)).volumes for each in (container, reader)] == [{name}, frozenset()]
    await engine.remove_container(reader)
    with pytest.raises(TemporaryError, match="in use"):
        await engine.remove_volume(name)
    await engine.remove_container(container)
    await engine.remove_volume(name)
    await engine.remove_volume(name)
    assert await engine.objects(labels) == []


async def test_volumes_without_a_name_carry_labels_and_go_with_their_container(
    engine: Engine, labels: dict[str, str]
) -> None:
    container, marked = unique("c"), {"Type": "volume", "VolumeOptions": {"Labels": labels}}
    mounts = ({**marked, "Target": "/image"}, {**marked, "Target": "/asked"})
    image = await engine.build(with_volumes(labels), MemoryContext({"kept": "1"}), unread)
    found = await engine.image(image)
    assert found is not None
    assert found.volumes == ("/image", "/other")
    await engine.create_container(container, {**body(labels, SLEEP, mounts=mounts), "Image": image})
    volumes = {found.name for found in await engine.objects(labels) if found.kind == "volume"}
    assert len(volumes) == 2
    mounted = (await status_of(engine, container)).volumes
    assert len(mounted) == 3, "the image's other volume is made by the Engine, and says nothing"
    assert mounted > volumes
    await engine.remove_container(container)
    assert {found.kind for found in await engine.objects(labels)} == {"image"}


async def test_what_a_container_may_write_to_on_the_host(
    engine: Engine, labels: dict[str, str], tmp_path: Path
) -> None:
    writer, reader = unique("c"), unique("c")
    mount = {"Type": "bind", "Source": str(tmp_path), "Target": "/data"}
    passing = {"Type": "tmpfs", "Target": "/passing"}
    await engine.create_container(writer, body(labels, SLEEP, mounts=(mount, passing)))
    await engine.create_container(reader, body(labels, SLEEP, mounts=(mount | {"ReadOnly": True}, passing)))
    for container in (writer, reader):
        await engine.start(container)
    assert [(await status_of(engine, each)).volumes for each in (writer, reader)] == [{str(tmp_path)}, frozenset()]
    assert [(await status_of(engine, each)).binds for each in (writer, reader)] == [{str(tmp_path)}] * 2


async def test_objects_are_found_by_all_of_their_labels(engine: Engine, labels: dict[str, str]) -> None:
    network, volume, container = unique("n"), unique("v"), unique("c")
    await make_network(engine, network, labels | {"kind": "a"})
    await engine.ensure_volume(volume, labels | {"kind": "b"})
    await engine.create_container(container, body(labels | {"kind": "a"}, SLEEP))
    every = {(found.kind, found.name) for found in await engine.objects(labels)}
    assert every == {("network", network), ("volume", volume), ("container", container)}
    some = {(found.kind, found.name) for found in await engine.objects(labels | {"kind": "a"})}
    assert some == {("network", network), ("container", container)}
    assert [status.name for status in await engine.containers(labels | {"kind": "a"})] == [container]
    assert await engine.containers(labels | {"kind": "b"}) == []


async def test_what_ends_or_is_removed_is_heard(engine: Engine, labels: dict[str, str]) -> None:
    name, other = unique("ends"), unique("other")
    async with engine.events(labels | {"dev.previewd.pull": "7"}) as events:
        for one, more in ((other, {}), (name, {"dev.previewd.pull": "7"})):
            await engine.create_container(one, body(labels | more, SLEEP))
            await engine.start(one)
            await engine.stop(one, 0)
            await engine.remove_container(one)
        heard = [await asyncio.wait_for(anext(events), 20) for _ in range(2)]
    assert [(event.action, event.container) for event in heard] == [("die", name), ("destroy", name)]
    assert labels.items() <= heard[0].labels.items()


async def test_images(engine: Engine) -> None:
    image = await engine.image(BASE_IMAGE)
    assert image is not None
    assert await engine.image(image.id) == image
    assert await engine.image("previewd.invalid/none:1") is None
    await engine.remove_image("previewd.invalid/none:1")


async def test_an_image_that_cannot_be_pulled(engine: Engine) -> None:
    async def log(line: str) -> None:
        """Nobody reads it."""

    with pytest.raises(LaunchError, match=r"127\.0\.0\.1:9/none:1") as raised:
        await engine.pull("127.0.0.1:9/none:1", log)
    assert raised.value.remedy


# Builds


async def unread(line: str) -> None:
    """Nobody reads it."""


async def test_what_was_built_is_there_by_its_name_until_that_is_removed(
    engine: Engine, labels: dict[str, str]
) -> None:
    tag, context = f"previewd-test/{unique('b')}:1", MemoryContext({"a": "1"})
    request = BuildRequest(tag=tag, dockerfile=b"FROM scratch\nCOPY a /a\n", labels=labels)
    built = await engine.build(request, context, unread)
    found = await engine.image(tag)
    assert found is not None
    assert found.id == built
    assert [(o.kind, o.id, o.name) for o in await engine.objects(labels)] == [("image", built, tag)]
    await engine.remove_image(tag)
    assert await engine.image(tag) is None
    await engine.remove_image(tag)


async def test_a_build_that_fails_names_its_line_and_leaves_nothing(engine: Engine, labels: dict[str, str]) -> None:
    request = BuildRequest(
        tag=f"previewd-test/{unique('b')}:1",
        dockerfile=b"FROM scratch\nCOPY none /\n",
        dockerfile_name="bad/Dockerfile",
        labels=labels,
    )
    with pytest.raises(BuildError, match=r"^bad/Dockerfile:2: `COPY none /` failed: "):
        await engine.build(request, MemoryContext(), unread)
    assert await engine.objects(labels) == []


async def test_a_build_whose_client_is_gone_leaves_nothing(engine: Engine, labels: dict[str, str]) -> None:
    """As when a worker is killed in it: the Engine ends the build with the connection."""
    tag, has_begun = f"previewd-test/{unique('b')}:1", asyncio.Event()
    request = BuildRequest(
        tag=tag,
        dockerfile=f"FROM {BASE_IMAGE}\nRUN sleep 600\n".encode(),
        dockerfile_name="slow/Dockerfile",
        labels=labels,
    )

    async def say(_: str) -> None:
        has_begun.set()

    build = asyncio.create_task(engine.build(request, MemoryContext(), say))
    await asyncio.wait_for(has_begun.wait(), 60)
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build
    assert await engine.image(tag) is None
    assert await engine.objects(labels) == []


async def test_a_build_takes_the_name_from_the_image_that_had_it(engine: Engine, labels: dict[str, str]) -> None:
    tag = f"previewd-test/{unique('b')}:1"

    async def build(content: str) -> str:
        context = MemoryContext({"a": content})
        request = BuildRequest(tag=tag, dockerfile=b"FROM scratch\nCOPY a /a\n", labels=labels)
        return await engine.build(request, context, unread)

    first, second = await build("1"), await build("2")
    named = {found.id: found.name for found in await engine.objects(labels)}
    assert named == {first: first, second: tag}


async def test_what_builds_have_left_is_measured(engine: Engine) -> None:
    assert await engine.build_cache_bytes() >= 0


async def test_a_network_is_removed_by_its_id_too(engine: Engine, labels: dict[str, str]) -> None:
    await make_network(engine, unique("n"), labels)
    (found,) = await engine.objects(labels)
    await engine.remove_network(found.id)
    assert await engine.objects(labels) == []
