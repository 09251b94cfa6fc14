"""A git repository served over smart HTTP with faults on demand: what GitSources fetches from in its tests."""

import base64
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILE, EXECUTABLE, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
Tree = Mapping[str, bytes | tuple[str, bytes]]
"""Content by path, or mode and content. A submodule's content is the commit that it names."""


@dataclass(slots=True)
class Remote:
    """A bare repository in `folder`, at `url`."""

    folder: Path
    url: str
    token: str = ""
    """When set, requests without it are refused."""
    status: int = 0
    """When set, every request is answered with it."""
    delay: float = 0
    """Seconds before each answer."""
    redirect: str = ""
    """When set, requests are sent on to this server."""
    requests: list[str] = field(default_factory=list)

    def commit(self, tree: Tree, ref: str = "refs/pull/7/head", date: int = 1_700_000_000) -> str:
        """Make a commit of exactly these files, point the ref at it and return its id."""
        stream = [f"commit {ref}\ncommitter A <a@example.com> {date} +0000\n".encode(), _data(b"message")]
        stream.append(b"deleteall\n")
        for path, value in tree.items():
            mode, content = value if isinstance(value, tuple) else (FILE, value)
            if mode == SUBMODULE:
                stream.append(f"M {mode} {content.decode()} {_quoted(path)}\n".encode())
            else:
                stream.append(f"M {mode} inline {_quoted(path)}\n".encode() + _data(content))
        self.git("fast-import", "--quiet", "--force", stdin=b"".join(stream))
        return self.git("rev-parse", ref)

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        command = ["git", "--git-dir", str(self.folder), *arguments]
        done = subprocess.run(command, input=stdin, env=_environment(), capture_output=True, check=True)
        return done.stdout.decode(errors="surrogateescape").strip()


@contextmanager
def served(folder: Path) -> Iterator[Remote]:
    """Serve a new repository in `folder` on a free port of the loopback address."""
    remote = Remote(folder=folder / "repo.git", url="")
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"remote": remote}))
    remote.url = f"http://127.0.0.1:{server.server_address[1]}/repo.git"
    subprocess.run(["git", "init", "-q", "--bare", str(remote.folder)], env=_environment(), check=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield remote
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    remote: Remote

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.remote.requests.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.remote.delay)
        wanted = "Basic " + base64.b64encode(f"x-access-token:{self.remote.token}".encode()).decode()
        if self.remote.status:
            self.send_error(self.remote.status)
        elif self.remote.redirect:
            self.send_response(302)
            self.send_header("Location", self.remote.redirect + self.path)
            self.end_headers()
        elif self.remote.token and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="forge"')
            self.end_headers()
        else:
            self._backend(body)

    def _backend(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        environment = _environment() | {
            "GIT_PROJECT_ROOT": str(self.remote.folder.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it so
        """Tests print nothing."""

    def handle(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the client was killed, as tests do
            super().handle()


def _data(content: bytes) -> bytes:
    return f"data {len(content)}\n".encode() + content + b"\n"


def _quoted(path: str) -> str:
    octets = "".join(chr(o) if 32 < o < 127 and o not in b'"\\' else f"\\{o:03o}" for o in os.fsencode(path))
    return f'"{octets}"'


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "HOME": "/nonexistent",
    }
