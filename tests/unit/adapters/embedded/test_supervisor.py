"""The supervisor with real, tiny processes."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.adapters.embedded.supervisor import Part, PartFailed, in_order, next_delay, rotate, supervise, tail
from tests.support.wait import eventually

DEAF = """
import signal, subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", sys.argv[1]]).pid, flush=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(99)
"""
REPORTS_ITS_END = """
import signal, time
def end(*_):
    print(time.monotonic(), flush=True)
    raise SystemExit
signal.signal(signal.SIGTERM, end)
print("runs", flush=True)
time.sleep(99)
"""
PARENT = """
import asyncio, sys
from pathlib import Path
from orchestrator.adapters.embedded.supervisor import Part, supervise
home = Path(sys.argv[1])
part = Part(name="child", argv=(sys.executable, "-c", sys.argv[2]), env={}, cwd=home, log=home / "child.log")
asyncio.run(supervise((part,), asyncio.Event(), print, lambda: (home / "ready").touch()))
"""
SAYS_PID = "import os, time; print(os.getpid(), flush=True); time.sleep(99)"


def part(home: Path, name: str, code: str, **fields: object) -> Part:
    made = Part(name=name, argv=(sys.executable, "-c", code), env={}, cwd=home, log=home / f"{name}.log")
    return replace(made, **fields)  # type: ignore[arg-type]


class Run:
    """`supervise` in the background."""

    def __init__(self, *parts: Part) -> None:
        self.stop, self.ready = asyncio.Event(), asyncio.Event()
        self.said: list[str] = []
        self.task = asyncio.create_task(supervise(parts, self.stop, self.said.append, self.ready.set))

    async def until_ready(self) -> None:
        await asyncio.wait_for(self.ready.wait(), 30)

    async def end(self) -> None:
        self.stop.set()
        await self.task


def holds(log: Path, lines: int = 1) -> Callable[[], "asyncio.Future[bool]"]:
    async def check() -> bool:
        return len(tail(log)) >= lines

    return lambda: asyncio.ensure_future(check())


def alive(pid: int) -> bool:
    """A zombie is not alive: in a container nobody may collect orphans."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_parts_stand_behind_those_they_need(tmp_path: Path) -> None:
    names = [("web", ("migrate",)), ("migrate", ("postgres",)), ("postgres", ()), ("caddy", ("web",))]
    parts = tuple(part(tmp_path, name, "", after=after) for name, after in names)
    assert [p.name for p in in_order(parts)] == ["postgres", "migrate", "web", "caddy"]


def test_parts_that_wait_for_each_other_are_refused(tmp_path: Path) -> None:
    parts = (part(tmp_path, "a", "", after=("b",)), part(tmp_path, "b", "", after=("a",)))
    with pytest.raises(ValueError, match="a, b"):
        in_order(parts)


def test_restarts_slow_down_and_recover() -> None:
    delays = [0.0]
    for _ in range(7):
        delays.append(next_delay(delays[-1], ran_seconds=1))
    assert delays[1:] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert next_delay(5.0, ran_seconds=11) == 0.2


def test_logs_of_earlier_runs_are_kept_for_a_while(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    for run in range(6):
        rotate(log)
        log.write_text(str(run))
    rotate(log)
    rotate(log)
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"web.log.1": "5", "web.log.2": "4", "web.log.3": "3"}


async def test_a_part_starts_when_those_before_it_are_ready_and_ends_before_them(tmp_path: Path) -> None:
    first = part(tmp_path, "first", REPORTS_ITS_END)
    first = replace(first, ready=holds(first.log))
    once = part(tmp_path, "once", "import time; print('once')", once=True, after=("first",))
    last = part(tmp_path, "last", REPORTS_ITS_END, after=("once",))
    last = replace(last, ready=holds(last.log))
    run = Run(last, once, first)
    await run.until_ready()
    assert tail(once.log) == ("once",)
    await run.end()
    ends = {p.name: float(tail(p.log)[-1]) for p in (first, last)}
    assert ends["last"] <= ends["first"]


async def test_a_part_that_does_not_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    other = part(tmp_path, "other", SAYS_PID)
    other = replace(other, ready=holds(other.log))
    run = Run(other, part(tmp_path, "broken", "raise SystemExit('no settings')", once=True, after=("other",)))
    with pytest.raises(PartFailed, match=r"broken ended with exit code 1\n  no settings"):
        await run.task
    assert not alive(int(tail(other.log)[0]))


async def test_a_part_that_dies_is_restarted(tmp_path: Path) -> None:
    child = part(tmp_path, "child", SAYS_PID)
    child = replace(child, ready=holds(child.log))
    run = Run(child)
    await run.until_ready()
    os.kill(int(tail(child.log)[0]), signal.SIGKILL)
    await eventually(holds(child.log, 2), "it runs a second time")
    await run.end()
    assert "child was ended by SIGKILL: started again in 0.2 s" in run.said
    assert not alive(int(tail(child.log)[1]))


async def test_why_a_part_ends_again_and_again_is_said_once(tmp_path: Path) -> None:
    code = "import os, pathlib, sys\nprint('a warning')\nprint('pid', os.getpid())\n"
    code += "sys.exit('no settings' if pathlib.Path('other').exists() else 'no database')"
    run = Run(part(tmp_path, "broken", code))
    await run.until_ready()
    await eventually(_often(run, "broken ended", 3), "it ended three times")
    (tmp_path / "other").touch()
    await eventually(_often(run, "  no settings", 1), "it ended of another cause")
    await run.end()
    assert run.said.count("  no database") == run.said.count("  no settings") == 1
    assert run.said.count(f"→ {tmp_path / 'broken.log'} holds all that it wrote") == 2


def _often(run: Run, start: str, times: int) -> Callable[[], "asyncio.Future[bool]"]:
    async def check() -> bool:
        return sum(line.startswith(start) for line in run.said) >= times

    return lambda: asyncio.ensure_future(check())


async def test_a_deaf_part_and_what_it_started_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.adapters.embedded.supervisor.STOP_SECONDS", 0.5)
    deaf = part(tmp_path, "deaf", DEAF)
    deaf = replace(deaf, argv=(*deaf.argv, SAYS_PID), ready=holds(deaf.log, 3))
    run = Run(deaf)
    await run.until_ready()
    await run.end()
    grandchild = int(next(line for line in tail(deaf.log) if line.isdigit()))
    await eventually(lambda: _gone(grandchild), "the grandchild is gone")


async def test_a_stop_while_starting_ends_what_runs_already(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    child = part(tmp_path, "child", SAYS_PID, ready=never)
    run = Run(child)
    await eventually(holds(child.log), "it runs")
    await run.end()
    assert not run.ready.is_set()
    assert not alive(int(tail(child.log)[0]))


async def test_no_part_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, str(tmp_path), SAYS_PID)
    await eventually(holds(tmp_path / "child.log"), "the child runs")
    child = int(tail(tmp_path / "child.log")[0])
    assert alive(child)
    parent.kill()
    await parent.wait()
    await eventually(lambda: _gone(child), "the child is gone")


async def _gone(pid: int) -> bool:
    return not alive(pid)
