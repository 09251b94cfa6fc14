"""Calls of the Engine in threads: no effect comes after the end of the task that asked for it."""

import asyncio
import threading
from typing import cast

import docker
import pytest

from orchestrator.adapters.engine import answers
from orchestrator.adapters.engine.engine import DockerEngine
from orchestrator.preview.errors import OperatorError


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> DockerEngine:
    engine = DockerEngine("unix:///nowhere")
    monkeypatch.setattr(engine, "_api", lambda: cast("docker.APIClient", None))
    return engine


async def test_a_cancelled_task_waits_for_its_call(engine: DockerEngine) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slow(_: docker.APIClient) -> None:
        begun.set()
        go_on.wait(10)
        done.set()

    task = asyncio.create_task(engine._call("wait", slow))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):  # also when it is cancelled again and again
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_an_error_after_the_cancel_is_nobodys(engine: DockerEngine) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def failing(_: docker.APIClient) -> None:
        begun.set()
        go_on.wait(10)
        raise OperatorError("too late")

    task = asyncio.create_task(engine._call("fail", failing))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("reference", "pulled"),
    [
        ("postgres", "postgres:latest"),
        ("postgres:16", "postgres:16"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("app@sha256:" + "0" * 64, "app@sha256:" + "0" * 64),
    ],
)
def test_a_name_without_a_tag_is_not_every_tag(reference: str, pulled: str) -> None:
    assert answers.tagged(reference) == pulled


def test_an_image_that_was_pulled_by_its_digest_has_a_name_and_is_not_ours() -> None:
    pulled = {"Id": "sha256:1", "RepoTags": None, "RepoDigests": ["somebody/app@sha256:2"]}
    nameless = {"Id": "sha256:1", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]}
    ours = {"Id": "sha256:1", "RepoTags": ["previewd/812:a"], "RepoDigests": []}
    assert answers.image_names(pulled) == ["somebody/app@sha256:2"]
    assert answers.image_names(nameless) == ["sha256:1"]
    assert answers.image_names(ours) == ["previewd/812:a"]
