"""What is answered when something is wrong: programs get JSON, people who look at a page get a page."""

from dataclasses import dataclass
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from orchestrator.preview.errors import PreviewdError
from orchestrator.store.faults import DATABASE_FAULTS
from webhooks.answers import database_down, failure
from webhooks.dashboard.routes import Dashboard
from webhooks.dashboard.sign_in import SignInNeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """One handler for each kind of exception that a route may let out."""

    dashboard: Dashboard

    def install(self, app: FastAPI) -> None:
        """Have `app` answer with these."""
        app.add_exception_handler(SignInNeeded, self.sign_in_needed)
        app.add_exception_handler(HTTPException, self.refused)
        app.add_exception_handler(RequestValidationError, self.invalid)
        app.add_exception_handler(PreviewdError, self.operator_needed)
        for fault in DATABASE_FAULTS:
            app.add_exception_handler(fault, self.database)

    async def sign_in_needed(self, request: Request, _: Exception) -> Response:
        """The form stands at the page's own address, to which it leads back."""
        if not _is_page(request):
            return failure(HTTPStatus.UNAUTHORIZED, "sign in first", "open / in a browser")
        query = f"?{request.url.query}" if request.url.query else ""
        return self.dashboard.sign_in.form(request.url.path + query if request.method == "GET" else "/")

    async def refused(self, request: Request, error: Exception) -> Response:
        """Unknown paths and methods, and what a route refuses."""
        if not isinstance(error, HTTPException):
            raise error
        if _is_page(request):
            return self.dashboard.pages.error(error.status_code, str(error.detail))
        return failure(error.status_code, str(error.detail), headers=dict(error.headers or {}))

    async def invalid(self, _: Request, error: Exception) -> Response:
        """A parameter is not what the API takes."""
        if not isinstance(error, RequestValidationError):
            raise error
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in error.errors())
        return failure(HTTPStatus.BAD_REQUEST, faults, "see /api/docs")

    async def operator_needed(self, request: Request, error: Exception) -> Response:
        """Our own errors, which say what to do."""
        if not isinstance(error, PreviewdError):
            raise error
        if _is_page(request):
            return self.dashboard.pages.error(HTTPStatus.SERVICE_UNAVAILABLE, error.message, error.remedy)
        return failure(HTTPStatus.SERVICE_UNAVAILABLE, error.message, error.remedy)

    async def database(self, request: Request, _: Exception) -> Response:
        """Postgres does not answer."""
        if _is_page(request):
            message = "previewd’s database does not answer"
            return self.dashboard.pages.error(HTTPStatus.SERVICE_UNAVAILABLE, message, "Reload this page in a moment.")
        return database_down()


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")
