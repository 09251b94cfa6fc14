"""Whose fault it is what the Engine refuses: the author's, the operator's, or of what is used up. Pure.

Its status codes say nothing here: a network for which no address is left is answered with 404, as what is gone is.
"""

import re
from http import HTTPStatus

from orchestrator.adapters.engine.registry_auth import SETTING, registry_of
from orchestrator.preview.errors import DiskFull, ImageMissing, LaunchError, OperatorError, TemporaryError, Unavailable

_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_ADDRESSES = re.compile(r"non-overlapping IPv[46] address pool|address pools have been fully subnetted", re.IGNORECASE)

ADDRESSES_SECONDS = 30.0


def exhausted(words: str) -> Unavailable | None:
    """What is used up, to be waited for; None when the words say nothing of the kind."""
    if _DISK.search(words):
        return DiskFull(
            "the Docker Engine",
            words,
            "Make room there: `docker system df` says what takes it. Then it goes on by itself.",
        )
    if _ADDRESSES.search(words):
        return Unavailable(
            f"the Docker Engine has no addresses left for another network: {words}. Remove networks that nobody needs, "
            "or give it larger `default-address-pools`",
            ADDRESSES_SECONDS,
        )
    return None


class Refusal(OperatorError):
    """The Engine answered with an error of ours (4xx)."""

    def __init__(self, doing: str, status: int, words: str) -> None:
        super().__init__(f"the Docker Engine refuses to {doing}: {words}")
        self.status = status
        self.words = words


class Fault(TemporaryError):
    """The Engine answered with an error of its own (5xx)."""

    def __init__(self, doing: str, status: int, words: str) -> None:
        super().__init__(f"the Docker Engine failed to {doing}: {words}")
        self.status = status
        self.words = words


_OPERATORS_FAULT = ("cannot allocate memory", "cgroup")
_COMMAND = "Check that the command exists in the image, is executable, and is built for this machine."
_SIZE = "Give a smaller number."
_TARGETS = "Check the targets of its mounts and its `working_dir`: the image has something else there."
_USER = "Name a user and a group that the image has, or give their numbers."
_AUTHORS_FAULT = {
    "non running container": "Check why the service whose network it shares has ended.",
    "unable to find user": _USER,
    "unable to find group": _USER,
    "cannot unmarshal": _SIZE,
    "setting rlimit": _SIZE,
    "bad format for": "",
    'exec: "': _COMMAND,
    " is not a directory": _TARGETS,
    ": not a directory": _TARGETS,
    " mount": _TARGETS,
    "executable file not found": _COMMAND,
    "exec format error": _COMMAND,
    "permission denied": _COMMAND,
    "OCI runtime": _COMMAND,
}
"""Signs that the Compose file or the image is at fault, and what to do. Each has a blank, so no name holds one."""


def judged(answer: Refusal | Fault, what: str) -> Exception:
    """Whose fault it is that a container is not there or does not run: its words tell, before its status code.

    404 and 409 are an image, a network or a container that went away since it was made; 400 is what the file asks for.
    """
    if any(sign in answer.words for sign in _OPERATORS_FAULT):
        return OperatorError(answer.message)
    remedy = next((remedy for sign, remedy in _AUTHORS_FAULT.items() if sign in answer.words), None)
    if remedy is not None or answer.status == HTTPStatus.BAD_REQUEST:
        return LaunchError(f"the container {what}: {answer.words}", remedy or "")
    if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
        return TemporaryError(answer.message)
    return answer


def not_pulled(reference: str, words: str) -> LaunchError | Unavailable:
    """Docker Hub answers `denied` for an image that is not there, and other registries for one that is private."""
    told, low = f"the image {reference} cannot be pulled: {words}", words.lower()
    if full := exhausted(words):
        return full
    if any(sign in low for sign in ("denied", "unauthorized", "authentication required", "no basic auth")):
        registry = registry_of(reference)
        return LaunchError(
            told, f"Check the image's name. If {registry} asks who we are, let {SETTING} name a file with credentials."
        )
    if any(sign in low for sign in ("not found", "manifest unknown", "no such image")):
        return ImageMissing(told, "Check the image's name and tag, and that it was pushed.")
    return LaunchError(
        told, "Check that the machine that runs previewd reaches the registry, or pull the image there beforehand."
    )
