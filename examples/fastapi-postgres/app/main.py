"""The application: `uvicorn app.main:app`."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app import health, items, live, tokens
from app.database import lifespan
from app.settings import Settings, get_settings


def create_app(settings: Settings) -> FastAPI:
    """Put the routes behind the host check and the CORS rules."""
    app = FastAPI(title="Items", lifespan=lifespan)
    app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"])
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=settings.trusted_hosts)
    for part in (health, items, tokens, live):
        app.include_router(part.router)
    return app


app = create_app(get_settings())
