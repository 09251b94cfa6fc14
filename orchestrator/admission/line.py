"""The fair order of those who wait, and whom of them there is room for. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from orchestrator.preview.state import PreviewId, Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A preview that stands in line, or is about to."""

    preview: PreviewId
    generation: int
    joined_at: datetime
    needs: frozenset[Resource]
    called: bool = False
    """It is its turn: a worker takes it as soon as it can."""
    resting: bool = False
    """It was let in moments ago and found less than the numbers promise: it is not called again at once."""
    told: tuple[Resource, int] | None = None
    """What it lacks and its place, as was written down last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the walk along the line found for one entry."""

    entry: Entry
    lacks: Resource | None
    """None for one that may begin."""
    place: int
    """From 1 on, among those who lack the same; 0 for one that may begin."""


def fair_order(line: Iterable[Entry], served: Mapping[int, datetime]) -> list[Entry]:
    """The order of service: the repositories in turn, first come first served inside of one.

    That repository is first which waits the longest since it was `served` last, or since its first entry joined: each
    one's first is thus served before any other one's second, however many another has, and whoever comes.
    """
    queues: dict[int, list[Entry]] = {}
    for entry in sorted(line, key=lambda entry: (entry.joined_at, entry.preview)):
        queues.setdefault(entry.preview.repository, []).append(entry)

    def waits_since(repository: int) -> tuple[datetime, int]:
        joined_at = queues[repository][0].joined_at
        return max(joined_at, served.get(repository, joined_at)), repository

    rounds = zip_longest(*(queues[repository] for repository in sorted(queues, key=waits_since)))
    return [entry for each in rounds for entry in each if entry is not None]


def walk(line: Sequence[Entry], free: Mapping[Resource, int]) -> list[Turn]:
    """Let in whom there is room for, in this order. Of a resource that `free` does not name there is enough.

    Who lacks something takes nothing: neither do those behind it wait for what they do not need.
    """
    left, lacking, turns = dict(free), dict.fromkeys(Resource, 0), []
    for entry in line:
        lacks = next((resource for resource in Resource if resource in entry.needs and left.get(resource, 1) < 1), None)
        if lacks is None:
            left = {resource: count - (resource in entry.needs) for resource, count in left.items()}
        counted = lacks or (entry.told[0] if entry.told else None)  # who is called up still stands there
        if counted is not None:
            lacking[counted] += 1
        turns.append(Turn(entry=entry, lacks=lacks, place=lacking[lacks] if lacks else 0))
    return turns


def place_of(order: Sequence[Entry], own: Entry, lacks: Resource) -> int:
    """The place, from 1 on, of one that joins the line: behind those who were told that they lack the same."""
    before = order[: order.index(own)]
    return 1 + sum(entry.told is not None and entry.told[0] is lacks for entry in before)
