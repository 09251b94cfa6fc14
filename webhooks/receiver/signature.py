"""Whether a delivery was signed with one of our secrets: HMAC-SHA256 over the raw bytes of its body. Pure.

GitHub's page on validating webhook deliveries gives the header's form, and a vector that the tests hold us to.
"""

import hashlib
import hmac
from collections.abc import Iterable

PREFIX = b"sha256="


class Verifier:
    """Takes a body piece by piece, so that nobody has to hold all of it before knowing whom it is from."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._macs = [hmac.new(secret.encode(), digestmod=hashlib.sha256) for secret in secrets if secret]

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the body."""
        for mac in self._macs:
            mac.update(chunk)

    def accepts(self, header: bytes) -> bool:
        """Whether the header is the body's signature under any secret; never so when there is no secret.

        Bytes are compared: comparing text raises TypeError for a header that is not ASCII. Every secret is tried, so
        that the time taken does not tell which one fitted.
        """
        fits = [hmac.compare_digest(header, PREFIX + mac.hexdigest().encode()) for mac in self._macs]
        return any(fits)


def sign(secret: str, body: bytes) -> str:
    """The header that GitHub sends with `body`."""
    return (PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()).decode()
