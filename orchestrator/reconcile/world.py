"""What should be, what is, and what may be done about it: the words of the plan. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.databases.templates import Template
from orchestrator.ports.engine import ContainerStatus, EngineObject
from orchestrator.ports.sources import Checkout
from orchestrator.preview.records import Known, Leak
from orchestrator.preview.state import PreviewId
from orchestrator.preview.trust import Pull


class Do(StrEnum):
    """What an action does."""

    LOOK = "look"
    """Have the preview looked at; one that we have no row of gets one."""
    CLEAR = "clear"
    """Have a removed preview torn down once more."""
    REMOVE = "remove"
    """Remove this one thing, which belongs to no preview."""
    TELL = "tell"
    """Tell the forge. Whoever reports does so, as soon as the forge lets him."""


class Kind(StrEnum):
    """What an action is about."""

    PULL = "pull request"
    SERVING = "serving"
    CONTAINER = "container"
    NETWORK = "network"
    VOLUME = "volume"
    IMAGE = "image"
    DATABASE = "database"
    TEMPLATE = "template"
    ROUTE = "route"
    SUBNET = "subnet"
    CHECKOUT = "checkout"
    FILES = "files"
    BACKUPS = "backups"
    CACHE = "build cache"
    COMMENT = "comment"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    do: Do
    kind: Kind
    name: str
    preview: PreviewId | None
    """Whose it is, if anything says so."""
    reason: str
    leaked: bool
    """Whether it is about a thing that exists and should not."""
    id: str = ""
    """The Engine's, where it gives one: a container's or network's name may be another's by the time of the action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What should be."""

    instance: str
    previews: Mapping[PreviewId, Known]
    open: Mapping[int, Mapping[int, Pull]] = field(default_factory=dict)
    """By repository: its open pull requests, by number. A repository that is not here was not asked about."""
    images: frozenset[str] = frozenset()
    """Those that some preview serves with or is about to need."""
    build_cache_bytes: int = 0
    """How much of what builds left may be kept; 0 is no limit."""

    @property
    def repositories(self) -> frozenset[int]:
        """Those of which we know anything."""
        return frozenset(preview.repository for preview in self.previews)


@dataclass(frozen=True, slots=True)
class Remains:
    """What a removal has put aside on the disk, and not removed."""

    path: str
    """Below DATA_DIR."""
    repository: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """What is. None stands for what nobody could say."""

    objects: Sequence[EngineObject] | None = None
    containers: Sequence[ContainerStatus] | None = None
    databases: Sequence[str] | None = None
    templates: Sequence[Template] | None = None
    routes: Mapping[str, str] | None = None
    """By host, as Caddy answers: address:port, empty where nothing is reached. A host may be missing."""
    subnets: Mapping[str, PreviewId] | None = None
    """By network: whose row keeps a subnet for it."""
    checkouts: Sequence[Checkout] | None = None
    files: Sequence[PreviewId] | None = None
    """Previews that have a folder of bound files."""
    backups: Sequence[PreviewId] | None = None
    remains: Sequence[Remains] | None = None
    build_cache_bytes: int | None = None
    """To measure it is dear: a round that was not asked to leaves it out."""


def leaks(actions: Iterable[Action]) -> list[Leak]:
    """Those things of a plan that exist and should not."""
    return [
        Leak(
            kind=action.kind.value,
            name=action.name,
            preview=str(action.preview or ""),
            reason=action.reason,
            since=None,
        )
        for action in actions
        if action.leaked
    ]
