"""The connection pool, which lives as long as the application, and a session per request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.requests import HTTPConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app.settings import Settings, get_settings

CONNECT_SECONDS = 5


def make_engine(settings: Settings) -> AsyncEngine:
    """Build the pool. It checks a connection before use, because a preview's database may be reset under it."""
    return create_async_engine(
        settings.database_url,
        pool_pre_ping=True,
        pool_recycle=300,
        connect_args={"timeout": CONNECT_SECONDS},
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool at start and close it at the end, in each worker process."""
    engine = make_engine(get_settings())
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    try:
        yield
    finally:
        await engine.dispose()


async def get_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    """Yield a session of this request; what was not committed is rolled back."""
    async with connection.app.state.sessions() as session:
        yield session


SessionDependency = Annotated[AsyncSession, Depends(get_session)]
