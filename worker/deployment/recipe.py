"""What an image is made of, and so what it is called. Pure."""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.ports.engine import BuildRequest
from orchestrator.ports.sources import BuildContext

DIGEST_LENGTH = 32
"""Hexadecimal digits of an image's name: 128 bits."""

_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"(?!sha256:)(?:(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?"
    rf"{_PART}(?:/{_PART})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?"
)
"""distribution/reference's grammar, less what the Engine takes for an id: `sha256:7` is any image that starts so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one image is made. Its name says all of it, so that an image of this name need not be made again."""

    subject: str
    """What people know it by: the service, or one of its contexts."""
    request: BuildRequest
    context: BuildContext = field(repr=False)
    first: tuple["Recipe", ...] = ()
    """The images that it takes files from: they are made before it."""
    remarks: tuple[str, ...] = ()
    """What is done otherwise than the file says."""

    @property
    def reference(self) -> str:
        return self.request.tag

    def everything(self) -> Mapping[str, "Recipe"]:
        """It and all that it needs, by reference."""
        found = {self.reference: self}
        for recipe in self.first:
            found.update(recipe.everything())
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInputs:
    """All that decides what an image holds. What only decides how it is made (caches, proxies) is left out."""

    context: str
    """The digest of what may be copied, after the ignore file."""
    dockerfile: str
    """As its author wrote it."""
    contexts: Mapping[str, str] = field(default_factory=dict)
    """Named contexts: the references of their images."""
    bases: Mapping[str, str] = field(default_factory=dict)
    """The ids of the images that it starts from, by the names that they have in the Dockerfile."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Arguments, target, platform and the like: what JSON can say."""
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    fresh_for: str = ""
    """A commit for which it is made anew whatever was made before: `no_cache`."""

    def digest(self, key: bytes) -> str:
        """A keyed hash: who lacks the key can name no image in a Dockerfile, even if he knows what is in it."""
        said = {
            "context": self.context,
            "dockerfile": self.dockerfile,
            "contexts": dict(self.contexts),
            "bases": dict(self.bases),
            "settings": dict(self.settings),
            "secrets": {name: hashlib.sha256(content).hexdigest() for name, content in self.secrets.items()},
            "fresh_for": self.fresh_for,
        }
        return keyed(key, json.dumps(said, sort_keys=True).encode(errors="surrogatepass"))


def keyed(key: bytes, content: bytes) -> str:
    """A name for this content that says nothing of it to who lacks the key."""
    return hmac.new(key, content, hashlib.sha256).hexdigest()[:DIGEST_LENGTH]


def is_reference(image: str) -> bool:
    """Whether it names an image, and neither an id of this Engine's nor a path in its API, as `../x` would."""
    host = image.partition("/")[0]
    return host not in {".", ".."} and _REFERENCE.fullmatch(image) is not None


def qualified(image: str) -> str:
    """A reference with its tag. A bare name of hexadecimal digits would else be looked up as some image's id."""
    _, _, name = image.rpartition("/")
    return image if ":" in name or "@" in name else f"{image}:latest"


def is_of_instance(instance: str, image: str) -> bool:
    """Whether a reference names an image that previewd built, in whichever of the ways that lead to this Engine."""
    for registry in ("docker.io/", "index.docker.io/", "registry-1.docker.io/"):
        image = image.removeprefix(registry)
    return image.startswith(f"{instance}/")
