"""The name of everything that a preview owns in the world. Pure, total, and the only place where names are made.

Names come from numbers only, never from what a pull request's author may choose, and from nothing that a step
found out: a run that was killed finds what it made by asking for the same name again.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.preview.state import PreviewId

LABEL_PREFIX = "dev.previewd."
INSTANCE_LABEL = LABEL_PREFIX + "instance"
REPOSITORY_LABEL = LABEL_PREFIX + "repository"
PULL_LABEL = LABEL_PREFIX + "pull"
COMMIT_LABEL = LABEL_PREFIX + "commit"
GENERATION_LABEL = LABEL_PREFIX + "generation"
SERVICE_LABEL = LABEL_PREFIX + "service"
CONFIG_LABEL = LABEL_PREFIX + "config"
PRE_STOP_LABEL = LABEL_PREFIX + "pre-stop"

COMPOSE_LABEL_PREFIX = "com.docker.compose."
COMPOSE_VERSION = "2.40.3"
"""The Compose whose labels ours are: its `ps`, `logs` and `ls` list what carries them."""

INSTANCE_PATTERN = r"[a-z][a-z0-9]{0,15}"
"""Short and plain enough to start a container's, an image's and a database's name."""

TEMPLATE_HASH_LENGTH = 12

FIRST_SNAPSHOT = 1_000_000_000
"""Snapshots that people ask for are numbered by the clock. Smaller numbers are of deployments, in older versions."""

MARK_LENGTH = 12
"""Hexadecimal digits. With them the longest name of a database is as long as Postgres takes it: 63 octets."""

DNS_LABEL_LENGTH = 63
"""Octets of one label of a host name (RFC 1035, section 2.3.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of one preview of one instance of previewd."""

    instance: str
    preview: PreviewId

    @property
    def project(self) -> str:
        """The Compose project: what `docker compose -p` takes."""
        return f"{self.instance}-{self.preview.repository}-{self.preview.number}"

    @property
    def database(self) -> str:
        """The database, and the role that alone may connect to it."""
        return f"{self.instance}_{self.preview.repository}_{self.preview.number}"

    def snapshot(self, number: int) -> str:
        """A copy of the database that somebody asked for. `number` sets apart the snapshots of one preview."""
        return f"{self.database}_s{number}"

    def way_back(self, mark: str) -> str:
        """A copy of the database for as long as a commit is not proven. `mark` is random, of MARK_LENGTH digits.

        A number would come twice when our own state is restored, and lead back to what another commit found.
        """
        return f"{self.database}_w{mark}"

    def network(self, network: str = "default", *, internal: bool = False) -> str:
        """An internal network has a name of its own: one that becomes internal is made beside the one that was not."""
        return f"{self.project}{'-internal' if internal else ''}_{network}"

    def volume(self, volume: str) -> str:
        return f"{self.project}_{volume}"

    def container(self, service: str, config: str, number: int = 1) -> str:
        """The configuration's hash is part of the name: a changed service starts beside the one that it replaces."""
        return f"{self.project}-{service}-{config}-{number}"

    def image(self, digest: str) -> str:
        """All previews of a repository share its images; `digest` is keyed, so no Dockerfile can name one."""
        return f"{self.instance}/{self.preview.repository}:{digest}"

    def labels(self) -> dict[str, str]:
        """What marks a thing as this preview's, whatever commit it came from."""
        return instance_labels(self.instance) | {
            REPOSITORY_LABEL: str(self.preview.repository),
            PULL_LABEL: str(self.preview.number),
        }

    def image_labels(self) -> dict[str, str]:
        """What marks an image: its repository, and no pull request. Who uses it stands in the database."""
        return instance_labels(self.instance) | {REPOSITORY_LABEL: str(self.preview.repository)}

    def commit_labels(self, commit: str, generation: int) -> dict[str, str]:
        return self.labels() | {COMMIT_LABEL: commit, GENERATION_LABEL: str(generation)}

    def compose_labels(self, service: str, number: int, more: Mapping[str, str]) -> dict[str, str]:
        """Compose's own labels, so that `docker compose -p PROJECT ps`, `logs` and `ls` work on a preview."""
        return self._compose({"service": service, "container-number": str(number), "oneoff": "False", **more})

    def network_labels(self, network: str = "default") -> dict[str, str]:
        return self.labels() | self._compose({"network": network})

    def volume_labels(self, volume: str) -> dict[str, str]:
        return self.labels() | self._compose({"volume": volume})

    def _compose(self, labels: Mapping[str, str]) -> dict[str, str]:
        found = {"project": self.project, "version": COMPOSE_VERSION, **labels}
        return {COMPOSE_LABEL_PREFIX + name: value for name, value in found.items()}


def instance_labels(instance: str) -> dict[str, str]:
    return {INSTANCE_LABEL: instance}


def preview_of(labels: dict[str, str]) -> PreviewId | None:
    """Read back whose a labelled thing is; None when the labels do not say."""
    try:
        return PreviewId(int(labels[REPOSITORY_LABEL]), int(labels[PULL_LABEL]))
    except (KeyError, ValueError):
        return None


def owner_role(instance: str) -> str:
    """The role that owns every database of this instance, and that nobody logs in as."""
    return f"{instance}_owner"


def template(instance: str, repository: int, made_of: str) -> str:
    """The database that a repository's previews are copied from, and the role that fills it.

    `made_of` says what went in (commit, migrations, seed): something else is another template, made beside this one.
    """
    return f"{instance}_{repository}_t{hashlib.sha256(made_of.encode()).hexdigest()[:TEMPLATE_HASH_LENGTH]}"


def mark_of(copy: str) -> int:
    """What sets a copy apart from all others of its database, as a number."""
    return int(copy.rpartition("_")[2][1:], 16)


def next_database(database: str) -> str:
    """Where a preview's database is made anew while the present one is still in use."""
    return f"{database}_n"


def discarded_database(database: str) -> str:
    """What a preview's database is called from the moment at which another took its place until it is dropped."""
    return f"{database}_d"


def spare_database(template: str) -> str:
    """A copy of a template that is made before anybody asks for one: the next preview's database."""
    return f"{template}_c"


class DatabaseKind(StrEnum):
    """What a database of ours is for."""

    PREVIEW = "preview"
    SNAPSHOT = "snapshot"
    WAY_BACK = "way back"
    NEXT = "next"
    DISCARDED = "discarded"
    TEMPLATE = "template"
    SPARE = "spare"


def kind_of_database(instance: str, database: str) -> DatabaseKind | None:
    """Read back what a database or role is for; None when it is not one of this instance's."""
    start = rf"{re.escape(instance)}_\d+_"
    patterns = {
        DatabaseKind.PREVIEW: r"\d+",
        DatabaseKind.SNAPSHOT: r"\d+_s\d+",
        DatabaseKind.WAY_BACK: rf"\d+_w[0-9a-f]{{{MARK_LENGTH}}}",
        DatabaseKind.NEXT: r"\d+_n",
        DatabaseKind.DISCARDED: r"\d+_d",
        DatabaseKind.TEMPLATE: rf"t[0-9a-f]{{{TEMPLATE_HASH_LENGTH}}}",
        DatabaseKind.SPARE: rf"t[0-9a-f]{{{TEMPLATE_HASH_LENGTH}}}_c",
    }
    return next((kind for kind, end in patterns.items() if re.fullmatch(start + end, database)), None)


def preview_of_database(instance: str, database: str) -> PreviewId | None:
    """Read back whose a database or role is, snapshots and the like included; None when it is no preview's of ours."""
    match = re.fullmatch(rf"{re.escape(instance)}_(\d+)_(\d+)(_s\d+|_w[0-9a-f]+|_n|_d)?", database)
    return PreviewId(int(match[1]), int(match[2])) if match else None


def was_asked_for(instance: str, database: str) -> bool:
    """Whether it is a snapshot that somebody asked for, and may want to go back to."""
    is_snapshot = kind_of_database(instance, database) is DatabaseKind.SNAPSHOT
    return is_snapshot and int(database.rpartition("_s")[2]) >= FIRST_SNAPSHOT


def role_of_database(instance: str, database: str) -> str:
    """The role to which the things in a database of ours belong: a snapshot's are the preview's."""
    preview = preview_of_database(instance, database)
    if preview:
        return Names(instance=instance, preview=preview).database
    is_spare = kind_of_database(instance, database) is DatabaseKind.SPARE
    return database.removesuffix("_c") if is_spare else database


def repository_of_template(instance: str, database: str) -> int | None:
    """Read back whose template a database or role is; None when it is none of this instance's."""
    match = re.fullmatch(rf"{re.escape(instance)}_(\d+)_t[0-9a-f]{{{TEMPLATE_HASH_LENGTH}}}", database)
    return int(match[1]) if match else None


def host_name(template: str, domain: str, repository: str, number: int, suffix: str = "") -> str:
    """The public host of a preview. `suffix` sets apart two repositories of one name in different organisations.

    A label that would be longer than DNS allows is cut and made unique again by a hash of the whole.
    """
    name = slug(repository.rpartition("/")[2]) + (f"-{suffix}" if suffix else "")
    label, _, rest = template.format(number=number, repo=name, domain=domain).lower().partition(".")
    if len(label) > DNS_LABEL_LENGTH:
        mark = hashlib.sha256(label.encode()).hexdigest()[:8]
        label = f"{label[: DNS_LABEL_LENGTH - 9].rstrip('-')}-{mark}"
    return f"{label}.{rest}"


def slug(text: str) -> str:
    """Lower-case letters, digits and single hyphens, as a host name's label and an image's name both allow."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
