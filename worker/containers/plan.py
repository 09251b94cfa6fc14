"""The containers of a preview: what each should be, which are there, and which are no longer wanted."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import structlog

from orchestrator.compose.engine.allowlist import assert_harmless
from orchestrator.compose.engine.request import (
    ServiceLimits,
    Surroundings,
    aliases_of,
    config_hash,
    container_body,
    files_of,
    mount_targets,
    open_volumes,
)
from orchestrator.compose.model import Healthcheck, MountKind, Service, Stack
from orchestrator.ports.engine import HealthTimes, Image
from orchestrator.preview.errors import LaunchError, TemporaryError
from orchestrator.preview.names import CONFIG_LABEL, SERVICE_LABEL
from orchestrator.runtime.settings import Settings
from worker.containers.hooks import pre_stop_labels
from worker.containers.host_files import HostFiles, binds_folder
from worker.deployment.deployment import Deployment
from worker.deployment.recipes import image_of
from worker.deployment.stack import read_prepared, read_stack

KILLED_TRIES = 2
"""What is killed while it comes up is started so often again, before it is taken for the commit's own doing."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A container as it should be. Its name says its whole configuration, so an equal one need not be made again."""

    service: Service
    image: Image
    name: str
    further: Mapping[str, tuple[str, ...]]
    """The networks that it joins beside the first, by the Engine's name, and its aliases there."""
    around: Surroundings
    """With other containers of the preview by name; `body` puts their ids in."""

    def body(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """The request, as it is sent; `ids` of the preview's containers by name."""
        shared = self.around.shared_network
        final = replace(
            self.around,
            shared_network=None if shared is None else ids[shared],
            volumes_from=tuple(_with_id(source, ids) for source in self.around.volumes_from),
        )
        body = container_body(self.service, self.image.id, final)
        assert_harmless(body, final)
        return body

    @property
    def meant(self) -> dict[str, str]:
        """What each path on the host stands for: the repository's path, or where a secret or config is mounted."""
        copies = {host: path for path, host in self.around.binds.items()}
        return copies | {host: target for target, host in self.around.files.items()}

    @property
    def test(self) -> tuple[str, ...] | None:
        """The health test in the Engine's form, the file's before the image's; None where there is none."""
        check = self.service.healthcheck or Healthcheck()
        test = check.test or self.image.healthcheck or ()
        return None if not test or test[0] == "NONE" else test

    @property
    def health_times(self) -> HealthTimes:
        """The file's before the image's, each by itself, as the Engine does it; 0 is not given."""
        check, image = self.service.healthcheck or Healthcheck(), self.image.health_times
        return HealthTimes(
            interval=check.interval or image.interval,
            timeout=check.timeout or image.timeout,
            retries=check.retries or image.retries,
            start_period=check.start_period or image.start_period,
        )


Plan = Mapping[str, tuple[Planned, ...]]
"""Every container of the stack, by service, the first replica first."""


async def plan(deployment: Deployment) -> Plan:
    """Derive every container. Raises TemporaryError when an image is not there."""
    stack, _ = await read_stack(deployment)
    services = stack.services.values()
    images = await asyncio.gather(*(_image(deployment, service) for service in services))
    incarnations = await _incarnations(deployment)
    planner = _Planner(deployment, stack, dict(zip(stack.services, images, strict=True)), incarnations)
    return {name: planner.containers(name) for name in stack.services}


def limits_of(settings: Settings) -> ServiceLimits:
    """What the operator gives each container."""
    return ServiceLimits(memory_bytes=settings.memory_bytes, cpus=settings.cpus, pids=settings.pids)


def subnet_prefix(settings: Settings, stack: Stack) -> int:
    """Of a subnet with room for all containers twice: old and new run side by side. Three addresses are taken."""
    wanted = 2 * sum(service.replicas for service in stack.services.values()) + 3
    return min(settings.subnet_prefix, 32 - (wanted - 1).bit_length())


def network_name(deployment: Deployment, stack: Stack, name: str) -> str:
    """The Engine's name of a network of the stack.

    One with a larger subnet than usual has a name of its own: a stack that outgrows its subnet moves to it, and
    leaves the old network to the containers that still serve.
    """
    usual = deployment.names.network(name, internal=stack.networks[name].internal)
    prefix = subnet_prefix(deployment.context.settings, stack)
    return usual if prefix == deployment.context.settings.subnet_prefix else f"{usual}-{prefix}"


def needs(service: Service) -> frozenset[str]:
    """The services whose containers must exist before its own can be made."""
    shared = () if service.network_service is None else (service.network_service,)
    return frozenset((*shared, *(source.service for source in service.volumes_from)))


class _Planner:
    """Derives each service's containers once, those first that it is bound to: their names are part of its hash."""

    def __init__(
        self, deployment: Deployment, stack: Stack, images: Mapping[str, Image], incarnations: Mapping[str, int]
    ) -> None:
        self._deployment = deployment
        self._stack = stack
        self._images = images
        self._incarnations = incarnations
        self._host = HostFiles.of(deployment.context.settings, deployment.claim.preview, deployment.commit)
        self._planned: dict[str, tuple[Planned, ...]] = {}

    def containers(self, name: str) -> tuple[Planned, ...]:
        if name not in self._planned:
            service = self._stack.services[name]
            self._planned[name] = ()  # until it is known: two that share each other's network share nothing
            numbers = range(1, service.replicas + 1)
            self._planned[name] = tuple(self._container(service, number) for number in numbers)
        return self._planned[name]

    def _container(self, service: Service, number: int) -> Planned:
        image, names = self._images[service.name], self._deployment.names
        around = self._surroundings(service)
        bare = container_body(service, image.id, around)
        further = {self._network(name): aliases_of(service, name) for name in sorted(service.networks)[1:]}
        beside: dict[str, Any] = {
            "further": further,
            "after": self._restarted_with(service),
            "hooks": repr((service.post_start, service.pre_stop)),
        }
        if service.name in self._incarnations:
            beside["database"] = self._incarnations[service.name]
        digest = config_hash({**bare, **beside})
        around = replace(
            around,
            labels=self._labels(service, image, number, digest),
            image_volumes=open_volumes(service, image.volumes, self._inherited(service)),
            volume_labels=names.labels(),
        )
        name = names.container(service.name, digest, number)
        return Planned(service=service, image=image, name=name, further=further, around=around)

    def _surroundings(self, service: Service) -> Surroundings:
        settings, names = self._deployment.context.settings, self._deployment.names
        first = next(iter(sorted(service.networks)), None)
        return Surroundings(
            labels={},
            network="none" if first is None else self._network(first),
            aliases=() if first is None else aliases_of(service, first),
            binds={m.source: self._host.copy_of(m.source) for m in service.volumes if m.kind is MountKind.BIND},
            limits=limits_of(settings),
            volume_name=names.volume,
            shared_network=self._first(service.network_service) if service.network_service else None,
            links=tuple(f"{target.name}:{alias}" for alias, to in service.links.items() for target in self._all(to)),
            volumes_from=tuple(
                self._first(source.service) + (":ro" if source.read_only else "") for source in service.volumes_from
            ),
            files={file.target: self._host.file_of(file) for file in files_of(service)},
        )

    def _network(self, name: str) -> str:
        return network_name(self._deployment, self._stack, name)

    def _all(self, name: str) -> tuple[Planned, ...]:
        return self.containers(name) if name in self._stack.services else ()

    def _first(self, name: str) -> str:
        containers = self._all(name)
        if not containers:
            raise LaunchError(f"service {name} has no container whose network or volumes another one could share")
        return containers[0].name

    def _inherited(self, service: Service) -> frozenset[str]:
        """Where containers of `volumes_from` have something mounted; they were planned already, so none is its own."""
        sources = [self._stack.services[source.service] for source in service.volumes_from]
        every = (self._mounted(source) for source in sources)
        return frozenset[str]().union(*every)

    def _mounted(self, service: Service) -> frozenset[str]:
        inherited = self._inherited(service)
        own = open_volumes(service, self._images[service.name].volumes, inherited)
        return mount_targets(service) | inherited | frozenset(own)

    def _restarted_with(self, service: Service) -> list[str]:
        """`depends_on` with `restart: true`: when one of these changes, so does the service."""
        restarting = [name for name, dependency in service.depends_on.items() if dependency.restart]
        return [container.name for name in sorted(restarting) for container in self._all(name)]

    def _labels(self, service: Service, image: Image, number: int, digest: str) -> dict[str, str]:
        deployment = self._deployment
        folder = str(binds_folder(deployment.context.settings, deployment.claim.preview))
        present = ((name, on) for name, on in service.depends_on.items() if name in self._stack.services)
        waits = (f"{name}:{on.condition.value}:{str(on.restart).lower()}" for name, on in present)
        compose = {
            "config-hash": digest,
            "depends_on": ",".join(waits),
            "image": image.id,
            "project.config_files": f"{folder}/{self._stack.path}",
            "project.working_dir": folder,
        }
        return {
            **deployment.names.commit_labels(deployment.commit, deployment.gate.generation),
            **deployment.names.compose_labels(service.name, number, compose),
            **pre_stop_labels(service),
            SERVICE_LABEL: service.name,
            CONFIG_LABEL: digest,
        }


async def _incarnations(deployment: Deployment) -> Mapping[str, int]:
    """By service that works with the preview's database: which one, once it was put in place of another.

    What a container did for the earlier one, such as to migrate it, is to be done again by a new container.
    """
    record = (await deployment.claim.row()).database
    if record is None or not record.incarnation:
        return {}
    connected = {rewrite.service for rewrite in (await read_prepared(deployment)).rewrites}
    return dict.fromkeys(connected, record.incarnation)


async def _image(deployment: Deployment, service: Service) -> Image:
    reference = await image_of(deployment, service)
    image = await deployment.context.engine.image(reference)
    if image is None:  # somebody removed it since the build: it is found or built again
        raise TemporaryError(f"the image {reference} of service {service.name} is gone")
    return image


def _with_id(source: str, ids: Mapping[str, str]) -> str:
    name, separator, mode = source.partition(":")
    return f"{ids[name]}{separator}{mode}"
