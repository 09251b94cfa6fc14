"""The credentials of registries, from a `config.json` as `docker login` writes it. Used for builds and pulls.

The Engine and BuildKit ask by host; Docker Hub goes by several. Programs that such a file may name for fetching
credentials are never run.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from orchestrator.preview.errors import ConfigurationError

SETTING = "PREVIEWD_REGISTRY_AUTH"
DOCKER_HUB = "docker.io"
DOCKER_HUB_HOSTS = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
HELPERS = ("credsStore", "credHelpers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user's name and password, or a token that stands for both."""

    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.password, self.token)))


class RegistryAuth:
    """Who we are to which registry."""

    def __init__(self, by_host: Mapping[str, Credentials] | None = None) -> None:
        self._by_host = {_host(name): found for name, found in (by_host or {}).items()}

    @classmethod
    def read(cls, path: Path | None) -> Self:
        """Read the file; None is no credentials. Raises ConfigurationError that names the setting and the fault."""
        if path is None:
            return cls()
        try:
            return cls(_by_host(json.loads(path.read_bytes())))
        except OSError as error:
            raise _fault(path, f"cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise _fault(path, f"is not as `docker login` writes it: {error}") from None

    def credentials(self, host: str) -> Credentials | None:
        """For a registry by its host, or by the address that it goes by in `config.json`."""
        return self._by_host.get(_host(host))

    def for_image(self, reference: str) -> Mapping[str, str] | None:
        """What the Engine's `X-Registry-Auth` says, for pulling this image; None without credentials."""
        host = registry_of(reference)
        found = self.credentials(host)
        return None if found is None else _engine_form(host, found)

    def engine_form(self) -> dict[str, Mapping[str, str]]:
        """What the Engine's `X-Registry-Config` says: all of them, by the names that the classic builder looks for."""
        hosts = {"https://index.docker.io/v1/" if host == DOCKER_HUB else host: host for host in self._by_host}
        return {name: _engine_form(name, self._by_host[host]) for name, host in hosts.items()}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every password and token: what no log may show."""
        return tuple(secret for found in self._by_host.values() for secret in found.secrets)


def encoded(value: object) -> str:
    """JSON in a header of the Engine's API."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def registry_of(reference: str) -> str:
    """The host of an image's registry: its first part, if that can be none of Docker Hub's users."""
    first, slash, _ = reference.partition("/")
    return first if slash and (first == "localhost" or set(".:") & set(first)) else DOCKER_HUB


def _host(name: str) -> str:
    """`https://index.docker.io/v1/` is how `docker login` names Docker Hub."""
    host = name.partition("://")[2] or name
    host = host.partition("/")[0].lower()
    return DOCKER_HUB if host in DOCKER_HUB_HOSTS else host


def _by_host(config: Any) -> dict[str, Credentials]:
    if not isinstance(config, dict):
        raise TypeError("it is no JSON object")
    for key in HELPERS:
        if config.get(key):
            raise ValueError(f"`{key}` names a program that keeps the credentials, and previewd runs none")
    return {str(host): _credentials(str(host), found) for host, found in config.get("auths", {}).items()}


def _credentials(host: str, found: Mapping[str, Any]) -> Credentials:
    username, password = str(found.get("username", "")), str(found.get("password", ""))
    if found.get("auth"):
        username, password = _decoded(host, str(found["auth"]))
    return Credentials(username=username, password=password, token=str(found.get("identitytoken", "")))


def _decoded(host: str, auth: str) -> tuple[str, str]:
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise ValueError(f"`auth` of {host} is not the base64 form of USER:PASSWORD")
    return username, password.rstrip("\0")


def _engine_form(host: str, found: Credentials) -> dict[str, str]:
    if found.token:
        return {"identitytoken": found.token, "serveraddress": host}
    return {"username": found.username, "password": found.password, "serveraddress": host}


def _fault(path: Path, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{SETTING}: {path} {what}",
        remedy=f"Let {SETTING} name a file with `auths` only: `docker --config DIRECTORY login REGISTRY` writes one.",
    )
