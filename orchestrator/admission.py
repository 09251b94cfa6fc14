"""Who may begin now, and what the others wait for. Pure: `worker.line` observes, asks here, and does what follows.

A machine has so much of each resource. Whoever lacks one stands in line with what was observed, and those behind who
do not need it pass. The line is fair between repositories: each is served in turn, and inside of one who came first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Network
from itertools import zip_longest

from orchestrator.databases import Budget
from orchestrator.preview import PreviewId


class Resource(StrEnum):
    """What a preview may have to wait for. Of several the first here is told: a slot is free again the soonest."""

    DISK = "disk"
    MEMORY = "memory"
    PREVIEWS = "previews"
    NETWORKS = "networks"
    CONNECTIONS = "connections"
    SLOT = "slot"


NEEDED_ALWAYS = frozenset({Resource.SLOT, Resource.DISK})
"""Also by a push to what serves: its images take disk, and its containers take the place of others."""

NEEDED_TO_BEGIN = NEEDED_ALWAYS | {Resource.MEMORY, Resource.PREVIEWS}
"""By a preview that has nothing running, beside networks. What its stack needs is known once that is read."""

TOLD_PLACES = 10
"""The pull request is told its exact place up to here: for each step of a long line a forge takes no thousand edits."""

_WAITS_FOR = {
    Resource.DISK: "disk space",
    Resource.MEMORY: "memory",
    Resource.PREVIEWS: "another preview to go",
    Resource.NETWORKS: "a network",
    Resource.CONNECTIONS: "database connections",
    Resource.SLOT: "its turn",
}
_LEAKED = {
    Resource.DISK: "images, volumes and databases",
    Resource.MEMORY: "containers",
    Resource.NETWORKS: "subnets",
    Resource.CONNECTIONS: "databases",
}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_GIB, _MIB = 1 << 30, 1 << 20


# The line


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


# The machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the operator lets previews take of the machine."""

    slots: int
    previews: int
    pool: IPv4Network
    subnet_prefix: int
    free_disk_bytes: int
    free_memory_bytes: int
    """What stays free of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What is taken, as previewd's own database knows it."""

    slots: int = 0
    previews: int = 0
    addresses: int = 0
    """Of the pool of subnets."""
    foreign_subnets: int = 0
    """Subnets of the pool on which something else on this machine was found."""
    leaked: Mapping[Resource, int] = field(default_factory=dict)
    """How many things that belong to no live preview take some of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    name: str
    """What people call it: its path is nobody's business."""
    free: int
    """In bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the machine says of itself. What cannot be seen from here is left out, and limits nobody."""

    disks: tuple[Disk, ...] = ()
    memory: int | None = None
    """Available to new programs without swapping, in bytes."""

    def is_full(self, floor: int) -> bool:
        """Whether a disk has less than `floor` bytes free."""
        return any(disk.free < floor for disk in self.disks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is left of each resource, counted in previews, and the observation behind it."""

    free: Mapping[Resource, int]
    said: Mapping[Resource, str]


def room(limits: Limits, use: Use, machine: Machine) -> Room:
    """What there is room for, but for database connections: `with_connections` adds those."""
    subnet = 1 << (limits.pool.max_prefixlen - limits.subnet_prefix)
    free = {
        Resource.SLOT: limits.slots - use.slots,
        Resource.PREVIEWS: limits.previews - use.previews,
        Resource.NETWORKS: (limits.pool.num_addresses - use.addresses) // subnet,
    }
    said = {
        Resource.SLOT: f"this machine works on {_previews(limits.slots)} at once",
        Resource.PREVIEWS: f"this machine keeps {_previews(limits.previews)} live at once, and {use.previews:,} are",
        Resource.NETWORKS: _networks(limits, use, limits.pool.num_addresses // subnet),
    }
    fullest = min(machine.disks, key=lambda disk: disk.free, default=None)
    if fullest is not None and fullest.free < limits.free_disk_bytes:
        free[Resource.DISK] = 0
        floor = _size(limits.free_disk_bytes)
        said[Resource.DISK] = f"{fullest.name} has {_size(fullest.free)} free, and previewd keeps {floor} free"
    if machine.memory is not None and machine.memory < limits.free_memory_bytes:
        free[Resource.MEMORY] = 0
        said[Resource.MEMORY] = (
            f"this machine has {_size(machine.memory)} of memory available, and previewd keeps "
            f"{_size(limits.free_memory_bytes)} free"
        )
    return Room(free=free, said={each: text + leaked(each, use.leaked.get(each, 0)) for each, text in said.items()})


def with_connections(found: Room, budget: Budget, needed: int, promised: int, orphans: int) -> Room:
    """Add the connections of the previews' Postgres, of which each preview takes `needed`.

    `promised` previews are about to take theirs; `orphans` of the roles that have some belong to no live preview.
    """
    free = max(0, budget.free // needed - promised)
    said = budget.refusal(needed) + leaked(Resource.CONNECTIONS, orphans)
    return Room(free={**found.free, Resource.CONNECTIONS: free}, said={**found.said, Resource.CONNECTIONS: said})


def without_connections(found: Room, why: str) -> Room:
    """The previews' Postgres cannot be asked: whoever needs it waits, and nobody else."""
    return Room(free={**found.free, Resource.CONNECTIONS: 0}, said={**found.said, Resource.CONNECTIONS: why})


# In words


def reason(lacks: Resource, place: int, observation: str) -> str:
    """Why a preview waits, for its row: `place` counts from 1."""
    return f"it waits for {_WAITS_FOR[lacks]}, {_place(place)}: {observation}"


def told_reason(reason: str, place: int | None) -> str:
    """The same for the pull request: beyond the tenth place nobody needs to know more, see `TOLD_PLACES`."""
    if place is None or place <= TOLD_PLACES:
        return reason
    return reason.replace(_place(place), f"more than {TOLD_PLACES} before it", 1)


def sounds_alike(told: tuple[Resource, int] | None, now: tuple[Resource, int]) -> bool:
    """Whether the pull request would be told the same."""
    return told is not None and told[0] is now[0] and (told[1] == now[1] or min(told[1], now[1]) > TOLD_PLACES)


def leaked(resource: Resource, count: int) -> str:
    """What is added to an observation: things that should not exist never count silently."""
    if not count:
        return ""
    what = _LEAKED.get(resource, "things that take it")
    return f"; {count:,} of the {what} belong{'s' * (count == 1)} to no live preview: `previewd leaks` lists them"


def no_subnet(pool: IPv4Network, prefix: int) -> str:
    """For a stack that needs a larger subnet than is left, though smaller ones are."""
    return f"no subnet of {1 << (pool.max_prefixlen - prefix):,} addresses is left in {pool}"


def _networks(limits: Limits, use: Use, subnets: int) -> str:
    text = f"all {subnets:,} subnets of {limits.pool} are taken" if subnets > 1 else f"{limits.pool} is taken"
    others = f", {use.foreign_subnets:,} of them by something else on this machine" if use.foreign_subnets else ""
    return text + others


def _place(place: int) -> str:
    ordinal = _ORDINALS[place - 1] if place <= len(_ORDINALS) else f"number {place}"
    return f"{ordinal} in line"


def _previews(count: int) -> str:
    return f"{count:,} preview{'' if count == 1 else 's'}"


def _size(octets: int) -> str:
    """With one decimal, rounded down: what is under a limit must not read as if it had reached it."""
    unit, name = (_GIB, "GiB") if octets >= _GIB else (_MIB, "MiB")
    tenths = octets * 10 // unit
    return f"{tenths / 10:g} {name}"
