"""Why a preview waits, in words. Pure."""

from ipaddress import IPv4Network

from orchestrator.preview.state import Resource

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


def _place(place: int) -> str:
    ordinal = _ORDINALS[place - 1] if place <= len(_ORDINALS) else f"number {place}"
    return f"{ordinal} in line"


def previews(count: int) -> str:
    return f"{count:,} preview{'' if count == 1 else 's'}"


def size(octets: int) -> str:
    """With one decimal, rounded down: what is under a limit must not read as if it had reached it."""
    unit, name = (_GIB, "GiB") if octets >= _GIB else (_MIB, "MiB")
    tenths = octets * 10 // unit
    return f"{tenths / 10:g} {name}"
