"""Where a worker can be struck, when, and by what: the vocabulary of the crash matrix."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Moment(StrEnum):
    """When it strikes, as seen from the step's effect."""

    BEFORE = "before"
    """The effect does not take place, or only after the fault."""
    UNRECORDED = "unrecorded"
    """The effect took place; the answer does not come back."""
    AFTER = "after"
    """The effect took place and was written down: at the first call after that."""


class Mode(StrEnum):
    """What happens."""

    SIGKILL = "sigkill"
    SIGTERM = "sigterm"
    RAISE = "raise"
    HANG = "hang"
    """The worker is frozen for twice its lease, while another does its work; then it goes on."""
    FLUSHALL = "redis-flushall"
    REDIS_DOWN = "redis-down"
    POSTGRES = "postgres-restart"
    """Every session of the worker's is ended; a call that is under way fails."""
    DOCKERD = "dockerd-restart"
    ENGINE = "engine-500"
    GITHUB = "github-502"
    """… and the calls after it: GitHub asks us to wait."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One case."""

    step: str
    moment: Moment
    mode: Mode

    def __str__(self) -> str:
        return f"{self.step}:{self.moment}:{self.mode}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the form that `str` writes."""
        step, moment, mode = text.split(":")
        return cls(step, Moment(moment), Mode(mode))


ANY_CALL = "*"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a step takes place: at the `nth` call of this name, or of any."""

    call: str
    nth: int = 1


READS = frozenset(
    {
        "deployments.times_ready", "generations.due", "known.live_repositories", "line.is_empty", "line.read", "renew",
        "reports.begin", "reports.due", "reports.has_changed", "row", "subnets.of", "subnets.taken",
        "sweep.finds_work", "templates.has_pulls", "usage.of",
    }
)  # fmt: skip
"""What the store is asked without writing anything down that a step did."""


def is_record(call: str) -> bool:
    """Whether the call writes down what was done."""
    return port_of(call) == "store" and call.partition(".")[2] not in READS


def port_of(call: str) -> str:
    """Which port a call is of: `engine.start` and the stage `engine: tag` are both of `engine`."""
    return re.split(r"[.:]", call, maxsplit=1)[0]


BUILD_BEGINS, BUILD_ENDS = Place("engine: begin to build"), Place("engine: tag")

OPENING = {
    "D1 lease": Place("store.claims.acquire"),
    "D2 read pull request": Place("forge.pull"),
    "D3 may it run": Place("forge.permission"),
    "D4 token": Place("forge.clone_token"),
    "D5 fetch": Place("sources.fetch"),
    "D6 read files": Place("sources.files"),
    "D7 build begins": BUILD_BEGINS,
    "D8 image is named": BUILD_ENDS,
    "D9 create role": Place("databases: create role"),
    "D10 create database": Place("databases: create database"),
    "D11 grants": Place("databases: admit its role"),
    "D12 network": Place("engine.ensure_network"),
    "D13 volume": Place("engine.ensure_volume"),
    "D14 create container": Place("engine.create_container"),
    "D14 create last container": Place("engine.create_container", 2),
    "D15 start container": Place("engine.start"),
    "D15 start last container": Place("engine.start", 2),
    "D16 candidate": Place("store.serving.set_candidate"),
    "D17 probe": Place("proxy.ask"),
    "D18 switch route": Place("store.serving.promote"),
    "D19 mark ready": Place("store.settle"),
    "D20 comment": Place("forge.put_comment"),
}
"""A pull request is opened. The route is switched, and the preview called ready, in one transaction: what D19 marks is
that everything up to this generation was acted on."""

REPLACING = {
    "D20 comment of a push": Place("forge.put_comment"),
    "D21 retire container": Place("engine.remove_container"),
    "D21 retire image": Place("engine.remove_image"),
}
"""A commit is pushed, and replaces what serves."""

CLOSING = {
    "T1 lease": Place("store.claims.acquire"),
    "T2 unroute": Place("store.serving.unroute"),
    "T3 kill and remove container": Place("engine.remove_container"),
    "T4 kill and remove last container": Place("engine.remove_container", 2),
    "T5 network": Place("engine.remove_network"),
    "T6 volume": Place("engine.remove_volume"),
    "T7 drop database": Place("databases: drop databases"),
    "T8 drop role": Place("databases: drop role"),
    "T9 image": Place("engine.remove_image"),
    "T10 files": Place("sources.remove"),
    "T11 mark removed": Place("store.advance", 2),
    "T12 comment": Place("forge.put_comment"),
}
"""It is closed. The Engine stops a container and removes it in one call."""

RECEIVING = ("R1 read body", "R2 verify", "R3 record", "R4 respond", "R5 wake")
"""A delivery comes in: through `tests.support.web_door`."""

FAILING = {Mode.FLUSHALL: "queue", Mode.REDIS_DOWN: "queue", Mode.ENGINE: "engine", Mode.GITHUB: "forge"}
"""The port whose next calls fail, and nothing else happens: all that counts is which call is the first of them."""


def what_fails(trace: Sequence[str], place: Place, fault: Fault) -> tuple[int, bool] | None:
    """How many calls of the port go well, of a worker whose calls are these, and whether the next takes effect.

    Two faults of one mode for which this is the same are one case: no worker, and nobody else, can tell them apart but
    for what runs side by side. None when the place is not reached.
    """
    at = [number for number, call in enumerate(trace) if call == place.call]
    if fault.mode not in FAILING or len(at) < place.nth:
        return None
    struck, takes_effect = at[place.nth - 1], False
    match fault.moment:
        case Moment.UNRECORDED:
            takes_effect = port_of(trace[struck]) == FAILING[fault.mode]
            struck += not takes_effect
        case Moment.AFTER:
            records = (number for number, call in enumerate(trace) if number >= struck and is_record(call))
            struck = next(records, len(trace)) + 1
        case Moment.BEFORE:
            pass
    return sum(port_of(call) == FAILING[fault.mode] for call in trace[:struck]), takes_effect


MOMENTS_AND_MODES = tuple((moment, mode) for mode in Mode for moment in Moment)
