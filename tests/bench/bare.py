"""The peer for webhooks: a FastAPI route that does nothing but one insert. `python -m tests.bench.bare URL PORT`."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import uvicorn
from fastapi import FastAPI, Request


def bare(url: str) -> FastAPI:
    """The application: one table, one route, one statement."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.pool = await asyncpg.create_pool(url, min_size=5, max_size=10)
        await app.state.pool.execute("CREATE TABLE IF NOT EXISTS bare (id text PRIMARY KEY, event text)")
        yield
        await app.state.pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/webhooks/github", status_code=202)
    async def receive(request: Request) -> dict[str, str]:
        payload = json.loads(await request.body())
        delivery = request.headers["X-GitHub-Delivery"]
        await request.app.state.pool.execute("INSERT INTO bare VALUES ($1, $2)", delivery, payload["action"])
        return {"delivery": delivery}

    return app


if __name__ == "__main__":
    uvicorn.run(bare(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)
