"""The files that a preview's containers mount from the host: copies of what the repository holds, secrets, configs.

The environment step writes them, and an index of where; planning a container reads it. A file lies where its content
says, so a push that does not change it does not change the containers that mount it either.

Each bound path has a copy in a folder of its own, whose parents no container can write to. Were one bound path inside
another's copy, a container could put a link in its place, and the Engine would follow it to anywhere on the host.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.compose.model import FileMount
from orchestrator.preview.state import PreviewId
from orchestrator.runtime.settings import Settings

READABLE_BY_ALL = 0o444
"""What Compose gives a secret or config that asks for no mode."""

_LAYERS = re.compile(r"[^\s\"':,]*/overlay2/\w+/(?:merged|diff)")
"""Where the Engine keeps a container's own files on this machine."""


@dataclass(frozen=True, slots=True)
class HostFiles:
    """Where one commit's files lie, below the preview's folder."""

    copies: dict[str, str] = field(default_factory=dict)
    """Path in the repository to its copy."""
    files: dict[str, str] = field(default_factory=dict)
    """By `file_key`: the secrets and configs."""

    @classmethod
    def of(cls, settings: Settings, preview: PreviewId, commit: str) -> "HostFiles":
        """What the environment step wrote. Nothing is there for a stack that mounts no files."""
        path = index_file(settings, preview, commit)
        return cls(**json.loads(path.read_text("utf-8"))) if path.exists() else cls()

    def copy_of(self, path: str) -> str:
        return self.copies[path]

    def file_of(self, file: FileMount) -> str:
        return self.files[file_key(file)]


def binds_folder(settings: Settings, preview: PreviewId) -> Path:
    """All of a preview's files; removed with it."""
    return settings.data_dir.resolve() / "binds" / str(preview)


def secrets_folder(settings: Settings, preview: PreviewId) -> Path:
    """Secrets and configs: nobody but us may look into it, and the Engine mounts single files out of it."""
    return binds_folder(settings, preview) / "secrets"


def copies_folder(settings: Settings, preview: PreviewId) -> Path:
    """Copies of what the repository holds, each under the digest of its content."""
    return binds_folder(settings, preview) / "copies"


def index_file(settings: Settings, preview: PreviewId, commit: str) -> Path:
    return binds_folder(settings, preview) / f"{commit}.json"


def discard_files(settings: Settings, preview: PreviewId, mounted: Collection[str], commits: Collection[str]) -> None:
    """Remove what no container mounts, and the indexes of all but these commits: the environment step writes it again.

    What a container has written there as another user may stay until the preview is removed.
    """
    folders = [folder(settings, preview) for folder in (copies_folder, secrets_folder)]
    for path in (path for folder in folders if folder.is_dir() for path in folder.iterdir()):
        if str(path) not in mounted:
            remove_file(path)
    for index in binds_folder(settings, preview).glob("*.json"):
        if index.stem not in commits:
            index.unlink(missing_ok=True)


def remove_file(path: Path) -> None:
    """A file, a link, or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def file_key(file: FileMount) -> str:
    """What tells the content and the rights of one file from another's."""
    return json.dumps([file.name, file.path, file.uid, file.gid, file.mode])


def content_name(file: FileMount, content: bytes) -> str:
    """The file's name on the host: another content, owner or mode is another file."""
    return hashlib.sha256(file_key(file).encode() + b"\0" + content).hexdigest()[:32]


def without_host_paths(words: str, meant: Mapping[str, str], data_dir: Path) -> str:
    """What the Engine says, for the author to read: nothing tells where on this machine something lies.

    `meant` says what the paths below our data directory stand for that the author can know.
    """
    for host in sorted(meant, key=len, reverse=True):
        words = words.replace(host, meant[host])
    return re.sub(rf"{re.escape(str(data_dir.resolve()))}[^\s\"':,]*", "…", _LAYERS.sub("", words))


def tree_digest(root: Path, path: str) -> str:
    """A digest of a file or folder: names, kinds, permissions and contents."""
    digest = hashlib.sha256(path.encode())
    for entry in [root, *sorted(root.rglob("*"))]:
        digest.update(f"\0{entry.relative_to(root)}\0{entry.lstat().st_mode:o}\0".encode())
        if entry.is_symlink():
            digest.update(str(entry.readlink()).encode())
        elif entry.is_file():
            with entry.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:32]
