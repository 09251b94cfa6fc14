"""Who we are to which registry, from a `config.json`."""

import base64
import json
from pathlib import Path

import pytest

from orchestrator.adapters.engine.registry_auth import Credentials, RegistryAuth, registry_of
from orchestrator.preview.errors import ConfigurationError


def read(tmp_path: Path, config: object) -> RegistryAuth:
    path = tmp_path / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")
    return RegistryAuth.read(path)


def test_every_form_of_credentials(tmp_path: Path) -> None:
    auth = base64.b64encode(b"ann:a:b").decode()
    found = read(
        tmp_path,
        {
            "auths": {
                "https://index.docker.io/v1/": {"auth": auth},
                "r.test:5000": {"username": "bob", "password": "pw"},
                "https://t.test/v2/": {"auth": base64.b64encode(b"00:").decode(), "identitytoken": "tok"},
            },
            "credHelpers": {},
        },
    )
    ann = Credentials(username="ann", password="a:b")
    for host in ("docker.io", "registry-1.docker.io", "https://index.docker.io/v1/", "index.docker.io"):
        assert found.credentials(host) == ann
    assert found.credentials("r.test:5000") == Credentials(username="bob", password="pw")
    assert found.credentials("r.test") is None
    assert found.for_image("r.test:5000/a/b:1") == {
        "username": "bob",
        "password": "pw",
        "serveraddress": "r.test:5000",
    }
    assert found.for_image("t.test/x") == {"identitytoken": "tok", "serveraddress": "t.test"}
    assert found.for_image("ann/app") == {"username": "ann", "password": "a:b", "serveraddress": "docker.io"}
    assert set(found.engine_form()) == {"https://index.docker.io/v1/", "r.test:5000", "t.test"}
    assert set(found.secrets) == {"a:b", "pw", "tok"}


def test_no_file_is_no_credentials() -> None:
    assert RegistryAuth.read(None).credentials("docker.io") is None
    assert RegistryAuth.read(None).for_image("a") is None


def test_credentials_are_in_no_representation() -> None:
    shown = repr(Credentials(username="ann", password="word", token="tok"))
    assert "word" not in shown
    assert "tok" not in shown.replace("token", "")


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ("{", "is not as `docker login` writes it"),
        ("[]", "no JSON object"),
        ({"auths": {"r.test": {"auth": "%%%"}}}, "`auth` of r.test is not the base64 form"),
        ({"auths": {"r.test": {"auth": base64.b64encode(b"s3cret").decode()}}}, "`auth` of r.test"),
        ({"auths": []}, "is not as"),
        ({"credsStore": "desktop"}, "`credsStore` names a program"),
        ({"auths": {}, "credHelpers": {"r.test": "ecr-login"}}, "`credHelpers` names a program"),
    ],
)
def test_what_is_wrong_is_named_with_the_setting(tmp_path: Path, config: object, fault: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(tmp_path, config)
    assert raised.value.message.startswith(f"PREVIEWD_REGISTRY_AUTH: {tmp_path}/config.json ")
    assert fault in raised.value.message
    assert "docker --config" in raised.value.remedy
    assert "s3cret" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.json cannot be read: No such file"):
        RegistryAuth.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("python:3", "docker.io"),
        ("ann/app", "docker.io"),
        ("ghcr.io/a/b", "ghcr.io"),
        ("localhost/a", "localhost"),
        ("r:5000/a@sha256:0", "r:5000"),
    ],
)
def test_the_registry_of_an_image(reference: str, registry: str) -> None:
    assert registry_of(reference) == registry
