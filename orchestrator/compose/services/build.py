"""`build` of a service: a folder of the repository and how an image is made from it.

Pure; `service` calls it, after the policy. Every path is resolved here, so nothing later can leave the repository.
"""

import posixpath
from collections.abc import Mapping

from orchestrator.compose.model import Build
from orchestrator.compose.policy.keys import MAX_SHM
from orchestrator.compose.policy.ulimits import read_ulimits
from orchestrator.compose.project.paths import inside
from orchestrator.compose.services.secrets import Granted
from orchestrator.compose.syntax.casts import boolean, items, mapping, refuse, size, text
from orchestrator.compose.syntax.load import Node

_FORBIDDEN_ARGS = frozenset({"BUILDKIT_SYNTAX"})


def read_build(node: Node, variables: Mapping[str, str], secrets: Granted) -> Build:
    """The build, from its long form."""
    found = mapping(node)
    context = inside(found["context"], text(found["context"]), "") if _said(found, "context") else "."
    if "network" in found:
        _check_network(found["network"])
    return Build(
        context=context,
        dockerfile=_dockerfile(found["dockerfile"], context) if _said(found, "dockerfile") else "Dockerfile",
        dockerfile_inline=text(found["dockerfile_inline"]) if "dockerfile_inline" in found else None,
        args=_args(found["args"], variables) if "args" in found else {},
        target=text(found["target"]) if "target" in found else None,
        platform=_platform(found["platforms"]) if "platforms" in found else None,
        no_cache="no_cache" in found and boolean(found["no_cache"]),
        no_cache_filter=_texts(found["no_cache_filter"]) if "no_cache_filter" in found else (),
        pull="pull" in found and boolean(found["pull"]),
        shm_size=min(size(found["shm_size"]), MAX_SHM) if "shm_size" in found else None,
        ulimits=read_ulimits(found["ulimits"]) if "ulimits" in found else {},
        additional_contexts=_contexts(found["additional_contexts"]) if "additional_contexts" in found else {},
        secrets=secrets.read(found["secrets"], "") if "secrets" in found else (),
        network=text(found["network"]) if _said(found, "network") and found["network"].value != "default" else None,
        cache_from=_cache_from(found["cache_from"]) if "cache_from" in found else (),
    )


def _cache_from(node: Node) -> tuple[str, ...]:
    """Images of registries, written plainly or as `type=registry,ref=IMAGE`. Caches of other kinds are left out."""
    return tuple(image for image in map(_cached_image, _texts(node)) if image)


def _cached_image(written: str) -> str:
    fields = dict(part.partition("=")[::2] for part in written.split(","))
    if "type" not in fields:
        return written
    return fields.get("ref", "") if fields["type"] == "registry" else ""


def _said(found: Mapping[str, Node], key: str) -> bool:
    return key in found and found[key].value != ""


def _texts(node: Node) -> tuple[str, ...]:
    return tuple(text(item) for item in items(node))


def _contexts(node: Node) -> Mapping[str, str]:
    """Folders of the repository, and other services of the stack."""
    return {name: _context(child) for name, child in mapping(node).items()}


def _context(node: Node) -> str:
    written = text(node)
    if written.startswith("service:"):
        return written
    if written.startswith(("docker-image:", "oci-layout:")):
        raise refuse(node, f"`{written}` takes an image into the build", "Write FROM or COPY --from= instead.")
    return inside(node, written, "")


def _dockerfile(node: Node, context: str) -> str:
    return posixpath.relpath(inside(node, text(node), context), context)


def _args(node: Node, variables: Mapping[str, str]) -> Mapping[str, str]:
    """A name without a value comes from the variables, and is left out where they lack it."""
    found: dict[str, str] = {}
    for name, child in mapping(node).items():
        if name in _FORBIDDEN_ARGS:
            raise refuse(child, f"the build argument {name} picks another builder", "Remove it.")
        if child.value is not None:
            found[name] = text(child)
        elif name in variables:
            found[name] = variables[name]
    return found


def _platform(node: Node) -> str | None:
    listed = [text(item) for item in items(node)]
    if len(listed) > 1:
        raise refuse(node, "a preview is built for one platform", "Keep one entry, or remove `platforms`.")
    return listed[0] if listed else None


def _check_network(node: Node) -> None:
    if text(node) not in ("default", "none"):
        raise refuse(node, f"`network: {node.value}` lets the build reach other networks", "Remove it.")
