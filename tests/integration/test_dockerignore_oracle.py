"""Contexts held against what Docker packs: the real Compose binary builds each case, and the image says what came.

The binary with BuildKit inside is what people use, and what counts. The classic builder is asked as well: it differs
where an exception begins with a wildcard, because it does not look into a folder that is left out.
"""

import asyncio
import contextlib
import io
import os
import secrets
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker.errors
import pytest
import yaml

from orchestrator.adapters.git.sources import GitSources
from orchestrator.preview.trust import Pull
from tests.bench.compose_peer import binary
from tests.support.engine import engine, engine_url
from tests.support.git_remote import EXECUTABLE, LINK, Tree, served

pytestmark = pytest.mark.docker

TREE: Tree = {
    "Dockerfile": b"FROM scratch\nCOPY . /\n",
    "README.md": b"r",
    "README-secret.md": b"s",
    "a": b"a",
    "ab": b"ab",
    "b.txt": b"b",
    ".env": b"e",
    ".github/ci.yml": b"g",
    "run": (EXECUTABLE, b"run"),
    "link": (LINK, b"docs"),
    "dangling": (LINK, b"/nowhere/at/all"),
    "docs/index.md": b"i",
    "docs/a.txt": b"t",
    "docs/deep/er/x.md": b"x",
    "docs/deep/er/y.py": b"y",
    "only/one.md": b"o",
    "src/main.py": b"m",
    "src/__pycache__/main.pyc": b"c",
    "src/sub/__pycache__/sub.pyc": b"c",
    "src/sub/a": b"a",
    "src/sub/[x].py": b"x",
    "node_modules/p/index.js": b"j",
    "node_modules/p/node_modules/q/index.js": b"j",
    "web/node_modules/p/index.js": b"j",
    "web/dist/keep/app.js": b"j",
    "web/dist/app.js": b"j",
    "umlaut-ü.txt": b"u",
    "sp ace/f ile": b"s",
}

IGNORE_FILES = [
    *("", "*", "**", ".", "/", "..", "*\n!src", "*\n!/src/", "*\n!src/sub", "*\n!src/sub/a", "**\n!src"),
    *("*.md", "**/*.md", "**.md", "*/*.md", "docs/*.md", "docs/*.md\n!docs", "docs\n!docs/*.md", "only/*", "only/**"),
    *("docs/**", "docs/**\n!docs/deep", "**/docs", "docs/", "/docs", "./docs", "docs/../src", "//docs", "../docs"),
    *("*.md\n!README*.md\nREADME-secret.md", "*.md\nREADME-secret.md\n!README*.md", "!a\na", "a\n!a", "a?", "[a-c]"),
    *("[^a]", "a[b]", "node_modules", "**/node_modules", "**/node_modules/**", "web/dist\n!web/dist/keep"),
    *("web/dist/**\n!web/dist/keep/app.js", "*\n!**/*.py", "*\n!**/sub", "*\n!web/*/keep", "**/__pycache__"),
    *("**/__pycache__\n**/*.pyc", "src/**/a", "src/**/*.py", "s*/sub", "**/sub/**", "src**", "**/deep/**/x.md"),
    *(
        ".*",
        ".github",
        ".git*\n!.github/ci.yml",
        "# docs\nREADME.md",
        " # docs\nREADME.md",
        "  docs  ",
        "docs\r\nsrc\r\n",
    ),
    *(
        "\ufeffdocs\nsrc",
        "umlaut-?.txt",
        "sp ace",
        "sp*",
        "src/sub/\\[x\\].py",
        "src/sub/[[]x].py",
        "link",
        "link/a.txt",
    ),
    *(
        "dangling",
        "Dockerfile",
        ".dockerignore",
        "Dockerfile*\n.dockerignore",
        "DOCS",
        "docs/deep/../a.txt",
        "*\n! src",
    ),
]

NOT_IN_THE_CLASSIC_BUILDER = {"*\n!**/*.py", "*\n!**/sub", "*\n!web/*/keep"}

Listing = dict[str, tuple[int, str]]
"""Mode with kind, and where a link leads, by path."""


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    ignore: str


CASES = [Case(f"case{number:03}", text) for number, text in enumerate(IGNORE_FILES)]
WITH_EXCEPTIONS = [case for case in CASES if "!" in case.ignore]
"""Those in which builders could differ."""


def _tree(case: Case) -> Tree:
    return {f"{case.name}/{path}": value for path, value in {**TREE, ".dockerignore": case.ignore.encode()}.items()}


def _write(tree: Tree, folder: Path) -> None:
    for path, value in tree.items():
        mode, content = value if isinstance(value, tuple) else ("100644", value)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if mode == LINK:
            target.symlink_to(os.fsdecode(content))
        else:
            target.write_bytes(content)
            target.chmod(0o755 if mode == EXECUTABLE else 0o644)
    for found in folder.rglob("*"):
        if found.is_dir() and not found.is_symlink():
            found.chmod(0o755)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All the cases, as a work tree."""
    folder = tmp_path_factory.mktemp("cases")
    for case in CASES:
        _write(_tree(case), folder)
    return folder


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Listing]:
    """What our contexts hold, by the case's name."""
    return asyncio.run(_ours(tmp_path_factory.mktemp("sources")))


async def _ours(root: Path) -> dict[str, Listing]:
    sources = GitSources(root / "sources")
    with served(root / "remote") as remote:
        commit = remote.commit({path: value for case in CASES for path, value in _tree(case).items()})
        await sources.fetch(_pull(remote.url, commit), "")
    found: dict[str, Listing] = {}
    for case in CASES:
        context = await sources.context(1, commit, case.name, "Dockerfile")
        found[case.name] = {entry.path: (entry.mode, entry.link) for entry in context.entries}
    return found


def _pull(url: str, commit: str) -> Pull:
    return Pull(
        repository=1,
        repository_name="acme/app",
        clone_url=url,
        number=7,
        open=True,
        draft=False,
        title="t",
        author="ann",
        author_is_bot=False,
        head_commit=commit,
        head_branch="b",
        head_repository=1,
        base_branch="main",
    )


@pytest.fixture
def project() -> Iterator[str]:
    name = f"ignore-{secrets.token_hex(4)}"
    yield name
    with engine() as api:
        for case in CASES:
            with contextlib.suppress(docker.errors.ImageNotFound):
                api.remove_image(f"{name}:{case.name}", force=True)


def _built(
    program: Path, project: str, folder: Path, environment: Mapping[str, str], cases: Sequence[Case]
) -> dict[str, Listing]:
    """Build these cases and list their images."""
    build = {"dockerfile_inline": "FROM scratch\nCOPY . /\n"}
    services = {
        case.name: {"image": f"{project}:{case.name}", "build": {"context": f"./{case.name}", **build}}
        for case in cases
    }
    file = folder / f"{project}.yaml"
    file.write_text(yaml.safe_dump({"services": services}))
    done = subprocess.run(
        [str(program), "--project-name", project, "--file", str(file), "build"],
        env=os.environ | {"DOCKER_HOST": engine_url(), **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {case.name: _listed(f"{project}:{case.name}") for case in cases}


def _listed(image: str) -> Listing:
    with engine() as api:
        try:
            data = b"".join(api.get_image(image))
        except docker.errors.APIError as error:
            if "empty export" in str(error):  # an image of the classic builder that nothing was copied into
                return {}
            raise
    found: Listing = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive.getmembers():
            if member.name.endswith("layer.tar") and (handle := archive.extractfile(member)):
                with tarfile.open(fileobj=handle) as layer:
                    found |= {entry.name: _described(entry) for entry in layer.getmembers()}
    return found


def _described(entry: tarfile.TarInfo) -> tuple[int, str]:
    kind = stat.S_IFDIR if entry.isdir() else stat.S_IFLNK if entry.issym() else stat.S_IFREG
    return kind | entry.mode, entry.linkname if entry.issym() else ""


def test_buildkit_packs_what_we_pack(folder: Path, ours: dict[str, Listing], project: str) -> None:
    try:
        program = binary()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the Compose binary with BuildKit inside cannot be installed: {error}")
    theirs = _built(program, project, folder, {"DOCKER_BUILDKIT": "1", "COMPOSE_BAKE": "false"}, CASES)
    assert _differing(theirs, ours) == {}


def test_the_classic_builder_packs_no_more(folder: Path, ours: dict[str, Listing], project: str) -> None:
    program = Path(sys.executable).with_name("docker-compose")
    theirs = _built(program, project, folder, {"DOCKER_BUILDKIT": "0"}, WITH_EXCEPTIONS)
    differing = _differing(theirs, ours)
    assert differing.keys() == NOT_IN_THE_CLASSIC_BUILDER
    assert all(theirs.items() <= ours.items() for theirs, ours in differing.values())


def _differing(theirs: dict[str, Listing], ours: dict[str, Listing]) -> dict[str, tuple[Listing, Listing]]:
    pairs = {case.ignore: (theirs[case.name], ours[case.name]) for case in CASES if case.name in theirs}
    return {ignore: pair for ignore, pair in pairs.items() if pair[0] != pair[1]}
