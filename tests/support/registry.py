"""A real registry on loopback, Debian's docker-registry: open, asking for a password, or asking for a token."""

import base64
import datetime as dt
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestrator.adapters.embedded.addresses import free_port

PROGRAM = Path(__file__).parents[2] / ".cache" / "registry" / "usr" / "bin" / "docker-registry"
USER, PASSWORD = "ann", "s3cr3t-of-ann"
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuFJs6FrNhzKy/R4p2La41rYR7pAMtMlS\n"
"""The password's bcrypt hash, the only kind that the registry takes."""
PUBLIC = "public/"
"""Repositories that the token server lets everybody pull."""
ISSUER, SERVICE = "tests", "registry"
LOOPBACK = "127.0.0.1"
"""Where the Engine takes a registry without TLS."""
START_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Registry:
    host: str

    def image(self, name: str) -> str:
        return f"{self.host}/{name}"


def why_not() -> str:
    """Why there can be no registry here; empty when there can."""
    if PROGRAM.exists():
        return ""
    return "Debian's docker-registry is not in .cache/registry: `deploy/bootstrap.py registry` fetches it where apt is"


@contextmanager
def serving(home: Path, *, auth: dict[str, Any] | None = None) -> Iterator[Registry]:
    """Run a registry on the storage in `home`, which several may share."""
    host = f"{LOOPBACK}:{free_port(LOOPBACK)}"
    config = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(home / "storage")}},
        "http": {"addr": host},
        **({"auth": auth} if auth else {}),
    }
    path = home / f"{host.rpartition(':')[2]}.yml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    with (home / "registry.log").open("ab") as log:
        process = subprocess.Popen((str(PROGRAM), "serve", str(path)), stdout=log, stderr=log)
    try:
        _wait(f"http://{host}/v2/")
        yield Registry(host)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def serving_with_password(home: Path) -> Iterator[Registry]:
    (home / "htpasswd").write_text(HTPASSWD, "utf-8")
    with serving(home, auth={"htpasswd": {"realm": "tests", "path": str(home / "htpasswd")}}) as registry:
        yield registry


@contextmanager
def serving_with_tokens(home: Path) -> Iterator[Registry]:
    """Sends everybody to a token server, which gives tokens for `public/` to all and for the rest to the user."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(key)
    (home / "tokens.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    server = _TokenServer((LOOPBACK, 0), key, certificate)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    realm = f"http://{LOOPBACK}:{server.server_port}/token"
    token = {"realm": realm, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(home / "tokens.pem")}
    try:
        with serving(home, auth={"token": token}) as registry:
            yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _TokenServer(ThreadingHTTPServer):
    def __init__(
        self, address: tuple[str, int], key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> None:
        super().__init__(address, _TokenHandler)
        self.key = key
        self.chain = [base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()]

    def token(self, scopes: list[str], *, known: bool) -> str:
        """For as much of what is asked as this user may have."""
        access = []
        for kind, name, actions in (scope.split(":") for scope in scopes):
            allowed = actions.split(",") if known else ["pull"] if name.startswith(PUBLIC) else []
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": SERVICE, "sub": "", "iat": now, "nbf": now - 60, "exp": now + 300}
        return jwt.encode(
            claims | {"jti": str(now), "access": access}, self.key, algorithm="ES256", headers={"x5c": self.chain}
        )


class _TokenHandler(BaseHTTPRequestHandler):
    server: _TokenServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Nobody reads it."""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        known = given == "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if given and not known:
            self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]})
            return
        token = self.server.token(parse_qs(urlsplit(self.path).query).get("scope", []), known=known)
        self._answer(200, {"token": token, "access_token": token, "expires_in": 300})

    def do_POST(self) -> None:
        """A token server that does not know OAuth's way of asking. Who asks that way asks again by GET."""
        self._answer(404, {})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1))
    return builder.not_valid_after(now + dt.timedelta(days=1)).sign(key, hashes.SHA256())


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - loopback
        except urllib.error.HTTPError as error:
            error.close()  # it asks who we are: it is up
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        return
