"""Who waits for whom: the graph of `depends_on`, as levels to start side by side. Pure."""

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
