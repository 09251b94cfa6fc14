"""Secrets at rest: what previewd keeps in its own database is encrypted with the operator's key."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from orchestrator.preview.errors import ConfigurationError

DATABASE_PASSWORD = "database password"  # noqa: S105 - a key; the space keeps it apart from variables
"""Under which a preview's secrets hold the password of its database's role."""


class Encryption:
    """Encrypts with the first key, decrypts with any: add a key in front to rotate."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        if not keys:
            raise ConfigurationError("PREVIEWD_SECRET_KEY is not set", "set it to a long random text, and keep it")
        self._fernet = MultiFernet([Fernet(_derive(key)) for key in keys])

    def seal(self, secrets: Mapping[str, str]) -> bytes:
        return self._fernet.encrypt(json.dumps(dict(secrets)).encode())

    def open(self, sealed: bytes) -> dict[str, str]:
        """Raises ConfigurationError when no key fits."""
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
