"""Secrets and configs: what a service or a build is granted, with the content's source found.

Pure; `service` and `build` call it. A value comes from a file of the repository, from a variable that the preview
has, or from the Compose file itself.
"""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.compose.model import FileMount
from orchestrator.compose.policy.values import MAX_ID, MAX_MODE
from orchestrator.compose.project.paths import Tree, inside
from orchestrator.compose.services.mounts import container_path
from orchestrator.compose.syntax.casts import items, mapping, refuse, text
from orchestrator.compose.syntax.load import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """One top-level section: what may be granted, and where contents come from."""

    kind: str
    """`secret` or `config`, for messages."""
    declared: Mapping[str, Node]
    tree: Tree
    variables: Mapping[str, str]

    def read(self, node: Node, folder: str) -> tuple[FileMount, ...]:
        """Every grant of a list; `folder` is where a target stands that is no absolute path."""
        return tuple(self._mount(item, folder) for item in items(node))

    def _mount(self, node: Node, folder: str) -> FileMount:
        found = mapping(node)
        name = text(found["source"])
        target = text(found["target"]) if "target" in found and found["target"].value else name
        path, content = self._source(name)
        return FileMount(
            name=name,
            target=_target(found.get("target", node), target, folder),
            path=path,
            content=content,
            uid=_id(found.get("uid")),
            gid=_id(found.get("gid")),
            mode=_mode(found["mode"]) if "mode" in found else None,
        )

    def _source(self, name: str) -> tuple[str | None, str | None]:
        """The path in the repository, or the content."""
        declared = mapping(self.declared[name])
        if "file" in declared:
            return self._file(declared["file"]), None
        if "content" in declared:
            return None, text(declared["content"])
        return None, self._variable(declared["environment"])

    def _file(self, node: Node) -> str:
        path = inside(node, text(node), "")
        if path not in self.tree.files:
            raise refuse(
                node,
                f"{path} is not in the repository",
                f"Add the file, or give the {self.kind} from a variable: `environment: NAME`.",
            )
        return path

    def _variable(self, node: Node) -> str:
        name = text(node)
        if name not in self.variables:
            raise refuse(
                node,
                f"the variable {name} has no value",
                f"Set {name} in the repository's .env, or let previewd make it: `x-preview: {{secrets: [{name}]}}`.",
            )
        return self.variables[name]


def _target(node: Node, target: str, folder: str) -> str:
    """A path in the container; of a build, which has no folder for it, the secret's id as it is."""
    return container_path(node, posixpath.join(folder, target)) if folder else target


def _mode(node: Node) -> int:
    """Permission bits, which the language has written in octal digits. What is above them is not for a file."""
    written = text(node)
    if not written.isdecimal() or int(written, 8) > MAX_MODE:
        raise refuse(node, f"`{written}` is not a file mode", "Write one such as 0440.")
    return int(written, 8) & 0o777


def _id(node: Node | None) -> int | None:
    if node is None or node.value == "":
        return None
    written = text(node)
    if not (written.isascii() and written.isdecimal()) or int(written[:11]) > MAX_ID:
        raise refuse(node, f"`{written}` is not a user's or a group's number", 'Write one such as "1000".')
    return int(written)
