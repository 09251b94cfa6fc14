"""GET /health: whether this process can do its work, and which commit it runs."""

import asyncio

import asyncpg
from fastapi import APIRouter, Response, status
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.database import SessionDependency
from app.settings import SettingsDependency

CHECK_SECONDS = 3

# A connection that cannot be opened shows as the driver's own error or the system's, not as SQLAlchemy's.
DATABASE_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)

router = APIRouter()


@router.get("/health")
async def health(session: SessionDependency, settings: SettingsDependency, response: Response) -> dict[str, str]:
    """Ask the database for one row; 503 when it does not give it in time."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await session.execute(text("SELECT 1"))
    except DATABASE_ERRORS as error:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return {"status": "database unavailable", "commit": settings.git_sha, "error": type(error).__name__}
    return {"status": "ok", "commit": settings.git_sha}
