"""How often a token may be guessed, by whom, and who counts as one."""

import pytest

from webhooks.throttle import OF_ALL, OF_ONE_PEER, WINDOW_SECONDS, Throttle, is_near, peer_of


def test_a_peer_that_guesses_waits_and_no_other_does() -> None:
    attempts = Throttle()
    for number in range(OF_ONE_PEER):
        assert attempts.seconds_to_wait("a", number) == 0
        attempts.failed("a", number)
    assert attempts.seconds_to_wait("a", OF_ONE_PEER) == WINDOW_SECONDS - OF_ONE_PEER
    assert attempts.seconds_to_wait("b", OF_ONE_PEER) == 0
    assert attempts.seconds_to_wait("a", WINDOW_SECONDS) == 0, "the first is forgotten"


def test_many_peers_together_wait_too() -> None:
    attempts = Throttle()
    for number in range(OF_ALL):
        attempts.failed(str(number), 0)
    assert attempts.seconds_to_wait("another", 1) == WINDOW_SECONDS - 1
    assert attempts.seconds_to_wait("another", WINDOW_SECONDS) == 0


def test_what_is_remembered_is_bounded() -> None:
    attempts = Throttle(of_all=3)
    for number in range(10):
        attempts.failed(str(number), 0)
    assert len(attempts._failed) == 3


@pytest.mark.parametrize(
    ("client", "real", "peer"),
    [
        ("8.8.8.8", "", "8.8.8.8"),
        ("8.8.8.8", "198.51.100.1", "8.8.8.8"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("172.18.0.2", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("::ffff:8.8.8.8", "", "8.8.8.8"),
        ("2a00:1:2:3:4::5", "8.8.8.8", "2a00:1:2:3::/64"),
        ("", "", ""),
    ],
)
def test_who_asks(client: str, real: str, peer: str) -> None:
    assert peer_of(client, {"x-real-ip": real}) == peer


@pytest.mark.parametrize(
    ("client", "near"), [("127.0.0.1", True), ("::1", True), ("10.1.2.3", True), ("8.8.8.8", False), ("", False)]
)
def test_who_is_near(client: str, near: bool) -> None:
    assert is_near(client) is near
