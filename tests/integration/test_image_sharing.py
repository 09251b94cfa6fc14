"""Which images are built, shared, kept and removed, on an Engine in memory that counts every call."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from orchestrator.ports.engine import Image
from orchestrator.preview.errors import TemporaryError
from orchestrator.preview.records import Preview
from orchestrator.preview.state import State
from orchestrator.reconcile.observe import observe
from orchestrator.reconcile.world import Kind
from tests.support.apps import tiny
from tests.support.fake_engine import Recipe
from tests.support.world import FIRST, SECOND, World
from worker.cleanup.images import discard_images
from worker.context.build_slots import BuildSlots
from worker.upkeep.housekeeping import keep_house
from worker.upkeep.rounds import reach_of

THIRD = "c" * 40


@pytest.fixture
def world(database: AsyncEngine, tmp_path: Path) -> World:
    world = World(database, tmp_path)
    world.files = tiny() | {".dockerignore": b"README.md compose.yaml", "README.md": b"one"}
    return world


async def push(world: World, commit: str, **files: bytes) -> Preview:
    """Push these files, and let the worker act. `app_py` is app.py."""
    world.files = {**world.files, **{name.replace("_", "."): content for name, content in files.items()}}
    await world.change(head_commit=commit)
    return await world.converge()


async def said(world: World) -> str:
    """The log of the newest deployment."""
    newest = await world.queries.deployments(world.preview, limit=1)
    return "\n".join(line.line for line in await world.queries.log(newest[0].id))


def images(world: World) -> list[str]:
    return sorted(name for found in world.engine._images for name in found.tags if name.startswith("previewd/"))


async def test_what_builds_is_what_goes_into_the_image(world: World) -> None:
    await push(world, FIRST)
    (first,) = images(world)
    await push(world, SECOND, README_md=b"two")
    assert (len(world.engine.built), images(world)) == (1, [first])
    assert "is here already: built from the same content" in await said(world)
    await push(world, THIRD, app_py=b"another")
    assert len(world.engine.built) == 2
    assert first not in images(world), "what serves no more goes right after the promotion"


@pytest.mark.parametrize(
    "build",
    [
        "{context: ., args: {A: b}}",
        "{context: ., target: x}",
        "{context: ., network: none}",
        "{context: ., ulimits: {nofile: 99}}",
        "{context: ., shm_size: 1m}",
        "{context: ., no_cache: true}",
        "{context: ., dockerfile_inline: 'FROM python:3.11-slim'}",
    ],
)
async def test_every_setting_of_a_build_makes_another_image(world: World, build: str) -> None:
    world.files["Dockerfile"] = b"FROM python:3.11-slim AS x\n"
    await push(world, FIRST)
    await push(world, SECOND, compose_yaml=f"services: {{app: {{build: {build}, expose: [8000]}}}}".encode())
    assert len(world.engine.built) == 2


async def test_another_base_image_makes_another_image(world: World) -> None:
    await push(world, FIRST)
    world.engine.add_image("python:3.11-slim")
    await push(world, SECOND)
    assert len(world.engine.built) == 2


async def test_two_pull_requests_share_an_image_until_the_last_one_is_closed(world: World) -> None:
    await push(world, FIRST)
    world.turn_to(8)
    await world.hint()
    assert (await world.converge()).state is State.READY
    assert len(world.engine.built) == 1
    await world.change(open=False)
    assert (await world.converge()).state is State.REMOVED
    assert len(images(world)) == 1
    assert (await observe(reach_of(world.context), ask_forge=False)).plan() == []
    world.turn_to(7)
    await world.change(open=False)
    await world.converge()
    assert images(world) == []


async def test_a_use_is_written_down_before_its_image_is_looked_for(world: World) -> None:
    looked: list[frozenset[str]] = []

    async def before(name: str, arguments: tuple[object, ...]) -> None:
        if name in {"image", "build"} and "previewd/" in repr(arguments):
            looked.append(await world.queries.images())

    world.engine.before = before
    await push(world, FIRST)
    assert len(looked) >= 2
    assert all(looked)


async def test_an_image_that_vanished_before_the_launch_is_built_again(world: World) -> None:
    async def before(name: str, arguments: tuple[object, ...]) -> None:
        if name == "create_container" and len(world.engine.built) == 1:
            world.engine._images = [found for found in world.engine._images if not found.labels]

    world.engine.before = before
    await push(world, FIRST)
    await world.hint()
    assert (await world.converge()).state is State.READY
    assert len(world.engine.built) == 2


async def test_what_a_failed_commit_was_to_run_goes_and_what_serves_stays(world: World) -> None:
    await push(world, FIRST)
    kept = images(world)
    failed = Recipe(error="no", lines=("the end",))
    world.engine.recipes["Dockerfile"] = failed
    assert (await push(world, SECOND, app_py=b"another")).state is State.FAILED
    assert images(world) == kept
    assert await world.queries.images() == frozenset(kept)


async def test_an_image_that_nobody_uses_is_a_leak_and_is_removed(world: World) -> None:
    await push(world, FIRST)
    used = images(world)
    world.engine._tag(
        "previewd/812:lost", Image(id="sha256:lost", exposed_ports=()), {"dev.previewd.instance": "previewd"}
    )
    found = (await observe(reach_of(world.context), ask_forge=False)).plan()
    assert [(action.kind, action.name) for action in found] == [(Kind.IMAGE, "previewd/812:lost")]
    await discard_images(world.context)
    assert images(world) == used


async def test_one_image_in_use_does_not_keep_the_others(world: World) -> None:
    await push(world, FIRST)
    for name in ("a", "b"):
        labels = {"dev.previewd.instance": "previewd"}
        world.engine._tag(f"previewd/812:{name}", Image(id=f"sha256:{name}", exposed_ports=()), labels)

    async def before(name: str, arguments: tuple[object, ...]) -> None:
        if name == "remove_image" and arguments == ("previewd/812:a",):
            raise TemporaryError("in use")

    world.engine.before = before
    with pytest.raises(TemporaryError):
        await discard_images(world.context)
    assert "previewd/812:b" not in images(world)


async def test_named_contexts_are_images_that_are_built_first(world: World) -> None:
    world.files |= {
        "compose.yaml": b"""
services:
  app: {build: {context: ., additional_contexts: {docs: ./docs, base: 'service:base'}}, expose: [8000]}
  base: {build: {context: ., dockerfile_inline: "FROM python:3.11-slim"}}
x-preview: {service: app}
""",
        "Dockerfile": b"FROM base\nCOPY --from=docs / /docs\n",
        "docs/a.md": b"a",
    }
    assert (await push(world, FIRST)).state is State.READY
    built = {request.dockerfile_name: request for request in world.engine.built}
    app = built.pop("Dockerfile")
    assert world.engine.built[-1] is app
    assert len(built) == 2
    for request in built.values():
        assert request.tag.encode() in app.dockerfile
    assert images(world) == sorted([app.tag, *(request.tag for request in built.values())])


@pytest.mark.parametrize(
    ("context", "what"), [("service:app", "circle: app -> app"), ("service:idle", "is not active")]
)
async def test_a_context_that_cannot_be_had_is_named(world: World, context: str, what: str) -> None:
    app = f"app: {{build: {{context: ., additional_contexts: {{x: '{context}'}}}}, expose: [8000]}}"
    world.files["compose.yaml"] = f"services: {{{app}, idle: {{build: ., profiles: [never]}}}}".encode()
    preview = await push(world, FIRST)
    assert preview.state is State.FAILED
    assert what in preview.reason
    assert preview.reason.startswith("compose.yaml:1")


async def test_secrets_are_given_as_octets_and_appear_nowhere(world: World) -> None:
    world.files |= {
        "compose.yaml": b"""
services:
  app: {build: {context: ., secrets: [npmrc, {source: given, target: token}]}, expose: [8000]}
secrets:
  npmrc: {file: ./npmrc}
  given: {environment: SESSION}
x-preview: {secrets: [SESSION]}
""",
        "npmrc": b"//registry:_authToken=hunter2000\n",
    }
    world.engine.recipes["Dockerfile"] = Recipe(lines=("it is //registry:_authToken=hunter2000",))
    assert (await push(world, FIRST)).state is State.READY
    (request,) = world.engine.built
    assert request.secrets["npmrc"] == b"//registry:_authToken=hunter2000\n"
    assert len(request.secrets["token"]) > 20
    assert "hunter2000" not in await said(world)
    assert b"hunter2000" not in request.dockerfile
    await push(world, SECOND, npmrc=b"another one")
    assert len(world.engine.built) == 2


async def test_a_dockerfile_may_lie_beside_its_context(world: World) -> None:
    world.files |= {
        "compose.yaml": b"services: {app: {build: {context: src, dockerfile: ../Dockerfile}, expose: [8000]}}",
        "src/a": b"a",
    }
    assert (await push(world, FIRST)).state is State.READY
    assert [entry.path for entry in world.engine.contexts[world.engine.built[0].tag].entries] == ["a"]


@pytest.mark.parametrize("base", ["previewd/812:{}", "docker.io/previewd/812:{}"])
async def test_no_image_of_ours_is_a_base(world: World, base: str) -> None:
    await push(world, FIRST)
    (image,) = images(world)
    stolen = base.format(image.partition(":")[2])
    preview = await push(world, SECOND, Dockerfile=f"FROM {stolen}\n".encode())
    assert preview.state is State.FAILED
    assert "image of another preview" in preview.reason


@pytest.mark.parametrize("image", ["sha256:{}", "sha256:{:.4}", "./sha256:{}"])
async def test_no_image_is_had_by_its_id(world: World, image: str) -> None:
    """The Engine takes the start of an id for the whole, and the image of any preview may be found so."""
    await push(world, FIRST)
    found = await world.engine.image(images(world)[0])
    assert found is not None
    stolen = image.format(found.id.removeprefix("sha256:"))
    for files in (
        {"Dockerfile": f"FROM {stolen}\n".encode()},
        {"compose.yaml": f"services: {{app: {{image: '{stolen}', expose: [8000]}}}}".encode()},
    ):
        preview = await push(world, SECOND, **{name.replace(".", "_"): content for name, content in files.items()})
        assert preview.state is State.FAILED
        assert "is not the name of an image" in preview.reason


@pytest.mark.parametrize("trigger", ["ADD https://example.org/x /", "COPY --from=previewd/813:cafe / /"])
async def test_a_base_image_adds_nothing_that_a_dockerfile_may_not(world: World, trigger: str) -> None:
    base = Image(id="sha256:cafe", exposed_ports=(), on_build=(trigger,))
    world.engine.registry["onbuild:latest"] = base
    preview = await push(world, FIRST, Dockerfile=b"FROM onbuild\n")
    assert preview.state is State.FAILED
    assert world.engine.built == []


async def test_what_one_secret_made_is_not_found_with_another(world: World) -> None:
    """BuildKit's cache goes by a secret's id."""
    world.files |= {
        "compose.yaml": b"""
services: {app: {build: {context: ., secrets: [conf]}, expose: [8000]}}
secrets: {conf: {file: ./conf}}
""",
        "conf": b"mine",
        ".dockerignore": b"conf",
        "Dockerfile": b"FROM python:3.11-slim\nRUN --mount=type=secret,id=conf true\n",
    }
    await push(world, FIRST)
    await push(world, SECOND, conf=b"theirs")
    one, other = world.engine.built
    assert one.dockerfile != other.dockerfile
    (asked,) = other.secrets.keys() - {"conf"}
    assert asked.encode() in other.dockerfile
    assert other.secrets[asked] == b"theirs"


async def test_no_proxy_of_the_authors_reaches_the_build(world: World) -> None:
    args = "{HTTP_PROXY: 'http://mine', https_proxy: 'http://mine', A: b}"
    world.files["compose.yaml"] = f"services: {{app: {{build: {{context: ., args: {args}}}, expose: [8000]}}}}".encode()
    await push(world, FIRST)
    assert world.engine.built[0].args == {"A": "b"}
    assert "proxies among `args` are left out" in await said(world)


async def test_a_secret_with_too_many_lines_is_refused(world: World) -> None:
    world.files |= {
        "compose.yaml": b"""
services: {app: {build: {context: ., secrets: [conf]}, expose: [8000]}}
secrets: {conf: {file: ./conf}}
""",
        "conf": b"\n" * 6_000,
    }
    preview = await push(world, FIRST)
    assert "more than 5000 lines" in preview.reason


async def test_a_silent_build_is_ended(world: World) -> None:
    world.context.settings.__dict__["build_silence_seconds"] = 0.2
    world.engine.recipes["Dockerfile"] = Recipe(lines=("RUN sleep",), seconds=60)
    preview = await push(world, FIRST)
    assert preview.state is State.FAILED
    assert "printed nothing for 0.2 s" in preview.reason
    (deployment,) = await world.queries.deployments(world.preview)
    assert "#1 RUN sleep" in deployment.log_tail
    assert images(world) == []


async def test_an_image_of_the_ci_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.steps.build.FIRST_PAUSE_SECONDS", 0.05)
    image = f"ghcr.io/acme/shop:sha-{FIRST[:7]}"
    world.files["compose.yaml"] = (
        f"services: {{app: {{image: '{image}', expose: [8000]}}}}\nx-preview: {{image: pull}}".encode()
    )
    await world.hint()
    working = asyncio.create_task(world.converge())
    try:
        while True:
            found = await world.queries.preview(world.preview)
            if found and "waiting for" in found.reason:
                break
            await asyncio.sleep(0.02)
        assert found.reason.startswith(f"waiting for {image}, which the CI is to push; until ")
        world.engine.registry[image] = Image(id="sha256:ci", exposed_ports=(8000,))
        assert (await working).state is State.READY
    finally:
        working.cancel()
    assert world.engine.built == []


async def test_an_image_that_the_ci_never_pushes_fails_with_its_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.steps.build.FIRST_PAUSE_SECONDS", 0.05)
    world.context.settings.__dict__["image_wait_seconds"] = 0.2
    world.files["compose.yaml"] = (
        b"services: {app: {image: 'ghcr.io/acme/shop:${GIT_SHA}', expose: [8000]}}\nx-preview: {image: pull}"
    )
    preview = await push(world, FIRST)
    assert preview.state is State.FAILED
    assert f"ghcr.io/acme/shop:{FIRST} did not appear within 0.2 s" in preview.reason


async def test_an_image_of_the_ci_is_built_here_by_default(world: World) -> None:
    world.files["compose.yaml"] = f"services: {{app: {{image: 'x/y:sha-{FIRST[:7]}', expose: [8000]}}}}".encode()
    assert (await push(world, FIRST)).state is State.READY
    assert [request.dockerfile_name for request in world.engine.built] == ["Dockerfile"]


async def test_the_companys_proxy_and_certificates_reach_the_build_and_change_no_image(
    world: World, tmp_path: Path
) -> None:
    world.files["Dockerfile"] = b"FROM python:3.11-slim\nRUN true\n"
    await push(world, FIRST)
    (tmp_path / "ca.pem").write_bytes(b"PEM")
    settings = world.context.settings.__dict__
    settings |= {"build_proxy": SecretStr("http://u:geheim@proxy:3128"), "build_ca_file": tmp_path / "ca.pem"}
    await push(world, SECOND)
    assert len(world.engine.built) == 1, "it is the same image"
    await push(world, THIRD, app_py=b"another")
    request = world.engine.built[-1]
    assert request.args["https_proxy"] == request.args["HTTP_PROXY"] == "http://u:geheim@proxy:3128"
    assert b"PEM" in request.certificates.values()
    assert b"--mount=type=secret" in request.dockerfile
    assert "geheim" not in await said(world)


async def test_only_so_many_builds_run_at_once_and_who_waits_is_told(world: World) -> None:
    running = most = 0

    async def before(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal running, most
        if name == "build":
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.05)
            running -= 1

    world.engine.before = before
    object.__setattr__(world.context, "build_slots", BuildSlots(1))
    builds = (f"s{n}: {{build: {{context: ., args: {{N: '{n}'}}}}, expose: [8000]}}" for n in range(3))
    world.files["compose.yaml"] = f"services: {{{', '.join(builds)}}}\nx-preview: {{service: s0}}".encode()
    assert (await push(world, FIRST)).state is State.READY
    assert (most, len(world.engine.built)) == (1, 3)
    assert "waiting for its turn" in await said(world)
    reasons = [change.reason for change in await world.queries.transitions(world.preview)]
    assert any("waits for its turn to be built: this machine runs 1 build at once" in reason for reason in reasons)


async def test_services_that_build_alike_build_once(world: World) -> None:
    world.files["compose.yaml"] = b"services: {a: {build: ., expose: [8000]}, b: {build: .}}\nx-preview: {service: a}"
    assert (await push(world, FIRST)).state is State.READY
    assert len(world.engine.built) == 1


@pytest.mark.parametrize(("octets", "asked"), [(1 << 30, [(1 << 30,)]), (0, [])])
async def test_the_build_cache_is_held_to_its_limit_where_there_is_one(
    world: World, octets: int, asked: list[tuple[int]]
) -> None:
    world.context.settings.__dict__["build_cache_bytes"] = octets
    await keep_house(world.context)
    assert [arguments for name, arguments in world.engine.calls if name == "limit_build_cache"] == asked
