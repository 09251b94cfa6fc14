"""Who waits for whom: the graph of `depends_on`, as cycles to refuse and levels to start side by side.

Pure; `read` refuses cycles with it, the launch step starts by level and stops in the reverse order.
"""

from collections.abc import Mapping

from orchestrator.compose.model import Service


def levels(services: Mapping[str, Service]) -> tuple[tuple[str, ...], ...]:
    """Names by level: all that a service depends on stand in levels before its own. Expects no cycle."""
    waiting = {name: frozenset(service.depends_on) for name, service in services.items()}
    found: list[tuple[str, ...]] = []
    while waiting:
        ready = tuple(name for name, needs in waiting.items() if not needs & waiting.keys())
        if not ready:
            raise ValueError("the services depend on each other in a circle")
        found.append(ready)
        waiting = {name: needs for name, needs in waiting.items() if name not in ready}
    return tuple(found)


def cycle(services: Mapping[str, Service]) -> tuple[str, ...]:
    """The names of one circle, first name repeated at the end; empty where there is none."""
    left = {name: frozenset(service.depends_on) for name, service in services.items()}
    while ready := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in ready}
    if not left:
        return ()
    # Whatever is left waits for something that is left: walking on must come back to a name seen before.
    trail = [next(iter(left))]
    while (following := min(left[trail[-1]] & left.keys())) not in trail:
        trail.append(following)
    return (*trail[trail.index(following) :], following)
