"""`python -m tests.bench [GROUP ...]`: run the benchmarks, all or some, print the table, write `bench.json`."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence

from rich.console import Console

from tests.bench import figures
from tests.bench.acknowledge import acknowledge
from tests.bench.builds import builds
from tests.bench.databases import databases
from tests.bench.figures import PAIRS, Figure
from tests.bench.memory import memory
from tests.bench.previews import previews
from tests.bench.stacks import stacks
from tests.support.installation import ROOT

OUTPUT = ROOT / "bench.json"

GROUPS: Mapping[str, tuple[str, Callable[[], Awaitable[list[Figure]]]]] = {
    "previews": (f"{PAIRS} pairs of a whole preview against Compose, warm caches, in turn", previews),
    "builds": (f"{PAIRS} pairs of pushes that build and pushes that do not", builds),
    "webhooks": ("acknowledging webhooks against a bare route", acknowledge),
    "databases": ("databases from templates, against copied files and dumps", databases),
    "memory": ("memory of web and worker, and their CPU when idle", memory),
    "stacks": ("stacks of 1, 2, 5 and 12 services, and reading a long file", stacks),
}
"""What is said before each, and what measures it."""


async def main(chosen: Sequence[str]) -> int:
    console = Console(highlight=False)
    if unknown := set(chosen) - GROUPS.keys():
        console.print(f"there are no figures called {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
        return 2
    measured: list[Figure] = []
    for name in chosen or GROUPS:
        title, measure = GROUPS[name]
        console.print(f"{title} …")
        measured += await measure()
    figures.show(measured, console)
    figures.write(measured, OUTPUT)
    console.print(f"written to {OUTPUT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
