"""Bare repositories, written with git's own programs and without a work tree."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

Changes = Mapping[str, bytes | None]
"""Files by path: their new content, or None to delete."""

EXECUTABLE = "100755"
PLAIN = "100644"

CONFIGURATION = {
    # GitHub gives any commit that it has to whoever may read the repository, reachable or not.
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "http.receivepack": "false",
    "gc.auto": "0",
}


class BareRepository:
    """One bare repository on disk. A git process that fails raises subprocess.CalledProcessError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, default_branch: str) -> None:
        """Make the repository, empty."""
        self.path.mkdir(parents=True)
        self._git("init", "--quiet", "--bare", f"--initial-branch={default_branch}")
        with (self.path / "config").open("a") as config:
            config.writelines(_section(name, value) for name, value in CONFIGURATION.items())

    def commit(self, branch: str, changes: Changes, message: str, *, author: str, parent: str | None) -> str:
        """Record `changes` on top of `parent`, point the branch at it, and return the new commit's SHA."""
        stream = b"".join(
            [
                f"commit refs/heads/{branch}\nmark :1\n".encode(),
                f"committer {author} <{author}@users.noreply.example> now\n".encode(),
                _data(message.encode()),
                f"from {parent}\n".encode() if parent else b"",
                *(_change(path, content) for path, content in changes.items()),
                b"get-mark :1\n",
            ]
        )
        return self._git("fast-import", "--quiet", "--force", "--date-format=now", stdin=stream)

    def resolve(self, name: str) -> str | None:
        """Find the commit that a ref or a SHA names, None when there is none."""
        try:
            return self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except subprocess.CalledProcessError:
            return None

    def set_ref(self, ref: str, sha: str) -> None:
        """Point a ref at a commit that the repository has."""
        self._git("update-ref", ref, sha)

    def take(self, source: "BareRepository", sha: str, ref: str) -> None:
        """Bring a commit over from another repository and point a ref at it."""
        self._git("fetch", "--quiet", "--no-tags", str(source.path), f"+{sha}:{ref}")

    def merge_base(self, first: str, second: str) -> str:
        """Find the commit at which two histories part."""
        return self._git("merge-base", first, second)

    def delete(self) -> None:
        """Remove the repository from disk."""
        shutil.rmtree(self.path)

    def _git(self, *arguments: str, stdin: bytes = b"") -> str:
        command = ["git", "-C", str(self.path), *arguments]
        finished = subprocess.run(command, input=stdin, env=git_environment(), capture_output=True, check=True)
        return finished.stdout.decode().strip()


def read_tree(folder: Path) -> dict[str, bytes]:
    """Read the files under a folder, by path, without what running the code there leaves behind."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def git_environment() -> dict[str, str]:
    """Build git's environment: nothing of the user's own configuration may change what it does."""
    return {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


def _change(path: str, content: bytes | None) -> bytes:
    if content is None:
        return f"D {path}\n".encode()
    mode = EXECUTABLE if content.startswith(b"#!") else PLAIN
    return f"M {mode} inline {path}\n".encode() + _data(content)


def _data(content: bytes) -> bytes:
    return f"data {len(content)}\n".encode() + content + b"\n"


def _section(name: str, value: str) -> str:
    section, key = name.split(".")
    return f"[{section}]\n\t{key} = {value}\n"
