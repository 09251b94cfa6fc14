"""The form of the web process's JSON answers, and what each fault of ours is answered with."""

from fastapi.responses import JSONResponse

DATABASE_REMEDY = "check that Postgres runs, that PREVIEWD_DATABASE_URL is right, and that `previewd migrate` was run"


def failure(status: int, error: str, remedy: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    """Say what is wrong and what to do about it."""
    return JSONResponse({"error": error, "remedy": remedy}, status, headers)


def database_down() -> JSONResponse:
    return failure(503, "previewd's database does not answer", DATABASE_REMEDY, {"Retry-After": "5"})
