"""Our payloads against GitHub's published examples: every name that we use is theirs, with a type that they use."""

import json
import shutil
import subprocess
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forge import Delivery, Forge, PullRequest
from tests.forge.state import Comment

PACKAGE = "@octokit/webhooks-examples@7.6.1"
ARCHIVE = "octokit-webhooks-examples-7.6.1.tgz"
EXAMPLES = "package/api.github.com/index.json"
CACHE = Path(__file__).parents[3] / ".cache" / "npm"
FETCH = ["npm", "pack", "--silent", "--pack-destination", str(CACHE), PACKAGE]
FETCH_SECONDS = 60

UNSHOWN = ".issue.pull_request"
"""GitHub's schema has it where the comment is on a pull request; its examples are of comments on issues."""

Shape = dict[str, set[str]]


@pytest.fixture(scope="module")
def published() -> dict[str, Shape]:
    """The paths and types of each event, over all of its examples."""
    archive = CACHE / ARCHIVE
    if not archive.exists():
        fetch_examples()
    with tarfile.open(archive) as package:
        file = package.extractfile(EXAMPLES)
        assert file is not None
        return {event["name"]: shape_of(event["examples"]) for event in json.load(file)}


@pytest.fixture
def deliveries(forge: Forge, pull: PullRequest) -> list[Delivery]:
    forge.push(pull, {"a": b"a"})
    forge.label(pull, "preview")
    forge.unlabel(pull, "preview")
    forge.close(pull)
    comment = Comment(id=forge.state.next_id(), number=pull.number, user=pull.author, body="Hello")
    pull.repository.comments[comment.id] = comment
    forge.delete_comment(pull, comment)
    forge.rename_repository(pull.repository, "shop")
    forge.take_away(pull.repository)
    forge.suspend()
    forge.uninstall()
    return [*forge.take_deliveries(), forge.ping(pull.repository, "https://previews.example.com/webhooks/github")]


def test_every_path_is_githubs(published: dict[str, Shape], deliveries: list[Delivery]) -> None:
    strange = [
        f"{delivery.event} {delivery.action}: {path} is {found}, in the examples {published[delivery.event].get(path)}"
        for delivery in deliveries
        for path, types in shape_of([delivery.payload]).items()
        for found in types
        if found not in published[delivery.event].get(path, set()) and not path.startswith(UNSHOWN)
    ]
    assert strange == []


def test_the_check_would_see_a_wrong_path_or_type(published: dict[str, Shape]) -> None:
    known = published["pull_request"]
    assert ".pull_request.head.sha" in known
    assert ".pull_request.head.commit" not in known
    assert "number" not in known[".pull_request.head.sha"]


def fetch_examples() -> None:
    """Get the package into the cache, or skip and say with which command that would work."""
    CACHE.mkdir(parents=True, exist_ok=True)
    command = " ".join(FETCH)
    if shutil.which("npm") is None:
        pytest.skip(f"no npm for: {command}")
    try:
        subprocess.run(FETCH, check=True, capture_output=True, timeout=FETCH_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"this failed: {command}")


def shape_of(values: Iterable[Any]) -> Shape:
    """Collect which types stand at which paths, over all of the values."""
    shape: Shape = defaultdict(set)
    for value in values:
        for path, name in walk(value, ""):
            shape[path].add(name)
    return shape


def walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield each path in a JSON value with the type found there; the items of a list share one path."""
    yield path, json_type(value)
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from walk(item, f"{path}[]")


def json_type(value: Any) -> str:
    """Name a value's type in the terms of JSON."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
