"""`volumes` and `tmpfs` of a service: what is mounted where, with every host path refused.

Pure; `service` calls it. A bind is a path of the repository; one that the repository does not hold is a fresh
volume, as Compose would make an empty folder there.
"""

import re
from collections.abc import Mapping

from orchestrator.compose.load import Node
from orchestrator.compose.model import Mount, MountKind
from orchestrator.compose.paths import Tree, inside
from orchestrator.compose.scalars import boolean, check_keys, items, mapping, nearest, refuse, size, text

MAX_TMPFS = 1024**3
_IGNORED_MODES = frozenset({"rw", "z", "Z", "cached", "delegated", "consistent", "nocopy"})
_DENIED_MODES = frozenset({"shared", "rshared", "slave", "rslave", "private", "rprivate"})
_TMPFS_OPTIONS = re.compile(r"(rw|ro|noexec|nosuid|nodev|mode=[0-7]{3,4}|uid=\d+|gid=\d+)")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LONG_KEYS = ("type", "source", "target", "read_only", "bind", "volume", "tmpfs", "consistency")


def read_mounts(node: Node, tree: Tree, folder: str, declared: frozenset[str]) -> tuple[Mount, ...]:
    """Every mount of a service; where two have the same target the last one counts, as in Compose."""
    reader = _Reader(tree, folder, declared)
    found = [reader.short(item) if isinstance(item.value, str) else reader.long(item) for item in items(node)]
    return tuple({mount.target: mount for mount in found}.values())


def read_tmpfs(node: Node) -> Mapping[str, str]:
    """Target to options, from `/run` or `/run:size=64m,mode=1777`."""
    listed = (node,) if isinstance(node.value, str) else items(node)
    return dict(_tmpfs(item) for item in listed)


class _Reader:
    """What the mounts of one file are read against."""

    def __init__(self, tree: Tree, folder: str, declared: frozenset[str]) -> None:
        self._tree = tree
        self._folder = folder
        self._declared = declared

    def short(self, node: Node) -> Mount:
        """`target`, `source:target` or `source:target:modes`."""
        first, *rest = text(node).split(":")
        if not rest:
            return Mount(kind=MountKind.ANONYMOUS, target=_target(node, first))
        if len(rest) > 2:  # noqa: PLR2004 - the three parts of the short form
            raise refuse(node, f"`{node.value}` has too many colons", "Write source:target or source:target:ro.")
        target, modes = rest[0], rest[1].split(",") if rest[1:] else []
        _check_modes(node, modes)
        return self._from(node, first, _target(node, target), read_only="ro" in modes)

    def long(self, node: Node) -> Mount:
        """The mapping form, with `type`."""
        check_keys(node, _LONG_KEYS, {"image": "it opens another image", "cluster": "it opens a cluster's volume"})
        pairs = mapping(node)
        if "type" not in pairs or "target" not in pairs:
            raise refuse(node, "a mount needs `type` and `target`", "Write `type: volume` and `target: /data`.")
        read_only = "read_only" in pairs and boolean(pairs["read_only"])
        target = _target(pairs["target"], text(pairs["target"]))
        source = pairs.get("source")
        match text(pairs["type"]):
            case "volume" if source is None:
                return Mount(kind=MountKind.ANONYMOUS, target=target, read_only=read_only)
            case "volume" if source is not None:
                _check_volume_options(pairs.get("volume"))
                return self._volume(source, text(source), target, read_only=read_only)
            case "bind" if source is not None:
                _check_bind_options(pairs.get("bind"))
                return self._bind(source, text(source), target, read_only=read_only)
            case "tmpfs":
                return Mount(kind=MountKind.TMPFS, target=target, size=_tmpfs_size(pairs.get("tmpfs")))
            case "bind":
                raise refuse(node, "a bind needs `source`", "Write `source: ./data`.")
            case other:
                raise refuse(
                    pairs["type"],
                    f"a mount of type `{other}` is not allowed in a preview",
                    "Use volume, bind or tmpfs.",
                )

    def _from(self, node: Node, source: str, target: str, *, read_only: bool) -> Mount:
        if source.startswith((".", "/", "~", "\\")):
            return self._bind(node, source, target, read_only=read_only)
        return self._volume(node, source, target, read_only=read_only)

    def _volume(self, node: Node, name: str, target: str, *, read_only: bool) -> Mount:
        if _NAME.fullmatch(name) is None:
            raise refuse(node, f"`{name}` is not a volume's name", f"To mount a folder write ./{name}.")
        if name not in self._declared:
            raise refuse(
                node,
                f"the volume `{name}` is not declared",
                nearest(name, self._declared) or f"Add `volumes: {{{name}: }}` at the top, or write ./{name}.",
            )
        return Mount(kind=MountKind.VOLUME, source=name, target=target, read_only=read_only)

    def _bind(self, node: Node, source: str, target: str, *, read_only: bool) -> Mount:
        if source.endswith((".sock", "/docker")) and source.startswith("/"):
            raise refuse(
                node,
                f"`{source}` would hand the Engine, and with it the host, to the container",
                "Remove it; a preview cannot steer the Engine.",
            )
        path = inside(node, source, self._folder)
        if self._tree.has(path):
            return Mount(kind=MountKind.BIND, source=path, target=target, read_only=read_only)
        name = "bind-" + re.sub(r"[^a-zA-Z0-9_.-]", "-", path)
        return Mount(kind=MountKind.VOLUME, source=name, target=target, read_only=read_only)


def _target(node: Node, target: str) -> str:
    if not target.startswith("/") or target == "/" or ".." in target.split("/"):
        raise refuse(node, f"`{target}` is not a path in the container", "Write an absolute path, such as /data.")
    return target.rstrip("/")


def _check_modes(node: Node, modes: list[str]) -> None:
    for mode in modes:
        if mode in _DENIED_MODES:
            raise refuse(node, f"the mode `{mode}` is not allowed: it shares mounts with the host", "Remove it.")
        if mode != "ro" and mode not in _IGNORED_MODES:
            raise refuse(node, f"unknown mode `{mode}`", "Write ro or rw.")


def _check_bind_options(node: Node | None) -> None:
    if node is not None:
        check_keys(
            node,
            ("create_host_path", "selinux", "recursive"),
            {"propagation": "it shares mounts with the host"},
        )


def _check_volume_options(node: Node | None) -> None:
    if node is not None:
        check_keys(node, ("nocopy", "labels"), {"subpath": "it is not read yet"})


def _tmpfs_size(node: Node | None) -> int | None:
    if node is None:
        return None
    check_keys(node, ("size", "mode"))
    wanted = mapping(node).get("size")
    return None if wanted is None else min(size(wanted), MAX_TMPFS)


def _tmpfs(node: Node) -> tuple[str, str]:
    target, _, options = text(node).partition(":")
    taken: list[str] = []
    for option in filter(None, options.split(",")):
        if option.startswith("size="):
            wanted = size(Node(value=option.removeprefix("size="), place=node.place))
            taken.append(f"size={min(wanted, MAX_TMPFS)}")
        elif _TMPFS_OPTIONS.fullmatch(option):
            taken.append(option)
        else:
            raise refuse(node, f"the tmpfs option `{option}` is not allowed", "Use size=, mode=, uid= and gid=.")
    return _target(node, target), ",".join(taken)
