"""No case of the corpus may reach anything: not a file beside its repository, not the network, not our environment."""

import socket
from pathlib import Path
from typing import NoReturn

import pytest

from tests.hostile.cases import CANARY


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file that holds the canary, and room for repositories beside it."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "canary.txt").write_text(f"SECRET={CANARY}\nservices: {{a: {{image: {CANARY}}}}}\n")
    return folder


@pytest.fixture(autouse=True)
def sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is an error, and every variable that a file may ask for is there to be stolen."""

    def refused(*arguments: object) -> NoReturn:
        raise AssertionError(f"a connection was tried: {arguments[1:]}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    for name in ("CANARY", "HOME", "SECRET", "X"):
        monkeypatch.setenv(name, CANARY)
