"""Every error of previewd, sorted by who acts next.

PreviewdError
├── AuthorError            the pull request's author: shown in full on the pull request
│   ├── ComposeError       … at a line of the Compose file
│   ├── BuildError         … the image does not build
│   ├── LaunchError        … a container does not start, or dies
│   │   └── ImageMissing   … or its registry has no such image, or not yet
│   ├── ProbeError         … the application does not answer as it should
│   ├── DatabaseFull       … its database is larger than a preview's may be
│   └── ScriptError        … an SQL file of the repository does not run
├── OperatorError          whoever runs previewd: one line on the pull request, all of it in the dashboard
│   ├── ConfigurationError … a setting is missing or wrong
│   └── ForgeGone          … what we write to on GitHub is gone, or our access to it
├── TemporaryError         nobody yet: tried again, for a while
│   ├── NoRoom             … something of the machine is used up: the preview waits in line
│   │   └── NoConnectionsLeft … the previews' Postgres has promised all that it has
│   └── Unavailable        … something that we need is away: tried again until it is back
│       ├── DiskFull       … a disk has no room left
│       └── ForgeUnavailable … GitHub does not answer, or asks us to wait
├── Superseded             not an error: a newer push, a close or another verdict ended this run
└── LeaseLost              not an error: another worker owns this preview now

What is away, and what is used up, is waited for: no commit is at fault, and no try says anything about it. What is
broken is not: any other temporary fault ends as FAILED after some fifteen minutes, in the words of whoever found it.
"""

import re
from dataclasses import dataclass

from orchestrator.preview.state import Resource

_LONG = re.compile(r"(?<=`)[^`]{61,}(?=`)|[^\s`]{61,}")
"""What a message quotes, or a word of it, that is too long to be shown whole."""


class PreviewdError(Exception):
    """What went wrong, and what to do about it (`remedy`, empty when there is nothing to do)."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class AuthorError(PreviewdError):
    """The commit is at fault. `log_tail` holds the last lines that the failing part printed, oldest first."""

    def __init__(self, message: str, remedy: str = "", log_tail: tuple[str, ...] = ()) -> None:
        super().__init__(message, remedy)
        self.log_tail = log_tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the repository something stands. Lines and columns count from 1; 0 means unknown."""

    file: str
    line: int = 0
    column: int = 0
    path: str = ""
    """The way to the value, as in `services.api.ports[0]`."""

    def __str__(self) -> str:
        position = "".join(f":{part}" for part in (self.line, self.column) if part)
        return f"{self.file}{position}" + (f" {self.path}" if self.path else "")


def brief(sentence: str) -> str:
    """The sentence with whatever it quotes held to sixty characters: the start and the end of it."""
    return _LONG.sub(lambda found: f"{found[0][:40]}…{found[0][-19:]}", sentence)


class ComposeError(AuthorError):
    """The Compose file cannot be read, or asks for something that previewd does not give."""

    def __init__(self, place: Place, message: str, remedy: str = "") -> None:
        self.place = place
        self.what = brief(message)
        super().__init__(f"{place}: {self.what}", brief(remedy))


class BuildError(AuthorError):
    """The image does not build."""


class LaunchError(AuthorError):
    """A container of the stack did not start, did not become healthy, or exited."""


class ImageMissing(LaunchError):
    """A registry answers that it has no such image. What pushes it may not be done yet."""


class ProbeError(AuthorError):
    """The application did not answer its health path through the proxy."""


class DatabaseFull(AuthorError):
    """The preview's database is so far above its size limit that it was closed."""


class ScriptError(AuthorError):
    """An SQL file of the repository was refused by the server."""


class OperatorError(PreviewdError):
    """The machine or its settings are at fault."""


class ConfigurationError(OperatorError):
    """A setting is missing or wrong."""


class ForgeGone(OperatorError):
    """What we write to on the forge is gone, or our access to it."""


class TemporaryError(PreviewdError):
    """Nobody has to act: the same attempt may succeed later."""


class Unavailable(TemporaryError):
    """What we need is away, whatever we ask of it: no attempt is at fault. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float = 15.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DiskFull(Unavailable):
    """A disk that we need has no room left. `where` names whose it is, `words` are those of whoever found out."""

    def __init__(self, where: str, words: str, remedy: str) -> None:
        super().__init__(f"no room is left on the disk of {where}: {words}", retry_after=30.0)
        self.remedy = remedy


class ForgeUnavailable(Unavailable):
    """The forge did not answer, or asked us to wait. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float = 5.0) -> None:
        super().__init__(message, retry_after)


class NoRoom(TemporaryError):
    """The machine has none left of what the preview needs. The message is the observation, with its numbers."""

    def __init__(self, message: str, lacks: Resource, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.lacks = lacks


class NoConnectionsLeft(NoRoom):
    """Another role's connections would exceed what the previews' Postgres has. The message shows the arithmetic."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, Resource.CONNECTIONS, remedy)


class Superseded(PreviewdError):
    """A newer push, a close, or another verdict made this run pointless."""


class LeaseLost(PreviewdError):
    """Another worker holds this preview's lease: nothing that we do may take effect any more."""
