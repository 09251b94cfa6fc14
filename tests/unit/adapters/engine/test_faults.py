"""What the Engine says when its machine has run out of something: the words of real Engines."""

import pytest

from orchestrator.adapters.engine.buildkit.failure import Failed, failure
from orchestrator.adapters.engine.faults import exhausted
from orchestrator.ports.engine import BuildRequest
from orchestrator.preview.errors import BuildError, DiskFull, Unavailable

NO_POOL = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
NO_POOL_28 = "all predefined address pools have been fully subnetted"
REQUEST = BuildRequest(tag="t", dockerfile=b"FROM a\nRUN b\n")


@pytest.mark.parametrize(
    "words",
    [
        "mkdir /var/lib/docker/overlay2/x: no space left on device",
        "write /var/lib/docker/tmp/y: No space left on device",
        "error creating overlay mount: disk quota exceeded",
    ],
)
def test_a_full_disk_is_named_and_waited_for(words: str) -> None:
    found = exhausted(words)
    assert isinstance(found, DiskFull)
    assert "the disk of the Docker Engine" in found.message
    assert "docker system df" in found.remedy


@pytest.mark.parametrize("words", [NO_POOL, NO_POOL_28])
def test_no_address_pool_is_waited_for(words: str) -> None:
    found = exhausted(words)
    assert isinstance(found, Unavailable)
    assert "default-address-pools" in found.message


@pytest.mark.parametrize("words", ["No such container: x", "Pool overlaps with other one on this address space", ""])
def test_other_words_say_nothing_of_the_kind(words: str) -> None:
    assert exhausted(words) is None


def test_a_build_that_finds_no_room_waits_but_a_command_that_only_says_so_does_not() -> None:
    full = failure(REQUEST, "failed to solve: failed to copy: write /x: no space left on device", None)
    assert isinstance(full, DiskFull)
    said = "executor failed running [/bin/sh -c echo no space left on device; false]: exit code: 1"
    told = failure(REQUEST, said, Failed(name="[2/2] RUN b", tail=()))
    assert isinstance(told, BuildError)
