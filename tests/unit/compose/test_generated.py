"""The generated files: read again by the Compose language, they say what was recognised."""

from collections.abc import Mapping

import pytest

from orchestrator.codebase.contents import Overlay
from orchestrator.codebase.dockerfile import base_images, judge
from orchestrator.compose.database import DatabaseUrls
from orchestrator.compose.generated import missing_compose_file, missing_dockerfiles
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import DatabaseMode, Stack
from orchestrator.compose.prepare import prepare
from orchestrator.compose.route import Route
from orchestrator.preview.errors import AuthorError, ComposeError

APP = {"requirements.txt": b"fastapi\nuvicorn\nasyncpg\n", "main.py": b"from fastapi import FastAPI\napp = FastAPI()\n"}
FACTS = Facts(
    host="pr-1.example.com",
    url="https://pr-1.example.com",
    pull=1,
    repository="acme/shop",
    branch="feature",
    commit="0" * 40,
    database=DatabaseUrls(host="10.0.0.1", port=5432, user="u", password="p", database="d"),
)


def generated(files: Mapping[str, bytes]) -> tuple[Stack, Route]:
    made = missing_compose_file(files)
    prepared = prepare(Overlay(files, made.path, made.text.encode()), made.path, FACTS)
    return prepared.stack, prepared.route


def read(compose: str, files: Mapping[str, bytes]) -> Stack:
    return prepare({**files, "compose.yaml": compose.encode()}, "compose.yaml", FACTS).stack


def test_a_repository_without_either_file() -> None:
    stack, route = generated(APP)
    (service,) = stack.services.values()
    assert (route.service, route.port) == ("app", 8000)
    assert service.environment["DATABASE_URL"] == "postgresql://u:p@10.0.0.1:5432/d", "asyncpg takes no other scheme"
    assert service.environment["PORT"] == "8000"
    assert stack.preview.database.mode is DatabaseMode.MANAGED
    assert not stack.warnings
    assert not stack.notes
    assert service.build is not None
    text = service.build.dockerfile_inline or ""
    assert "ENV PATH=/venv/bin:$PATH " in text, "what Compose would fill in is escaped, and comes back"
    assert text.rstrip().endswith('CMD ["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]')
    assert text.index("COPY [") < text.index("install -r") < text.index("COPY --chown=app . ."), "code comes last"
    assert "\nUSER app\n" in text


def test_migrations_run_once_before_it_serves_with_the_same_image() -> None:
    stack, route = generated({**APP, "requirements.txt": b"fastapi\nasyncpg\nalembic", "alembic.ini": b""})
    app, migrate = stack.services["app"], stack.services["migrate"]
    assert route.service == "app"
    assert migrate.command == ("alembic", "upgrade", "head")
    assert migrate.build == app.build
    assert migrate.environment["DATABASE_URL"] == "postgresql+asyncpg://u:p@10.0.0.1:5432/d"
    assert app.depends_on["migrate"].condition == "service_completed_successfully"


def test_no_driver_no_database() -> None:
    stack, _ = generated({**APP, "requirements.txt": b"fastapi"})
    assert stack.preview.database.mode is DatabaseMode.NONE
    assert "DATABASE_URL" not in stack.services["app"].environment


@pytest.mark.parametrize(
    ("requirements", "code", "scheme"),
    [
        (b"asyncpg\nsqlalchemy", b"", "postgresql+asyncpg"),
        (b"asyncpg\nsqlalchemy", b"url = url.replace('postgresql://', 'postgresql+asyncpg://')\n", "postgresql"),
        (b"pg8000\nsqlalchemy", b"", "postgresql+pg8000"),
        (b"tortoise-orm[asyncpg]", b"", "postgres"),
    ],
)
def test_the_url_has_the_form_that_it_had_with_a_compose_file(requirements: bytes, code: bytes, scheme: str) -> None:
    files = {**APP, "requirements.txt": b"fastapi\n" + requirements, "db.py": code}
    stack, _ = generated(files)
    assert stack.services["app"].environment["DATABASE_URL"].partition("://")[0] == scheme
    own = read("services: {app: {build: {context: ., dockerfile: Own}, expose: [80]}}", files)
    assert own.services["app"].environment["DATABASE_URL"].partition("://")[0] == scheme


@pytest.mark.parametrize(
    ("files", "driver"),
    [({}, None), ({"requirements.txt": b"psycopg2\nsqlalchemy"}, "psycopg2"), ({"go.mod": b""}, None)],
)
def test_a_dockerfile_without_a_compose_file_is_built(files: Mapping[str, bytes], driver: str | None) -> None:
    stack, route = generated({"Dockerfile": b"FROM x\nEXPOSE 80\n", **files})
    build = stack.services["app"].build
    assert build is not None
    assert (build.dockerfile, build.dockerfile_inline) == ("Dockerfile", None)
    assert (route.service, route.port) == ("app", None), "EXPOSE says it"
    assert stack.preview.database.driver == driver
    assert stack.preview.database.mode == ("managed" if driver else "none")


def test_nothing_to_generate_from_names_every_place_and_both_remedies() -> None:
    with pytest.raises(AuthorError) as error:
        missing_compose_file({"package.json": b"{}"})
    for place in ("compose.preview.yaml", "docker-compose.yml", "Dockerfile", "uv.lock", "Pipfile", "like Node"):
        assert place in error.value.message
    assert "add a Dockerfile" in error.value.remedy
    assert "compose.preview.yaml" in error.value.remedy


def test_text_of_the_repository_stays_text() -> None:
    hostile = "web: x '\"]' ${DATABASE_URL} $$(id) \\\nservices: {evil: {privileged: true}}\n"
    stack, _ = generated({**APP, "Procfile": hostile.encode()})
    assert list(stack.services) == ["app"]
    build = stack.services["app"].build
    assert build is not None
    assert (
        (build.dockerfile_inline or "")
        .splitlines()[-1]
        .startswith('CMD ["sh", "-c", "x \'\\"]\' ${DATABASE_URL} $$(id)')
    )


def test_builds_that_lack_a_dockerfile_get_one_each() -> None:
    api = {f"api/{path}": content for path, content in APP.items()}
    files = {**api, "web/Dockerfile": b"FROM x\n"}
    stack = read(
        "services:\n"
        "  api: {build: ./api, ports: ['80:5000']}\n"
        "  worker: {build: ./api, command: python -m worker, expose: [5000]}\n"
        "  web: {build: ./web}\n"
        "x-preview: {service: api}\n",
        files,
    )
    whole, made = missing_dockerfiles(files, stack)
    ((path, text),) = [(each.path, each.text) for each in made]
    assert path == "api/Dockerfile"
    assert '"--port", "5000"' in text
    builds = {name: service.build.dockerfile_inline for name, service in whole.services.items() if service.build}
    assert builds == {"api": text, "worker": text, "web": None}


def test_not_any_number_of_them() -> None:
    files = {f"f{number}/{path}": content for number in range(20) for path, content in APP.items()}
    stack = read(
        "services: {" + ", ".join(f"s{n}: {{build: ./f{n}}}" for n in range(20)) + "}\nx-preview: {service: s1}", files
    )
    with pytest.raises(ComposeError, match="20 builds lack a Dockerfile"):
        missing_dockerfiles(files, stack)


def test_what_has_a_command_of_its_own_need_not_serve() -> None:
    files = {"requirements.txt": b"celery"}
    stack = read("services: {w: {build: ., command: celery -A x worker}}", files)
    _, (made,) = missing_dockerfiles(files, stack)
    assert "CMD" not in made.text
    with pytest.raises(ComposeError, match=r"compose.yaml:1:15 services.w: there is no Dockerfile .* no application"):
        missing_dockerfiles(files, read("services: {w: {build: .}}", files))


@pytest.mark.parametrize("build", ["{context: ., dockerfile: Other}", "{context: ., target: prod}"])
def test_a_dockerfile_that_is_named_is_not_made_up(build: str) -> None:
    stack = read(f"services: {{w: {{build: {build}}}}}", APP)
    assert missing_dockerfiles(APP, stack) == (stack, ())


@pytest.mark.parametrize(
    ("requirements", "packages"),
    [
        ("psycopg2", ["gcc", "libpq-dev", "libpq5"]),
        ("psycopg", ["libpq5"]),
        ("psycopg[binary]", []),
        ("psycopg2-binary", []),
        ("x @ git+https://example.com/x.git", ["git"]),
    ],
)
def test_what_a_driver_needs_of_the_system_is_installed(requirements: str, packages: list[str]) -> None:
    text = missing_compose_file({**APP, "requirements.txt": requirements.encode()}).text
    for package in ("gcc", "libpq-dev", "libpq5", "git"):
        assert (f" {package} " in text) == (package in packages), package


def test_what_is_installed_from_the_repository_gets_it_first() -> None:
    text = missing_compose_file({**APP, "requirements.txt": b"-e ./libs/shop\nfastapi"}).text
    assert text.index("COPY . .") < text.index("install -r")


def test_a_program_of_the_project_is_installed_with_it() -> None:
    project = b'[project]\nname = "shop"\ndependencies = []\nscripts = {serve = "main:run"}\n'
    text = missing_compose_file({"pyproject.toml": project, "Procfile": b"web: serve --now"}).text
    assert text.index("install --no-deps .") < text.index("COPY --from=build")
    assert 'CMD ["serve", "--now"]' in text


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.txt": b"fastapi\npsycopg2\nx @ git+https://example.com/x.git"},
        {"pyproject.toml": b"[project]\nname = 'x'\ndependencies = ['fastapi']", "uv.lock": b""},
        {"pyproject.toml": b"[tool.poetry.dependencies]\nfastapi = '*'", "poetry.lock": b""},
        {"pyproject.toml": b"[tool.poetry.dependencies]\nfastapi = '*'"},
        {"Pipfile": b"", "Pipfile.lock": b"{}"},
        {"Pipfile": b""},
        {"pyproject.toml": b"[project]\ndependencies = []"},
        {"setup.py": b""},
    ],
    ids=" ".join,
)
def test_every_dockerfile_passes_the_policy_that_all_others_pass(files: Mapping[str, bytes]) -> None:
    stack, _ = generated({**files, "main.py": APP["main.py"]})
    build = stack.services["app"].build
    assert build is not None
    text = build.dockerfile_inline or ""
    assert judge(text, {}) == []
    assert base_images(text, {}) == ["python:3.13-slim"]


def test_the_log_has_the_whole_text() -> None:
    made = missing_compose_file(APP)
    lines = list(made.lines())
    assert lines[0].startswith(
        "no Compose file: recognised FastAPI app `main:app` (main.py:2), dependencies requirements.txt"
    )
    assert [line.removeprefix("    ") for line in lines[-len(made.text.splitlines()) :]] == made.text.splitlines()
