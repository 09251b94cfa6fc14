"""The Docker Engine as tests see it: by the SDK alone, so that no code of ours judges itself."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import docker

from orchestrator.preview.names import INSTANCE_LABEL


@dataclass(frozen=True, slots=True)
class Thing:
    """A container, network, volume or image."""

    kind: str
    id: str
    labels: Mapping[str, str]


def engine_url() -> str:
    """Where the Engine answers that tests use."""
    return os.environ.get("PREVIEWD_DOCKER_HOST", "unix:///var/run/docker.sock")


@contextmanager
def engine() -> Iterator[docker.APIClient]:
    """A connection to it."""
    api = docker.APIClient(base_url=engine_url(), version="auto", timeout=60)
    try:
        yield api
    finally:
        api.close()


def objects_of(instance: str, kind: str = "") -> list[Thing]:
    """Everything on the Engine that carries an instance's label."""
    wanted = {"label": [f"{INSTANCE_LABEL}={instance}"]}
    with engine() as api:
        found = {
            "container": api.containers(all=True, filters=wanted),
            "network": api.networks(filters=wanted),
            "volume": api.volumes(filters=wanted)["Volumes"] or [],
            "image": api.images(filters=wanted),
        }
    things = [(name, thing) for name, things in found.items() for thing in things if kind in ("", name)]
    return [Thing(name, thing.get("Id") or thing["Name"], thing.get("Labels") or {}) for name, thing in things]


def remove_everything_of(instance: str) -> None:
    """Remove what an instance left: a test that failed half-way must leave nothing either."""
    with engine() as api:
        remove = {
            "container": lambda thing: api.remove_container(thing, v=True, force=True),
            "network": api.remove_network,
            "volume": lambda thing: api.remove_volume(thing, force=True),
            "image": lambda thing: api.remove_image(thing, force=True),
        }
        for thing in objects_of(instance):
            remove[thing.kind](thing.id)  # type: ignore[no-untyped-call]


def forget_contexts_of(octets: int) -> None:
    """Take out of the build cache what BuildKit keeps of contexts of exactly this size, and of nothing else."""
    with engine() as api:
        kept = api.df()["BuildCache"] or []
        ids = [found["ID"] for found in kept if found["Type"] == "source.local" and found["Size"] == octets]
        for id_ in ids:
            api.prune_builds(filters={"id": id_}, all=True)  # type: ignore[arg-type]


def remove_images_of_project(project: str) -> None:
    """Remove what the real Compose binary built for a project, also those that lost their name to a later build."""
    with engine() as api:
        for image in api.images(filters={"label": f"com.docker.compose.project={project}"}):
            api.remove_image(image["Id"], force=True)
