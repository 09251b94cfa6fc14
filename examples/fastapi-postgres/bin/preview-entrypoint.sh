#!/bin/sh
# Migrate, seed, serve. The first step that fails ends the container, with its own exit status.
set -eu

child=
# The first process of a container ignores signals that it has no handler for: pass them on by hand
# until the server takes over this process.
trap '[ -z "$child" ] || kill -TERM "$child" 2>/dev/null; exit 143' TERM INT

run() {
    "$@" &
    child=$!
    wait "$child"
    child=
}

run alembic upgrade head
run python -m app.seed

# Only the proxy reaches this port, so its X-Forwarded-* headers are believed.
exec uvicorn app.main:app \
    --host 0.0.0.0 --port "${PORT:-8000}" --workers 2 \
    --proxy-headers --forwarded-allow-ips '*' --timeout-graceful-shutdown 5
