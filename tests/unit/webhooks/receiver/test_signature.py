import pytest

from webhooks.receiver.signature import Verifier, sign

BODY = b'{"zen": "Keep it simple."}'


def verifier(*secrets: str, body: bytes = BODY) -> Verifier:
    made = Verifier(secrets)
    made.feed(body)
    return made


def test_githubs_own_vector() -> None:
    """From GitHub's page on validating webhook deliveries."""
    signature = sign("It's a Secret to Everybody", b"Hello, World!")
    assert signature == "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_any_of_several_secrets_fits() -> None:
    for secret in ("new", "old"):
        assert verifier("new", "old").accepts(sign(secret, BODY).encode())
    assert not verifier("new", "old").accepts(sign("other", BODY).encode())


def test_it_does_not_matter_how_the_body_is_cut() -> None:
    made = Verifier(["secret"])
    for position in range(len(BODY)):
        made.feed(BODY[position : position + 1])
    assert made.accepts(sign("secret", BODY).encode())


def test_one_changed_byte_does_not_fit() -> None:
    assert not verifier("secret", body=BODY + b" ").accepts(sign("secret", BODY).encode())


@pytest.mark.parametrize(
    "header", [b"", b"sha256=", b"sha256=00", b"sha1=" + b"0" * 40, b"\xff\xfe", b"sha256=\xc3\xa9"]
)
def test_junk_does_not_fit(header: bytes) -> None:
    assert not verifier("secret").accepts(header)


def test_without_a_secret_nothing_fits() -> None:
    for secrets in ((), ("",)):
        assert not verifier(*secrets).accepts(sign("", BODY).encode())
        assert not verifier(*secrets).accepts(b"")
