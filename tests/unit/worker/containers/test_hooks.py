"""`pre_stop` commands: what a container keeps of them, and that nothing waits for them, or fails with them."""

import asyncio
from datetime import UTC, datetime
from typing import cast

import pytest

from orchestrator.compose.model import Hook, Service
from orchestrator.ports.engine import Command, ContainerStatus, Engine
from orchestrator.preview.errors import Place, TemporaryError
from worker.containers import hooks
from worker.containers.hooks import pre_stop_labels, run_pre_stop

FIRST = Hook(command=("first", "now"), user="root", working_dir="/w", environment={"A": "1"})
SERVICE = Service(name="a", place=Place(file="compose.yaml"), pre_stop=(FIRST, Hook(command=("second",))))


class _Engine:
    """Runs commands with the results that it was given, and never ends one without a result."""

    def __init__(self, *results: int | Exception) -> None:
        self.results = list(results)
        self.ran: list[Command] = []

    async def run_command(self, _: str, command: Command, __: float) -> int | None:
        self.ran.append(command)
        if not self.results:
            await asyncio.Event().wait()
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def _container(service: Service = SERVICE, *, running: bool = True) -> ContainerStatus:
    return ContainerStatus(
        id="1",
        name="a",
        labels=pre_stop_labels(service),
        image="i",
        running=running,
        exit_code=None,
        started=True,
        created_at=datetime.now(UTC),
    )


async def _run(engine: _Engine, container: ContainerStatus) -> str:
    return await run_pre_stop(cast("Engine", engine), container)


async def test_they_run_in_their_order_as_they_are_written() -> None:
    engine = _Engine(0, 0)
    assert await _run(engine, _container()) == ""
    first = Command(argv=("first", "now"), user="root", working_dir="/w", environment={"A": "1"})
    assert engine.ran == [first, Command(argv=("second",))]


async def test_a_failure_is_told_and_ends_them() -> None:
    engine = _Engine(3, 0)
    assert await _run(engine, _container()) == "a `pre_stop` command exited with code 3"
    assert len(engine.ran) == 1
    assert "away" in await _run(_Engine(TemporaryError("the Engine is away")), _container())


async def test_nothing_waits_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "PRE_STOP_SECONDS", 0.01)
    assert "not done" in await _run(_Engine(0), _container())


async def test_nothing_runs_in_what_has_ended_or_asks_for_nothing() -> None:
    engine = _Engine()
    assert await _run(engine, _container(running=False)) == ""
    assert await _run(engine, _container(Service(name="a", place=Place(file="compose.yaml")))) == ""
    assert engine.ran == []


def test_an_image_cannot_bring_its_own() -> None:
    assert list(pre_stop_labels(Service(name="a", place=Place(file="c"))).values()) == ["[]"]
