"""`previewd check`: a checkout on this disk, read as a preview's worker reads a commit, and the report on it.

Nothing outside of the checkout is read, nothing of it is run, and no server is asked.
"""

import dataclasses
import io
import json
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import typer
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.cli.checkout import Checkout
from orchestrator.cli.conventions import DONE, NOT_WELL
from orchestrator.cli.ignored import ignored
from orchestrator.codebase.python.drivers import Form
from orchestrator.compose.canonical import canonical
from orchestrator.compose.check import Container, Database, Finding, Report, check, without_ignored
from orchestrator.compose.database import DatabaseUrls
from orchestrator.compose.engine.request import ServiceLimits
from orchestrator.compose.inject import Facts
from orchestrator.compose.model import DatabaseMode
from orchestrator.compose.project.project import project
from orchestrator.compose.route import Route
from orchestrator.compose.services.stack import NAMES, find
from orchestrator.preview.errors import AuthorError, ComposeError, Place
from orchestrator.preview.names import host_name
from orchestrator.reporting.text import clean
from orchestrator.runtime.settings import Settings

TEMPLATE, DOMAIN = "pr-{number}-{repo}.{domain}", "preview.localhost"
TAB_WIDTH = 4
_SETTINGS = Settings.model_fields
USUAL_LIMITS = ServiceLimits(
    memory_bytes=_SETTINGS["memory_bytes"].default, cpus=_SETTINGS["cpus"].default, pids=_SETTINGS["pids"].default
)
"""Those of an operator who sets none: whose machine it will be is not known here."""
_PADDING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)
"""Blanks with which a table fills its lines, before the end of the line's colour."""


def run(
    path: Path, *, as_json: bool, file: str | None, given: Iterable[str], config: bool, generated: bool = False
) -> int:
    """Print the report, with `config` our reading of the file, or what is `generated`; the exit code."""
    if as_json and config:
        raise typer.BadParameter("--config prints JSON already", param_hint="--json")
    root, found = _opened(path, file)
    # Compose itself, beside which the reading is held, knows no git.
    files, variables = Checkout(root, frozenset() if config else ignored(root)), _variables(given)
    if found is not None and found not in files:
        what = f"git ignores {found}" if files.missed else f"{root} has no regular file {found}"
        raise typer.BadParameter(what, param_hint="--file" if file else "PATH")
    if config:
        return _print_config(root, files, found, variables)
    report = without_ignored(check(files, found, _facts(root, variables), USUAL_LIMITS), _missed(files, found))
    if as_json:
        print(json.dumps({"accepted": report.accepted, **dataclasses.asdict(report)}, indent=2))
    elif generated and report.accepted:
        _print_generated(report)
    else:
        _print(report)
    return DONE if report.accepted else NOT_WELL


def _print_config(root: Path, files: Checkout, path: str | None, variables: Mapping[str, str]) -> int:
    """Our reading before any policy, and with no variable of ours. AuthorError where Compose itself refuses it."""
    path = path or find(files)
    if path is None:
        raise typer.BadParameter(f"{root} has no Compose file", param_hint="PATH")
    try:
        found = canonical(project(files, path, variables), files, str(root), _project_name(root))
    except ComposeError as error:
        raise AuthorError(_plain(error.message), _plain(error.remedy)) from None
    print(json.dumps(found, indent=2))
    return DONE


def _print_generated(report: Report) -> None:
    """Each file that the repository lacks, after its path. Nothing where it lacks none."""
    for each in report.generated:
        print(f"# {_plain(each.path)}")
        for line in each.text.splitlines():
            print(_plain(line))


def _missed(files: Checkout, found: str | None) -> Mapping[str, bytes]:
    """What would have been read, did git not ignore it. Of a folder, and of what cannot be read, only the name."""
    if found is None:
        next((name for name in NAMES if name in files), None)
    contents: dict[str, bytes] = {}
    for path in files.missed:
        try:
            contents[path] = files.on_disk(path)
        except ComposeError:
            contents[path] = b""
    return contents


def _project_name(root: Path) -> str:
    """As Compose makes it of the folder's name."""
    return re.sub(r"[^-_a-z0-9]", "", root.name.lower()).lstrip("-_") or "default"


def _opened(path: Path, file: str | None) -> tuple[Path, str | None]:
    """The checkout's root, and the Compose file in it if one is named: PATH may be that file, too."""
    if path.is_dir():
        root = path.resolve()
        return root, None if file is None else _below(root, file)
    if not path.exists():
        raise typer.BadParameter(f"there is no {path}", param_hint="PATH")
    if file is not None:
        raise typer.BadParameter(f"{path} is a file already", param_hint="--file")
    folder = path.parent.resolve()
    root = next((above for above in (folder, *folder.parents) if (above / ".git").exists()), folder)
    return root, (folder / path.name).relative_to(root).as_posix()


def _below(root: Path, file: str) -> str:
    """`--file` as a path of the repository: one that is absolute may stand in it."""
    named = Path(file)
    if not named.is_absolute():
        return posixpath.normpath(file)
    folder = named.parent.resolve()
    if not folder.is_relative_to(root):
        raise typer.BadParameter(f"{file} is outside of {root}", param_hint="--file")
    return (folder / named.name).relative_to(root).as_posix()


def _variables(given: Iterable[str]) -> Mapping[str, str]:
    pairs = [pair.partition("=") for pair in given]
    if wrong := [name for name, sign, _ in pairs if not sign or not name]:
        raise typer.BadParameter(f"{wrong[0]!r} is not NAME=VALUE", param_hint="--set")
    return {name: value for name, _, value in pairs}


def _facts(root: Path, variables: Mapping[str, str]) -> Facts:
    """A pull request as it could be: number 1, with a database of its own."""
    host = host_name(TEMPLATE, DOMAIN, root.name or "repository", 1)
    return Facts(
        host=host,
        url=f"https://{host}",
        pull=1,
        repository=f"you/{root.name}",
        branch="feature",
        commit="0" * 40,
        secrets=variables,
        database=DatabaseUrls(host="previews-postgres", port=5432, user="pr_1", password="hidden", database="pr_1"),  # noqa: S106 - masked, and of no server
    )


# What is printed


def _print(report: Report) -> None:
    console = Console(highlight=False, emoji=False, markup=False)
    with console.capture() as capture:
        for part in _parts(report, console.width):
            console.print(part)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal knows ✔
    sys.stdout.write(_PADDING.sub(r"\1", capture.get()))


def _parts(report: Report, width: int) -> Iterator[RenderableType]:
    yield _headline(report)
    for refusal in report.refusals:
        yield Text()
        yield _refusal(refusal, width)
    if report.accepted:
        yield Text()
        yield Padding(_summary(report), (0, 0, 0, 2))
    for title, findings, style in (
        ("Missing, and maybe needed", report.warnings, "yellow"),
        ("Not as the file says", report.changes, "cyan"),
    ):
        if findings:
            yield Text()
            yield Text(title, f"bold {style}")
            yield Padding(_grouped(findings), (0, 0, 0, 2))


def _headline(report: Report) -> Text:
    if report.accepted:
        return Text.assemble(("✔ ", "bold green"), (_plain(report.path), "bold"), (" gets a preview", "bold green"))
    count = len(report.refusals)
    reasons = "1 reason" if count == 1 else f"{count} reasons"
    return Text.assemble(
        ("✘ ", "bold red"), (_plain(report.path), "bold"), (" gets no preview", "bold red"), f", for {reasons}"
    )


def _refusal(found: Finding, width: int) -> RenderableType:
    parts: list[RenderableType] = [_where(found.place)]
    if found.quoted:
        parts.append(_quote(found, width))
    parts.append(Padding(Text(_plain(found.message)), (0, 0, 0, 2)))
    if found.remedy:
        parts.append(_row(Text("  →", "green"), Text(_plain(found.remedy), "green")))
    return Group(*parts)


def _where(place: Place) -> Text:
    position = "".join(f":{part}" for part in (place.line, place.column) if part)
    return Text.assemble((_plain(place.file), "bold"), (position, "bold"), "  ", (_plain(place.path), "dim"))


def _quote(found: Finding, width: int) -> Text:
    """The line, and a mark below what is meant. Of a line that is too long only the part around the mark is shown."""
    column = max(found.place.column - 1, 0)
    before, meant = _shown(found.quoted[:column]), _shown(found.quoted[column:])
    number = str(found.place.line)
    room = max(width - len(number) - 5, 20)
    indentation = len(before) - len(before.lstrip())
    before = "…" + before[-(room // 2) :] if len(before) - indentation > room // 2 else before[indentation:]
    meant = meant if len(before) + len(meant) <= room else meant[: room - len(before) - 1] + "…"
    mark = "▔" * max(len(_value(meant)), 1)
    return Text.assemble(
        (f"  {number} │ ", "dim"), before, (meant, "bold"), "\n",
        (f"  {' ' * len(number)} │ ", "dim"), " " * len(before), (mark, "bold red"), no_wrap=True,
    )  # fmt: skip


def _shown(text: str) -> str:
    return clean(text.expandtabs(TAB_WIDTH).replace("\n", " "))


def _plain(text: str) -> str:
    """What a file says may hold whatever steers a terminal: none of it comes out."""
    return clean(text)


def _value(meant: str) -> str:
    """The value that a line goes on with: up to a comment, or to the bracket or comma that ends it in a list."""
    value = meant.partition(" #")[0].rstrip()
    if value[:1] in ("'", '"') and (end := value.find(value[0], 1)) > 0:
        return value[: end + 1]
    if value[:1] in ("[", "{"):
        return value
    ends = [place for mark in (",", "]", "}") if (place := value.find(mark)) > 0]
    return value[: min(ends)] if ends else value


def _summary(report: Report) -> Table:
    table = _grid()
    if report.route is not None:
        table.add_row(_label("address"), Group(Text(report.url, "bold"), _route(report.route)))
    built = [container for container in report.containers if container.context is not None]
    pulled = [container for container in report.containers if container.context is None]
    if built:
        table.add_row(_label("built"), _columns(_built(container) for container in built))
    if pulled:
        rows = ((Text(_plain(each.service)), Text(_plain(each.image or ""))) for each in pulled)
        table.add_row(_label("pulled"), _columns(rows))
    if report.database is not None:
        table.add_row(_label("database"), _database(report.database))
    for each in report.generated:
        table.add_row(_label("generated"), Group(*(Text(_plain(line)) for line in (each.said, *each.notes))))
    if report.unset:
        rows = ((Text(_plain(name)), Text(_plain(", ".join(names)))) for name, names in report.unset.items())
        table.add_row(_label("no value", "yellow"), _columns(rows))
    return table


def _route(route: Route) -> Text:
    why = f" ({route.port_reason})" if route.port_reason else ""
    port = f"port {route.port}{why}" if route.port else "the port that its image exposes"
    health = f"GET {_plain(route.health)} answers 2xx"
    usual = "" if route.health_is_given else " (or the usual names, where that is 404)"
    return Text.assemble("leads to ", (_plain(route.service), "bold"), f", {port}; ready when {health}{usual}")


def _built(container: Container) -> tuple[Text, Text]:
    images = ", ".join(container.base_images) or "nothing"
    context = "the repository" if container.context == "." else f"{container.context}/"
    how = f"{container.dockerfile}, with {context} as its context, from {images}"
    return Text(_plain(container.service)), Text(_plain(how))


def _database(database: Database) -> RenderableType:
    if database.mode is not DatabaseMode.MANAGED:
        return Text(f"as the file has it: x-preview says `mode: {database.mode.value}`")
    instead = f", in place of `{_plain(database.replaces)}`" if database.replaces else ""
    needed = f", if the server has {_plain(' and '.join(database.conditions))}" if database.conditions else ""
    parts: list[RenderableType] = [Text(f"a Postgres database of the preview's own{instead}{needed}")]
    for rewrite in database.rewrites:
        parts.append(Text.assemble((f"{_plain(rewrite.service)}  ", "dim"), _plain(rewrite.variable)))
        if rewrite.before is not None and rewrite.before != rewrite.after:
            parts.append(_row(Text("  "), Text(_plain(rewrite.before), "red")))
        parts.append(_row(Text(" →"), Text(_plain(rewrite.after), "green")))
    if database.forms is not None:
        parts.append(_form("DATABASE_URL", database.forms.application))
        parts.append(_form("ALEMBIC_DATABASE_URL", database.forms.alembic))
    return Group(*parts)


def _form(variable: str, form: Form) -> Text:
    """The form of a variable, and what told it."""
    where = "" if form.where is None else f" ({_short(form.where)})"
    return Text(_plain(f"{variable} as {form.scheme}:// because {form.why}{where}"), "dim")


def _grouped(findings: Iterable[Finding]) -> Group:
    """Each thing once, with every place where it holds."""
    places: dict[str, list[Place]] = {}
    for found in findings:
        places.setdefault(found.message, []).append(found.place)
    return Group(*(_group(message, found) for message, found in places.items()))


def _group(message: str, places: list[Place]) -> RenderableType:
    where = ", ".join(dict.fromkeys(_short(place) for place in places))
    return Group(Text(_plain(message)), Padding(Text(_plain(where), "dim"), (0, 0, 0, 2)))


def _short(place: Place) -> str:
    return f"{place.file}:{place.line}" if place.line else place.file


def _label(word: str, style: str = "dim") -> Text:
    return Text(word, style)


def _row(first: Text, second: Text) -> Table:
    """Two cells side by side: where the second wraps, it stays clear of the first."""
    table = _grid(gap=1)
    table.add_row(first, second)
    return table


def _columns(rows: Iterable[tuple[Text, Text]]) -> Table:
    table = _grid()
    for first, second in rows:
        table.add_row(first, second)
    return table


def _grid(gap: int = 2) -> Table:
    table = Table.grid(padding=(0, gap, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table
