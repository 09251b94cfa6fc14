"""`python -m tests.chaos [PART …]`: torment a real installation; exit code 1 when anything was lost, leaked or wrong.

CYCLES (500) is how large the storm is, SEED repeats one, WITHOUT="engine stalled,deliveries lost" leaves torments out;
AT="promote,drop the role" picks boundaries of the column. ENGINE_RESTART=1 says that the Engine is nobody else's.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from rich.console import Console

from tests.chaos.column import column as die_everywhere
from tests.chaos.points import POINTS, Moment
from tests.chaos.show import progress, show, show_column
from tests.chaos.stage import Stage
from tests.chaos.storm import Plan, Storm, keep_logs
from tests.chaos.tormentors import may_restart_engine
from tests.forge import Forge
from tests.support.installation import ROOT

KEPT = ROOT / "chaos-logs"
"""Where the logs of a run that failed are kept."""

STATE_MACHINE = "tests/integration/test_state_machine.py"

PLAIN_WIDTH = 160
"""Of what is printed, in characters, where there is no terminal."""

TELL_SECONDS = 15.0
"""Between two lines about the progress, where there is no terminal."""

Part = Callable[[Console], Awaitable[bool]]


async def storm(console: Console) -> bool:
    """The storm."""
    plan = Plan(
        seed=int(os.environ.get("SEED") or secrets.randbelow(1_000_000)),
        cycles=int(os.environ.get("CYCLES") or 500),
        without=_listed("WITHOUT"),
    )
    without = f", without {', '.join(plan.without)}" if plan.without else ""
    engine = "is restarted too" if may_restart_engine() else "is not ours to restart: the way to it is stalled and cut"
    console.print(f"a storm of {plan.cycles} cycles, SEED={plan.seed}{without}; the Engine {engine} …", soft_wrap=True)
    with Forge() as forge:
        async with Stage(forge, workers=plan.workers, settings={"MAX_JOBS": "8"}) as stage:
            raging = Storm(plan, forge, stage)
            telling = asyncio.create_task(_tell(raging, console))
            try:
                outcome = await raging.rage()
            except BaseException:
                console.print(f"the logs are in {keep_logs(stage, KEPT / 'storm')}")
                raise
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
            if not outcome.is_well:
                outcome = replace(outcome, logs=keep_logs(stage, KEPT / "storm"))
    show(outcome, console)
    if outcome.logs:
        console.print(f"the logs are in {outcome.logs}; again: make chaos PARTS=storm SEED={plan.seed}", soft_wrap=True)
    return outcome.is_well


async def column(console: Console) -> bool:
    """The SIGKILL column of the crash matrix."""
    points = [point for point in POINTS if point.name in _listed("AT")] or POINTS
    console.print(f"a worker is killed at {len(points)} boundaries, at {len(Moment)} moments each …")
    with Forge() as forge:
        async with Stage(forge, workers=1, settings={"MAX_JOBS": "100"}) as stage:
            found = await die_everywhere(forge, stage, points, console.print)
            if not found.is_well:
                console.print(f"the logs are in {keep_logs(stage, KEPT / 'column')}")
    show_column(found, console)
    return found.is_well


async def machine(console: Console) -> bool:
    """The state machine of the tests, for as long as MINUTES says in place of its few steps."""
    minutes = os.environ.get("MINUTES") or "5"
    console.print(f"the state machine, for {minutes} minutes …")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-q", "--timeout=0", STATE_MACHINE,
        cwd=ROOT, env=os.environ | {"STATE_MACHINE_MINUTES": minutes},
    )  # fmt: skip
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


PARTS: Mapping[str, Part] = {"column": column, "storm": storm} | (
    {"machine": machine} if (ROOT / STATE_MACHINE).exists() else {}
)


async def main(chosen: Sequence[str]) -> int:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    if unknown := set(chosen) - PARTS.keys():
        console.print(f"there are no parts called {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
        return 2
    _end_on_signals()
    results = {name: await PARTS[name](console) for name in chosen or PARTS}
    console.print("chaos: " + ", ".join(f"{name} {'held' if well else 'FAILED'}" for name, well in results.items()))
    return 0 if all(results.values()) else 1


def _listed(variable: str) -> tuple[str, ...]:
    """What a variable names, separated by commas."""
    return tuple(name.strip() for name in os.environ.get(variable, "").split(",") if name.strip())


def _end_on_signals() -> None:
    """Whoever ends it from outside leaves nothing behind either."""
    whole = asyncio.current_task()
    assert whole is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, whole.cancel)


async def _tell(raging: Storm, console: Console) -> None:
    """One line that changes in a terminal, else a line now and then."""
    began = time.monotonic()
    with console.status("beginning") if console.is_terminal else contextlib.nullcontext() as status:
        while True:
            line = f"{time.monotonic() - began:5.0f} s  {progress(raging)}"
            if status is not None:
                status.update(line)
            else:
                console.print(line, soft_wrap=True)
            await asyncio.sleep(1.0 if status is not None else TELL_SECONDS)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(sys.argv[1:])))
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("chaos: ended early; nothing is left behind")
