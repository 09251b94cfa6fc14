"""The key of a GitHub App that nobody has."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orchestrator.adapters.github.app import AppKey


@cache
def new_app_key() -> AppKey:
    """Made once: it takes a while."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return AppKey(id="1", private_key=pem)
