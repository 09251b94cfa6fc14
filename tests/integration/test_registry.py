"""Images of a real registry, in builds and pulls: open, with a password, with tokens, and with wrong credentials."""

import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.adapters.engine.registry_auth import Credentials, RegistryAuth
from orchestrator.ports.engine import BuildRequest
from orchestrator.preview.errors import BuildError, ImageMissing, LaunchError
from tests.support.context import MemoryContext
from tests.support.docker import ENGINE_URL, answers, leaving_nothing, unique
from tests.support.engine import engine as sdk
from tests.support.registry import (
    PASSWORD,
    USER,
    Registry,
    serving,
    serving_with_password,
    serving_with_tokens,
    why_not,
)

pytestmark = [pytest.mark.docker, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

ANN = Credentials(username=USER, password=PASSWORD)
STRANGER = Credentials(username=USER, password="w0rds-of-a-stranger")
PUBLIC, PRIVATE = "public/base:1", "private/base:1"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def open_registry(home: Path) -> Iterator[Registry]:
    """It has the images that the others, on the same storage, ask credentials for."""
    with serving(home) as registry:
        push(registry.image(PUBLIC), registry.image(PRIVATE))
        yield registry


def push(*references: str) -> None:
    """Have an image in the registry, and not on the Engine."""
    with sdk() as api:
        for reference in references:
            name, _, tag = reference.rpartition(":")
            content = io.BytesIO()
            with tarfile.open(fileobj=content, mode="w") as archive:
                archive.addfile(tarfile.TarInfo(unique("only")))
            api.import_image_from_data(content.getvalue(), repository=name, tag=tag)
            try:
                told = [json.loads(line) for line in api.push(reference).splitlines()]
                assert not [line for line in told if "error" in line], told
            finally:
                api.remove_image(reference)


@pytest.fixture(scope="module")
def with_password(home: Path, open_registry: Registry) -> Iterator[Registry]:
    with serving_with_password(home) as registry:
        yield registry


@pytest.fixture(scope="module")
def with_tokens(home: Path, open_registry: Registry) -> Iterator[Registry]:
    with serving_with_tokens(home) as registry:
        yield registry


class Machine:
    """An Engine that knows these credentials, and what it said."""

    def __init__(self, labels: dict[str, str], **by_host: Credentials) -> None:
        self.engine = DockerEngine(ENGINE_URL, RegistryAuth(by_host))
        self.labels = labels
        self.lines: list[str] = []

    async def log(self, line: str) -> None:
        self.lines.append(line)

    async def build(self, base: str) -> str:
        dockerfile = f"FROM {base}\nCOPY a /{unique('a')}\n".encode()
        request = BuildRequest(tag=f"previewd-test/{unique('b')}:1", dockerfile=dockerfile, labels=self.labels)
        return await self.engine.build(request, MemoryContext({"a": "1"}), self.log)


@pytest.fixture
async def labels() -> AsyncIterator[dict[str, str]]:
    engine = DockerEngine(ENGINE_URL)
    try:
        if not await answers(engine):
            pytest.skip(f"no Docker Engine answers at {ENGINE_URL}")
        async with leaving_nothing(engine) as labels:
            yield labels
    finally:
        await engine.close()


@pytest.fixture
async def machines(labels: dict[str, str]) -> AsyncIterator[list[Machine]]:
    """Those that a test made: what they pulled is removed, and that they told no secret is looked at."""
    made: list[Machine] = []
    yield made
    for machine in made:
        await machine.engine.close()
        text = "\n".join(machine.lines)
        assert PASSWORD not in text
        assert STRANGER.password not in text


def machine(machines: list[Machine], labels: dict[str, str], **by_host: Credentials) -> Machine:
    machines.append(Machine(labels, **by_host))
    return machines[-1]


async def test_an_open_registry(machines: list[Machine], labels: dict[str, str], open_registry: Registry) -> None:
    asker = machine(machines, labels)
    assert (await asker.build(open_registry.image(PUBLIC))).startswith("sha256:")
    await pulled(asker, open_registry.image(PUBLIC))


@pytest.mark.parametrize("kind", ["with_password", "with_tokens"])
async def test_credentials_are_given_to_who_asks(
    machines: list[Machine], labels: dict[str, str], kind: str, request: pytest.FixtureRequest
) -> None:
    registry: Registry = request.getfixturevalue(kind)
    asker = machine(machines, labels, **{registry.host: ANN})
    assert (await asker.build(registry.image(PRIVATE))).startswith("sha256:")
    await pulled(asker, registry.image(PRIVATE))


@pytest.mark.parametrize("kind", ["with_password", "with_tokens"])
@pytest.mark.parametrize("credentials", [None, STRANGER], ids=["none", "wrong"])
async def test_who_is_not_let_in_learns_registry_and_setting(
    machines: list[Machine],
    labels: dict[str, str],
    kind: str,
    credentials: Credentials | None,
    request: pytest.FixtureRequest,
) -> None:
    registry: Registry = request.getfixturevalue(kind)
    asker = machine(machines, labels, **({registry.host: credentials} if credentials else {}))
    with pytest.raises(BuildError) as built:
        await asker.build(registry.image(PRIVATE))
    with pytest.raises(LaunchError) as pull:
        await asker.engine.pull(registry.image(PRIVATE), asker.log)
    for error in (built.value, pull.value):
        assert registry.image(PRIVATE) in error.message
        assert registry.host in error.remedy
        assert "PREVIEWD_REGISTRY_AUTH" in error.remedy
        assert STRANGER.password not in f"{error} {error.remedy} {error.log_tail}"
    assert built.value.message.startswith("Dockerfile:1: ")


async def test_everybody_gets_a_token_for_what_is_public(
    machines: list[Machine], labels: dict[str, str], with_tokens: Registry
) -> None:
    asker = machine(machines, labels)
    assert (await asker.build(with_tokens.image(PUBLIC))).startswith("sha256:")
    await pulled(asker, with_tokens.image(PUBLIC))


async def test_an_image_that_was_never_pushed(
    machines: list[Machine], labels: dict[str, str], with_password: Registry
) -> None:
    asker = machine(machines, labels, **{with_password.host: ANN})
    with pytest.raises(BuildError, match="none:1 cannot be had"):
        await asker.build(with_password.image("none:1"))
    with pytest.raises(ImageMissing):
        await asker.engine.pull(with_password.image("none:1"), asker.log)


async def pulled(asker: Machine, reference: str) -> None:
    """Pulls it, looks, and takes it away again."""
    image = await asker.engine.pull(reference, asker.log)
    try:
        assert image == await asker.engine.image(reference)
    finally:
        await asker.engine.remove_image(reference)
