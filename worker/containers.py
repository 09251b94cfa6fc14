"""The containers of a preview: what each should be, which are there, and which are no longer wanted."""

from dataclasses import dataclass, replace
from typing import Any

from orchestrator.compose.model import Healthcheck, MountKind, Service
from orchestrator.compose.requests import (
    Limits,
    Surroundings,
    aliases_of,
    assert_harmless,
    config_hash,
    container_body,
)
from orchestrator.errors import LaunchError
from orchestrator.names import CONFIG_LABEL, SERVICE_LABEL, Names
from orchestrator.ports import Image
from orchestrator.settings import Settings
from orchestrator.store import Lease
from worker.binds import bind_source
from worker.context import Hands
from worker.deployment import Deployment
from worker.images import image_reference
from worker.stack import read_stack
from worker.together import together

LOG_TAIL = 30
"""Lines of a container's output that a failure shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A container as it should be. Its name says its whole configuration, so an equal one need not be made again."""

    service: Service
    image: Image
    name: str
    body: dict[str, Any]

    @property
    def test(self) -> tuple[str, ...] | None:
        """The health test in the Engine's form, the file's before the image's; None where there is none."""
        check = self.service.healthcheck or Healthcheck()
        test = check.test or self.image.healthcheck or ()
        return None if not test or test[0] == "NONE" else test


async def planned(deployment: Deployment, service: Service) -> Planned:
    """Derive a service's container. Raises LaunchError when its image is not there."""
    reference = image_reference(deployment.names, service, deployment.commit, await deployment.image_salt())
    image = await deployment.hands.engine.image(reference)
    if image is None:
        raise LaunchError(f"{service.place}: the image {reference} of service {service.name} is gone", "push again")
    around = _surroundings(deployment, service)
    digest = config_hash(container_body(service, image.id, around))
    around = replace(around, labels={**around.labels, CONFIG_LABEL: digest})
    body = container_body(service, image.id, around)
    assert_harmless(body, around)
    return Planned(service=service, image=image, name=deployment.names.container(service.name, digest), body=body)


async def all_planned(deployment: Deployment) -> dict[str, Planned]:
    """Every container of the stack, by service."""
    stack, _ = await read_stack(deployment)
    return {name: await planned(deployment, service) for name, service in stack.services.items()}


async def discard_unserving(hands: Hands, lease: Lease) -> None:
    """Remove the preview's containers that do not serve: old ones after a success, new ones after a failure."""
    row = await hands.store.own(lease)
    labels = Names(instance=hands.settings.instance, preview=lease.preview).labels()
    present = await hands.engine.containers(labels)
    unwanted = [container.id for container in present if container.name not in row.serving_containers]
    await together(*(hands.engine.remove_container(container) for container in unwanted))


async def output_tail(deployment: Deployment, container: str) -> tuple[str, ...]:
    """The last lines that a container printed, also recorded, with secrets blanked."""
    lines = tuple(map(deployment.journal.clean, await deployment.hands.engine.logs(container, LOG_TAIL)))
    for line in lines:
        await deployment.journal.say(line)
    return lines


def _surroundings(deployment: Deployment, service: Service) -> Surroundings:
    names, settings = deployment.names, deployment.hands.settings
    labels = names.commit_labels(deployment.commit, deployment.gate.generation) | names.compose_labels(service.name)
    return Surroundings(
        labels={**labels, SERVICE_LABEL: service.name},
        network=names.network(),
        aliases=aliases_of(service),
        binds={
            mount.source: str(bind_source(settings, deployment.lease.preview, deployment.commit, mount.source))
            for mount in service.volumes
            if mount.kind is MountKind.BIND
        },
        limits=_limits(settings),
        volume_name=names.volume,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(memory_bytes=settings.memory_bytes, cpus=settings.cpus, pids=settings.pids)
