"""What a file asks for and the machine's operator does not give: a note for each, beside those of the policy.

Pure; the environment step and `previewd check` call it, with the limits of whoever runs previewd.
"""

from collections.abc import Iterator, Mapping

from orchestrator.compose.engine.request import ServiceLimits
from orchestrator.compose.model import Limit, Stack
from orchestrator.compose.syntax.casts import size_text


def capped(stack: Stack, limits: ServiceLimits) -> tuple[str, ...]:
    """For each limit of a service above the operator's: where it stands, what it asks for, and what is given."""
    return tuple(note for service in stack.services.values() for note in _notes(service.limit, limits))


def _notes(limit: Limit, limits: ServiceLimits) -> Iterator[str]:
    given: Mapping[str, float] = {"memory": limits.memory_bytes, "cpus": limits.cpus, "pids": limits.pids}
    asked: Mapping[str, float | None] = {"memory": limit.memory, "cpus": limit.cpus, "pids": limit.pids}
    for name, place in limit.places.items():
        wanted, most = asked[name], given[name]
        if not wanted or wanted > most:
            key = place.path.rpartition(".")[2]
            shown = _shown(name, wanted) if wanted else "without a limit"
            yield f"{place}: `{key}` is taken as {_shown(name, most)}, not {shown}: a container here gets no more."


def _shown(name: str, amount: float) -> str:
    return size_text(int(amount)) if name == "memory" else f"{amount:g}"
