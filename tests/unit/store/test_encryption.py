"""Secrets at rest."""

import pytest
from pydantic import SecretStr

from orchestrator.preview.errors import ConfigurationError
from orchestrator.store.encryption import Encryption

OLD, NEW = SecretStr("an old key"), SecretStr("a new key")


def test_what_is_sealed_opens_again_and_does_not_show() -> None:
    sealed = Encryption([OLD]).seal({"JWT_SECRET": "plain to see"})
    assert b"plain to see" not in sealed
    assert Encryption([OLD]).open(sealed) == {"JWT_SECRET": "plain to see"}


def test_a_key_in_front_rotates() -> None:
    sealed = Encryption([OLD]).seal({"a": "b"})
    assert Encryption([NEW, OLD]).open(sealed) == {"a": "b"}
    resealed = Encryption([NEW, OLD]).seal({"a": "b"})
    assert Encryption([NEW]).open(resealed) == {"a": "b"}


def test_a_missing_key_is_said_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="another key") as caught:
        Encryption([NEW]).open(Encryption([OLD]).seal({}))
    assert "PREVIEWD_SECRET_KEY" in caught.value.remedy
    with pytest.raises(ConfigurationError, match="not set"):
        Encryption([])
