"""Which image each service runs, and which services share one. Pure."""

import hashlib

from orchestrator.compose.model import Service, Stack
from orchestrator.names import Names


def image_reference(names: Names, service: Service, commit: str, salt: str) -> str:
    """Where the Engine finds a service's image. One that is built here is never called what the file calls it.

    `image: backend:latest` beside `build:` is a name that every preview would share, and overwrite.
    """
    if service.build is None:
        return qualified(service.image or "")
    return names.image(_image_name(service), commit, salt)


def qualified(image: str) -> str:
    """A reference with its tag. A bare name of hexadecimal digits would else be looked up as some image's id."""
    _, _, name = image.rpartition("/")
    return image if ":" in name or "@" in name else f"{image}:latest"


def is_of_instance(instance: str, image: str) -> bool:
    """Whether a reference names an image that previewd built, in whichever of the ways that lead to this Engine."""
    for registry in ("docker.io/", "index.docker.io/", "registry-1.docker.io/"):
        image = image.removeprefix(registry)
    return image.startswith(f"{instance}/")


def builders(stack: Stack) -> list[Service]:
    """One service for each image that the stack needs, in the order of the file."""
    found: dict[object, Service] = {}
    for service in stack.services.values():
        found.setdefault(_image_name(service) if service.build else service.image, service)
    return list(found.values())


def _image_name(service: Service) -> str:
    """Services that build alike share an image; the build's own settings name it."""
    build = service.build
    if build is None:
        return service.name
    return f"{build.context}-{hashlib.sha256(repr(build).encode()).hexdigest()[:8]}"
