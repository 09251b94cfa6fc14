"""Builds as a team sees them, on the real Engine: what is built, what is not built again, and what a build may use."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.forge import Forge
from tests.support.apps import tiny
from tests.support.engine import engine, objects_of
from tests.support.installation import Installation
from tests.support.team import Team

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

HERE_ALREADY = "is here already: built from the same content"
PROXY = "http://proxy.example:3128"  # 25 characters


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge() as forge:
        yield forge


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A company's certificates."""
    path: Path = tmp_path_factory.mktemp("company") / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nnobody's\n-----END CERTIFICATE-----\n")
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def previewd(forge: Forge, authorities: Path) -> AsyncIterator[Installation]:
    """Behind a company's walls: its proxy is nowhere, and no build of these tests asks it for anything."""
    settings = {"BUILD_PROXY": PROXY, "BUILD_NO_PROXY": "localhost", "BUILD_CA_FILE": str(authorities)}
    async with Installation(forge, settings=settings) as previewd:
        yield previewd


@pytest.fixture
def team(forge: Forge, previewd: Installation, request: pytest.FixtureRequest) -> Team:
    return Team(forge, previewd, request.node.name.replace("_", "-")[5:40].strip("-"))


async def test_equal_content_is_built_once_for_all_pull_requests(team: Team, previewd: Installation) -> None:
    files = tiny("first") | {".dockerignore": b"README.md\n", "README.md": b"one"}
    pull = await team.open(files, branch="one")
    await team.reaches(pull, "ready")
    assert "building Dockerfile as" in await team.log(pull)

    await team.push(pull, {**files, "README.md": b"two"})
    await team.reaches(pull, "ready")
    assert HERE_ALREADY in await team.log(pull)

    other = await team.open({**files, "README.md": b"three"}, branch="two")
    await team.reaches(other, "ready")
    assert HERE_ALREADY in await team.log(other)

    await team.push(pull, tiny("second"))
    await team.reaches(pull, "ready")
    assert "building Dockerfile as" in await team.log(pull)
    await team.push(pull, files)
    await team.reaches(pull, "ready")
    assert HERE_ALREADY in await team.log(pull), "a revert finds what the other pull request still runs"

    await team.close(pull)
    assert await team.answer(other) == "first"
    assert len(objects_of(previewd.instance, "image")) == 1
    assert previewd.cli("leaks").returncode == 0
    await team.close(other)
    assert objects_of(previewd.instance) == []


_EVERYTHING = """\
services:
  app:
    build:
      context: .
      network: none
      ulimits: {nofile: 1234}
      additional_contexts: {words: ./words, base: "service:base"}
      secrets: [token]
    expose: ["8000"]
  base:
    build: {context: ., dockerfile_inline: "FROM python:3.11-slim\\nRUN echo from the base > /base\\n"}
    command: ["sleep", "1000"]
secrets:
  token: {file: ./token}
x-preview: {service: app}
"""

_TAKES_EVERYTHING = """\
FROM base
WORKDIR /code
COPY . .
COPY --from=words / /words
RUN --mount=type=secret,id=token test "$(wc -c < /run/secrets/token)" = 11 && cat /run/secrets/token
RUN test "${#https_proxy}" = 25 && grep -q nobody /etc/ssl/certs/ca-certificates.crt \\
    && cp /base /code/base
EXPOSE 8000
CMD ["python", "app.py"]
"""


async def test_a_build_gets_contexts_secrets_and_the_companys_settings_and_keeps_none(
    team: Team, previewd: Installation
) -> None:
    files = tiny("whole", compose=_EVERYTHING) | {
        "Dockerfile": _TAKES_EVERYTHING.encode(),
        "token": b"xyzzy-12345",
        ".dockerignore": b"token\n",
        "words/hello": b"hello",
    }
    pull = await team.open(files)
    await team.reaches(pull, "ready")
    assert await team.answer(pull, "/list/words") == "hello"
    assert "base" in await team.answer(pull, "/list/code")
    assert "xyzzy" not in await team.log(pull)
    assert len(objects_of(previewd.instance, "image")) == 3, "the application, its base, and the folder of words"
    for told in await asyncio.to_thread(_told_by_images, previewd.instance):
        assert "xyzzy" not in told
        assert "proxy.example" not in told
        assert "nobody's" not in told
    await team.close(pull)
    assert objects_of(previewd.instance) == []


def _told_by_images(instance: str) -> list[str]:
    """The configuration and the history of every image."""
    with engine() as api:
        ids = [image.id for image in objects_of(instance, "image")]
        return [f"{api.inspect_image(each)} {api.history(each)}" for each in ids]  # type: ignore[no-untyped-call]


async def test_a_build_that_fails_shows_the_line_of_the_dockerfile(team: Team) -> None:
    broken = tiny() | {"Dockerfile": b"FROM python:3.11-slim\n\nRUN echo the last words \\\n  && exit 7\n"}
    pull = await team.open(broken)
    await team.reaches(pull, "failed")
    await team.says(pull, "Preview failed", "at **build**", "Dockerfile:3", "the last words", "exit code 7")
    await team.close(pull)


async def test_an_image_that_is_named_by_the_commit_is_built_here(team: Team) -> None:
    compose = "services:\n  app:\n    image: ghcr.example/acme/shop:${GIT_SHA}\n    expose: ['8000']\n"
    pull = await team.open(tiny("of the commit", compose=compose))
    await team.reaches(pull, "ready")
    assert await team.answer(pull) == "of the commit"
    await team.close(pull)
