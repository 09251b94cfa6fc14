"""A server in the place of the Docker Engine that answers every request with a version, and keeps what was asked."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION = b'{"ApiVersion": "1.41", "Version": "20.10.24"}'
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class RecordingEngine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """`requests` holds the first line of each request, without its query."""

    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, _Answer)
        self.requests: list[str] = []
        self.url = f"unix://{path}"


class _Answer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, RecordingEngine)
        while line := self.rfile.readline():
            self.server.requests.append(line.decode(errors="replace").split("?")[0].strip())
            length = 0
            while header := self.rfile.readline().strip().lower():
                length = int(header.partition(b":")[2]) if header.startswith(b"content-length") else length
            self.rfile.read(length)
            self.wfile.write(_HEAD % len(_VERSION) + _VERSION)


@contextmanager
def recording_engine(path: str) -> Iterator[RecordingEngine]:
    """One that listens on the socket `path`."""
    with RecordingEngine(path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
