"""Paths of the repository, as the Compose file writes them: made relative to the root, or refused.

Pure string work, and the only place where a path of the file becomes a path of ours. Symbolic links are not known
here: whoever copies the files out of git must not follow them.
"""

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.compose.load import Node
from orchestrator.compose.scalars import refuse

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|git@|github\.com/|[\w.-]+\.git(#|$)")


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


def inside(node: Node, written: str, base: str) -> str:
    """The path that `written` means beside the folder `base`, relative to the root (`.` is the root itself).

    Raises ComposeError for an absolute path, `~`, and any `..` that leaves the repository.
    """
    if not written or "\0" in written:
        raise refuse(node, "this path is empty", "Write a path of the repository, such as ./data.")
    if is_remote(written):
        raise refuse(node, f"`{written}` is not in the repository", "Add it to the repository and name it by path.")
    if written.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", written):
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
