"""Secrets at rest: what previewd keeps in its own database is encrypted with the operator's key."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretStr

from orchestrator.preview.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

DATABASE_PASSWORD = "database password"  # noqa: S105 - a key; the space keeps it apart from variables
"""Under which a preview's secrets hold the password of its database's role."""


class Encryption:
    """Encrypts with the first key, decrypts with any: add a key in front to rotate."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        if not keys:
            raise ConfigurationError("PREVIEWD_SECRET_KEY is not set", "set it to a long random text, and keep it")
        self._keys = tuple(keys)

    @cached_property
    def _fernet(self) -> "MultiFernet":
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - 7 MiB, when the first secret is sealed

        return MultiFernet([Fernet(_derive(key)) for key in self._keys])

    def seal(self, secrets: Mapping[str, str]) -> bytes:
        return self._fernet.encrypt(json.dumps(dict(secrets)).encode())

    def open(self, sealed: bytes) -> dict[str, str]:
        """Raises ConfigurationError when no key fits."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - see `_fernet`

        try:
            return dict(json.loads(self._fernet.decrypt(sealed)))
        except InvalidToken:
            raise ConfigurationError(
                "a secret in the database was encrypted with another key",
                "add the key that it was encrypted with to PREVIEWD_SECRET_KEY",
            ) from None


def _derive(key: SecretStr) -> bytes:
    """Any text becomes a Fernet key. It is meant to be long and random, so a plain hash is enough."""
    return base64.urlsafe_b64encode(hashlib.sha256(key.get_secret_value().encode()).digest())
