"""`volumes` and `tmpfs` of a service: what is mounted where, with every host path refused.

Pure; `service` calls it, after the policy. A bind is a path of the repository; one that the repository does not hold
is a fresh volume, as Compose would make an empty folder there.
"""

import hashlib
import posixpath
import re
from collections.abc import Mapping

from orchestrator.compose.model import Mount, MountKind, VolumesFrom
from orchestrator.compose.policy.keys import MAX_TMPFS
from orchestrator.compose.policy.values import MAX_MODE, is_kernels, is_path, is_tmpfs_option, is_volume
from orchestrator.compose.project.paths import Tree, inside
from orchestrator.compose.syntax.casts import boolean, integer, items, mapping, refuse, size, text
from orchestrator.compose.syntax.load import Node

_SHOWN = 40
"""Characters of a folder's path in the name of the volume that stands for it."""


def read_mounts(node: Node, tree: Tree) -> tuple[Mount, ...]:
    """Every mount of a service, from its long form."""
    return tuple(_mount(item, tree) for item in items(node))


def read_tmpfs(node: Node) -> Mapping[str, str]:
    """Target to options, from `/run` or `/run:size=64m,mode=1777`."""
    return dict(_tmpfs(item) for item in items(node))


def read_volumes_from(node: Node) -> tuple[VolumesFrom, ...]:
    """The services whose mounts are taken over; a container outside the stack is refused."""
    return tuple(_volumes_from(item) for item in items(node))


def container_path(node: Node, written: str) -> str:
    """Where in the container something is mounted, written plainly. Of all kinds of mounts it is the same."""
    path = "/" + posixpath.normpath(written).lstrip("/")
    if not written.startswith("/") or ".." in written.split("/") or path == "/":
        raise refuse(node, f"`{written}` is not a path in the container", "Write an absolute path, such as /data.")
    if is_kernels(path):
        raise refuse(node, f"`{written}` belongs to the kernel", "Mount it elsewhere, such as at /data.")
    if not is_path(path):
        raise refuse(node, f"`{written}` is not a path in the container", "Write an absolute path, such as /data.")
    return path


def _mount(node: Node, tree: Tree) -> Mount:
    found = mapping(node)
    if "target" not in found:
        raise refuse(node, "a mount needs `type` and `target`", "Write `type: volume` and `target: /data`.")
    target = container_path(found["target"], text(found["target"]))
    read_only = "read_only" in found and boolean(found["read_only"])
    source = found.get("source")
    match found["type"].value:
        case "volume" if source is None or not source.value:
            return Mount(kind=MountKind.ANONYMOUS, target=target, read_only=read_only)
        case "volume" if source is not None:
            return _volume(source, target, found.get("volume"), read_only=read_only)
        case "bind":
            return _bind(found["source"], target, tree, read_only=read_only)
        case "tmpfs":
            return _tmpfs_mount(target, found.get("tmpfs"))
        case other:
            raise refuse(
                found["type"], f"a mount of type `{other}` is not allowed in a preview", "Use volume, bind or tmpfs."
            )


def _volume(node: Node, target: str, options: Node | None, *, read_only: bool) -> Mount:
    name = text(node)
    if name.startswith("_") or not is_volume(name):
        raise refuse(node, f"`{name}` is not a volume's name", f"To mount a folder write ./{name}.")
    said = mapping(options) if options is not None else {}
    return Mount(
        kind=MountKind.VOLUME,
        source=name,
        target=target,
        read_only=read_only,
        no_copy="nocopy" in said and boolean(said["nocopy"]),
    )


def _bind(node: Node, target: str, tree: Tree, *, read_only: bool) -> Mount:
    source = text(node)
    if source.endswith((".sock", "/docker")) and source.startswith("/"):
        raise refuse(
            node,
            f"`{source}` would hand the Engine, and with it the host, to the container",
            "Remove it; a preview cannot steer the Engine.",
        )
    path = inside(node, source, "")
    if tree.has(path):
        return Mount(kind=MountKind.BIND, source=path, target=target, read_only=read_only)
    return Mount(kind=MountKind.VOLUME, source=_volume_for(path), target=target, read_only=read_only)


def _volume_for(path: str) -> str:
    """The volume that stands for a folder which the repository does not hold: of one folder only, and of no name.

    A declared volume cannot begin with `_`, and the digest tells apart what looks the same in a name.
    """
    shown = re.sub(r"[^a-zA-Z0-9_.-]", "-", path)[-_SHOWN:]
    return f"_bind-{hashlib.sha256(path.encode()).hexdigest()[:16]}-{shown}"


def _tmpfs_mount(target: str, options: Node | None) -> Mount:
    said = mapping(options) if options is not None else {}
    return Mount(
        kind=MountKind.TMPFS,
        target=target,
        size=min(size(said["size"]), MAX_TMPFS) if "size" in said else None,
        mode=integer(said["mode"], 0, MAX_MODE) if "mode" in said else None,
    )


def _volumes_from(node: Node) -> VolumesFrom:
    name, _, mode = text(node).partition(":")
    if name == "container":
        raise refuse(node, "this takes the volumes of a container outside the preview", "Name a service.")
    if mode not in ("", "ro", "rw"):
        raise refuse(node, f"unknown mode `{mode}`", "Write ro or rw.")
    return VolumesFrom(service=name, read_only=mode == "ro")


def _tmpfs(node: Node) -> tuple[str, str]:
    target, _, options = text(node).partition(":")
    taken: list[str] = []
    for option in filter(None, options.split(",")):
        if option.startswith("size="):
            wanted = size(Node(value=option.removeprefix("size="), place=node.place))
            taken.append(f"size={min(wanted, MAX_TMPFS)}")
        elif is_tmpfs_option(option, MAX_TMPFS):
            taken.append(option)
        else:
            raise refuse(node, f"the tmpfs option `{option}` is not allowed", "Use size=, mode=, uid= and gid=.")
    return container_path(node, target), ",".join(taken)
