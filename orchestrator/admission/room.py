"""What a preview needs, what this machine has left of it, and the observation behind it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from orchestrator.admission.words import leaked, previews, size
from orchestrator.databases.connections import Budget
from orchestrator.preview.state import Resource

NEEDED_ALWAYS = frozenset({Resource.SLOT, Resource.DISK})
"""Also by a push to what serves: its images take disk, and its containers take the place of others."""

NEEDED_TO_BEGIN = NEEDED_ALWAYS | {Resource.MEMORY, Resource.PREVIEWS}
"""By a preview that has nothing running, beside networks. What its stack needs is known once that is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineLimits:
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


def room(limits: MachineLimits, use: Use, machine: Machine) -> Room:
    """What there is room for, but for database connections: `with_connections` adds those."""
    subnet = 1 << (limits.pool.max_prefixlen - limits.subnet_prefix)
    free = {
        Resource.SLOT: limits.slots - use.slots,
        Resource.PREVIEWS: limits.previews - use.previews,
        Resource.NETWORKS: (limits.pool.num_addresses - use.addresses) // subnet,
    }
    said = {
        Resource.SLOT: f"this machine works on {previews(limits.slots)} at once",
        Resource.PREVIEWS: f"this machine keeps {previews(limits.previews)} live at once, and {use.previews:,} are",
        Resource.NETWORKS: _networks(limits, use, limits.pool.num_addresses // subnet),
    }
    fullest = min(machine.disks, key=lambda disk: disk.free, default=None)
    if fullest is not None and fullest.free < limits.free_disk_bytes:
        free[Resource.DISK] = 0
        floor = size(limits.free_disk_bytes)
        said[Resource.DISK] = f"{fullest.name} has {size(fullest.free)} free, and previewd keeps {floor} free"
    if machine.memory is not None and machine.memory < limits.free_memory_bytes:
        free[Resource.MEMORY] = 0
        said[Resource.MEMORY] = (
            f"this machine has {size(machine.memory)} of memory available, and previewd keeps "
            f"{size(limits.free_memory_bytes)} free"
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


def _networks(limits: MachineLimits, use: Use, subnets: int) -> str:
    text = f"all {subnets:,} subnets of {limits.pool} are taken" if subnets > 1 else f"{limits.pool} is taken"
    others = f", {use.foreign_subnets:,} of them by something else on this machine" if use.foreign_subnets else ""
    return text + others
