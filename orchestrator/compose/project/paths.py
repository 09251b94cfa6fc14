"""Paths of the repository, as the Compose file writes them: made relative to the root, or refused.

Pure string work, and the only place where a path of the file becomes a path of ours. Symbolic links are not known
here: whoever copies the files out of git must not follow them.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.compose.schema.shapes import Leaf, Listing, Record, Shape, Table
from orchestrator.compose.schema.specification import MOUNT, VOLUME
from orchestrator.compose.syntax.casts import refuse
from orchestrator.compose.syntax.load import Node

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|git@|github\.com/|(?!\./)[\w.-]+\.git(#|$)", re.ASCII)


@dataclass(slots=True, kw_only=True)
class Tree:
    """The repository's files by path. `files` may read its values lazily: asking what exists reads none."""

    files: Mapping[str, bytes]
    _folders: frozenset[str] | None = field(default=None, init=False)

    def has(self, path: str) -> bool:
        """Whether `path` is a file or a folder of the repository."""
        return path == "." or path in self.files or path in self._all_folders()

    def _all_folders(self) -> frozenset[str]:
        if self._folders is None:
            found: set[str] = set()
            for path in self.files:
                while (path := posixpath.dirname(path)) and path not in found:
                    found.add(path)
            self._folders = frozenset(found)
        return self._folders


def resolved(node: Node, shape: Shape, folder: str) -> Node:
    """The tree with every relative path made relative to the repository's root, out of the folder that it stands in.

    A path that is absolute, remote, or leads out of the repository stays what it is: refusing it is not the language's.
    """
    value = node.value
    match shape:
        case Leaf(is_path=True) if isinstance(value, str):
            return replace(node, value=beside(value, folder))
        case Record() if isinstance(value, dict):
            found = {
                key: resolved(child, shape.fields[key], folder) if key in shape.fields else child
                for key, child in value.items()
            }
            return replace(node, value=_by_type(found, shape, folder))
        case Table() if isinstance(value, dict):
            return replace(node, value={key: resolved(child, shape.value, folder) for key, child in value.items()})
        case Listing() if isinstance(value, tuple):
            return replace(node, value=tuple(resolved(child, shape.item, folder) for child in value))
        case _:
            return node


def _by_type(found: dict[str, Node], shape: Record, folder: str) -> dict[str, Node]:
    """Two places hold a path or not, by what stands beside them: a mount's source, and a local volume's device."""
    source = found.get("source")
    if shape is MOUNT and source is not None and isinstance(source.value, str) and _says(found, "type", "bind"):
        return {**found, "source": replace(source, value=beside(source.value, folder))}
    options = found.get("driver_opts")
    if shape is VOLUME and options is not None and isinstance(options.value, dict) and _says(found, "driver", "local"):
        device = options.value.get("device")
        if device is not None and isinstance(device.value, str) and _says(options.value, "o", "bind"):
            moved = {**options.value, "device": replace(device, value=beside(device.value, folder))}
            return {**found, "driver_opts": replace(options, value=moved)}
    return found


def _says(found: Mapping[str, Node], key: str, word: str) -> bool:
    return key in found and found[key].value == word


def beside(written: str, folder: str) -> str:
    """A relative path beside `folder`; anything else as it is."""
    if stays(written) or written.startswith(("/", "~")):
        return written
    path = posixpath.normpath(posixpath.join(folder, written))
    # `./x.git` is a folder, and `x.git` a repository elsewhere: the one must not become the other here.
    return f"./{path}" if is_remote(path) else path


def stays(written: str) -> bool:
    """Whether Compose leaves it as it is: nothing, a path of Windows, another service, something remote."""
    return not written or written.startswith(("\\", "service:")) or bool(_DRIVE.match(written)) or is_remote(written)


def inside(node: Node, written: str, base: str) -> str:
    """The path that `written` means beside the folder `base`, relative to the root (`.` is the root itself).

    Raises ComposeError for an absolute path, `~`, and any `..` that leaves the repository.
    """
    if not written or "\0" in written:
        raise refuse(node, "this path is empty", "Write a path of the repository, such as ./data.")
    if is_remote(written):
        raise refuse(node, f"`{written}` is not in the repository", "Add it to the repository and name it by path.")
    if written.startswith(("/", "~", "\\")) or _DRIVE.match(written):
        raise refuse(
            node,
            f"`{written}` is a path of the host, and a preview sees its repository only",
            "Use a path inside the repository, such as ./data, or a named volume.",
        )
    path = posixpath.normpath(posixpath.join(base or ".", written))
    if path == ".." or path.startswith("../"):
        raise refuse(node, f"`{written}` leaves the repository", "Use a path inside the repository.")
    return path


def is_remote(written: str) -> bool:
    """Whether Compose would fetch this from somewhere else."""
    return _REMOTE.match(written) is not None
