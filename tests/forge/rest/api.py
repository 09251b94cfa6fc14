"""The API as one application, to be mounted where clients expect it."""

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from tests.forge.rest import comments, deployments, installations, pulls, statuses
from tests.forge.rest.context import Context

REPOSITORY_PREFIXES = ("/repos/{owner}/{name}", "/repositories/{repository_id}")
"""A repository answers under its name, which may change, and under its number, which does not."""

REPOSITORY_ROUTERS = (
    pulls.router,
    comments.router,
    statuses.router,
    deployments.router,
    installations.repository_router,
)


def rest_api(context: Context) -> FastAPI:
    """Put the routes together, with errors in GitHub's form."""
    api = FastAPI(openapi_url=None)
    api.state.context = context
    api.include_router(installations.router)
    for prefix in REPOSITORY_PREFIXES:
        for router in REPOSITORY_ROUTERS:
            api.include_router(router, prefix=prefix)
    api.add_exception_handler(HTTPException, _answer_error)
    api.add_exception_handler(RequestValidationError, _answer_invalid)
    return api


async def _answer_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail, error.headers)


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    """Name what does not fit. A number in the path that is none is a path that does not exist."""
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if any(problem["loc"][0] == "path" for problem in problems):
        return _error(HTTPStatus.NOT_FOUND, "Not Found")
    details = "; ".join(f"{problem['loc'][-1]}: {problem['msg']}" for problem in problems)
    return _error(HTTPStatus.UNPROCESSABLE_ENTITY, f"Validation Failed: {details}")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"message": message, "documentation_url": "", "status": str(int(status))}, status, headers)
